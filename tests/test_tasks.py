"""Tasks beside classification and regression, each from a space file to a prediction."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor, nn

import tuner
from tuner.data.info import DataInfo
from tuner.data.sources import sklearn_files
from tuner.errors import DataError
from tuner.execution.inline import InlineExecutor
from tuner.export.rebuilding import as_given
from tuner.optim.task_losses import LabelsLoss, TokenCrossEntropyLoss
from tuner.training.evaluate import evaluate
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

SMALL = "search: {workers: 1, trials: 1}\nconfirm: off\nmodel: {kind: mlp, depth: 1, width: 32}\n"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


def searched(text: str) -> tuner.LoadedModel:
    Path("space.yaml").write_text(text + SMALL, encoding="utf-8")
    result = search(SearchRequest(space="space.yaml"), None, InlineExecutor())
    assert result.status.counts["complete"] == 1
    return tuner.load(best().path)


@pytest.mark.slow
def test_an_autoencoder_rebuilds_images_in_pixel_values() -> None:
    model = searched("data: {kind: digits, task: autoencoding}\nobjective: {metric: mse}\ntrain: {epochs: 20}\n")
    table = sklearn_files.read("digits")
    assert table is not None
    images = table.values[:300].astype(np.uint8).reshape(-1, 1, 8, 8)
    rebuilt = model.predict(images)
    assert rebuilt.shape == images.shape
    assert model.predict_proba(images).shape == images.shape
    assert np.array_equal(model.predict(images[:, 0]), rebuilt[:, 0])
    assert np.array_equal(model.predict(torch.from_numpy(images.reshape(300, 64))), rebuilt.reshape(300, 64))
    assert np.array_equal(model.predict(list(images[:5])), rebuilt[:5])
    assert np.mean((rebuilt - images) ** 2) < 0.6 * images.var()
    assert model.bundle.data.n_targets == 64
    assert model.labels == ()


@pytest.mark.parametrize(
    ("given", "rows"),
    (
        ((5, 4, 6, 3), (5, 3, 4, 6)),
        ((4, 6, 3), (1, 3, 4, 6)),
        ((3, 4, 6), (1, 3, 4, 6)),
        ((5, 4, 6), (5, 1, 4, 6)),
        ((5, 24), (5, 1, 4, 6)),
        ((7,), (7, 1)),
    ),
)
def test_what_is_rebuilt_has_the_axes_of_what_was_given(given: tuple[int, ...], rows: tuple[int, ...]) -> None:
    source = np.arange(np.prod(given)).reshape(given)
    is_last = given[-1] == rows[1] != 1
    stored = (np.moveaxis(source, -1, -3) if is_last else source).reshape(rows)
    assert np.array_equal(as_given(stored, source), source)


def test_what_was_given_as_a_list_or_in_another_size_is_rebuilt_as_the_model_sees_it() -> None:
    rows = np.zeros((2, 1, 4, 4))
    assert as_given(rows, [np.zeros((4, 4))] * 2).shape == rows.shape
    assert as_given(rows, np.zeros((2, 9, 9))).shape == rows.shape


@pytest.mark.slow
def test_several_labels_are_predicted_at_once() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 5)).astype(np.float32)
    y = np.stack([x[:, 0] > 0, x[:, 1] > 0.5, x[:, 0] + x[:, 2] > 0], axis=1).astype(np.int64)
    header = "a,b,c,d,e,red,big,old"
    np.savetxt("rows.csv", np.hstack([x, y]), fmt=["%.6f"] * 5 + ["%d"] * 3, delimiter=",", header=header, comments="")
    model = searched(
        "data: {kind: csv, path: rows.csv, target: [red, big, old], task: multilabel, batch_size: 16}\n"
        "objective: {metric: f1_macro}\ntrain: {epochs: 15}\noptimizer: {kind: adamw, lr: 1e-2}\n"
    )
    assert model.labels == ("red", "big", "old")
    predicted = model.predict(x)
    assert predicted.dtype == np.int64
    assert np.mean(predicted == y) > 0.9
    assert np.array_equal(predicted, (model.predict_proba(x) > 0.5).astype(int))
    details = model.bundle.details["val"]
    assert details["labels"] == ["red", "big", "old"]
    assert np.array(details["confusion"]).shape == (3, 2, 2)


PADDING, IGNORED = 3, -100
TOKENS = DataInfo(
    kind="text",
    task="language",
    input_shape=(5,),
    n_targets=8,
    labels=(),
    n_train=6,
    n_val=6,
    n_test=0,
    fingerprint="",
    in_memory=True,
    input_dtype="int64",
    n_tokens=8,
    padding=PADDING,
)


class Scripted(nn.Module):
    """Says what it was given for these rows."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, x_BL: Tensor) -> Tensor:
        return self.logits[x_BL[:, 0], : x_BL.shape[1]]


