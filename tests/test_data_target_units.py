"""Scaled targets: what training sees, and that nobody else does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import tuner
from tuner.config.schema import Mse
from tuner.config.schema.sklearn_data import SklearnData
from tuner.config.schema.tables import CsvData
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared, prepare
from tuner.data.target_units import TargetUnits
from tuner.optim.losses import build_loss
from tuner.optim.quantity_losses import SquaredErrorLoss
from tuner.optim.unit_losses import ScaledTargetLoss, told

SPACE = """
version: 1
objective: {metric: rmse}
data: {kind: csv, path: t.csv, target: [price, age], batch_size: 32, split: {val: 0.2, test: 0.2}}
model: {kind: linear}
optimizer: {lr: 0.05}
train: {epochs: 12}
space: {data.scale: [standard, quantile]}
search: {trials: 2, workers: 1, pruner: none, sampler: grid}
confirm: off
"""


def table(folder: Path) -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=300)
    frame = pd.DataFrame({"x": x, "price": 5000 + 1000 * x, "age": 0.5 + 0.01 * x})
    frame.to_csv(folder / "t.csv", index=False)
    return frame


def prepared(folder: Path, **options: object) -> Prepared:
    data = CsvData.model_validate({"path": "t.csv", "target": ["price", "age"], **options})
    return prepare(data, metric="rmse", seed=0, base_dir=folder, cache_dir=folder / "cache")


def test_training_targets_have_mean_0_and_deviation_1_and_the_others_their_units(tmp_path: Path) -> None:
    table(tmp_path)
    data = prepared(tmp_path)
    units = TargetUnits.of(data.info)
    assert units is not None
    seen = data.in_units(units)
    assert seen is data.in_units(units)
    assert seen.train.targets.mean(dim=0).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    assert seen.train.targets.std(dim=0, correction=0).tolist() == pytest.approx([1.0, 1.0], abs=1e-5)
    assert torch.equal(seen.val.targets, data.val.targets)
    assert torch.allclose(units.restored(seen.train.targets), data.train.targets)
    assert prepared(tmp_path, scale_targets=False).info.target_stds == ()


def test_a_constant_target_and_a_large_mean_are_scaled_without_losing_digits() -> None:
    targets = np.stack([np.full(4, 7.0), np.array([1e6, 1e6 + 1, 1e6 + 2, 1e6 + 3])], axis=1).astype(np.float32)
    units = TargetUnits.fit(targets)
    assert units.stds[0] == 1.0
    assert units.scaled(torch.from_numpy(targets))[:, 1].std(correction=0).item() == pytest.approx(1.0)


def info_with(units: TargetUnits) -> DataInfo:
    return DataInfo(
        kind="csv",
        task="regression",
        input_shape=(1,),
        n_targets=len(units.means),
        labels=(),
        n_train=1,
        n_val=1,
        n_test=0,
        fingerprint="",
        in_memory=True,
        target_means=units.means,
        target_stds=units.stds,
    )


def test_the_loss_of_an_evaluation_is_in_the_units_of_the_data() -> None:
    generator = torch.Generator().manual_seed(0)
    y_BT = torch.randn(50, 2, generator=generator) * torch.tensor([1000.0, 0.1]) + torch.tensor([5e3, 1.0])
    units = TargetUnits.fit(y_BT.numpy())
    outputs_BT = torch.randn(50, 2, generator=generator)
    loss = build_loss(Mse(), info_with(units))
    assert isinstance(loss, ScaledTargetLoss)
    predictions_BT = loss.probabilities(outputs_BT)
    expected = SquaredErrorLoss()(predictions_BT, y_BT)
    assert loss.for_evaluation()(outputs_BT, y_BT).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_training_loss_of_one_target_is_told_in_its_units_exactly() -> None:
    y_BT = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)) * 80 + 150
    units = TargetUnits.fit(y_BT.numpy())
    loss = build_loss(Mse(), info_with(units))
    outputs_BT = torch.zeros(50, 1)
    value = told(loss, loss(outputs_BT, units.scaled(y_BT)).item())
    assert value == pytest.approx(loss.for_evaluation()(outputs_BT, y_BT).item(), rel=1e-5)
    assert value == pytest.approx(y_BT.var(correction=0).item(), rel=1e-5)


def test_classes_have_no_units() -> None:
    data = SklearnData(kind="iris")
    assert data.scale_targets  # and says nothing: only quantities are scaled


@pytest.mark.slow
def test_a_search_scores_exports_and_predicts_in_the_units_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    study = tuner.search("space.yaml")
    export = tuner.best(study)
    model = tuner.load(export)
    predictions = model.predict(frame[["x"]])
    errors = np.sqrt(((predictions - frame[["price", "age"]].to_numpy()) ** 2).mean(axis=0))
    assert errors[0] < 200
    assert errors[1] < 0.002
    metrics = json.loads((export / "bundle.json").read_text())["metrics"]
    assert metrics["test/rmse"] == pytest.approx(errors.mean(), rel=0.5)
    assert metrics["test/loss"] == pytest.approx(metrics["test/mse"], rel=1e-4)
