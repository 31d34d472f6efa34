"""A user's own sampler: which training rows an epoch takes, and in which order.

N training rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner import seeding
from tuner.data.datasets import load
from tuner.data.describing import describe
from tuner.data.global_rng import seeded
from tuner.data.parts import StoredPart
from tuner.errors import DataError

OFFERED = ("data_source", "targets", "n_rows", "num_samples", "seed")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnSampler:
    """Built anew for every epoch, from its seed: so an epoch does not depend on those before."""

    target: str
    build: Callable[..., Any]

    @classmethod
    def load(cls, target: str, base_dir: Path) -> OwnSampler:
        """The class or function that a target names; DataError when it is none."""
        build = load(target, base_dir)
        if not callable(build):
            raise DataError(f"data.sampler {target} is a {type(build).__name__}; expected a class or a function")
        return cls(target=target, build=build)

    def order(self, part: StoredPart, seed: int) -> Tensor:
        """As many places in the part as it has rows, int64 [N]; a sampler that gives fewer is asked again."""
        n_rows = len(part)
        with seeded(seeding.derive(seed, "sampler")):
            sampler = self._built(part, seed)
            places: list[int] = []
            while len(places) < n_rows:
                found = list(self._places(sampler, n_rows - len(places)))
                if not found:
                    raise DataError(f"data.sampler {self.target} gives no rows")
                places += found
        wrong = next((place for place in places if not 0 <= place < n_rows), None)
        if wrong is not None:
            raise DataError(f"data.sampler {self.target} gives row {wrong}; expected 0 to {n_rows - 1}")
        return torch.tensor(places)

    def _built(self, part: StoredPart, seed: int) -> Any:
        n_rows = len(part)
        given = (range(n_rows), part.targets, n_rows, n_rows, seed)
        offered: dict[str, Any] = dict(zip(OFFERED, given, strict=True))
        try:
            signature = inspect.signature(self.build)
            arguments = {name: value for name, value in offered.items() if name in signature.parameters}
            signature.bind(**arguments)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"data.sampler {self.target} cannot be called: {error}; it is offered {', '.join(OFFERED)}"
            ) from error
        return self._guarded(lambda: self.build(**arguments))

    def _places(self, sampler: Any, most: int) -> Iterator[int]:
        iterator = self._guarded(lambda: iter(sampler))
        for _ in range(most):
            place = self._guarded(lambda: next(iterator, None))
            if place is None:
                return
            yield self._guarded(partial(int, place))

    def _guarded(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except Exception as error:  # the user's code can raise anything
            raise DataError(f"data.sampler {self.target} raised {describe(error)}") from error
