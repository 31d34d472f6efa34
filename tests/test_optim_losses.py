from __future__ import annotations

import pytest
import torch
from torch import nn

from tuner.config.schema import LOSS_KINDS, Augment, AutoLoss, Bce, CrossEntropy, Loss, Mse
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.optim.class_losses import BinaryCrossEntropyLoss, CrossEntropyLoss
from tuner.optim.losses import LOSSES, build_loss, check_mixed_targets
from tuner.optim.quantity_losses import SquaredErrorLoss

LABELS = torch.tensor([0, 1, 1, 0, 1])


def info(n_targets: int, task: str = "classification") -> DataInfo:
    return DataInfo(
        kind="made",
        task="classification" if task == "classification" else "regression",
        input_shape=(4,),
        n_targets=n_targets,
        labels=tuple(map(str, range(n_targets))) if task == "classification" else (),
        n_train=80,
        n_val=10,
        n_test=10,
        fingerprint="0" * 64,
        in_memory=True,
    )


def regression(n_targets: int = 1) -> DataInfo:
    return info(n_targets, "regression")


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_every_kind_of_the_schema_has_a_loss() -> None:
    assert set(LOSSES) == set(LOSS_KINDS) - {"auto"}


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_cross_entropy_takes_the_share_of_each_class(logits: torch.Tensor, smoothing: float) -> None:
    shares = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)).softmax(dim=1)
    loss = build_loss(CrossEntropy(label_smoothing=smoothing), info(3))
    expected = nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, shares)
    assert torch.equal(loss(logits, shares), expected)
    assert torch.allclose(loss.smoothed(logits, shares, torch.tensor(smoothing)), expected)


def test_mixed_labels_need_a_loss_that_takes_them() -> None:
    check_mixed_targets(Augment(mixup=0.2), AutoLoss(), info(2))
    check_mixed_targets(Augment(), Bce(), info(2))
    with pytest.raises(
        ConfigError, match=r"data.augment.cutmix: bce takes no mixed labels; use loss.kind cross_entropy"
    ):
        check_mixed_targets(Augment(cutmix=1.0), Bce(), info(2))


def test_auto_follows_the_task() -> None:
    assert build_loss(AutoLoss(label_smoothing=0.1), info(3)) == CrossEntropyLoss(label_smoothing=0.1)
    assert build_loss(AutoLoss(), regression()) == SquaredErrorLoss()


@pytest.mark.parametrize(
    ("config", "data", "n_outputs"),
    ((CrossEntropy(), info(3), 3), (CrossEntropy(), info(2), 2), (Bce(), info(2), 1), (Mse(), regression(4), 4)),
)
def test_the_loss_says_how_many_outputs_it_needs(config: Loss, data: DataInfo, n_outputs: int) -> None:
    assert build_loss(config, data).n_outputs(data) == n_outputs


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_cross_entropy_is_torchs(logits: torch.Tensor, smoothing: float) -> None:
    loss = build_loss(CrossEntropy(label_smoothing=smoothing), info(3))
    assert torch.equal(loss(logits, LABELS), nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, LABELS))
    assert torch.equal(loss.probabilities(logits), logits.softmax(1))


def test_bce_is_torchs(logits: torch.Tensor) -> None:
    loss = build_loss(Bce(), info(2))
    assert torch.equal(loss(logits[:, :1], LABELS), nn.BCEWithLogitsLoss()(logits[:, 0], LABELS.float()))


@pytest.mark.parametrize("smoothing", (0.0, 0.2))
def test_bce_of_one_logit_is_cross_entropy_of_two(logits: torch.Tensor, smoothing: float) -> None:
    one = logits[:, :1]
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    bce = build_loss(Bce(label_smoothing=smoothing), info(2))
    cross_entropy = build_loss(CrossEntropy(label_smoothing=smoothing), info(2))
    torch.testing.assert_close(bce(one, LABELS), cross_entropy(two, LABELS))
    torch.testing.assert_close(bce.probabilities(one), cross_entropy.probabilities(two))


def test_bce_probabilities_keep_small_values_of_both_classes() -> None:
    probabilities = build_loss(Bce(), info(2)).probabilities(torch.tensor([[50.0], [-50.0]]))
    assert (probabilities > 0.0).all()
    assert probabilities.argmax(1).tolist() == [1, 0]


def test_mse_is_torchs(logits: torch.Tensor) -> None:
    loss = build_loss(Mse(), regression(3))
    y = torch.ones(5, 3)
    assert torch.equal(loss(logits, y), nn.MSELoss()(logits, y))
    assert torch.equal(loss.probabilities(logits), logits)


@pytest.mark.parametrize("config", (CrossEntropy(label_smoothing=0.3), Bce(label_smoothing=0.3)))
def test_evaluation_is_without_smoothing(config: Loss, logits: torch.Tensor) -> None:
    outputs = logits[:, :1] if config.kind == "bce" else logits[:, :2]
    evaluated = build_loss(config, info(2)).for_evaluation()
    plain = build_loss(type(config)(), info(2))
    assert evaluated == plain
    assert evaluated(outputs, LABELS) == plain(outputs, LABELS)
    assert evaluated(outputs, LABELS) != build_loss(config, info(2))(outputs, LABELS)


def test_squared_error_is_the_same_in_evaluation() -> None:
    assert build_loss(Mse(), regression()).for_evaluation() == SquaredErrorLoss()
    assert BinaryCrossEntropyLoss(label_smoothing=0.1).for_evaluation() == BinaryCrossEntropyLoss()


@pytest.mark.parametrize("config", (CrossEntropy(), Bce(), Mse()))
def test_probabilities_of_half_precision_outputs_are_float32(config: Loss) -> None:
    data = regression(1) if config.kind == "mse" else info(2)
    loss = build_loss(config, data)
    outputs = torch.randn(3, loss.n_outputs(data), dtype=torch.bfloat16)
    assert loss.probabilities(outputs).dtype == torch.float32


@pytest.mark.parametrize(
    ("config", "data", "message"),
    (
        (
            Mse(),
            info(3),
            "loss.kind: mse is for regression and autoencoding, this is classification; use auto or cross_entropy",
        ),
        (
            CrossEntropy(),
            regression(),
            "loss.kind: cross_entropy is for classification and language, this is regression; use auto or mse",
        ),
        (
            Bce(),
            regression(),
            "loss.kind: bce is for classification and multilabel, this is regression; use auto or mse",
        ),
        (Bce(), info(10), "loss.kind: bce needs exactly 2 classes, the data has 10; use cross_entropy"),
        (
            AutoLoss(label_smoothing=0.1),
            regression(),
            "loss.label_smoothing: must be 0 for regression, got 0.1: there are no classes to smooth",
        ),
    ),
)
def test_a_loss_that_does_not_fit_is_refused_with_the_remedy(config: Loss, data: DataInfo, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_loss(config, data)
    assert str(caught.value) == message
