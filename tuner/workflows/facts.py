"""Read all that a report is made from; the test part stays sealed."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

from tuner.config.base_params import base_params
from tuner.config.spec import Spec
from tuner.control.controller import TrialState
from tuner.data.info import DataInfo
from tuner.errors import NoTrialError, TunerError
from tuner.export.bundle import WEIGHTS
from tuner.paths import StudyPaths
from tuner.report.facts import Curve, Examined, Facts, TestScore, level_of, losses_at
from tuner.space.parameters import Params
from tuner.study.confirmed import Standing, standing_of
from tuner.study.curves import curves_of
from tuner.study.history import history_of
from tuner.study.importance import Importances, importances_of, load
from tuner.study.queries import StudyReader
from tuner.study.rows import StudyRow, TrialRow, best_of
from tuner.study.storage import shown
from tuner.training.kept_details import kept_details
from tuner.workflows.best import Chosen, checkpoint_of, choose, evaluate_again
from tuner.workflows.explaining import explain
from tuner.workflows.pick import pick
from tuner.workflows.sealed import read_score


def read_facts(storage: str, name: str | None, *, evaluates: bool = True, is_brief: bool = False) -> Facts:
    """Everything that is known of a study; `evaluates` says whether its best weights are looked at anew.

    With `is_brief` what takes time is left out: importance, and what the search decided by itself.

    Raises NotFoundError, StorageError where tuner did not make it, NoTrialError when it has no trial.
    """
    reader = StudyReader.open(storage)
    study = reader.own_study(name)
    trials = tuple(reader.trials(study))
    if not trials:
        raise NoTrialError(
            f"study {study.name!r} has no trial yet: there is nothing to report; start its search with "
            f"`tuner search --space FILE --study {study.name}`"
        )
    header = reader.header(study)
    spec = Spec.from_json(header["spec"])
    default = base_params(spec.space, spec.base)
    standing, winner, why = _winner(reader, study, trials)
    if not is_brief:
        load()  # before another thread may want scikit-learn
    examined = _examined(reader, study, storage, winner, header, evaluates=evaluates)
    vectors = reader.vectors(study)
    curves = _curves(reader, study, vectors)
    level = level_of(curves, len(spec.space.parameters))
    return Facts(
        study=study,
        spec=spec,
        data=DataInfo.from_json(header["data"]),
        versions=header["versions"],
        code=header["code"],
        trials=trials,
        curves=curves,
        history=history_of(reader, study),
        standing=standing,
        winner=winner,
        why=why,
        default=default,
        base=_base(default, trials),
        importances=None if is_brief else _importances(study, spec, trials, curves, vectors, level),
        level=level,
        test=_test_score(reader, study, storage, winner),
        examined=examined(),
        explained=() if is_brief else tuple(explain(storage, study.name)),
        storage=shown(storage),
        now=time.time(),
    )


def _curves(
    reader: StudyReader, study: StudyRow, vectors: Mapping[int, Mapping[int, tuple[float, ...]]]
) -> dict[int, Curve]:
    """The objective by epoch; of several the leading one, which Optuna's tables do not have."""
    if not study.objectives:
        return dict(curves_of(reader, study))
    return {trial: {epoch: vector[study.lead] for epoch, vector in sorted(of.items())} for trial, of in vectors.items()}


def _winner(
    reader: StudyReader, study: StudyRow, trials: tuple[TrialRow, ...]
) -> tuple[Standing, TrialRow | None, str]:
    if study.objectives:
        try:
            found = pick(study, trials)
        except NoTrialError:
            return Standing(), None, ""
        return Standing(), found.trial, found.why
    best = best_of(list(trials), maximize=study.maximize)
    standing = standing_of(reader, study, best)
    if standing.confirmed is None:
        return standing, best, ""
    number = standing.confirmed.winner.trial
    return standing, next(trial for trial in trials if trial.number == number), ""


def _base(default: Params, trials: tuple[TrialRow, ...]) -> int | None:
    """The trial that is the base config of the file; the one that came furthest, should there be several."""
    same = [trial for trial in trials if dict(trial.params) == default]
    return max(same, key=lambda trial: (trial.epochs, -trial.number)).number if same else None


