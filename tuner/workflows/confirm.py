"""Train the best trials of a search again on fresh seeds, so that the winner is not the luckiest one.

The best value of many trials is optimistic: it was chosen for its value. Fresh seeds draw other initial weights, orders
of rows and dropout masks for the same configs; no run of them was chosen for anything. The driver of the search drives
them too, as ordinary jobs that are never pruned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tuner.config.schema import Confirm, TrialConfig
from tuner.config.spec import Spec
from tuner.control.controller import NONE, Controller, Excesses, TrialState, Values, is_feasible
from tuner.errors import NoTrialError, UsageError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Executor
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.seeding import derive
from tuner.space.parameters import Params
from tuner.study.confirmations import ConfirmRun, ConfirmStore, PlannedRun
from tuner.study.queries import StudyReader
from tuner.study.records import StoredTrial
from tuner.workflows.driven import Identity, nothing_is_asked
from tuner.workflows.driver import Driver
from tuner.workflows.ending import Ending
from tuner.workflows.interrupts import Interrupts
from tuner.workflows.lanes import LanePlan
from tuner.workflows.placement import Placement
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Note,
    Progress,
    Reporter,
    SilentReporter,
    TrialFinished,
    TrialStarted,
)
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.retention import Retention


def confirm(
    *,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    top: int | None = None,
    seeds: int | None = None,
    reporter: Reporter | None = None,
    executor: Executor | None = None,
) -> SearchResult:
    """Confirm the best trials of a study that was searched; without `top` and `seeds` as its space file says.

    `seeds` is the total for each trial: runs that are there count. Raises NotFoundError, NoTrialError when no trial is
    complete, and what a search raises.
    """
    from tuner.workflows.session import Session
    from tuner.workflows.tracking import tracked

    reader = StudyReader.open(storage)
    row = reader.own_study(study)
    if row.objectives:
        raise UsageError(
            f"study {row.name!r} has several objectives, and confirming chooses by the mean of one; "
            "train a trial again with `tuner reproduce`, or search for one objective under constraints"
        )
    if reader.outline(row)[1] is None:
        raise NoTrialError(f"study {row.name!r} has no complete trial yet; see `tuner trials --study {row.name}`")
    spec = Spec.from_json(reader.header(row)["spec"])
    wanted = spec.confirm or Confirm()
    wanted = wanted.model_copy(update={"top": top or wanted.top, "seeds": seeds or wanted.seeds})
    executor = executor or ProcessExecutor()
    executor.start()
    try:
        paths = StudyPaths.of(storage, row.name)
        with tracked(spec, storage, reporter or SilentReporter()) as told:
            return Session(storage, replace(spec, confirm=wanted), paths, executor, told).run(searches=False)
    finally:
        executor.close()


CUT_SHORT = ("pruned", "timeout")
"""Reasons of trials that were stopped while they could have gone on."""
FEW_ROWS = 10_000
"""Validation rows below which which rows they are matters as much as the seed does: the standard error of an accuracy
of .9 is .003 there."""


def plan(spec: Spec, wanted: Confirm, history: Sequence[StoredTrial], *, n_val: int) -> list[PlannedRun]:
    """The runs that confirm the best trials: all of them on their first fresh seed, then on the next."""
    return [
        PlannedRun(
            trial=trial.number,
            repeat=repeat,
            seed=fresh_seed(spec.seed, trial.number, repeat),
            config=validated(spec, wanted, spec.bind(trial.params), repeat, n_val=n_val).model_dump_json(),
        )
        for repeat in range(1, wanted.seeds + 1)
        for trial in candidates(spec, wanted, history)
    ]


def fresh_seed(seed: int, trial: int, repeat: int) -> int:
    """The seed of a confirmation run; that of the trial itself derives from other keys."""
    return derive(seed, "confirm", trial, repeat)


def validated(spec: Spec, wanted: Confirm, config: TrialConfig, repeat: int, *, n_val: int) -> TrialConfig:
    """The config of a run on the rows that validate it: the same for all candidates, so that their means compare.

    The best of many trials is also the one that its validation rows happen to suit. Other rows tell that.
    """
    if is_resplit(wanted, n_val):
        config = spec.on_cut(config, repeat)
    return spec.on_fold(config, repeat - 1)


def is_resplit(wanted: Confirm, n_val: int) -> bool:
    """Whether each fresh seed has a validation part of its own."""
    return n_val < FEW_ROWS if wanted.resplit == "auto" else wanted.resplit


def best_trials(history: Sequence[StoredTrial], top: int, *, maximize: bool) -> list[StoredTrial]:
    """The best complete trials that break no constraint, the best first; of equal ones the first."""
    sign = -1.0 if maximize else 1.0
    ranked = [
        (sign * trial.value, trial.number, trial)
        for trial in history
        if trial.state is TrialState.COMPLETE and trial.value is not None and is_feasible(trial.constraints)
    ]
    return [trial for _, _, trial in sorted(ranked, key=lambda item: item[:2])[:top]]


def candidates(spec: Spec, wanted: Confirm, history: Sequence[StoredTrial]) -> list[StoredTrial]:
    """The trials to confirm: the best complete ones and, where those are too few, the furthest of the stopped ones.

    Rules that pause trials at rungs leave few complete ones; what they stopped is trained in full here. It was never
    judged by constraints on metrics, so that under constraints only complete trials are taken.
    """
    best = best_trials(history, wanted.top, maximize=spec.maximize)
    if not best or spec.constraints:
        return best
    sign = -1.0 if spec.maximize else 1.0
    stopped = [trial for trial in history if trial.state is TrialState.PRUNED and trial.reason in CUT_SHORT]
    furthest = sorted(
        (trial for trial in stopped if trial.curve),
        key=lambda trial: (-max(trial.curve), min(sign * value for value in trial.curve.values()), trial.number),
    )
    return [*best, *furthest[: wanted.top - len(best)]]


def said_of(chosen: Sequence[StoredTrial], wanted: Confirm, history: Sequence[StoredTrial]) -> list[str]:
    """What to say of candidates that are not the best complete trials, as many as were wanted."""
    said = []
    stopped = [str(trial.number) for trial in chosen if trial.state is not TrialState.COMPLETE]
    if stopped:
        which = f"trial{'s' * (len(stopped) > 1)} {', '.join(stopped)}"
        said.append(
            f"fewer than {wanted.top} trials are complete: {which} got furthest of the others, and "
            f"train{'s' * (len(stopped) == 1)} in full"
        )
    if len(chosen) < wanted.top <= len(history):
        said.append(
            f"{len(chosen)} of the {wanted.top} trials that confirm.top asks for: no other has a value and meets the "
            "constraints"
        )
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The confirmation of one study, by the session that owns it."""

    spec: Spec
    paths: StudyPaths
    store: ConfirmStore
    executor: Executor
    placement: Placement
    lanes: LanePlan
    reporter: Reporter
    n_val: int
    """Rows that validate."""

    def run(self, wanted: Confirm, history: Sequence[StoredTrial]) -> tuple[Ended, Interrupts]:
        """Train what is missing of the planned runs; a later call goes on where this one was interrupted."""
        with Interrupts() as interrupts:
            planned = plan(self.spec, wanted, history, n_val=self.n_val)
            runs = {run.run: run for run in self.store.begin(planned)}
            params = {trial.number: trial.params for trial in history}
            unfinished = {number: params[run.trial] for number, run in runs.items() if not run.is_over}
            if not unfinished:
                return Ended.BUDGET, interrupts
            self._show_start(wanted, planned, runs)
            for message in said_of(candidates(self.spec, wanted, history), wanted, history):
                self.reporter.show(Note(message=message))
            self.executor.grow(min(self.placement.workers, len(unfinished)))
            driver = self._driver(wanted, runs, interrupts)
            metric = f"val/{self.spec.objective.metric}"
            return driver.run(self.store.open_runs(unfinished, metric)), interrupts

    def _show_start(self, wanted: Confirm, planned: Sequence[PlannedRun], runs: Mapping[int, ConfirmRun]) -> None:
        pairs = {(run.trial, run.repeat) for run in planned}
        self.reporter.show(
            ConfirmStarted(
                study=self.spec.study,
                metric=f"val/{self.spec.objective.metric}",
                trials=tuple(dict.fromkeys(run.trial for run in planned)),
                seeds=wanted.seeds,
                n_runs=len(planned),
                n_finished=sum(run.is_over and (run.trial, run.repeat) in pairs for run in runs.values()),
            )
        )

    def _driver(self, wanted: Confirm, runs: Mapping[int, ConfirmRun], interrupts: Interrupts) -> Driver:
        spec = replace(self.spec, constraints=())  # the trials have met them; a run says how good they are
        identity = Identity(
            seed_of=lambda number: fresh_seed(spec.seed, runs[number].trial, runs[number].repeat),
            validated=lambda config, number: validated(spec, wanted, config, runs[number].repeat, n_val=self.n_val),
            folder_of=lambda number: self.paths.confirm(runs[number].trial, runs[number].repeat),
            name_of=lambda number: f"trial {runs[number].trial} on fresh seed {runs[number].repeat}",
            logs_of=lambda number: (
                f"`tuner logs {runs[number].trial} --run {runs[number].repeat} --study {spec.study}`"
            ),
        )
        retention = Retention(self.store, identity.folder_of, maximize=spec.maximize, n_kept=len(runs))
        return Driver(
            spec=spec,
            identity=identity,
            store=self.store,
            record_ask=nothing_is_asked,
            controller=Controller(
                advisor=Undisturbed(),
                maximize=spec.maximize,
                n_trials=len(runs),
                epochs_of=spec.epochs_of,
                next_trial=len(runs),
            ),
            executor=self.executor,
            placement=self.placement,
            lanes=self.lanes,
            retention=retention,
            reporter=_ConfirmReporter(self.reporter, runs, wanted.seeds),
            interrupts=interrupts,
            ending=Ending(rule=None, n_trials=None, timeout_s=None),
        )


