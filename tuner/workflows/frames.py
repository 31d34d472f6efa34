"""The results of a study as pandas tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuner.control.controller import TrialState
from tuner.space.parameters import Scalar
from tuner.study.curves import epochs_of
from tuner.study.queries import StudyReader
from tuner.study.rows import TrialRow

if TYPE_CHECKING:
    import pandas as pd


def trials_frame(storage: str, name: str | None) -> pd.DataFrame:
    """A row a trial, by its number; NotFoundError when there is no such study.

    Columns: `state` (categorical), the value as `value` or several objectives by their names with `front`, the params
    by their dotted names, `epochs`, `best_epoch`, `seconds` (of its epochs), `reason`. A param that a trial does not
    have is missing. Whole numbers are Int64, truth values boolean, names string, which all can be missing.
    """
    import pandas as pd

    reader = StudyReader.open(storage)
    study = reader.study(name)
    trials = reader.trials(study)
    states = pd.Categorical([trial.state.value for trial in trials], categories=[state.value for state in TrialState])
    columns: dict[str, Any] = {"state": states, **_values(trials, [item.name for item in study.objectives])}
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    columns |= {name: _column([trial.params.get(name) for trial in trials]) for name in names}
    columns["epochs"] = pd.array([trial.epochs for trial in trials], dtype="int64")
    columns["best_epoch"] = pd.array([trial.best_epoch or None for trial in trials], dtype="Int64")
    columns["seconds"] = pd.array([trial.seconds for trial in trials], dtype="float64")
    columns["reason"] = pd.array([trial.reason for trial in trials], dtype="string")
    index = pd.Index([trial.number for trial in trials], name="trial", dtype="int64")
    return pd.DataFrame(columns, index=index)


def epochs_frame(storage: str, name: str | None) -> pd.DataFrame:
    """A row an epoch of every trial, by trial and epoch: its metrics by `<split>/<metric>`, and `seconds`."""
    import pandas as pd

    reader = StudyReader.open(storage)
    rows = epochs_of(reader, reader.study(name))
    keys = [(trial, epoch) for trial, epoch, _, _ in rows]
    names = dict.fromkeys(name for _, _, _, metrics in rows for name in metrics)
    columns: dict[str, Any] = {
        name: pd.array([metrics.get(name) for _, _, _, metrics in rows], dtype="float64") for name in names
    }
    columns["seconds"] = pd.array([seconds for _, _, seconds, _ in rows], dtype="float64")
    index = pd.MultiIndex.from_tuples(keys, names=["trial", "epoch"])
    return pd.DataFrame(columns, index=index)


def _values(trials: Sequence[TrialRow], objectives: Sequence[str]) -> dict[str, Any]:
    import pandas as pd

    if not objectives:
        return {"value": pd.array([trial.value for trial in trials], dtype="float64")}
    several = [trial.values or {} for trial in trials]  # noqa: PD011  no pandas object
    found = {name: pd.array([values.get(name) for values in several], dtype="float64") for name in objectives}
    return {**found, "front": pd.array([bool(trial.is_on_front) for trial in trials], dtype="bool")}


def _column(values: Sequence[Scalar]) -> Any:
    """The values in the narrowest type that holds all of them, and missing ones."""
    import pandas as pd

    kinds = frozenset(type(value) for value in values if value is not None)
    return pd.array(list(values), dtype=_DTYPES.get(kinds, "object"))


_DTYPES: dict[frozenset[type], str] = {
    frozenset({bool}): "boolean",
    frozenset({int}): "Int64",
    frozenset({float}): "float64",
    frozenset({int, float}): "float64",
    frozenset({str}): "string",
}
