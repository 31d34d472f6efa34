"""The driver: the one process that decides and writes.

It drives the trials of a search, and then the runs that confirm the best of them: asks the controller for trials, hands
them to workers, records what they report before it answers, and leaves the study in a state from which the same command
goes on, whatever happens in between.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from tuner.config.spec import Spec
from tuner.control.controller import Controller, TrialState, is_feasible
from tuner.execution.protocol import Event, Executor, WorkerLost, WorkerSilent
from tuner.faults import fault_point
from tuner.study.attempts import NewAttempt, OpenTrial
from tuner.training.events import Decision, EpochEnd, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.workflows.driven import AskRecorder, Identity, Records
from tuner.workflows.ending import Ending
from tuner.workflows.giving_up import GivingUp
from tuner.workflows.interrupts import Interrupts
from tuner.workflows.lanes import LanePlan
from tuner.workflows.placement import Placement
from tuner.workflows.progress import Reporter
from tuner.workflows.result import Ended
from tuner.workflows.retention import Retention
from tuner.workflows.runs import AT_RUNG, COMPLETE, FAULTS, FINAL, PRUNED, OpenRun
from tuner.workflows.supply import Supply
from tuner.workflows.telling import Telling

MAX_RETRIES = 2
"""How often a trial is tried again after a fault of the machine or a crash, without an epoch in between.

