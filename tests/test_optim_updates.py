"""The update rules give the weights of torch.optim to the bit, whatever state they started from."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tuner.config.schema import OPTIMIZER_KINDS, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd
from tuner.config.schema.optimizers import Adadelta, Adafactor, Adamax, Asgd, Muon, NAdam, PythonOptimizer, RAdam, Rprop
from tuner.errors import ConfigError
from tuner.models.experts import Experts, Mixture
from tuner.optim.groups import Group, groups_of, one_group
from tuner.optim.optimizers import build_optimizer, build_update
from tuner.optim.updates import DirectUpdate, GroupedUpdate, TorchUpdate, Update

CPU = torch.device("cpu")
CONFIGS: tuple[Optimizer, ...] = (
    Sgd(lr=0.1),
    Sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    Sgd(lr=0.1, momentum=0.9, dampening=0.5),
    Adam(),
    Adam(lr=0.02, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1, amsgrad=True),
    AdamW(),
    AdamW(lr=0.02, weight_decay=0.3),
    RmsProp(lr=1e-2),
    RmsProp(lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1),
    Adagrad(),
    Adagrad(lr=0.1, lr_decay=0.01, eps=1e-6, weight_decay=0.1, initial_accumulator_value=0.2),
    NAdam(),
    NAdam(betas=(0.8, 0.99), weight_decay=0.1, momentum_decay=0.01, decoupled_weight_decay=True),
    RAdam(weight_decay=0.1),
    RAdam(betas=(0.8, 0.9), weight_decay=0.1, decoupled_weight_decay=True),
    Adamax(weight_decay=0.1),
    Adadelta(rho=0.8, weight_decay=0.1),
    Asgd(lr=0.1, lambd=0.01, alpha=0.6, t0=2.0, weight_decay=0.1),
    Rprop(etas=(0.4, 1.3), step_sizes=(1e-4, 0.5)),
    Adafactor(),
    Adafactor(lr=0.1, beta2_decay=-0.5, eps=(1e-8, 1e-2), d=2.0, weight_decay=0.1),
)
each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: repr(config)[:60])


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def deeper() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))


def gradients(model: nn.Module, step: int, *, missing: int | None = None) -> list[torch.Tensor | None]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(20, 6, generator=generator)
    params = list(model.parameters())
    grads: list[torch.Tensor | None] = list(torch.autograd.grad(model(x).square().mean(), params))
    if missing is not None:
        grads[missing] = None
    return grads


def by_torch(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range, missing: dict[int, int]) -> None:
    for step in steps:
        for param, grad in zip(model.parameters(), gradients(model, step, missing=missing.get(step)), strict=True):
            param.grad = grad
        optimizer.step()


def by_update(model: nn.Module, update: Update, steps: range, missing: dict[int, int]) -> None:
    for step in steps:
        update.step(gradients(model, step, missing=missing.get(step)))


def weights(model: nn.Module) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@each_config
@pytest.mark.parametrize("missing", ({}, {0: 1}, {3: 2, 4: 0}), ids=("all", "late first step", "gaps"))
def test_updates_give_the_weights_of_torch_optim_to_the_bit(config: Optimizer, missing: dict[int, int]) -> None:
    ours, theirs = network(), network()
    update = build_update(config, one_group(ours.parameters()), CPU)
    assert isinstance(update, DirectUpdate)
    by_update(ours, update, range(8), missing)
    if missing and isinstance(
        config, Sgd
    ):  # torch's fused SGD fails on a late first step; the plain one rounds otherwise
        plain = torch.optim.SGD(theirs.parameters(), **config.model_dump(exclude={"kind", "decay"}))
        by_torch(theirs, plain, range(8), missing)
        assert torch.allclose(weights(ours), weights(theirs), rtol=1e-5, atol=1e-7)
    else:
        by_torch(theirs, build_optimizer(config, one_group(theirs.parameters()), CPU), range(8), missing)
        assert torch.equal(weights(ours), weights(theirs))
    assert not torch.equal(weights(ours), weights(network()))


@each_config
def test_an_update_goes_on_from_a_state_of_torch_optim_and_the_other_way_round(config: Optimizer) -> None:
    one, other = network(), network()
    first, optimizer = (
        build_update(config, one_group(one.parameters()), CPU),
        build_optimizer(config, one_group(other.parameters()), CPU),
    )
    by_update(one, first, range(4), {})
    by_torch(other, optimizer, range(4), {})

    from_torch = build_update(config, one_group(one.parameters()), CPU)
    from_torch.load_state_dict(optimizer.state_dict())
    from_ours = TorchUpdate(optimizer=build_optimizer(config, one_group(other.parameters()), CPU), lr=config.lr)
    from_ours.load_state_dict(first.state_dict())
    by_update(one, from_torch, range(4, 8), {})
    by_update(other, from_ours, range(4, 8), {})
    assert torch.equal(weights(one), weights(other))


@each_config
def test_a_learning_rate_that_changes_counts_from_the_next_step(config: Optimizer) -> None:
    ours, theirs = network(), network()
    update, optimizer = (
        build_update(config, one_group(ours.parameters()), CPU),
        build_optimizer(config, one_group(theirs.parameters()), CPU),
    )
    for step, lr in enumerate((0.1, 0.02, 0.3)):
        update.lr = lr
        for group in optimizer.param_groups:
            group["lr"] = lr
        by_update(ours, update, range(step, step + 1), {})
        by_torch(theirs, optimizer, range(step, step + 1), {})
    assert torch.equal(weights(ours), weights(theirs))


def test_a_stored_state_is_not_the_one_that_goes_on_changing() -> None:
    model = network()
    update = build_update(Adam(), one_group(model.parameters()), CPU)
    by_update(model, update, range(2), {})
    copy = build_update(Adam(), one_group(model.parameters()), CPU)
    copy.load_state_dict(update.state_dict())
    before = copy.state_dict()["state"][0]["exp_avg"].clone()
    by_update(model, update, range(2, 4), {})
    assert torch.equal(copy.state_dict()["state"][0]["exp_avg"], before)


def test_a_restored_state_takes_the_memory_format_of_its_parameter() -> None:
    model = nn.Conv2d(3, 4, 3)
    update = build_update(Adam(), one_group(model.parameters()), torch.device("cpu"))
    update.step([torch.ones_like(param) for param in update.params])
    stored = update.state_dict()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    restored = build_update(Adam(), one_group(model.parameters()), torch.device("cpu"))
    restored.load_state_dict(stored)
    assert isinstance(restored, DirectUpdate)
    mean = restored.states[0]["exp_avg"]
    assert mean.stride() == model.weight.stride() != stored["state"][0]["exp_avg"].stride()
    assert torch.equal(mean, stored["state"][0]["exp_avg"])


def test_parameters_that_are_not_trained_are_left_out() -> None:
    model = network()
    frozen = next(model.parameters()).requires_grad_(False)
    update = build_update(Sgd(lr=0.1), one_group(model.parameters()), CPU)
    assert all(param is not frozen for param in update.params)


@pytest.mark.parametrize("scales", (False, True))
def test_a_model_with_nothing_to_train_is_refused(*, scales: bool) -> None:
    with pytest.raises(ConfigError, match="no parameters to train"):
        build_update(Adam(), one_group([]), CPU, scales_gradients=scales)


def test_scaled_gradients_go_through_torch_optim() -> None:
    update: Any = build_update(Adam(), one_group(network().parameters()), CPU, scales_gradients=True)
    assert isinstance(update, TorchUpdate)


def test_every_kind_but_muon_and_the_users_own_is_compared_with_torch() -> None:
    assert {config.kind for config in CONFIGS} == set(OPTIMIZER_KINDS) - {"muon", "python"}


# --------------------------------------------------------------------------------------------------------------- groups


def in_groups(config: Optimizer, model: nn.Module, lr_scales: dict[str, float] | None = None, **options: Any) -> Update:
    return build_update(config, groups_of(model, config, lr_scales or {}), CPU, **options)


def by_names(model: nn.Module, update: Update, steps: range) -> None:
    """As `by_update`, for an update that has the parameters in an order of its own."""
    for step in steps:
        of_param = dict(zip(map(id, model.parameters()), gradients(model, step), strict=True))
        update.step([of_param[id(param)] for param in update.params])


@pytest.mark.parametrize(
    "config", (AdamW(lr=0.02, weight_decay=0.3, decay="weights"), Adafactor(weight_decay=0.3, decay="weights"))
)
def test_biases_and_norms_do_not_decay_where_only_weights_do(config: AdamW | Adafactor) -> None:
    ours, theirs = deeper(), deeper()
    by_names(ours, in_groups(config, ours), range(6))
    weights_2d = [param for param in theirs.parameters() if param.ndim == 2]
    others = [param for param in theirs.parameters() if param.ndim < 2]
    kind = torch.optim.AdamW if isinstance(config, AdamW) else torch.optim.Adafactor
    by_torch(
        theirs,
        kind([{"params": weights_2d}, {"params": others, "weight_decay": 0.0}], lr=config.lr, weight_decay=0.3),
        range(6),
        {},
    )  # type: ignore[operator]
    torch.testing.assert_close(weights(ours), weights(theirs))
    decayed = deeper()
    by_names(decayed, in_groups(config.model_copy(update={"decay": "all"}), decayed), range(6))
    assert not torch.allclose(weights(ours), weights(decayed))


class Places(nn.Module):
    """Learned positions, as a bare matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(5, 8))


