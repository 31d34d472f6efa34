"""Loader processes: how they are started, and what to say when one ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from tuner.config.schema.sources import DataSection

_PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h."""


class LoaderError(RuntimeError):
    """A loader process ended, or gave nothing in time: no fault of the config, so the trial is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderOptions:
    """The arguments of torch's DataLoader that a data section has."""

    pin_memory: bool = False
    prefetch_factor: int | None = None
    persistent_workers: bool = True
    timeout: float = 0.0

    @classmethod
    def of(cls, data: DataSection, device: torch.device) -> LoaderOptions:
        """Memory is pinned where a GPU copies from it, unless the section says no."""
        return cls(
            pin_memory=device.type == "cuda" and data.pin_memory is not False,
            prefetch_factor=data.prefetch_factor,
            persistent_workers=data.persistent_workers,
            timeout=data.timeout,
        )


def start_loader(dataset: Any, sampler: Any, num_workers: int, options: LoaderOptions) -> DataLoader[Any]:
    """A DataLoader whose items are whole batches, in processes that die with this one."""
    # Forked, so that a dataset from a user's own file needs no pickling; elsewhere than on Linux as Python has it.
    context = multiprocessing.get_context("fork") if sys.platform == "linux" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # more processes than cores: what the user asked for
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=sampler,
            collate_fn=_unchanged,
            num_workers=num_workers,
            persistent_workers=options.persistent_workers,
            prefetch_factor=options.prefetch_factor,
            timeout=options.timeout,
            pin_memory=options.pin_memory,
            multiprocessing_context=context,
            worker_init_fn=_DieWith(os.getpid()),
            # Without a generator of its own, every loader draws from the one that dropout uses.
            generator=torch.Generator().manual_seed(0),
        )


def loaded(loader: DataLoader[Any], timeout: float) -> Iterator[Any]:
    """What the loader's processes read; LoaderError when one of them ended or was too slow."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork in a process with threads
            iterator = iter(loader)
        yield from iterator
    except RuntimeError as error:
        text = str(error).partition("\n")[0]
        if "timed out" in text:
            raise LoaderError(
                f"no batch came from the loader processes within data.timeout ({timeout:g} s): an item hangs, or takes"
                " longer; raise it"
            ) from error
        if "DataLoader worker" in text:
            raise LoaderError(
                f"a loader process ended: {text}; where memory ran out, lower data.num_workers or data.prefetch_factor"
            ) from error
        raise


def _unchanged(batch: Any) -> Any:
    return batch


class _DieWith:
    """Has a loader's process killed as soon as its parent dies, also while it hangs in a user's code (Linux).

    torch looks for the parent every 5 seconds, and only between two batches.
    """

    def __init__(self, parent: int) -> None:
        self._parent = parent

    def __call__(self, _loader: int) -> None:
        if sys.platform != "linux":
            return
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before that
            os._exit(1)
