"""Epochs in which all classes come equally often."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tuner.config.schema.tables import CsvData
from tuner.data.batches import stacked_batches, train_batches
from tuner.data.prepare import Prepared, prepare
from tuner.data.sampling import weighted_order
from tuner.errors import ConfigError


def rare(folder: Path, *, metric: str = "accuracy", sampler: str = "shuffle") -> Prepared:
    text = "x,y\n" + "".join(f"{row},{1 if row % 20 == 0 else 0}\n" for row in range(400))
    (folder / "t.csv").write_text(text)
    data = CsvData.model_validate({"path": "t.csv", "target": "y", "sampler": sampler})
    return prepare(data, metric=metric, seed=0, base_dir=folder, cache_dir=folder / "cache")


def test_all_classes_come_equally_often_and_the_seed_alone_decides() -> None:
    classes_N = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    orders = [weighted_order(classes_N, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    counts = torch.bincount(classes_N[orders[0]])
    assert counts.tolist() == pytest.approx([333, 333, 333], abs=60)
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert len(set(orders[0][classes_N[orders[0]] == 2].tolist())) == 10


def test_batches_are_balanced_and_lanes_draw_their_own(tmp_path: Path) -> None:
    data = rare(tmp_path)
    alone = [
        torch.cat(
            [
                y
                for _, y in train_batches(
                    data.train, data.preprocess, batch_size=64, device="cpu", epoch_seed=seed, sampler="weighted"
                )
            ]
        )
        for seed in (3, 4)
    ]
    assert alone[0].float().mean().item() == pytest.approx(0.5, abs=0.1)
    lanes = torch.cat(
        [
            y
            for _, y in stacked_batches(
                data.train, data.preprocess, batch_size=64, device="cpu", epoch_seeds=[3, 4], sampler="weighted"
            )
        ],
        dim=1,
    )
    assert torch.equal(lanes, torch.stack(alone))


def test_quantities_cannot_be_drawn_by_class(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.sampler: weighted draws classes equally often, and this is regression"
    ):
        rare(tmp_path, metric="rmse", sampler="weighted")
