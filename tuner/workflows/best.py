"""Export the best trial, after evaluating its stored weights again."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner.config.code import fingerprints, targets_of
from tuner.config.schema import PythonData, PythonModel, TrialConfig
from tuner.config.spec import Spec
from tuner.errors import NotFoundError, NoTrialError, VerificationError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import EvaluateRequest, Evaluation, PrepareRequest
from tuner.export import card
from tuner.export.bundle import CARD, CODE, WEIGHTS, Bundle, replaced_folder, sha256_of, write_bundle
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.registry import target_file
from tuner.study.queries import AttemptRow, StudyReader, StudyRow, TrialDetail, best_of
from tuner.training.job import TrainJob

TOLERANCE_OFF_CPU = 1e-4
"""Relative difference that is accepted for weights that an accelerator trained: its arithmetic is not repeatable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was exported, and how it did when it was evaluated again."""

    bundle: Bundle
    reevaluated: float
    path: Path
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        bundle = self.bundle
        test = {name.removeprefix("test/"): value for name, value in bundle.metrics.items() if name.startswith("test/")}
        return {
            "study": bundle.study,
            "trial": bundle.trial,
            "metric": bundle.metric,
            "value": bundle.value,
            "reevaluated": self.reevaluated,
            "test": test,
            "params": dict(bundle.params),
            "epoch": bundle.epoch,
            "path": str(self.path),
            "files": list(self.files),
        }


def best(
    *, storage: str = DEFAULT_STORAGE, study: str | None = None, trial: int | None = None, out: Path | None = None
) -> Export:
    """Export a trial (the best one by default) to `out` (`exports/<study>-<trial>` by default).

    Raises NotFoundError, NoTrialError when none is complete, VerificationError when the weights do not give the
    stored value.
    """
    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    detail = reader.trial(row, _choose(reader, row, trial))
    header = reader.header(row)
    folder = out or Path("exports") / f"{row.name}-{detail.row.number}"
    with replaced_folder(folder) as temporary:
        evaluation, spec = _evaluate(row, detail, header, storage, temporary / WEIGHTS)
        reevaluated = _verify(row, detail, evaluation)
        config = TrialConfig.model_validate_json(json.dumps(detail.config))
        config = _with_code(config, spec.base_dir, temporary)
        bundle = _bundle(row, detail, evaluation, config, header, fingerprints(targets_of(config), temporary / CODE))
        (temporary / CARD).write_text(card.render(bundle), encoding="utf-8")
        written = sorted(path for path in temporary.rglob("*") if path.is_file())
        files = {path.relative_to(temporary).as_posix(): sha256_of(path) for path in written}
        write_bundle(temporary, replace(bundle, files=files))
    return Export(
        bundle=Bundle.read(folder), reevaluated=reevaluated, path=folder, files=("bundle.json", *sorted(files))
    )


def _choose(reader: StudyReader, study: StudyRow, number: int | None) -> int:
    if number is not None:
        return number
    found = best_of(reader.trials(study), maximize=study.maximize)
    if found is None:
        raise NoTrialError(f"study {study.name!r} has no complete trial yet; see `tuner trials --study {study.name}`")
    return found.number


def _evaluate(
    study: StudyRow, detail: TrialDetail, header: dict[str, Any], storage: str, weights: Path
) -> tuple[Evaluation, Spec]:
    spec = Spec.from_json(header["spec"])
    number, epoch = detail.row.number, detail.row.best_epoch
    paths = StudyPaths.of(storage, study.name)
    if not any(item.epoch == epoch for item in detail.checkpoints):
        origin = f" ({detail.row.origin_text}, where they were not kept either)" if detail.row.origin else ""
        raise NotFoundError(
            f"the weights of trial {number} are not kept{origin}: only those of the best 5 complete trials are; "
            f"see `tuner trials --study {study.name}`"
        )
    attempt = _attempt_of(detail, epoch)
    config = TrialConfig.model_validate_json(json.dumps(detail.config))
    request = EvaluateRequest(
        prepare=PrepareRequest(
            config=config,
            metric=spec.objective.metric,
            seed=spec.seed,
            base_dir=spec.base_dir,
            data_dir=paths.data,
            threads=attempt.threads,
        ),
        job=TrainJob(
            trial=number,
            attempt=attempt.attempt,
            seed=detail.seed,
            config=config,
            metric=f"val/{study.metric}",
            maximize=study.maximize,
            checkpoints=detail.checkpoints,
            folder=paths.trial(number),
            base_dir=spec.base_dir,
            threads=attempt.threads,
            device=attempt.device,
        ),
        epoch=epoch,
        weights=weights.resolve(),
    )
    executor = ProcessExecutor()
    try:
        evaluation = executor.evaluate(request)
    finally:
        executor.close()
    varies_data = any(name.startswith("data.options.") for name in detail.row.params)
    if not varies_data and evaluation.data.fingerprint != header["data"]["fingerprint"]:
        raise VerificationError(f"the data of study {study.name!r} is not what the search saw; bring the old data back")
    return evaluation, spec


def _attempt_of(detail: TrialDetail, epoch: int) -> AttemptRow:
    """The attempt that trained an epoch: its threads and device make its numbers reproducible to the bit."""
    number = next(row.attempt for row in detail.curve if row.epoch == epoch)
    return next(row for row in detail.attempts if row.attempt == number)


def _verify(study: StudyRow, detail: TrialDetail, evaluation: Evaluation) -> float:
    value, again = detail.row.value, evaluation.metrics[f"val/{study.metric}"]
    assert value is not None
    is_on_cpu = _attempt_of(detail, detail.row.best_epoch).device == "cpu"
    tolerance = 0.0 if is_on_cpu else TOLERANCE_OFF_CPU
    if not math.isclose(value, again, rel_tol=tolerance, abs_tol=0.0):
        raise VerificationError(
            f"trial {detail.row.number} of study {study.name!r} was stored with val/{study.metric} {value!r}, "
            f"but its weights give {again!r}; nothing was exported"
        )
    return again


def _with_code(config: TrialConfig, base_dir: Path, folder: Path) -> TrialConfig:
    """Copy the user's own files into the export and point the config at the copies."""
    sections: dict[str, Any] = {}
    for name in ("data", "model"):
        section = getattr(config, name)
        path = target_file(section.target, base_dir) if isinstance(section, (PythonData, PythonModel)) else None
        if path is not None:
            copy = folder / CODE / name / path.name  # a folder a section: both may have a file of this name
            copy.parent.mkdir(parents=True)
            shutil.copyfile(path, copy)
            target = f"{name}/{path.name}:{section.target.rpartition(':')[2]}"
            sections[name] = section.model_copy(update={"target": target})
    return config.model_copy(update=sections)


def _bundle(
    study: StudyRow,
    detail: TrialDetail,
    evaluation: Evaluation,
    config: TrialConfig,
    header: dict[str, Any],
    code: dict[str, str],
) -> Bundle:
    value = detail.row.value
    assert value is not None
    return Bundle(
        study=study.name,
        trial=detail.row.number,
        epoch=detail.row.best_epoch,
        seed=detail.seed,
        metric=f"val/{study.metric}",
        value=value,
        metrics={name: number if math.isfinite(number) else None for name, number in evaluation.metrics.items()},
        params=detail.row.params,
        config=config,
        data=evaluation.data,
        preprocess=evaluation.preprocess,
        n_outputs=evaluation.n_outputs,
        code=code,
        versions=header["versions"],
        files={},
    )
