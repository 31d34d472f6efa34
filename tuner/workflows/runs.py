"""What the driver knows of a trial that is not over, and what becomes of it when an attempt ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tuner.config.goals import Metrics
from tuner.config.schema import TrialConfig
from tuner.control.controller import DIVERGED, UNDEFINED
from tuner.execution.protocol import Seat
from tuner.space.parameters import Params
from tuner.training.early_stopping import BestEpoch
from tuner.training.events import Checkpoint, Outcome

FAULTS = {Outcome.CRASHED: "crashed", Outcome.KILLED: "killed", Outcome.HUNG: "hung"}
PRUNED = {
    Outcome.STOPPED: "pruned",
    Outcome.DIVERGED: DIVERGED,
    Outcome.UNDEFINED: UNDEFINED,
    Outcome.OOM: "oom",
    Outcome.INFEASIBLE: "infeasible",
    Outcome.ABORTED: "timeout",
}
COMPLETE = {Outcome.COMPLETED: "", Outcome.EARLY_STOPPED: "early_stopped"}
AT_RUNG = {*FAULTS, Outcome.PAUSED, Outcome.ABORTED}
"""Ends of an attempt that has reported the epoch of a rung, after which the trial waits there: nothing is missing."""
FINAL = PRUNED | COMPLETE
"""Outcomes after which a trial is over, and the reason that is stored."""


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A trial that is not over, and what its next attempt needs to know."""

    trial: int
    params: Params
    config: TrialConfig
    seed: int
    last_epoch: int
    checkpoints: list[Checkpoint] = field(default_factory=list)
    epoch: int = 0
    metrics: dict[int, Metrics] = field(default_factory=dict)
    """What was recorded, by epoch."""
    costs: Metrics = field(default_factory=dict)
    """What its model costs, where it was refused for that."""
    attempt: int = 0
    n_faults: int = 0
    """Faults since its last recorded epoch, in this session."""
    device: str = ""
    seat: Seat = field(default_factory=Seat)
    n_lanes: int = 1
    """Lanes of the program that it is part of, when that is full."""
    seconds: float = 0.0
    started_at: float = 0.0

    @property
    def goes_alone(self) -> bool:
        """What failed twice in company goes on alone, so that it does not stop others.

        Once says little: the death of a worker is a fault of each of its lanes.
        """
        return self.n_faults > 1

    def is_stopped_early(self, values: Iterable[float], *, maximize: bool) -> bool:
        """Whether early stopping ends it after these values of the objective."""
        stopping = self.config.train.early_stopping
        if stopping is None:
            return False
        best = BestEpoch(maximize=maximize, patience=stopping.patience, min_delta=stopping.min_delta)
        for epoch, value in enumerate(values, start=1):
            best.update(epoch, value)
        return best.is_exhausted