class Undisturbed:
    """An advisor that asks for nothing and stops nothing: confirmation runs train all of their epochs."""

    schedule = None
    """Nobody pauses."""

    def suggest(self, trial: int, fixed: Params | None = None) -> Params | None:  # noqa: ARG002
        """Nothing: the runs are planned before the first begins."""
        return None

    def report(self, trial: int, epoch: int, value: float, values: Values = ()) -> None:
        """Pass over it."""

    def diverge(self, trial: int) -> None:
        """Pass over it."""

    def should_stop(self, trial: int) -> bool:  # noqa: ARG002
        return False

    def finish(
        self, trial: int, state: TrialState, value: float | None, values: Values = (), constraints: Excesses = NONE
    ) -> None:
        """Pass over it."""


@dataclass(frozen=True, slots=True)
class _ConfirmReporter:
    """Names runs by their trials."""

    inner: Reporter
    runs: Mapping[int, ConfirmRun]
    seeds: int

    def show(self, progress: Progress) -> None:
        if not isinstance(progress, (TrialStarted, EpochEnded, TrialFinished)):
            self.inner.show(progress)
            return
        run = self.runs[progress.trial]
        step = replace(progress, trial=run.trial)
        if isinstance(step, TrialFinished):
            step = replace(step, is_best=False)  # among runs, which says nothing about trials
        self.inner.show(ConfirmStep(repeat=run.repeat, seeds=self.seeds, step=step))
