"""The order of rows for data whose classes differ in size."""

from __future__ import annotations

import torch
from torch import Tensor

from tuner.data.info import DataInfo
from tuner.errors import ConfigError, Place


def weighted_order(classes_N: Tensor, generator: torch.Generator) -> Tensor:
    """As many rows as there are, drawn with replacement: a class each time, all alike, then one of its rows.

    What torch's WeightedRandomSampler draws with weights of 1 / rows of the class, which is limited to 2^24 rows.
    """
    counts_K = torch.bincount(classes_N)
    present_K = torch.nonzero(counts_K).squeeze(1)
    n_rows = len(classes_N)
    drawn_N = present_K[torch.randint(len(present_K), (n_rows,), generator=generator)]
    places_N = (torch.rand(n_rows, generator=generator, dtype=torch.float64) * counts_K[drawn_N]).long()
    begins_K = torch.cumsum(counts_K, dim=0) - counts_K
    by_class_N = torch.argsort(classes_N, stable=True)
    return by_class_N[begins_K[drawn_N] + places_N.minimum(counts_K[drawn_N] - 1)]


def check_weighted(info: DataInfo) -> None:
    """ConfigError where rows have no single class."""
    if info.task != "classification":
        message = f"weighted draws classes equally often, and this is {info.task}; leave it out"
        raise ConfigError.of([Place(path="data.sampler", message=message)])
