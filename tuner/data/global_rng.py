"""The generators that users' datasets draw from without asking: `random`, `numpy.random` and torch's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all three generators inside the block, and give them back as they were.

    In training they belong to the loop (dropout draws from torch's), so that reading an item must not move them.
    """
    before = states()
    reseed(seed)
    try:
        yield
    finally:
        restore(before)


def reseed(seed: int) -> None:
    """Set all three generators to where a seed begins."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - what users' transforms draw from
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed CUDA's as well


def seed_accelerators(seed: int) -> None:
    """Seed the generators of the accelerators in use.

    torch.manual_seed does too, but where CUDA is not in use it formats the stack for a later error message, three times
    for three kinds of accelerators: 0.1-0.2 ms a call by the depth of the stack (torch 2.15, 2-core x86 server).
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    if torch.xpu.is_initialized():  # type: ignore[no-untyped-call]
        torch.xpu.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


def states() -> tuple[Any, Any, torch.Tensor]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - as above


def restore(before: tuple[Any, Any, torch.Tensor]) -> None:
    random.setstate(before[0])
    np.random.set_state(before[1])  # noqa: NPY002 - as above
    torch.set_rng_state(before[2])


def moved_since(before: tuple[Any, Any, torch.Tensor]) -> bool:
    """Whether anything was drawn since `before`."""
    now = states()
    return (
        now[0] != before[0]
        or any(not np.array_equal(a, b) for a, b in zip(now[1], before[1], strict=True))
        or not torch.equal(now[2], before[2])
    )
