"""Losses, optimizers, schedules and averages from the space file to predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import tuner
from tuner.config.spec import load
from tuner.errors import ConfigError, MissingError
from tuner.execution.inline import InlineExecutor
from tuner.export.loaded import LoadedModel
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

CODE = """
import torch
from torch import nn

class Descent(torch.optim.Optimizer):
    def __init__(self, params, lr, sign=False):
        super().__init__(params, {"lr": lr, "sign": sign})
    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in group["params"]:
                param.sub_(param.grad.sign() if group["sign"] else param.grad, alpha=group["lr"])

def surprise(probabilities, targets, floor=1e-6):
    return nn.functional.nll_loss((probabilities + floor).log(), targets)

class Net(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(*input_shape, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_outputs))
    def forward(self, x):
        return self.net(x).softmax(dim=1)
"""
OWN = """
version: 1
study: own
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16}
model: {kind: python, target: "mine.py:Net"}
loss: {kind: python, target: "mine.py:surprise", outputs: probabilities}
optimizer: {kind: python, target: "mine.py:Descent", lr: 0.1}
schedule: {kind: linear, warmup_epochs: 0.5}
train: {epochs: 4, device: cpu, accumulate: 2, averaging: {kind: ema, decay: 0.8}}
space:
  optimizer.options.sign: [true, false]
  loss.options.floor: {low: 1e-6, high: 1e-3, log: true}
  train.averaging.kind: [none, ema, swa]
search: {sampler: random, pruner: none, trials: 2, workers: 1}
confirm: off
"""
MIXED = """
version: 1
study: mixed
objective: {metric: balanced_accuracy}
data: {kind: iris, batch_size: 16}
model: {kind: mlp, depth: 2, width: 8, norm: batch}
optimizer: {kind: muon, lr: 0.02}
train: {epochs: 3, device: cpu}
space:
  loss.kind: [cross_entropy, focal, hinge]
  loss.class_weights: {choices: [none, balanced], when: {loss.kind: [cross_entropy, hinge]}}
  loss.gamma: {low: 0.5, high: 3.0, when: {loss.kind: focal}}
  optimizer.kind: [adamw, nadam, radam, adamax, adadelta, asgd, rprop, adafactor, muon]
  optimizer.decay: {choices: [all, weights], when: {optimizer.kind: [adamw, muon]}}
  optimizer.betas.1: {low: 0.9, high: 0.999, when: {optimizer.kind: [adamw, nadam]}}
  schedule.kind: [linear, multistep, polynomial, cosine_restarts, cyclic, inverse_sqrt]
  schedule.per: {choices: [step, epoch], when: {schedule.kind: [linear, polynomial]}}
  train.averaging.kind: [none, ema, swa]
  train.accumulate: [1, 2]
search: {sampler: random, pruner: none, trials: 8, workers: 1}
confirm: off
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "own.yaml").write_text(OWN)
    (tmp_path / "mixed.yaml").write_text(MIXED)
    return tmp_path


def accuracy(model: LoadedModel) -> float:
    iris = load_iris()
    return float((model.predict(iris.data) == iris.target_names[iris.target]).mean())


@pytest.mark.slow
def test_ones_own_loss_and_optimizer_are_searched_exported_and_the_loss_says_what_outputs_mean(folder: Path) -> None:
    result = search(SearchRequest(space="own.yaml"), None, InlineExecutor())
    assert result.status.counts["complete"] == 2
    export = best(storage=result.storage)
    for name in ("mine.py", "own.yaml"):
        (folder / name).unlink()
    model = tuner.load(export.path, allow_code=True)
    assert accuracy(model) > 0.5
    x, _ = load_iris(return_X_y=True)
    outputs = model.module(model.preprocess(x)).detach().numpy()
    np.testing.assert_allclose(model.predict_proba(x), outputs)


@pytest.mark.slow
def test_every_kind_can_be_searched_beside_the_others_and_its_best_predicts(folder: Path) -> None:
    del folder
    result = search(SearchRequest(space="mixed.yaml"), None, InlineExecutor())
    assert result.status.counts["complete"] == 8
    model = tuner.load(best(storage=result.storage).path)
    assert accuracy(model) > 0.5


