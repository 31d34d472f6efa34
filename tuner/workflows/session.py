"""One session of a study: agree with what is stored, then drive it to the end of its budget.

Apart from `search` because it imports Optuna: by the time it is loaded, the workers are loading torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from tuner.config.base_params import base_params
from tuner.config.code import fingerprints, reachable_targets
from tuner.config.spec import Spec
from tuner.control.controller import Controller, TrialState, is_feasible
from tuner.data.info import DataInfo
from tuner.execution.protocol import Executor
from tuner.paths import StudyPaths
from tuner.seeding import derive
from tuner.study.advisor import StudyAdvisor
from tuner.study.ownership import StudyLock
from tuner.study.records import StoredTrial
from tuner.study.server_lock import ServerLock
from tuner.study.storage import empty_database
from tuner.study.store import StudyStore
from tuner.workflows.agreement import look_back, refuse_changes, refuse_other_code, refuse_other_data
from tuner.workflows.confirm import Confirmation, best_trials
from tuner.workflows.driven import Identity
from tuner.workflows.driver import Driver
from tuner.workflows.ending import Ending
from tuner.workflows.evolution import Evolution
from tuner.workflows.feasible import refuse_misfits
from tuner.workflows.forecast import kept_for
from tuner.workflows.interrupts import Interrupts
from tuner.workflows.kinds import refuse_kinds
from tuner.workflows.lanes import LanePlan
from tuner.workflows.machine import cpu_name
from tuner.workflows.own import unused_data
from tuner.workflows.placement import Placement
from tuner.workflows.placing import Earlier, lane_plan, n_trials_of, place
from tuner.workflows.progress import Note, Reporter, StudyStarted
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.retention import Finished, Retention
from tuner.workflows.status import status_of

VERSIONS = ("tuner", "torch", "torchvision", "optuna", "scikit-learn", "numpy")


@dataclass(slots=True)
class Session:
    """What a session works with."""

    storage: str
    spec: Spec
    paths: StudyPaths
    executor: Executor
    reporter: Reporter
    source: str | None = None
    """The study whose trials a new one takes over."""

    def run(self, *, searches: bool = True) -> SearchResult:
        """Search to the end of the budget, or leave that out, and confirm the best trials."""
        evolution = Evolution.of(self.spec, self.storage, self.source) if self.source else None
        earlier = look_back(self.storage, self.spec)
        with StudyLock(self.paths.lock, self.spec.study), ServerLock(self.storage, self.spec.study):
            placement, info = self._prepare(earlier, searches=searches)
            store = StudyStore.open(self.storage, self.spec.study)
            try:
                store.patience.tell = lambda message: self.reporter.show(Note(message=message))
                self._agree(store, info, evolution)
                store.begin_session({"processor": cpu_name(), **versions()})
                ended, interrupts = Ended.BUDGET, Interrupts()
                if searches:
                    ended, interrupts = self._drive(store, placement)
                    store.end_session()  # what confirming takes does not count against the search's timeout
                if ended is not Ended.INTERRUPTED:
                    how, interrupts = self._confirm(store, placement, info)
                    ended = how if how is Ended.INTERRUPTED else ended
            finally:
                store.close()
        return SearchResult(
            status=status_of(self.storage, self.spec.study),
            ended=ended,
            signal=interrupts.first,
            storage=self.storage,
            paths=self.paths,
        )

    def _prepare(self, earlier: Earlier, *, searches: bool) -> tuple[Placement, DataInfo]:
        empty_database()  # kept for when it is needed: here the first worker is still loading torch
        misfits = refuse_misfits(self.spec) if searches else ""
        placement, info, note = place(self.spec, self.paths, self.executor, earlier)
        kinds = refuse_kinds(self.spec, self.executor) if searches else []
        threads = _thread_change(earlier.threads, placement)
        for message in (misfits, *kinds, note, threads, unused_data(self.spec, info)):
            if message:
                self.reporter.show(Note(message=message))
        return placement, info

    def _agree(self, store: StudyStore, info: DataInfo, evolution: Evolution | None) -> None:
        """Create the study, or make sure that the stored one is this one."""
        code = fingerprints(reachable_targets(self.spec), self.spec.base_dir)
        header = store.find()
        if header is None:
            if evolution is not None:
                evolution.refuse_other_grounds(info, code)
            self._move_leftovers()
            store.create(self.spec, info, code, versions(), kept_for(self.spec, self.paths))
            self._take_over(store, evolution)
            return
        refuse_changes(self.spec, header.spec)
        refuse_other_data(self.spec, header, info)
        if store.has_epochs():  # else nothing was trained with the old code: it is being mended
            refuse_other_code(self.spec, header, code)
        if evolution is not None and not evolution.is_done(store):  # its start was cut short
            evolution.refuse_other_grounds(info, code)
            self._take_over(store, evolution)
        store.replace_spec(self.spec, code)

    def _take_over(self, store: StudyStore, evolution: Evolution | None) -> None:
        if evolution is not None:
            for line in evolution.take_over(store, self.paths):
                self.reporter.show(Note(message=line))

    def _move_leftovers(self) -> None:
        """Trials of a study that is no longer in the database: kept, but out of the way of the new ones."""
        kept = (self.paths.confirm(0, 0).parent.name, self.paths.test.name)
        left = [folder for folder in self.paths.root.iterdir() if folder.name.isdigit() or folder.name in kept]
        if not left:
            return
        aside = self.paths.root / f"previous-{time.strftime('%Y%m%d-%H%M%S')}"
        aside.mkdir()
        for folder in left:
            folder.rename(aside / folder.name)
        n_trials = sum(folder.name.isdigit() for folder in left)
        self.reporter.show(Note(message=f"moved {n_trials} trials of an earlier study of this name to {aside}"))

    def _drive(self, store: StudyStore, placement: Placement) -> tuple[Ended, Interrupts]:
        spec = self.spec
        goals = spec.goals
        history = store.history(goals.keys if goals.are_several else ())
        retention = Retention(
            store,
            self.paths.trial,
            maximize=spec.maximize,
            objectives=goals.maximize,
            lead=goals.objectives.index(goals.lead),
        )
        retention.restore(_finished(history))
        advisor = StudyAdvisor(
            name=spec.study,
            space=spec.space,
            search=spec.search,
            maximize=spec.maximize,
            seed=spec.seed,
            max_epochs=spec.max_epochs(),
            epochs_of=spec.epochs_of,
            first=base_params(spec.space, spec.base),
            history=history,
            objectives=goals.maximize,
            lead=goals.objectives.index(goals.lead),
        )
        n_trials, taken = n_trials_of(spec), store.notes.taken
        if n_trials is not None and taken is not None:
            n_trials += taken[1]  # the budget is for new ones
        controller = Controller(
            advisor=advisor,
            maximize=spec.maximize,
            n_trials=n_trials,
            epochs_of=spec.epochs_of,
            next_trial=len(history),
        )
        seconds_before = store.seconds_before()
        ending = Ending.of(spec, n_trials, history, seconds_before, store.notes.stopped_at(n_trials))
        ending.keep = lambda why: store.notes.keep_stopped(why, n_trials)
        self._show_start(placement, retention, history, seconds_before, n_trials)
        self.executor.grow(min(placement.workers, _n_useful(history, n_trials, placement.workers)))
        with Interrupts() as interrupts:
            store.patience.gives_up = lambda: interrupts.count > 0
            driver = Driver(
                spec=spec,
                identity=self._identity(),
                store=store,
                record_ask=lambda trial, config, seed: store.record_ask(
                    advisor.record_of(trial), config=config, seed=seed
                ),
                controller=controller,
                executor=self.executor,
                placement=placement,
                lanes=self._lanes(placement, history),
                retention=retention,
                reporter=self.reporter,
                interrupts=interrupts,
                ending=ending,
            )
            ended = driver.run(store.open_trials(f"val/{spec.objective.metric}", history))
        store.notes.keep_stopped(ending.why, n_trials)
        return ended, interrupts

    def _identity(self) -> Identity:
        spec = self.spec
        return Identity(
            seed_of=lambda trial: derive(spec.seed, "trial", trial),
            validated=spec.on_fold,
            folder_of=self.paths.trial,
            name_of="trial {}".format,
            logs_of=lambda trial: f"`tuner logs {trial} --study {spec.study}`",
        )

    def _confirm(self, store: StudyStore, placement: Placement, info: DataInfo) -> tuple[Ended, Interrupts]:
        """Train the best trials again, if that is wanted and there are any."""
        history = store.history()
        if self.spec.confirm is None or not best_trials(history, 1, maximize=self.spec.maximize):
            return Ended.BUDGET, Interrupts()
        confirmation = Confirmation(
            spec=self.spec,
            paths=self.paths,
            store=store.confirmations(),
            executor=self.executor,
            placement=placement,
            lanes=self._lanes(placement, history),
            reporter=self.reporter,
            n_val=info.n_val,
        )
        return confirmation.run(self.spec.confirm, history)

    def _lanes(self, placement: Placement, history: Sequence[StoredTrial]) -> LanePlan:
        planned = lane_plan(self.spec, self.paths, self.executor, placement)
        planned.add_all(trial.params for trial in history)
        return planned

    def _show_start(
        self,
        placement: Placement,
        retention: Retention,
        history: Sequence[StoredTrial],
        seconds_before: float,
        n_trials: int | None,
    ) -> None:
        best_trial, best_value = retention.best
        goals = self.spec.goals
        self.reporter.show(
            StudyStarted(
                study=self.spec.study,
                metric=f"val/{self.spec.objective.metric}",
                maximize=self.spec.maximize,
                n_trials=n_trials,
                timeout_s=self.spec.search.timeout,
                n_finished=sum(trial.is_finished for trial in history),
                seconds_before=seconds_before,
                workers=placement.workers,
                threads=placement.threads,
                devices=placement.devices,
                storage=self.storage,
                best_trial=best_trial,
                best_value=best_value,
                objectives=goals.keys if goals.are_several else (),
                directions=tuple(str(item.direction) for item in goals.objectives) if goals.are_several else (),
                n_front=retention.n_front,
                confirm_top=self.spec.confirm.top if self.spec.confirm else 0,
                confirm_seeds=self.spec.confirm.seeds if self.spec.confirm else 0,
            )
        )


def _thread_change(kept: int | None, placement: Placement) -> str:
    if kept in (None, placement.threads) or placement.devices != ("cpu",):
        return ""
    return (
        f"{placement.threads} threads a worker, where the study has had {kept}: trials that go on do not repeat, to the"
        " bit, what they would have done"
    )


def versions() -> dict[str, str]:
    """Installed versions of what the numbers of a study depend on."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _n_useful(history: Sequence[StoredTrial], n_trials: int | None, workers: int) -> int:
    """Workers that will have a trial; threads do not depend on it, so that numbers do not either."""
    if n_trials is None:
        return workers
    return max(1, n_trials - sum(trial.is_finished for trial in history))


def _finished(history: Sequence[StoredTrial]) -> dict[int, Finished]:
    """Of every trial that is over what decides about its weights."""
    return {trial.number: _end_of(trial) for trial in history if trial.is_finished}


def _end_of(trial: StoredTrial) -> Finished:
    if trial.state is not TrialState.COMPLETE or not is_feasible(trial.constraints):
        return Finished(value=None, best_epoch=trial.best_epoch)
    return Finished(value=trial.value, best_epoch=trial.best_epoch, values=trial.values)
