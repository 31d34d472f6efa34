"""From an optimizer's config section to what changes the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tuner.config.schema import Optimizer
from tuner.config.schema.optimizers import AdamW, Muon, PythonOptimizer
from tuner.optim.groups import Group
from tuner.optim.python_optimizer import PythonUpdate, build_python_optimizer, lr_scales_of
from tuner.optim.rules import FUSED_DEVICES, KERNEL_DEVICES, KERNEL_RULES
from tuner.optim.torch_rules import FUNCTION_RULES, muon_function
from tuner.optim.updates import DirectUpdate, GroupedUpdate, TorchUpdate, Update

RULES = {**KERNEL_RULES, **FUNCTION_RULES}

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
    "adafactor": torch.optim.Adafactor,
    "muon": getattr(torch.optim, "Muon", torch.optim.SGD),  # `muon_function` has said so where there is none
}
"""A section's options are named as torch names the arguments."""


def build_update(
    config: Optimizer,
    groups: Sequence[Group],
    device: torch.device,
    *,
    scales_gradients: bool = False,
    base_dir: Path = Path(),
) -> Update:
    """Build the update of all parameters of the groups.

    `scales_gradients` (fp16) takes torch.optim, which a GradScaler needs. `base_dir` is the folder of a user's own
    optimizer. Raises ConfigError when that is none, MissingError when this torch has no such optimizer.
    """
    if isinstance(config, PythonOptimizer):
        optimizer = build_python_optimizer(config, groups, base_dir)
        return PythonUpdate(optimizer=optimizer, lr=config.lr, lr_scales=lr_scales_of(optimizer, config.lr))
    if isinstance(config, Muon):
        return _build_muon(config, groups, device, scales_gradients=scales_gradients)
    is_plain = all(parameter.is_floating_point() for group in groups for parameter in group.params)
    if scales_gradients or not is_plain or device.type not in KERNEL_DEVICES.get(config.kind, {device.type}):
        scales = tuple(group.lr_scale for group in groups)
        return TorchUpdate(optimizer=build_optimizer(config, groups, device), lr=config.lr, lr_scales=scales)
    return _together([_direct(config, group) for group in groups], groups, config.lr)


def _direct(config: Optimizer, group: Group) -> DirectUpdate:
    return DirectUpdate(
        rule=RULES[config.kind], params=list(group.params), options=_options(config, group), lr=config.lr
    )


def _together(parts: Sequence[Update], groups: Sequence[Group], lr: float) -> Update:
    if len(parts) == 1 and groups[0].lr_scale == 1.0:
        return parts[0]
    update = GroupedUpdate(parts=tuple(parts), lr_scales=tuple(group.lr_scale for group in groups), base_lr=lr)
    update.lr = lr
    return update


def _build_muon(config: Muon, groups: Sequence[Group], device: torch.device, *, scales_gradients: bool) -> Update:
    muon_function()
    adamw_lr = config.adamw_lr or config.lr
    adamw = AdamW(lr=config.lr, betas=config.adamw_betas, eps=config.adamw_eps, weight_decay=config.weight_decay)
    scaled = [
        Group(params=group.params, lr_scale=group.lr_scale * (adamw_lr / config.lr), decays=group.decays)
        if group.by_adamw
        else group
        for group in groups
    ]
    parts: list[Update] = []
    for before, group in zip(groups, scaled, strict=True):
        own: Optimizer = adamw if before.by_adamw else config
        if scales_gradients:
            parts.append(TorchUpdate(optimizer=build_optimizer(own, [group], device), lr=own.lr))
        elif before.by_adamw:
            parts.append(build_update(adamw, [Group(params=group.params, decays=group.decays)], device))
        else:
            parts.append(_direct(config, group))
    return _together(parts, scaled, config.lr)


def build_optimizer(config: Optimizer, groups: Sequence[Group], device: torch.device) -> torch.optim.Optimizer:
    """Build torch's own optimizer, with a parameter group for each group."""
    options: dict[str, Any] = _options(config, Group())
    if device.type in FUSED_DEVICES.get(config.kind, ()) and all(map(_is_floating, groups)):
        options["fused"] = True
    param_groups = [{"params": group.params, "lr": config.lr * group.lr_scale, **_undecayed(group)} for group in groups]
    return OPTIMIZERS[config.kind](param_groups, lr=config.lr, **options)


def _is_floating(group: Group) -> bool:
    return all(parameter.is_floating_point() for parameter in group.params)


def _options(config: Optimizer, group: Group) -> dict[str, Any]:
    """The arguments of torch's class, without the learning rate."""
    own = {"kind", "lr", "decay", "adamw_lr", "adamw_betas", "adamw_eps"}
    return {**config.model_dump(exclude=own), **_undecayed(group)}


def _undecayed(group: Group) -> dict[str, Any]:
    return {} if group.decays else {"weight_decay": 0.0}
