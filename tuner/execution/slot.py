"""What an executor remembers of one slot: its jobs, and what they wait for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tuner.training.events import Decision, EpochEnd, TrialEnd
from tuner.training.job import TrainJob


@dataclass(slots=True)
class Slot:
    """The lanes of one program. They wait together: for a decision on each epoch, or for jobs in place of lanes."""

    jobs: dict[int, TrainJob] = field(default_factory=dict)
    has_vacancy: bool = False
    _unanswered: set[int] = field(default_factory=set)
    _decisions: dict[int, Decision] = field(default_factory=dict)

    def start(self, jobs: Sequence[TrainJob]) -> None:
        assert not self.jobs, "the slot is taken"
        self.jobs = {job.trial: job for job in jobs}
        self.has_vacancy = False
        self._unanswered, self._decisions = set(), {}

    @property
    def is_waiting(self) -> bool:
        return self.has_vacancy or bool(self._unanswered)

    def take(self, events: Sequence[EpochEnd] | Sequence[TrialEnd]) -> None:
        """Note what the lanes reported."""
        for event in events:
            if isinstance(event, TrialEnd):
                del self.jobs[event.trial]
            else:
                self._unanswered.add(event.trial)
        self.has_vacancy = bool(self.jobs) and not self._unanswered

    def reply(self, trial: int, decision: Decision) -> dict[int, Decision] | None:
        """All decisions, when this was the last one; else None."""
        self._unanswered.discard(trial)
        self._decisions[trial] = decision
        if self._unanswered:
            return None
        decisions, self._decisions = self._decisions, {}
        return decisions

    def refill(self, jobs: Sequence[TrainJob]) -> tuple[TrainJob, ...]:
        assert self.has_vacancy, "nobody waits for jobs"
        self.has_vacancy = False
        self.jobs.update({job.trial: job for job in jobs})
        return tuple(jobs)

    def clear(self) -> list[TrainJob]:
        """Forget all jobs, whose process is gone, and return them."""
        jobs = list(self.jobs.values())
        self.jobs, self.has_vacancy = {}, False
        self._unanswered, self._decisions = set(), {}
        return jobs
