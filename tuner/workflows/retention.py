"""Which checkpoints stay on disk: those of unfinished trials, and the best epoch of the best few finished ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from tuner.training.checkpoint_files import retain

N_KEPT = 5
"""Finished trials whose weights are kept."""


class KeepsCheckpoints(Protocol):
    """The part of a study's records that names files of weights."""

    def keep_checkpoints(
        self, kept: Mapping[int, tuple[int, ...]], then: Callable[[], None] = lambda: None, /
    ) -> None: ...


class Retention:
    """Follows the finished trials of a study and deletes the weights that are not needed any more."""

    def __init__(
        self, store: KeepsCheckpoints, folder_of: Callable[[int], Path], *, maximize: bool, n_kept: int = N_KEPT
    ) -> None:
        self._store = store
        self._folder_of = folder_of
        self._sign = -1.0 if maximize else 1.0
        self._n_kept = n_kept
        self._kept: list[tuple[float, int]] = []

    def restore(self, finished: dict[int, tuple[float | None, int]]) -> None:
        """Take the complete trials of earlier sessions in.

        {trial: (value, best epoch)}; sweep what a death left behind.
        """
        complete = sorted((self._sign * value, trial) for trial, (value, _) in finished.items() if value is not None)
        self._kept = complete[: self._n_kept]
        kept = {trial for _, trial in self._kept}
        self._keep({trial: (best_epoch,) if trial in kept else () for trial, (_, best_epoch) in finished.items()})

    @property
    def best(self) -> tuple[int | None, float | None]:
        """Number and value of the best complete trial; the first of equal ones."""
        if not self._kept:
            return None, None
        signed, trial = self._kept[0]
        return trial, self._sign * signed

    def finished(self, trial: int, value: float | None, best_epoch: int) -> bool:
        """A trial is over; `value` None when it is not complete. True when it is the best of all."""
        if value is None:
            self._keep({trial: ()})
            return False
        self._kept.append((self._sign * value, trial))
        self._kept.sort()
        dropped = {number: () for _, number in self._kept[self._n_kept :]}
        del self._kept[self._n_kept :]
        self._keep({trial: (best_epoch,), **dropped})
        return self._kept[0][1] == trial

    def _keep(self, kept: Mapping[int, tuple[int, ...]]) -> None:
        """Keep the weights of these epochs of each trial, and no others of them."""
        # The rows first: a file that no row names is garbage, a row without its file would be a lie.
        self._store.keep_checkpoints(kept, lambda: self._sweep(kept))

    def _sweep(self, kept: Mapping[int, tuple[int, ...]]) -> None:
        for trial, epochs in kept.items():
            retain(self._folder_of(trial), epochs)
