"""Export the best trial, after evaluating its stored weights again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tuner.config.code import fingerprints, targets_of
from tuner.config.schema import TrialConfig
from tuner.config.spec import Spec
from tuner.control.winner import Confirmed
from tuner.data.info import NOT_DECODED
from tuner.errors import ExportError, NotFoundError, UsageError, VerificationError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import EvaluateRequest, Evaluation, PrepareRequest
from tuner.export import card
from tuner.export.bundle import CARD, CODE, WEIGHTS, Bundle, replaced_folder, sha256_of, write_bundle
from tuner.export.code import with_code
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.study.confirmed import Standing, best_run, run_detail, standing_of
from tuner.study.queries import StudyReader
from tuner.study.rows import AttemptRow, StudyRow, TrialDetail
from tuner.training.events import Checkpoint
from tuner.training.job import TrainJob
from tuner.workflows.own import as_recorded
from tuner.workflows.pick import FRONT, KNEE, front_rows, pick
from tuner.workflows.sealed import SealedScore, keep_score, read_score

TOLERANCE_OFF_CPU = 1e-4
"""Relative difference that is accepted for weights that an accelerator trained: its arithmetic is not repeatable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What was exported, and how it did when it was evaluated again."""

    bundle: Bundle
    reevaluated: float | None
    """None where own training code measured it, which alone could do so again."""
    path: Path
    files: tuple[str, ...]
    picked: str = ""
    """Why this trial, of several objectives' front."""
    repeat: int = 0
    """Which confirmation run the weights are from; 0 for the trial's own."""
    scored_before: str = ""
    """When the weights were scored on the test part, if that was not now."""

    def to_json(self) -> dict[str, Any]:
        bundle = self.bundle
        test = {name.removeprefix("test/"): value for name, value in bundle.metrics.items() if name.startswith("test/")}
        several = {"values": dict(bundle.objectives), "picked": self.picked} if bundle.objectives else {}
        return {
            "study": bundle.study,
            "trial": bundle.trial,
            **several,
            "metric": bundle.metric,
            "value": bundle.value,
            "reevaluated": self.reevaluated,
            "test": test,
            "details": dict(bundle.details),
            "test_scored_before": bool(self.scored_before),
            "confirmed": None if bundle.confirmed is None else dict(bundle.confirmed),
            "confirm_run": self.repeat or None,
            "params": dict(bundle.params),
            "epoch": bundle.epoch,
            "path": str(self.path),
            "files": list(self.files),
            "formats": {name: dict(found) for name, found in bundle.formats.items()},
        }