def _importances(
    study: StudyRow,
    spec: Spec,
    trials: tuple[TrialRow, ...],
    curves: Mapping[int, Curve],
    vectors: Mapping[int, Mapping[int, tuple[float, ...]]],
    level: int,
) -> Importances | None:
    """By the best value up to the level; of several objectives by the place in their Pareto order."""
    if not level:
        return None
    sign = -1.0 if study.maximize else 1.0
    came = {
        trial.number: trial
        for trial in trials
        if max(curves.get(trial.number, {}), default=0) >= level
        or (trial.state is TrialState.COMPLETE and curves.get(trial.number))
        or trial.reason == "diverged"
    }
    if study.objectives:
        losses = _pareto_losses(study, {number: vectors.get(number, {}) for number in came}, level)
    else:
        losses = losses_at({number: _best(curves.get(number, {}), sign, level) for number in came}, sign)
    numbers = sorted(losses)
    return importances_of(
        spec.space, [came[number].params for number in numbers], [losses[number] for number in numbers], seed=spec.seed
    )


def _best(curve: Curve, sign: float, level: int) -> float | None:
    values = [sign * value for epoch, value in curve.items() if epoch <= level]
    return sign * min(values) if values else None


def _pareto_losses(
    study: StudyRow, vectors: Mapping[int, Mapping[int, tuple[float, ...]]], level: int
) -> dict[int, float]:
    from tuner.control.pareto import places  # NumPy, which one objective does without

    at = {}
    for number, curve in vectors.items():
        known = [epoch for epoch in curve if epoch <= level]
        if known:
            at[number] = [sign * value for sign, value in zip(study.signs, curve[max(known)], strict=True)]
    if not at:
        return {}
    found = places(list(at.values())).tolist()
    return {number: float(place) for number, place in zip(at, found, strict=True)}


def _test_score(reader: StudyReader, study: StudyRow, storage: str, winner: TrialRow | None) -> TestScore | None:
    """The score that `tuner best` has kept of these very weights."""
    if winner is None:
        return None
    paths = StudyPaths.of(storage, study.name)
    try:
        chosen = choose(reader, study, None, None, paths)
        found = read_score(paths.test, checkpoint_of(study, chosen.detail).sha256)
    except TunerError:
        return None
    if found is None:
        return None
    return TestScore(
        metrics={name: value for name, value in found.metrics.items() if math.isfinite(value)}, day=found.day
    )


def _examined(
    reader: StudyReader,
    study: StudyRow,
    storage: str,
    winner: TrialRow | None,
    header: dict[str, Any],
    *,
    evaluates: bool,
) -> Callable[[], Examined]:
    """What gives the answer, for which a worker loads torch in the meantime."""
    if winner is None:
        return lambda: Examined(missing="There is no winner to look at yet.")
    paths = StudyPaths.of(storage, study.name)
    chosen = choose(reader, study, None, None, paths)
    kept = kept_details(chosen.folder, chosen.detail.row.best_epoch) or {}
    without = Examined(missing="Its weights were not evaluated again.", details=kept, is_fresh=bool(chosen.repeat))
    if Spec.from_json(header["spec"]).base.is_own_training:
        missing = "Your own training code measured it: only that code could look at its model again."
        return lambda: replace(without, missing=missing)
    if not evaluates:
        return lambda: without

    def look() -> Examined:
        try:
            return _looked_at(study, chosen, header, paths)
        except TunerError as error:
            return replace(without, missing=f"Its weights could not be evaluated again: {error.message}")

    return _in_background(look)


def _in_background(work: Callable[[], Examined]) -> Callable[[], Examined]:
    """Begin something, and return what waits for its result; Ctrl-C does not wait."""
    found: Future[Examined] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            found.set_exception(error)

    Thread(target=run, daemon=True).start()
    return found.result


def _looked_at(study: StudyRow, chosen: Chosen, header: dict[str, Any], paths: StudyPaths) -> Examined:
    """What its weights say of the validation part. The test part is not opened."""
    checkpoint_of(study, chosen.detail)
    with tempfile.TemporaryDirectory(prefix="tuner-report-") as folder:
        weights = Path(folder) / WEIGHTS
        evaluation, _ = evaluate_again(study, chosen, header, paths, weights, opens_test=False, examines=True)
    return Examined(
        metrics={name: value for name, value in evaluation.metrics.items() if math.isfinite(value)},
        details=evaluation.details.get("val", {}),
        found=evaluation.examined,
        is_fresh=bool(chosen.repeat),
    )