def names_of(model: nn.Module, groups: Iterable[Group]) -> set[str]:
    chosen = {id(param) for group in groups for param in group.params}
    return {name for name, param in model.named_parameters() if id(param) in chosen}


def test_biases_of_experts_do_not_decay() -> None:
    model = nn.Sequential(Mixture(4, 8, n_experts=3, top_k=1, balance=0.0), nn.Linear(8, 2))
    groups = groups_of(model, AdamW(decay="weights"), {})
    decaying = names_of(model, (group for group in groups if group.decays))
    assert decaying == {"0.router.weight", "0.experts.weight", "1.weight"}


def test_muon_takes_no_rows_that_are_looked_up() -> None:
    model = nn.Sequential(nn.Embedding(9, 8), Places(), nn.Linear(8, 8), Experts(8, 8, 2), nn.Linear(8, 2))
    groups = groups_of(model, Muon(), {})
    assert names_of(model, (group for group in groups if not group.by_adamw)) == {"2.weight"}


@pytest.mark.parametrize("scales_gradients", (False, True))
def test_parts_of_a_model_learn_at_rates_of_their_own(*, scales_gradients: bool) -> None:
    ours, theirs = deeper(), deeper()
    update = in_groups(Adam(lr=0.02), ours, {"0": 0.1, "4": 0.0}, scales_gradients=scales_gradients)
    update.lr = 0.05
    by_names(ours, update, range(6))
    first, middle, last = [theirs[0]], [theirs[1], theirs[2]], [theirs[4]]  # type: ignore[index]
    groups = [
        {"params": [param for module in modules for param in module.parameters()], "lr": lr}
        for modules, lr in ((first, 0.005), (middle, 0.05), (last, 0.0))
    ]
    by_torch(theirs, torch.optim.Adam(groups), range(6), {})
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_the_longest_prefix_of_a_name_says_how_fast_it_learns() -> None:
    groups = groups_of(deeper(), Adam(), {"2": 0.5, "2.bias": 0.25, "4": 0.5})
    assert [(group.lr_scale, len(group.params)) for group in groups] == [(1.0, 4), (0.5, 3), (0.25, 1)]


