"""Where the trials come from that train next: those that wait, paused ones that are promoted, new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tuner.config.spec import Spec
from tuner.control.controller import Controller, Job
from tuner.errors import ConfigError
from tuner.study.attempts import OpenTrial
from tuner.workflows.driven import AskRecorder, Identity, Records
from tuner.workflows.lanes import LanePlan
from tuner.workflows.runs import OpenRun

Refuse = Callable[[OpenRun, str], None]
"""End a trial whose params do not go together, with what is wrong."""


@dataclass(slots=True, kw_only=True)
class Supply:
    """The runs that nobody trains, and the controller that is asked for more."""

    spec: Spec
    identity: Identity
    store: Records
    record_ask: AskRecorder
    controller: Controller
    lanes: LanePlan
    refuse: Refuse
    goes_on: Callable[[], bool]
    """Whether anything may still begin."""
    waiting: list[OpenRun] = field(default_factory=list)
    """The next ones, in their order."""
    paused: dict[int, OpenRun] = field(default_factory=dict)
    """At a rung, by trial: promoted, or pruned in the end."""

    def next(self) -> OpenRun | None:
        """The run that is to train next; None when there is none now."""
        while self.goes_on():
            if self.waiting:
                return self.waiting.pop(0)
            job = self.controller.ask()
            if job is None:
                return None
            run = self._run_of(job)
            if run is not None:
                return run
        return None

    def company(self, leader: OpenRun, n_lanes: int) -> list[OpenRun]:
        """At most so many runs of the leader's shape: those that wait, those that are promoted, then new ones."""
        found: list[OpenRun] = []
        key = self.lanes.key(leader.config)
        while len(found) < n_lanes and self.goes_on():
            run = self._known(key)
            if run is not None:
                found.append(run)
                continue
            if not self.lanes.may_follow(leader.params):
                break
            job = self.controller.ask(self.lanes.fixed(leader.params))
            if job is None:
                break
            run = self._run_of(job)
            if run is not None and self.lanes.key(run.config) != key:  # a rate of 0, where the leader's is above
                self.waiting.append(run)
                break
            found += [run] if run is not None else []
        return found

    def _known(self, key: str) -> OpenRun | None:
        """A run of this shape that waits, or is promoted."""
        for run in self._alike(self.waiting, key):
            self.waiting.remove(run)
            return run
        promotable = [self.paused[trial] for trial in self.controller.promotable()]
        alike = self._alike(promotable, key)
        job = self.controller.promote([run.trial for run in alike]) if alike else None
        return None if job is None else self.paused.pop(job.trial)

    def _alike(self, runs: Sequence[OpenRun], key: str) -> list[OpenRun]:
        return [run for run in runs if not run.goes_alone and self.lanes.key(run.config) == key]

    def _run_of(self, job: Job) -> OpenRun | None:
        """The run of a job; None for a new trial whose params turned out not to go together."""
        if job.trial in self.paused:
            return self.paused.pop(job.trial)
        self.lanes.add(job.params)
        run, problem = self._open(job)
        self.record_ask(job.trial, config=run.config.model_dump_json(), seed=run.seed)
        if problem:
            self.refuse(run, problem)
            return None
        return run

    def reopen(self, left: OpenTrial) -> OpenRun | None:
        """A trial of an earlier session; None when its params do not go together."""
        job = self.controller.reopen(left.trial, left.params, list(left.values), left.goal)
        run, problem = self._open(job)
        run.metrics = dict(enumerate(left.metrics, start=1))
        run.checkpoints = list(left.checkpoints)
        run.epoch, run.attempt = len(left.values), left.n_attempts
        self.store.adopt(left.trial, config=run.config.model_dump_json(), seed=run.seed)
        if problem:
            self.refuse(run, problem)
            return None
        return run

    def _open(self, job: Job) -> tuple[OpenRun, str]:
        seed = self.identity.seed_of(job.trial)
        try:
            config = self.identity.validated(self.spec.bind(job.params), job.trial)
            problem = self.spec.goals.broken(config, {})
        except ConfigError as error:  # a combination that the checks of single bounds could not see
            config, problem = self.spec.base, str(error)
        run = OpenRun(trial=job.trial, params=job.params, config=config, seed=seed, last_epoch=job.last_epoch)
        return run, problem

    def pause(self, run: OpenRun) -> None:
        """The run is at a rung, and waits for the controller to promote it."""
        self.controller.pause(run.trial)
        self.paused[run.trial] = run