A trial that moves on between its faults is not their cause: killed at ten places, it ends as if it had not been.
"""


class Driver:
    """Runs one session of a study to its end."""

    def __init__(
        self,
        *,
        spec: Spec,
        identity: Identity,
        store: Records,
        record_ask: AskRecorder,
        controller: Controller,
        executor: Executor,
        placement: Placement,
        lanes: LanePlan,
        retention: Retention,
        reporter: Reporter,
        interrupts: Interrupts,
        ending: Ending,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._metric = f"val/{spec.objective.metric}"
        self._goals = spec.goals
        self._identity = identity
        self._store = store
        self._controller = controller
        self._executor = executor
        self._placement = placement
        self._lanes = lanes
        self._retention = retention
        self._telling = Telling(reporter=reporter, goals=spec.goals, retention=retention, goal_of=controller.goal)
        self._interrupts = interrupts
        self._ending = ending
        self._clock = clock
        self._deadline = None if ending.timeout_s is None else clock() + ending.timeout_s
        self._runs: dict[int, OpenRun] = {}
        self._supply = Supply(
            spec=spec,
            identity=identity,
            store=store,
            record_ask=record_ask,
            controller=controller,
            lanes=lanes,
            refuse=lambda run, problem: self._finish(run, TrialState.PRUNED, "infeasible", problem),
            goes_on=lambda: not self._interrupts.count and not self._is_over_time(),
        )
        self._giving_up = GivingUp()
        self._is_aborting = False
        self._is_pausing = False

    # --------------------------------------------------------------------------------------------------------- the loop

    def run(self, unfinished: Sequence[OpenTrial]) -> Ended:
        """Finish what earlier sessions left, then search until the budget is spent or somebody interrupts."""
        for trial in unfinished:
            self._take_up(trial)
        try:
            while True:
                with self._store.together():  # a commit for all that begins now, not two for each
                    self._fill()
                self._ending.keep_once()
                if not self._runs:
                    break
                self._handle(self._executor.wait(self._time_left(), self._interrupts.descriptor))
                if self._interrupts.count > 1:
                    self._telling.note(f"stopped at once: every epoch that was over is kept; {self._cut()}")
                    break
                self._watch()
        finally:
            for run in [*self._runs.values(), *self._supply.waiting]:
                self._store.pause(run.trial, "interrupted")
        if self._interrupts.count:
            return Ended.INTERRUPTED
        with self._store.together():
            for run in self._supply.waiting:  # the time was up before they could go on
                self._finish(run, TrialState.PRUNED, PRUNED[Outcome.ABORTED])
            for run in self._supply.paused.values():  # others were better at their rung
                self._finish(run, TrialState.PRUNED, PRUNED[Outcome.STOPPED])
        if self._is_over_time():
            return Ended.TIMEOUT
        return Ended.STOPPED if self._ending.why else Ended.BUDGET

    def _cut(self) -> str:
        """What a second interrupt costs."""
        names = [self._identity.name_of(trial) for trial in self._runs]
        if not names:
            return "nothing was under way"
        which = names[0] if len(names) == 1 else f"{len(names)} trials"
        again = "its epoch" if len(names) == 1 else "their epochs"
        return f"{which} will train {again} again when the same command goes on"

    def _fill(self) -> None:
        if self._executor.n_free() or self._executor.vacancies():
            self._consider_ending()
        for vacancy in self._executor.vacancies():
            leader = self._runs[vacancy.trials[0]]
            joining = self._supply.company(leader, leader.n_lanes - len(vacancy.trials))
            self._executor.refill(vacancy.slot, [self._begin(run, leader) for run in joining])
            self._telling.started(joining)
        while self._executor.n_free():
            run = self._supply.next()
            if run is None:
                return
            self._start(run)

    def _consider_ending(self) -> None:
        """Begin no new trials when more are not worth it; paused ones still go on where they are promoted."""
        if not self._ending.why and self._ending.is_over(self._controller.n_new, self._controller.n_paused):
            self._controller.end()
            self._telling.note(self._ending.why)

    def _watch(self) -> None:
        if self._interrupts.count == 1:
            self._interrupts.drain()
            if self._runs and not self._is_pausing:
                self._is_pausing = True
                self._telling.note("interrupted: trials pause at the end of their epoch; Ctrl-C again stops at once")
        if self._is_over_time() and not self._is_aborting:
            self._is_aborting = True
            self._executor.abort()

    def _is_over_time(self) -> bool:
        return self._deadline is not None and self._clock() >= self._deadline

    def _time_left(self) -> float | None:
        if self._deadline is None or self._is_aborting:
            return None
        return max(0.0, self._deadline - self._clock())

    # ----------------------------------------------------------------------------------------------------------- trials

    def _take_up(self, left: OpenTrial) -> None:
        """Go on with a trial of an earlier session, or do what that session had decided but not recorded."""
        run = self._supply.reopen(left)
        if run is None:
            return
        if left.outcome in FINAL:
            self._conclude(run, left.outcome, left.message)
        elif left.values and not math.isfinite(left.values[-1]):
            self._finish(run, TrialState.PRUNED, PRUNED[Outcome.DIVERGED])
        elif self._is_too_costly(run):
            self._conclude(run, Outcome.STOPPED, "")
        else:
            self._go_by(self._controller.judge(left.trial), run, is_news=left.outcome is not Outcome.PAUSED)

    def _go_by(self, decision: Decision, run: OpenRun, *, is_news: bool) -> None:
        """Do with a trial that nobody trains what was decided after its last epoch."""
        if decision is Decision.STOP:
            self._finish(run, TrialState.PRUNED, PRUNED[Outcome.STOPPED])
        elif decision is Decision.PAUSE and not is_news:
            self._supply.pause(run)
        elif decision is Decision.PAUSE:
            self._rest(run)
        else:
            self._supply.waiting.append(run)

    def _start(self, leader: OpenRun) -> None:
        """Give a free worker this trial, and others of its shape that are faster together with it."""
        leader.device, leader.seat = self._device(), self._executor.seat()
        n_lanes = 1
        if not leader.goes_alone:
            n_left = self._controller.n_left + len(self._supply.waiting)
            # Measuring takes its time, in which other searches write to the same database.
            n_lanes = self._lanes.size(leader.config, n_left, self._placement.workers, self._store.settle)
        leader.n_lanes = n_lanes
        runs = [leader, *self._supply.company(leader, n_lanes - 1)]
        self._executor.submit([self._begin(run, leader) for run in runs])
        fault_point("job_sent")
        self._telling.started(runs)

    def _begin(self, run: OpenRun, leader: OpenRun) -> TrainJob:
        run.attempt += 1
        run.device, run.seat, run.n_lanes = leader.device, leader.seat, leader.n_lanes
        run.started_at = self._clock()
        self._runs[run.trial] = run
        self._store.begin_attempt(
            NewAttempt(
                trial=run.trial,
                attempt=run.attempt,
                first_epoch=run.epoch + 1,
                threads=self._placement.threads,
                device=run.device,
                goal=self._controller.goal(run.trial),
                worker=run.seat.slot + 1,
                pid=run.seat.pid,
            )
        )
        return self._job(run)

    def _job(self, run: OpenRun) -> TrainJob:
        return TrainJob(
            trial=run.trial,
            attempt=run.attempt,
            seed=run.seed,
            config=run.config,
            metric=self._metric,
            maximize=self._spec.maximize,
            checkpoints=tuple(run.checkpoints),
            folder=self._identity.folder_of(run.trial),
            base_dir=self._spec.base_dir,
            threads=self._placement.threads,
            device=run.device,
            n_cores=self._placement.n_cores,
            goals=self._goals,
        )

    def _device(self) -> str:
        """The device with the fewest running trials."""
        used = [run.device for run in self._runs.values()]
        return min(self._placement.devices, key=used.count)

    # ----------------------------------------------------------------------------------------------------------- events

    def _handle(self, events: Sequence[Event]) -> None:
        ends = [event for event in events if isinstance(event, EpochEnd) and self._is_current(event)]
        if ends:
            self._store.record_epochs(ends, None if self._goals.are_several else self._metric)
            pauses = self._interrupts.count > 0  # for all lanes of a program alike, whenever the interrupt came
            for end in ends:
                self._answer(end, pauses=pauses)
        with self._store.together():
            for event in events:
                if isinstance(event, TrialEnd) and self._is_current(event):
                    self._runs[event.trial].costs = event.costs
                    self._end(event.trial, event.outcome, event.message, event.cause)
                elif isinstance(event, WorkerLost) and self._is_current(event):
                    outcome = Outcome.HUNG if event.has_hung else Outcome.KILLED
                    cause = outcome.value if event.has_hung else event.message  # how long it was silent differs
                    self._end(event.trial, outcome, event.message, cause)
                elif isinstance(event, WorkerSilent) and self._is_current(event):
                    self._telling.note(f"{self._identity.name_of(event.trial)}: {event.message}")

    def _is_current(self, event: Event) -> bool:
        """One accepted result a trial and attempt: what an attempt says that is not the latest does not count."""
        run = self._runs.get(event.trial)
        return run is not None and run.attempt == event.attempt

    def _answer(self, end: EpochEnd, *, pauses: bool) -> None:
        run = self._runs[end.trial]
        if end.epoch > run.epoch:
            run.n_faults = 0
        run.epoch = end.epoch
        run.seconds += end.seconds
        if end.checkpoint is not None:
            older = [item for item in run.checkpoints if item.epoch in end.kept and item.epoch != end.epoch]
            run.checkpoints = sorted([*older, end.checkpoint], key=lambda item: -item.epoch)
        value = end.metrics[self._metric]
        run.metrics[end.epoch] = end.metrics
        self._ending.report(end.trial, end.epoch, value)
        self._giving_up.reported(value)
        decision = self._controller.report(end.trial, end.epoch, value, self._goals.vector(end.metrics))
        if self._is_too_costly(run):
            decision = Decision.STOP
        if decision is Decision.CONTINUE and pauses:
            decision = Decision.PAUSE
        self._executor.reply(end.trial, decision)
        self._telling.epoch(run, end, value)

    def _is_too_costly(self, run: OpenRun) -> bool:
        """Whether a constraint on costs is broken for good; one epoch alone, the first, is not timed well enough."""
        if not self._goals.constraints or not 1 < run.epoch < run.last_epoch:
            return False
        return bool(self._goals.broken(run.config, run.metrics[run.epoch]))

    def _end(self, trial: int, outcome: Outcome, message: str, cause: str) -> None:
        run = self._runs.pop(trial)
        if outcome in (Outcome.KILLED, Outcome.HUNG) and self._is_aborting:
            outcome = Outcome.ABORTED  # it was killed because it did not hear the abort
        self._store.end_attempt(
            trial, run.attempt, outcome, seconds=self._clock() - run.started_at, message=message, cause=cause
        )
        is_at_rung = self._controller.is_at_goal(trial) and outcome in AT_RUNG
        if outcome in FAULTS and not is_at_rung:
            self._fault(run, FAULTS[outcome], message, cause)
            return
        self._giving_up.ended()
        if is_at_rung:
            self._rest(run)
        elif outcome is Outcome.PAUSED:
            self._pause(run)
        else:
            self._conclude(run, outcome, message)

    def _conclude(self, run: OpenRun, outcome: Outcome, message: str) -> None:
        if outcome is Outcome.STOPPED and self._is_too_costly(run):
            outcome, message = Outcome.INFEASIBLE, self._goals.broken(run.config, run.metrics[run.epoch])
        if outcome in PRUNED:
            self._finish(run, TrialState.PRUNED, PRUNED[outcome], message)
            if outcome is Outcome.UNDEFINED:
                self._giving_up.was_undefined(message)
        else:
            self._finish(run, TrialState.COMPLETE, COMPLETE[outcome])

    def _pause(self, run: OpenRun) -> None:
        self._store.pause(run.trial, "interrupted")
        self._telling.paused(run, "interrupted")

    def _rest(self, run: OpenRun) -> None:
        """The trial waits at a rung until it is promoted; its checkpoint is on disk since it reported."""
        if run.is_stopped_early(self._controller.values(run.trial), maximize=self._spec.maximize):
            self._conclude(run, Outcome.EARLY_STOPPED, "")  # its worker died, or its driver, before it could say so
            return
        self._supply.pause(run)
        self._store.pause(run.trial, "rung")
        self._telling.paused(run, "rung")

    def _fault(self, run: OpenRun, reason: str, message: str, cause: str) -> None:
        """Try again from the checkpoint, at most twice; give the search up when trials keep failing alike."""
        run.n_faults += 1
        if run.n_faults <= MAX_RETRIES:
            name = self._identity.name_of(run.trial)
            self._telling.note(f"{name}: {message}; trying again ({run.n_faults} of {MAX_RETRIES})")
            self._supply.waiting.insert(0, run)
            return
        self._finish(run, TrialState.FAILED, reason, message)
        self._giving_up.failed(cause, message, self._identity.logs_of(run.trial))

    def _finish(self, run: OpenRun, state: TrialState, reason: str, message: str = "") -> None:
        best_epoch, _ = self._controller.best_epoch(run.trial)
        is_complete = state is TrialState.COMPLETE
        metrics = run.metrics.get(best_epoch if is_complete else run.epoch, run.costs)
        values = self._goals.vector(metrics) if is_complete else ()
        is_bound = run.config is not self._spec.base
        constraints = self._goals.excesses(run.config, metrics, final=is_complete) if is_bound else {}
        value = self._controller.finish(run.trial, state, values, constraints)
        is_winner = is_complete and is_feasible(constraints)
        self._ending.finished(run.trial, value if is_winner else None)
        if is_complete and not is_winner:
            reason, message = "infeasible", self._goals.broken(run.config, metrics, final=True)
        self._store.finish(
            run.trial,
            state,
            value=value,
            best_epoch=best_epoch if is_complete else 0,
            values=values,
            constraints=constraints,
            reason=reason,
            message=message,
        )
        is_best = self._retention.finished(run.trial, value if is_winner else None, best_epoch, values)
        self._telling.finished(run, state, value, reason, message, is_best=is_best, values=values)