def test_muon_takes_hidden_matrices_and_adamw_the_rest() -> None:
    ours, theirs = deeper(), deeper()
    config = Muon(lr=0.02, weight_decay=0.1, adamw_lr=0.01, adamw_betas=(0.8, 0.9))
    by_names(ours, in_groups(config, ours), range(6))
    hidden = [theirs[0].weight, theirs[2].weight]  # type: ignore[index]
    rest = [param for param in theirs.parameters() if all(param is not weight for weight in hidden)]
    optimizers = (
        torch.optim.Muon(hidden, lr=0.02, weight_decay=0.1),
        torch.optim.AdamW(rest, lr=0.01, betas=(0.8, 0.9), weight_decay=0.1, fused=True),
    )
    for step in range(6):
        for param, grad in zip(theirs.parameters(), gradients(theirs, step), strict=True):
            param.grad = grad
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(weights(ours), weights(theirs))


def test_muon_leaves_embeddings_to_adamw() -> None:
    model = nn.Sequential(nn.Embedding(5, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    (muon,) = (group for group in groups_of(model, Muon(), {}) if not group.by_adamw)
    assert [tuple(param.shape) for param in muon.params] == [(6, 6)]
    assert muon.params[0] is model[1].weight


@pytest.mark.parametrize(
    "config",
    (Muon(decay="weights"), AdamW(decay="weights"), NAdam(decay="weights")),
    ids=lambda config: str(config.kind),
)
def test_groups_go_on_from_their_state(config: Optimizer) -> None:
    straight, paused = deeper(), deeper()
    by_names(straight, update := in_groups(config, straight), range(8))
    assert isinstance(update, GroupedUpdate)
    by_names(paused, first := in_groups(config, paused), range(4))
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second = in_groups(config, paused)
    second.load_state_dict(torch.load(stored, weights_only=True))
    by_names(paused, second, range(4, 8))
    assert torch.equal(weights(paused), weights(straight))


@pytest.mark.parametrize("n_groups", (1, 2))
def test_groups_of_a_users_optimizer_keep_their_rates(tmp_path: Path, n_groups: int) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def make(params, lr, n_groups):\n"
        "    groups = [{'params': list(params)[i::n_groups], 'lr': lr / 10 ** (i + 1)} for i in range(n_groups)]\n"
        "    return torch.optim.SGD(groups, lr=lr)\n"
    )
    config = PythonOptimizer(kind="python", target="mine.py:make", lr=0.5, options={"n_groups": n_groups})
    model = nn.Linear(2, 2)
    update = build_update(config, one_group(model.parameters()), torch.device("cpu"), base_dir=tmp_path)
    update.lr = 0.2
    update.step([torch.zeros_like(param) for param in update.params])
    rates = [group["lr"] for group in update.state_dict()["param_groups"]]
    assert rates == pytest.approx([0.02, 0.002][:n_groups])
