from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from tuner.config.schema import MODEL_KINDS, Activation, Convnet, Mlp, Model
from tuner.data.info import DataInfo
from tuner.errors import ConfigError
from tuner.models.build import build_model, check_output
from tuner.models.layers import ACTIVATIONS, mask, n_groups

HERE = Path(__file__).parent
DIGITS, MNIST, CIFAR = (1, 8, 8), (1, 28, 28), (3, 32, 32)


def info(input_shape: tuple[int, ...] = DIGITS, n_targets: int = 10) -> DataInfo:
    return DataInfo(
        kind="made",
        task="classification",
        input_shape=input_shape,
        n_targets=n_targets,
        labels=tuple(map(str, range(n_targets))),
        n_train=80,
        n_val=10,
        n_test=10,
        fingerprint="0" * 64,
        in_memory=True,
    )


def build(config: Model, input_shape: tuple[int, ...] = DIGITS, n_outputs: int = 10, seed: int = 0) -> nn.Module:
    return build_model(config, info=info(input_shape), n_outputs=n_outputs, base_dir=HERE, seed=seed)


def modules_of(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [module for module in model.modules() if isinstance(module, kind)]


def weights_equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def test_every_kind_of_the_table_is_that_of_its_class_and_builds() -> None:
    assert {kind: get_args(section.model_fields["kind"].annotation) for kind, section in MODEL_KINDS.items()} == {
        kind: (kind,) for kind in MODEL_KINDS
    }
    assert all("build" in vars(section) for section in MODEL_KINDS.values())
    assert set(ACTIVATIONS) == set(get_args(Activation))


# ------------------------------------------------------------------------------------------------------------------ mlp


def test_an_mlp_is_the_network_built_by_hand() -> None:
    model = build(Mlp(depth=2, width=(5, 7), activation="tanh"), (3, 2, 2), n_outputs=4)
    by_hand = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(6, 3, 2, 2)
    assert torch.equal(model(x), by_hand(x))


def test_the_weights_have_names_that_people_can_read() -> None:
    assert list(build(Mlp(depth=1, width=4, norm="layer"), (3,), 2).state_dict()) == [
        "layers.0.linear.weight",
        "layers.0.linear.bias",
        "layers.0.norm.weight",
        "layers.0.norm.bias",
        "head.weight",
        "head.bias",
    ]


def test_an_mlp_without_layers_is_linear() -> None:
    model = build(Mlp(depth=0), (1, 8, 8), n_outputs=3)
    assert [tuple(weight.shape) for weight in model.parameters()] == [(3, 64), (3,)]


def test_every_layer_has_its_own_width_and_dropout() -> None:
    model = build(Mlp(depth=3, width=(8, 4, 2), dropout=(0.5, 0.0, 0.25)))
    assert [layer.out_features for layer in modules_of(model, nn.Linear)] == [8, 4, 2, 10]
    assert [layer.p for layer in modules_of(model, nn.Dropout)] == [0.5, 0.25]


@pytest.mark.parametrize("norm", ("none", "batch", "layer"))
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_mlp_gives_one_row_of_outputs_an_input_and_trains(norm: Any, activation: Any) -> None:
    model = build(Mlp(depth=2, width=16, norm=norm, activation=activation, dropout=0.1))
    output = model(torch.randn(4, *DIGITS))
    output.square().mean().backward()
    assert output.shape == (4, 10)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


# -------------------------------------------------------------------------------------------------------------- convnet


@pytest.mark.parametrize("input_shape", (DIGITS, MNIST, CIFAR, (1, 1, 50), (2, 1, 1)))
@pytest.mark.parametrize("norm", ("none", "batch", "group"))
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_convnet_fits_every_image_and_trains(input_shape: Any, norm: Any, activation: Any) -> None:
    model = build(Convnet(depth=2, width=(4, 6), norm=norm, activation=activation, dropout=0.1), input_shape)
    output = model(torch.randn(4, *input_shape))
    output.square().mean().backward()
    assert output.shape == (4, 10)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize(
    ("input_shape", "depth", "n_features"),
    ((DIGITS, 3, 4), (DIGITS, 6, 4), (MNIST, 2, 4 * 7 * 7), (MNIST, 0, 784), (CIFAR, 4, 4 * 2 * 2), ((1, 1, 8), 2, 8)),
)
def test_blocks_halve_the_map_until_it_is_one_pixel(input_shape: Any, depth: int, n_features: int) -> None:
    model = build(Convnet(depth=depth, width=4, head_width=0), input_shape)
    assert modules_of(model, nn.Linear)[-1].in_features == n_features
    assert model(torch.randn(2, *input_shape)).shape == (2, 10)


def test_a_convnet_is_the_network_built_by_hand() -> None:
    config = Convnet(depth=1, width=6, kernel=5, norm="group", pool="avg", activation="gelu", head_width=9)
    model = build(config, CIFAR)
    by_hand = nn.Sequential(
        nn.Conv2d(3, 6, 5, padding="same"),
        nn.GroupNorm(3, 6),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 16 * 16, 9),
        nn.GELU(),
        nn.Linear(9, 10),
    )
    by_hand.load_state_dict(dict(zip(by_hand.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(2, *CIFAR)
    torch.testing.assert_close(model(x), by_hand(x), rtol=0, atol=1e-6)


def test_a_tiny_dropout_rate_keeps_nearly_everything() -> None:
    assert float(mask((64, 64), 1e-6, torch.float32).mean()) == pytest.approx(1.0, abs=0.01)


def test_dropout_of_a_convnet_leaves_out_whole_channels() -> None:
    model = build(Convnet(depth=1, width=64, dropout=0.5, norm="none", activation="sigmoid"))
    maps = model.get_submodule("blocks")(torch.randn(1, *DIGITS))
    is_zero = (maps == 0.0).flatten(2)
    assert torch.equal(is_zero.all(dim=2), is_zero.any(dim=2))
    assert 0 < is_zero.all(dim=2).sum() < 64


@pytest.mark.parametrize(
    ("width", "groups"), ((1, 1), (2, 1), (4, 2), (6, 3), (7, 1), (16, 8), (20, 10), (24, 8), (30, 6), (64, 8))
)
def test_groups_are_a_divisor_near_8_with_two_channels_or_more_each(width: int, groups: int) -> None:
    assert n_groups(width) == groups


def test_a_convnet_on_a_table_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        build(Convnet(), (30,))
    assert str(caught.value) == (
        "model.kind: convnet needs images (C, H, W) or sequences (C, L), got inputs of shape (30,); use kind: mlp"
    )
    assert caught.value.where[0].path == "model.kind"


# ---------------------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("config", (Mlp(norm="batch"), Convnet(width=8)))
def test_weights_follow_from_the_seed_alone(config: Model) -> None:
    torch.manual_seed(1)
    first = build(config, seed=2**63 - 1)
    torch.manual_seed(2)
    assert weights_equal(first, build(config, seed=2**63 - 1))
    assert not weights_equal(first, build(config, seed=2**63 - 2))


def test_building_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(Mlp(), seed=9)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.gpu
def test_building_leaves_the_random_state_of_the_card_alone() -> None:
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(5)
    build(Mlp(), seed=9)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


@pytest.mark.parametrize(
    "config", (Mlp(depth=2, width=(3, 5), dropout=0.5, norm="batch"), Convnet(depth=2, width=4, norm="batch"))
)
def test_a_state_dict_loads_into_the_model_rebuilt_from_json(config: Mlp | Convnet, tmp_path: Path) -> None:
    trained = build(config)
    trained(torch.randn(8, *DIGITS))  # moves the running statistics
    torch.save(trained.state_dict(), tmp_path / "model.pt")

    read = type(config).model_validate_json(config.model_dump_json())
    data = DataInfo.from_json(info().to_json())
    rebuilt = build_model(read, info=data, n_outputs=10, base_dir=tmp_path, seed=123)
    rebuilt.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True), strict=True)

    x = torch.randn(3, *DIGITS)
    assert torch.equal(rebuilt.eval()(x), trained.eval()(x))


@pytest.mark.parametrize(
    "config", (Mlp(width=8, dropout=0.2, norm="layer"), Convnet(width=4, dropout=0.2, norm="group"))
)
def test_several_models_train_at_once_under_vmap(config: Model) -> None:
    lanes = [build(config, seed=seed) for seed in range(3)]
    weights, buffers = stack_module_state(lanes)
    x = torch.randn(4, *DIGITS)

    def loss(own_weights: dict[str, Tensor], own_buffers: dict[str, Tensor]) -> Tensor:
        return functional_call(lanes[0], (own_weights, own_buffers), (x,)).square().mean()

    for model in lanes:
        model.train()
    gradients = vmap(grad(loss), randomness="different")(weights, buffers)
    assert {name: tuple(value.shape) for name, value in gradients.items()} == {
        name: tuple(value.shape) for name, value in weights.items()
    }
    assert all(value.isfinite().all() for value in gradients.values())


# --------------------------------------------------------------------------------------------------------- check_output


class Returns(nn.Module):
    """Gives back what it is told to."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output
        self.modes: list[bool] = []

    def forward(self, _: Tensor) -> object:
        torch.rand(1)
        self.modes.append(self.training)
        return self.output


@pytest.mark.parametrize(
    ("output", "got"),
    (
        (torch.zeros(4), "a float tensor of shape (4,)"),
        (torch.zeros(4, 9), "a float tensor of shape (4, 9)"),
        (torch.zeros(1, 10), "a float tensor of shape (1, 10)"),
        (torch.zeros(4, 10, dtype=torch.int64), "a int64 tensor of shape (4, 10)"),
        ((torch.zeros(4, 10), None), "a tuple"),
        (None, "a NoneType"),
    ),
)
def test_an_output_of_another_shape_or_type_is_refused(output: object, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_output(Returns(output), torch.zeros(4, *DIGITS), 10)
    assert str(caught.value) == (
        "model: the model must return a float tensor of shape (4, 10) (rows, outputs) for inputs (4, 1, 8, 8), "
        f"got {got}"
    )


def test_checking_the_output_changes_neither_mode_nor_statistics_nor_random_state() -> None:
    model = build(Mlp(norm="batch", dropout=0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(4, *DIGITS)
    random_state = torch.get_rng_state()
    check_output(model, x, 10)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_the_output_is_checked_in_eval_mode_and_drawing_is_forgotten() -> None:
    model = Returns(torch.zeros(4, 10, dtype=torch.float16))
    random_state = torch.get_rng_state()
    check_output(model, torch.zeros(4, 2), 10)
    assert model.modes == [False]
    assert model.training
    assert torch.equal(torch.get_rng_state(), random_state)


def test_errors_of_the_models_own_forward_pass_are_passed_on() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        check_output(nn.Linear(3, 10), torch.zeros(4, 5), 10)
