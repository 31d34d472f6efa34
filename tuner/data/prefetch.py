"""Batches on their way to a GPU: copied from pinned memory on a stream of their own, one ahead of the training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def moved(batches: Iterable[Pair], device: torch.device, *, pins: bool = True) -> Iterator[Pair]:
    """The same batches on the device, in the same order; on the CPU, and when they are there already, as they are.

    Memory that is not pinned (page-locked) for the copy has to be waited for.
    """
    if device.type == "cuda":
        return _prefetched(batches, device, pins=pins)
    if device.type == "cpu":
        return iter(batches)
    return ((x.to(device), y.to(device)) for x, y in batches)


def _prefetched(batches: Iterable[Pair], device: torch.device, *, pins: bool) -> Iterator[Pair]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    ahead: _Copied | None = None
    for batch in batches:
        copied = _Copied.start(batch, device, stream, pins=pins)
        if ahead is not None:
            yield ahead.handed_over()
        ahead = copied
    if ahead is not None:
        yield ahead.handed_over()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    """A batch whose copy has been started, and the event that says when it is there."""

    batch: Pair
    is_there: torch.cuda.Event
    device: torch.device

    @classmethod
    def start(cls, batch: Pair, device: torch.device, stream: torch.cuda.Stream, *, pins: bool) -> _Copied:
        with torch.cuda.stream(stream):
            x, y = ((_pinned(tensor) if pins else tensor).to(device, non_blocking=True) for tensor in batch)
            is_there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            is_there.record(stream)
        return cls(batch=(x, y), is_there=is_there, device=device)

    def handed_over(self) -> Pair:
        """The batch for the current stream, which waits for the copy without holding up this process."""
        current = torch.cuda.current_stream(self.device)
        current.wait_event(self.is_there)
        for tensor in self.batch:
            tensor.record_stream(current)  # or its memory could be given to the next copy while it is still read
        return self.batch


def _pinned(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_cuda or tensor.is_pinned() else tensor.pin_memory()