def test_tokens_are_measured_where_they_count_whatever_the_batches() -> None:
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 5, 8, generator=draw)
    y = torch.randint(4, 8, (6, 5), generator=draw)
    y[0, 3:], y[4, 1] = PADDING, IGNORED
    x = torch.arange(6)[:, None].expand(6, 5)
    loss = TokenCrossEntropyLoss(label_smoothing=0.1, padding=PADDING)
    names = ("accuracy", "top_3_accuracy", "perplexity")
    batches = [(x[:2], y[:2]), (x[2:, :4], y[2:, :4])]  # the second is cut to its longest row
    got = evaluate(Scripted(logits), batches, loss=loss, info=TOKENS, names=names, split="val").metrics
    said = torch.cat([logits[:2].flatten(0, 1), logits[2:, :4].flatten(0, 1)])
    true = torch.cat([y[:2].flatten(), y[2:, :4].flatten()])
    counts = (true != PADDING) & (true != IGNORED)
    said, true = said[counts], true[counts]
    assert got["val/accuracy"] == sk.accuracy_score(true, said.argmax(dim=1))
    assert got["val/top_3_accuracy"] == sk.top_k_accuracy_score(true, said, k=3, labels=range(8))
    entropy = sk.log_loss(true, said.double().softmax(dim=1), labels=range(8))
    assert got["val/loss"] == pytest.approx(entropy, rel=1e-6)
    assert got["val/perplexity"] == pytest.approx(np.exp(entropy), rel=1e-6)


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_rows_without_a_token_that_counts_are_no_loss(smoothing: float) -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y = torch.tensor([[IGNORED, PADDING, IGNORED]] * 2)
    loss = TokenCrossEntropyLoss(label_smoothing=smoothing, padding=PADDING)
    (grad,) = torch.autograd.grad(loss(logits, y), [logits])
    assert loss(logits, y).item() == 0.0
    assert torch.equal(grad, torch.zeros_like(logits))
    varied = loss.smoothed(logits, y, torch.tensor(smoothing))
    assert varied.item() == 0.0
    assert torch.equal(torch.autograd.grad(varied, [logits])[0], torch.zeros_like(logits))


def test_a_batch_without_a_token_that_counts_changes_no_metric() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, y = torch.randn(4, 5, 8, generator=draw), torch.randint(4, 8, (4, 5), generator=draw)
    y[2:] = IGNORED
    x = torch.arange(4)[:, None].expand(4, 5)
    loss, names = TokenCrossEntropyLoss(), ("accuracy", "perplexity")
    scored = [
        evaluate(Scripted(logits), batches, loss=loss, info=TOKENS, names=names, split="val").metrics
        for batches in ([(x[:2], y[:2]), (x[2:], y[2:])], [(x[:2], y[:2])])
    ]
    assert scored[0] == scored[1]
    assert all(map(math.isfinite, scored[0].values()))
    with pytest.raises(DataError, match="a part has no target that counts, all are padding or -100"):
        evaluate(Scripted(logits), [(x[2:], y[2:])], loss=loss, info=TOKENS, names=names, split="val")


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_the_loss_of_tokens_and_of_labels_is_torchs(smoothing: float) -> None:
    draw = torch.Generator().manual_seed(1)
    logits, y = torch.randn(4, 3, 5, generator=draw), torch.randint(0, 5, (4, 3), generator=draw)
    tokens = TokenCrossEntropyLoss(label_smoothing=smoothing, padding=PADDING)
    torchs = nn.CrossEntropyLoss(label_smoothing=smoothing, ignore_index=PADDING)(logits.flatten(0, 1), y.flatten())
    torch.testing.assert_close(tokens(logits, y), torchs)
    torch.testing.assert_close(
        TokenCrossEntropyLoss(padding=PADDING).smoothed(logits, y, torch.tensor(smoothing)), torchs
    )
    labels = (torch.rand(4, 5, generator=draw) < 0.5).float()
    expected = nn.BCEWithLogitsLoss()(logits[:, 0], labels * (1 - smoothing) + smoothing / 2)
    torch.testing.assert_close(LabelsLoss(label_smoothing=smoothing)(logits[:, 0], labels), expected)
    torch.testing.assert_close(LabelsLoss().smoothed(logits[:, 0], labels, torch.tensor(smoothing)), expected)