def best(
    *,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    trial: int | None = None,
    out: Path | None = None,
    rule: str | None = None,
    formats: Sequence[str] = (),
) -> Export:
    """Export a trial to `out` (`exports/<study>-<trial>` by default).

    Without `trial` the confirmed winner, with the weights of its best run by the validation part, the search's own run
    of it included. Before anything is confirmed, the best trial of the search. Weights are scored on the test part
    once; from then on the stored score is shown.

    With several objectives `rule` picks one of the front, see `tuner.workflows.pick`. `formats` are those of
    `tuner.export.formats` besides the weights themselves. Raises NotFoundError, UsageError, NoTrialError when none is
    complete, MissingError when a format takes a package that is not there, VerificationError when the weights do not
    give the stored value; ExportError when the model cannot be written in a format: the others are written.
    """
    names = _checked(formats)
    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    paths = StudyPaths.of(storage, row.name)
    chosen = choose(reader, row, trial, rule, paths)
    detail = chosen.detail
    header = reader.header(row)
    folder = out or Path("exports") / f"{row.name}-{detail.row.number}"
    with replaced_folder(folder) as temporary, TemporaryDirectory() as scratch:
        stored = read_score(paths.test, checkpoint_of(row, detail).sha256)
        sample = Path(scratch) / "sample.pt" if names else None
        evaluation, spec = evaluate_again(
            row, chosen, header, paths, temporary / WEIGHTS, opens_test=stored is None, sample=sample
        )
        reevaluated = None if spec.base.is_own_training else _verify(row, detail, evaluation)
        evaluation = _with_test(evaluation, stored, paths, row, detail)
        config = TrialConfig.model_validate_json(json.dumps(detail.config))
        config = with_code(config, spec.base_dir, temporary)
        bundle = _bundle(row, chosen, evaluation, config, header, fingerprints(targets_of(config), temporary / CODE))
        problems: tuple[str, ...] = ()
        if sample is not None:
            from tuner.export.exporting import write_formats  # with torch, which the weights alone do not take

            written_as = write_formats(temporary, bundle, names, sample)
            bundle, problems = replace(bundle, formats=written_as.formats), written_as.problems
        (temporary / CARD).write_text(card.render(bundle), encoding="utf-8")
        written = sorted(path for path in temporary.rglob("*") if path.is_file())
        files = {path.relative_to(temporary).as_posix(): sha256_of(path) for path in written}
        write_bundle(temporary, replace(bundle, files=files))
    export = Export(
        bundle=Bundle.read(folder),
        reevaluated=reevaluated,
        path=folder,
        files=("bundle.json", *sorted(files)),
        picked=chosen.why,
        repeat=chosen.repeat,
        scored_before=stored.day if stored else "",
    )
    if problems:
        there = ", ".join(export.files)
        raise ExportError("\n".join((*problems, f"all else is in {folder}: {there}")))
    return export


