"""Losses are torch's, torchvision's and scikit-learn's; what evaluates is free of what only steers training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it
from torchvision.ops import sigmoid_focal_loss

from tuner.config.schema import AutoLoss, CrossEntropy, Loss, Mse
from tuner.config.schema.losses import L1, BceWithLogits, Focal, Hinge, Huber, Nll, Poisson, PythonLoss
from tuner.data.info import DataInfo
from tuner.errors import ConfigError, DataError
from tuner.optim.losses import build_loss, check_counts

COUNTS = (10, 60, 30)
WEIGHTS = (0.5, 2.0, 1.0)


def info(task: Any, n_targets: int = 3) -> DataInfo:
    return DataInfo(
        kind="made",
        task=task,
        input_shape=(4,),
        n_targets=n_targets,
        labels=(),
        n_train=100,
        n_val=10,
        n_test=10,
        fingerprint="0" * 64,
        in_memory=True,
        class_counts=COUNTS[:n_targets] if task in ("classification", "multilabel") else (),
    )


CLASSES, LABELS, NUMBERS = info("classification"), info("multilabel"), info("regression", 2)
_DRAW = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 3, generator=_DRAW, requires_grad=True)
Y = torch.arange(12) % 3
SHARES = torch.rand(12, 3, generator=_DRAW).softmax(dim=1)
Y_LABELS = (torch.rand(12, 3, generator=_DRAW) < 0.5).float()
VALUES = torch.randn(12, 2, generator=_DRAW)
Y_COUNTS = torch.randint(0, 5, (12, 2), generator=_DRAW).float()
WEIGHT = torch.tensor(WEIGHTS)
LOGS = LOGITS.detach().log_softmax(dim=1)


@pytest.mark.parametrize("kind", (CrossEntropy, Nll))
@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_a_batch_of_classes_that_weigh_nothing_is_no_loss(kind: type[CrossEntropy | Nll], smoothing: float) -> None:
    options: Any = {"label_smoothing": smoothing} if kind is CrossEntropy else {}
    loss = build_loss(kind(class_weights=(0.0, 2.0, 1.0), **options), CLASSES)
    weight = torch.tensor([0.0, 2.0, 1.0])
    torch.testing.assert_close(loss(LOGITS, Y), nn.CrossEntropyLoss(weight, **options)(LOGITS, Y))
    for value in (
        loss(LOGITS, torch.zeros_like(Y)),
        loss.smoothed(LOGITS, torch.zeros_like(Y), torch.tensor(smoothing)),
    ):
        assert value.item() == 0.0
        assert torch.equal(torch.autograd.grad(value, [LOGITS])[0], torch.zeros_like(LOGITS))


@pytest.mark.parametrize(
    ("config", "data", "outputs", "y", "expected"),
    (
        (
            CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.2),
            CLASSES,
            LOGITS,
            Y,
            nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2)(LOGITS, Y),
        ),
        (CrossEntropy(class_weights=WEIGHTS), CLASSES, LOGITS, SHARES, nn.CrossEntropyLoss(WEIGHT)(LOGITS, SHARES)),
        (AutoLoss(class_weights=WEIGHTS), CLASSES, LOGITS, Y, nn.CrossEntropyLoss(WEIGHT)(LOGITS, Y)),
        (Nll(class_weights=WEIGHTS), CLASSES, LOGS, Y, nn.NLLLoss(WEIGHT)(LOGS, Y)),
        (Hinge(), CLASSES, LOGITS, Y, nn.MultiMarginLoss()(LOGITS, Y)),
        (
            Hinge(p=2, margin=0.5, class_weights=WEIGHTS),
            CLASSES,
            LOGITS,
            Y,
            nn.MultiMarginLoss(2, 0.5, WEIGHT)(LOGITS, Y),
        ),
        (Focal(gamma=0.0), CLASSES, LOGITS, Y, nn.CrossEntropyLoss()(LOGITS, Y)),
        (
            Focal(gamma=1.5, alpha=0.25),
            LABELS,
            LOGITS,
            Y_LABELS,
            sigmoid_focal_loss(LOGITS, Y_LABELS, 0.25, 1.5, "mean"),
        ),
        (Focal(), LABELS, LOGITS, Y_LABELS, sigmoid_focal_loss(LOGITS, Y_LABELS, -1, 2.0, "mean")),
        (
            BceWithLogits(pos_weight=WEIGHTS),
            LABELS,
            LOGITS,
            Y_LABELS,
            nn.BCEWithLogitsLoss(pos_weight=WEIGHT)(LOGITS, Y_LABELS),
        ),
        (
            BceWithLogits(pos_weight=3.0),
            info("classification", 2),
            LOGITS[:, :1],
            Y % 2,
            nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0]))(LOGITS[:, 0], (Y % 2).float()),
        ),
        (L1(), NUMBERS, VALUES, Y_COUNTS, nn.L1Loss()(VALUES, Y_COUNTS)),
        (Huber(delta=0.7), NUMBERS, VALUES, Y_COUNTS, nn.HuberLoss(delta=0.7)(VALUES, Y_COUNTS)),
        (Poisson(), NUMBERS, VALUES, Y_COUNTS, nn.PoissonNLLLoss()(VALUES, Y_COUNTS)),
        (
            Poisson(log_input=False, full=True),
            NUMBERS,
            VALUES.exp(),
            Y_COUNTS,
            nn.PoissonNLLLoss(log_input=False, full=True)(VALUES.exp(), Y_COUNTS),
        ),
    ),
    ids=lambda value: repr(value)[:50] if not isinstance(value, (torch.Tensor, DataInfo)) else "",
)
def test_a_loss_is_torchs(
    config: Loss, data: DataInfo, outputs: torch.Tensor, y: torch.Tensor, expected: torch.Tensor
) -> None:
    torch.testing.assert_close(build_loss(config, data)(outputs, y), expected)


@pytest.mark.parametrize("y", (Y, SHARES), ids=("classes", "shares"))
def test_a_smoothing_that_is_a_tensor_goes_with_weights_of_classes(y: torch.Tensor) -> None:
    loss = build_loss(CrossEntropy(class_weights=WEIGHTS, label_smoothing=0.2), CLASSES)
    torch.testing.assert_close(loss.smoothed(LOGITS, y, torch.tensor(0.2)), loss(LOGITS, y))


def test_focal_loss_leaves_out_what_is_easy_and_weighs_classes() -> None:
    own = LOGITS.log_softmax(1).gather(1, Y[:, None])[:, 0]
    expected = -WEIGHT[Y] * (1 - own.exp()) ** 2 * own
    torch.testing.assert_close(build_loss(Focal(alpha=WEIGHTS), CLASSES)(LOGITS, Y), expected.mean())
    of_two = build_loss(Focal(alpha=0.25), info("classification", 2))
    assert torch.equal(of_two.constants[0], torch.tensor([0.75, 0.25]))


@pytest.mark.parametrize("gamma", (0.3, 2.0))
def test_focal_loss_of_a_certain_answer_has_a_gradient(gamma: float) -> None:
    logits = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    build_loss(Focal(gamma=gamma), CLASSES)(logits, torch.tensor([0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_balanced_weights_of_classes_are_scikit_learns() -> None:
    y = [label for label, count in enumerate(COUNTS) for _ in range(count)]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    (weight,) = build_loss(CrossEntropy(class_weights="balanced"), CLASSES).constants
    torch.testing.assert_close(weight, torch.tensor(expected).float())
    assert build_loss(Focal(alpha="balanced"), CLASSES).constants[0].tolist() == weight.tolist()


def test_balanced_weights_of_labels_are_rows_without_by_rows_with() -> None:
    (weight,) = build_loss(BceWithLogits(pos_weight="balanced"), LABELS).constants
    torch.testing.assert_close(weight, torch.tensor([90 / 10, 40 / 60, 70 / 30]))
    (of_one,) = build_loss(BceWithLogits(pos_weight="balanced"), info("classification", 2)).constants
    torch.testing.assert_close(of_one, torch.tensor([40 / 60]))


@pytest.mark.parametrize(
    ("config", "data", "outputs", "y", "plain"),
    (
        (CrossEntropy(class_weights="balanced", label_smoothing=0.3), CLASSES, LOGITS, Y, CrossEntropy()),
        (Focal(gamma=3.0, alpha="balanced"), CLASSES, LOGITS, Y, CrossEntropy()),
        (Focal(gamma=3.0, alpha=0.1), LABELS, LOGITS, Y_LABELS, BceWithLogits()),
        (BceWithLogits(pos_weight="balanced"), LABELS, LOGITS, Y_LABELS, BceWithLogits()),
        (Nll(class_weights="balanced"), CLASSES, LOGS, Y, Nll()),
        (Hinge(class_weights="balanced", margin=2.0), CLASSES, LOGITS, Y, Hinge(margin=2.0)),
    ),
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_evaluates_does_not_depend_on_weights_and_focus(
    config: Loss, data: DataInfo, outputs: torch.Tensor, y: torch.Tensor, plain: Loss
) -> None:
    loss = build_loss(config, data)
    evaluated = loss.for_evaluation()(outputs, y)
    torch.testing.assert_close(evaluated, build_loss(plain, data)(outputs, y))
    assert not torch.allclose(evaluated, loss(outputs, y))


@pytest.mark.parametrize("outputs", (LOGITS, LOGS))
def test_nll_is_cross_entropy_whether_a_model_returns_logits_or_log_probabilities(outputs: torch.Tensor) -> None:
    nll, cross_entropy = (build_loss(config, CLASSES) for config in (Nll(), CrossEntropy()))
    torch.testing.assert_close(nll(outputs, Y), cross_entropy(outputs, Y))
    torch.testing.assert_close(nll.probabilities(outputs), cross_entropy.probabilities(outputs))


def test_outputs_mean_what_the_loss_says() -> None:
    softmax = LOGITS.softmax(1)
    for config in (CrossEntropy(), Focal(), Hinge()):
        assert torch.equal(build_loss(config, CLASSES).probabilities(LOGITS), softmax)
    torch.testing.assert_close(build_loss(Nll(), CLASSES).probabilities(LOGS), LOGS.exp())
    assert torch.equal(build_loss(Focal(), LABELS).probabilities(LOGITS), LOGITS.sigmoid())
    assert torch.equal(build_loss(Poisson(), NUMBERS).probabilities(VALUES), VALUES.exp())
    assert torch.equal(build_loss(Poisson(log_input=False), NUMBERS).probabilities(VALUES), VALUES)
    assert torch.equal(build_loss(Huber(), NUMBERS).probabilities(VALUES), VALUES)


@pytest.mark.parametrize(
    ("config", "data", "message"),
    (
        (CrossEntropy(class_weights=(1.0, 2.0)), CLASSES, "loss.class_weights: 2 values for 3 classes; give one"),
        (AutoLoss(class_weights="balanced"), NUMBERS, "loss.class_weights: must be none for regression"),
        (Focal(alpha=0.25), CLASSES, "loss.alpha: one number needs 2 classes, the data has 3"),
        (Focal(alpha=WEIGHTS), LABELS, "loss.alpha: must be one number, or none, for several labels"),
        (BceWithLogits(), CLASSES, "loss.kind: bce_with_logits needs exactly 2 classes, the data has 3"),
        (BceWithLogits(pos_weight=(1.0, 2.0)), LABELS, "loss.pos_weight: 2 values for 3"),
        (Hinge(), NUMBERS, "loss.kind: hinge is for classification, this is regression; use auto or mse"),
        (Poisson(), CLASSES, "loss.kind: poisson is for regression, this is classification"),
    ),
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_loss_that_does_not_fit_says_what_does(config: Loss, data: DataInfo, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_loss(config, data)
    assert message in str(caught.value)


def test_targets_below_0_are_no_counts() -> None:
    check_counts(Poisson(), Y_COUNTS)
    check_counts(Mse(), VALUES)
    with pytest.raises(DataError, match=r"poisson is for counts, 0 or more, but the training part has a target of -3;"):
        check_counts(Poisson(), torch.tensor([[1.0], [-3.0]]))


# ------------------------------------------------------------------------------------------------------- a user's own

SOURCE = """
import torch
from torch import nn

