"""Data of your own: a torch Dataset, or a function that returns one or {"train": ..., "val": ..., "test": ...}."""

import math

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Rings(Dataset[tuple[Tensor, int]]):
    """Points on two rings, and which of them: (x [2], label)."""

    def __init__(self, n: int = 1000, noise: float = 0.1) -> None:
        random = torch.Generator().manual_seed(0)
        angle = torch.rand(n, generator=random) * 2 * math.pi
        self.labels = torch.arange(n) % 2
        radius = 1.0 + self.labels + noise * torch.randn(n, generator=random)
        self.points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.points[index], int(self.labels[index])
