"""Which checkpoints stay on disk: those of unfinished trials, and the best epoch of the best few finished ones.

With several objectives the whole front is kept too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tuner.control.pareto import front
from tuner.training.checkpoint_files import retain

N_KEPT = 5
"""Finished trials whose weights are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A trial that is over; without a value when it is not complete, or breaks a constraint."""

    value: float | None
    best_epoch: int
    values: tuple[float, ...] = ()
    """Of several objectives."""


class KeepsCheckpoints(Protocol):
    """The part of a study's records that names files of weights."""

    def keep_checkpoints(
        self, kept: Mapping[int, tuple[int, ...]], then: Callable[[], None] = lambda: None, /
    ) -> None: ...


class Retention:
    """Follows the finished trials of a study and deletes the weights that are not needed any more."""

    def __init__(
        self,
        store: KeepsCheckpoints,
        folder_of: Callable[[int], Path],
        *,
        maximize: bool,
        n_kept: int = N_KEPT,
        objectives: tuple[bool, ...] = (),
        lead: int = 0,
    ) -> None:
        """`objectives` says of each of several ones whether it is maximised, `maximize` of the one at index `lead`."""
        self._store = store
        self._folder_of = folder_of
        self._sign = -1.0 if maximize else 1.0
        self._n_kept = n_kept
        self._signs = [-1.0 if maximized else 1.0 for maximized in objectives]
        self._lead = lead
        self._kept: list[tuple[float, int]] = []
        self._front: dict[int, tuple[float, ...]] = {}

    def restore(self, finished: Mapping[int, Finished]) -> None:
        """Take the trials of earlier sessions in, and sweep what a death left behind."""
        for trial, end in finished.items():
            self._take_in(trial, end)
        kept = self._wanted
        self._keep({trial: (end.best_epoch,) if trial in kept else () for trial, end in finished.items()})

    def _take_in(self, trial: int, end: Finished) -> None:
        if end.value is None:
            return
        value = end.values[self._lead] if end.values else end.value
        self._kept = sorted([*self._kept, (self._sign * value, trial)])[: self._n_kept]
        if end.values:
            vector = tuple(sign * value for sign, value in zip(self._signs, end.values, strict=True))
            candidates = {**self._front, trial: vector}
            numbers = list(candidates)
            self._front = {numbers[i]: candidates[numbers[i]] for i in front(list(candidates.values())).tolist()}

    @property
    def _wanted(self) -> set[int]:
        return {trial for _, trial in self._kept} | set(self._front)

    @property
    def best(self) -> tuple[int | None, float | None]:
        """Number and value of the best complete trial; the first of equal ones."""
        if not self._kept:
            return None, None
        signed, trial = self._kept[0]
        return trial, self._sign * signed

    @property
    def n_front(self) -> int | None:
        """How many trials the front has; None with one objective."""
        return len(self._front) if len(self._signs) > 1 else None

    def finished(self, trial: int, value: float | None, best_epoch: int, values: tuple[float, ...] = ()) -> bool:
        """A trial is over; `value` None when it cannot be the best. True when it is the best, or on the front."""
        if value is None:
            self._keep({trial: ()})
            return False
        before = self._wanted
        self._take_in(trial, Finished(value=value, best_epoch=best_epoch, values=values))
        dropped = dict.fromkeys(sorted({*before, trial} - self._wanted), ())
        self._keep({trial: (best_epoch,), **dropped})
        return trial in self._front if values else self._kept[0][1] == trial

    def _keep(self, kept: Mapping[int, tuple[int, ...]]) -> None:
        """Keep the weights of these epochs of each trial, and no others of them."""
        # The rows first: a file that no row names is garbage, a row without its file would be a lie.
        self._store.keep_checkpoints(kept, lambda: self._sweep(kept))

    def _sweep(self, kept: Mapping[int, tuple[int, ...]]) -> None:
        for trial, epochs in kept.items():
            retain(self._folder_of(trial), epochs)