def scaled(outputs, targets, factor=1.0):
    return factor * nn.functional.cross_entropy(outputs, targets)

class Weighted(nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))
    def forward(self, outputs, targets):
        return nn.functional.cross_entropy(outputs, targets, self.weights)

def of_rows(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets, reduction="none")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path


def own(name: str, **options: Any) -> PythonLoss:
    outputs = options.pop("outputs", "auto")
    return PythonLoss(target=f"mine.py:{name}", outputs=outputs, options=options)


def test_a_users_function_and_class_are_losses(folder: Path) -> None:
    function = build_loss(own("scaled", factor=2.0), CLASSES, base_dir=folder)
    torch.testing.assert_close(function(LOGITS, Y), 2.0 * F.cross_entropy(LOGITS, Y))
    assert torch.equal(function.probabilities(LOGITS), LOGITS.softmax(1))
    made = build_loss(own("Weighted", weights=list(WEIGHTS)), CLASSES, base_dir=folder, dtype=torch.float64)
    expected = F.cross_entropy(LOGITS.double(), Y, WEIGHT.double())
    torch.testing.assert_close(made(LOGITS.double(), Y), expected)


def test_a_users_loss_says_what_the_model_returns(folder: Path) -> None:
    def probabilities(data: DataInfo, outputs: str, given: torch.Tensor) -> torch.Tensor:
        return build_loss(own("scaled", outputs=outputs), data, base_dir=folder).probabilities(given)

    assert torch.equal(probabilities(CLASSES, "log_probabilities", LOGS), LOGS.exp())
    assert torch.equal(probabilities(CLASSES, "probabilities", SHARES), SHARES)
    assert torch.equal(probabilities(LABELS, "auto", LOGITS), LOGITS.sigmoid())
    assert torch.equal(probabilities(NUMBERS, "auto", VALUES), VALUES)


@pytest.mark.parametrize(
    ("config", "message"),
    (
        (own("scaled", fctor=2.0), "loss.options: 'mine.py:scaled' cannot be called"),
        (own("Weighted"), "missing a required argument: 'weights'"),
        (own("scaled", outputs="values"), "loss.outputs: values are not what models for classification return"),
    ),
    ids=("option", "missing", "outputs"),
)
def test_a_users_loss_that_cannot_be_called_says_why(folder: Path, config: PythonLoss, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_loss(config, CLASSES, base_dir=folder)
    assert message in str(caught.value)


def test_a_users_loss_of_every_row_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"must return one number, .*; got shape \(12,\): take"):
        build_loss(own("of_rows"), CLASSES, base_dir=folder)(LOGITS, Y)