def _checked(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats besides the weights, of which libraries and names are checked before anything is evaluated."""
    if not set(formats) - {"pt"}:
        return ()
    from tuner.export.formats import checked_names

    return checked_names(formats)


def best_front(
    *,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    out: Path | None = None,
    formats: Sequence[str] = (),
) -> list[Export]:
    """Export every trial of several objectives' front, each to a folder `<study>-<trial>` of `out` (`exports`)."""
    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    trials = reader.trials(row)
    pick(row, trials, KNEE)  # raises what there is to say about one objective, or an empty front
    numbers = [trial.number for trial in front_rows(trials)]
    folder = out or Path("exports")
    exports, problems = [], []
    for number in numbers:
        try:
            one = best(
                storage=storage, study=row.name, trial=number, out=folder / f"{row.name}-{number}", formats=formats
            )
        except ExportError as error:
            problems.append(error.message)
        else:
            exports.append(replace(one, picked=FRONT))
    if problems:
        raise ExportError("\n".join(problems))
    return exports


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The run whose weights are exported."""

    detail: TrialDetail
    folder: Path
    repeat: int = 0
    confirmed: Confirmed | None = None
    why: str = ""
    """Why it is this one, of several objectives' front."""


def choose(reader: StudyReader, study: StudyRow, number: int | None, rule: str | None, paths: StudyPaths) -> Chosen:
    """The run that `best` exports; raises what it raises."""
    if number is not None and rule is not None:
        raise UsageError("--pick and --trial both say which trial to take; leave one of them out")
    if number is not None:
        why = "named by --trial" if study.objectives else ""
        return Chosen(detail=reader.trial(study, number), folder=paths.trial(number), why=why)
    picked = pick(study, reader.trials(study), rule)
    found = picked.trial
    standing = Standing() if study.objectives else standing_of(reader, study, found)
    if standing.confirmed is None:
        return Chosen(detail=reader.trial(study, found.number), folder=paths.trial(found.number), why=picked.why)
    own = reader.trial(study, standing.confirmed.winner.trial)
    run = best_run(standing, own, maximize=study.maximize)
    if run is None:
        return Chosen(detail=own, folder=paths.trial(own.row.number), confirmed=standing.confirmed)
    return Chosen(
        detail=run_detail(reader, study, run),
        folder=paths.confirm(run.trial, run.repeat),
        repeat=run.repeat,
        confirmed=standing.confirmed,
    )


def checkpoint_of(study: StudyRow, detail: TrialDetail) -> Checkpoint:
    """The checkpoint of the best epoch; NotFoundError where it is not kept."""
    for item in detail.checkpoints:
        if item.epoch == detail.row.best_epoch:
            return item
    origin = f" ({detail.row.origin_text}, where they were not kept either)" if detail.row.origin else ""
    raise NotFoundError(
        f"the weights of trial {detail.row.number} are not kept{origin}: only those of the best 5 complete trials are; "
        f"see `tuner trials --study {study.name}`"
    )


def _with_test(
    evaluation: Evaluation, stored: SealedScore | None, paths: StudyPaths, study: StudyRow, detail: TrialDetail
) -> Evaluation:
    """The evaluation with the score on the test part: the stored one, or the one that is stored now."""
    if stored is not None:
        details = evaluation.details | ({"test": dict(stored.details)} if stored.details else {})
        return replace(evaluation, metrics={**evaluation.metrics, **stored.metrics}, details=details)
    test = {name: value for name, value in evaluation.metrics.items() if name.startswith("test/")}
    if test:
        score = SealedScore(metrics=test, details=evaluation.details.get("test"), scored_at=time.time())
        sha256 = checkpoint_of(study, detail).sha256
        keep_score(paths.test, sha256, score, detail.row.number)
    return evaluation


def evaluate_again(
    study: StudyRow,
    chosen: Chosen,
    header: dict[str, Any],
    paths: StudyPaths,
    weights: Path,
    *,
    opens_test: bool,
    examines: bool = False,
    sample: Path | None = None,
) -> tuple[Evaluation, Spec]:
    """Evaluate stored weights, and write them to `weights`; VerificationError where the data is another one."""
    spec, detail = Spec.from_json(header["spec"]), chosen.detail
    if sample is not None and spec.base.is_own_training:
        raise UsageError("--format: a model of own training code can only be built by that code; take --format pt")
    number, epoch = detail.row.number, detail.row.best_epoch
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
            folder=chosen.folder,
            base_dir=spec.base_dir,
            threads=attempt.threads,
            device=attempt.device,
            goals=spec.goals,
        ),
        epoch=epoch,
        weights=weights.resolve(),
        opens_test=opens_test,
        examines=examines,
        sample=sample,
    )
    executor = ProcessExecutor()
    try:
        evaluation = executor.evaluate(request)
        fingerprint = evaluation.data.fingerprint
        # How rows are decoded and which of them validate is part of it: that of the base config was stored.
        if not spec.base.is_own_training and _decoded(config) != _decoded(spec.base):
            fingerprint = executor.prepare(replace(request.prepare, config=spec.base)).fingerprint
    finally:
        executor.close()
    if spec.base.is_own_training:
        return as_recorded(evaluation, detail, header), spec
    if fingerprint != header["data"]["fingerprint"]:
        raise VerificationError(f"the data of study {study.name!r} is not what the search saw; bring the old data back")
    return evaluation, spec


def _decoded(config: TrialConfig) -> str:
    """The part of the config that decoded rows depend on."""
    return config.data.model_dump_json(exclude=NOT_DECODED)


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


def _bundle(
    study: StudyRow,
    chosen: Chosen,
    evaluation: Evaluation,
    config: TrialConfig,
    header: dict[str, Any],
    code: dict[str, str],
) -> Bundle:
    detail = chosen.detail
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
        objectives=detail.row.values or {},
        config=config,
        data=evaluation.data,
        preprocess=evaluation.preprocess,
        n_outputs=evaluation.n_outputs,
        n_params=evaluation.n_params,
        details=evaluation.details,
        code=code,
        versions=header["versions"],
        files={},
        confirmed=chosen.confirmed.to_json() if chosen.confirmed else None,
    )