def test_a_precision_of_the_space_that_the_device_has_not_ends_a_search_before_its_first_trial(folder: Path) -> None:
    sets = ("space.train.precision=[fp32, tf32]",)
    with pytest.raises(MissingError, match=r"train.precision: tf32: only NVIDIA cards"):
        search(SearchRequest(space="mixed.yaml", sets=sets), None, InlineExecutor())
    assert not list(folder.glob("runs/mixed/[0-9]*"))


@pytest.mark.parametrize(
    ("objective", "entry", "message"),
    (
        ("loss", "loss.kind: [mse, huber]", "space.loss.kind: val/loss is another measure with each loss.kind"),
        ("loss", "loss.delta: {low: 0.5, high: 2.0, when: {loss.kind: huber}}", "with each loss.delta"),
        ("loss", "loss.kind: [auto, l1]", "space.loss.kind: val/loss is another measure with each loss.kind"),
        ("loss", "loss.kind: [auto, mse]", ""),
        ("loss", "data.scale_targets: [true, false]", ""),
        ("loss", "data.scale_targets: [true, false] # huber", "another measure with each data.scale_targets"),
        ("rmse", "loss.kind: [mse, huber]", ""),
    ),
)
def test_trials_are_not_compared_by_the_values_of_different_losses(
    tmp_path: Path, objective: str, entry: str, message: str
) -> None:
    path = tmp_path / "space.yaml"
    kind = "{kind: huber}" if "delta" in entry or "# huber" in entry else "{}"
    path.write_text(
        f"objective: {{metric: {objective}}}\ndata: {{kind: diabetes}}\nloss: {kind}\nspace:\n  {entry}\n"
        "  optimizer.lr: {low: 0.001, high: 0.1}\n"
    )
    try:
        load(path)
        found = ""
    except ConfigError as error:
        found = str(error)
    assert message in found
    assert bool(message) is bool(found)


@pytest.mark.parametrize(
    ("data", "entry", "message"),
    (
        ("{kind: digits, task: autoencoding}", "data.normalize: [true, false]", "space.data.normalize: it changes the"),
        ("{kind: digits, task: autoencoding}", "data.batch_size: [8, 16]", ""),
        ("{kind: digits}", "data.normalize: [true, false]", ""),
        ("{kind: characters, path: x.txt}", "data.lowercase: [true, false]", "space.data.lowercase: trials would be"),
        ("{kind: characters, path: x.txt}", "data.context: [8, 16]", "space.data.context: trials would be scored on"),
        (
            "{kind: series, path: x.csv, target: a, look_back: true, gaps: split}",
            "data.window: [8, 16]",
            "space.data.window: windows of different lengths would be scored on different rows, as none crosses a gap",
        ),
        ("{kind: series, path: x.csv, target: a, look_back: true}", "data.window: [8, 16]", ""),
    ),
)
def test_what_changes_the_rows_or_units_of_the_score_is_not_searched(
    tmp_path: Path, data: str, entry: str, message: str
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"objective: {{metric: loss}}\ndata: {data}\nspace:\n  {entry}\n")
    try:
        load(path)
        found = ""
    except ConfigError as error:
        found = str(error)
    assert message in found
    assert bool(message) is bool(found)


@pytest.mark.parametrize(
    ("kinds", "is_refused"),
    (("[auto, mse]", False), ("[auto, l1]", True), ("[auto, cross_entropy]", False), ("[auto, hinge]", True)),
)
def test_the_losses_beside_auto_tell_what_it_measures_where_only_the_data_knows_the_task(
    tmp_path: Path, kinds: str, is_refused: bool
) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(f"data: {{kind: csv, path: x.csv, target: y}}\nspace:\n  loss.kind: {kinds}\n")
    try:
        load(path)
        found = ""
    except ConfigError as error:
        found = str(error)
    assert ("space.loss.kind: val/loss is another measure" in found) is is_refused
    assert bool(found) is is_refused
