"""What is different about trials of own training code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tuner.config.schema import PythonTrain
from tuner.config.spec import Spec
from tuner.data.info import NO_DATA, DataInfo
from tuner.execution.protocol import Evaluation
from tuner.study.rows import TrialDetail


def as_recorded(evaluation: Evaluation, detail: TrialDetail, header: Mapping[str, Any]) -> Evaluation:
    """An evaluation with the metrics that the code yielded after the best epoch, which nobody else can measure."""
    metrics = next(row.metrics for row in detail.curve if row.epoch == detail.row.best_epoch)
    return replace(
        evaluation,
        metrics={name: math.nan if value is None else value for name, value in metrics.items()},
        data=DataInfo.from_json(header["data"]),
    )


def unused_data(spec: Spec, info: DataInfo) -> str:
    """A note where a file has data that its own training code does not ask for."""
    train = spec.base.train
    if not isinstance(train, PythonTrain) or spec.base.data is None or info != NO_DATA:
        return ""
    return (
        f"data: is not prepared, since {train.target} does not take it; it finds the section in config['data'], "
        "and as run(config, state, data) it gets the rows"
    )
