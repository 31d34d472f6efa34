"""The rules for many lanes at once give each lane the weights of torch.optim."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tuner.optim.optimizers import OPTIMIZERS
from tuner.optim.stacked import StackedUpdate, numbers_of

N_LANES, N_PARAMS, N_STEPS = 3, 20, 12
LRS = (0.1, 0.003, 0.02)
STATES = {
    "sgd": lambda lane: ["momentum_buffer"] if lane["momentum"] else [],
    "adam": lambda lane: ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if lane["amsgrad"] else [])],
    "adamw": lambda lane: ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if lane["amsgrad"] else [])],
    "rmsprop": lambda lane: [
        "square_avg",
        *(["grad_avg"] if lane["centered"] else []),
        *(["momentum_buffer"] if lane["momentum"] else []),
    ],
}
CASES: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("sgd", [{"momentum": 0.0, "nesterov": False, "dampening": 0.0, "weight_decay": wd} for wd in (0.0, 0.1, 0.3)]),
    ("sgd", [{"momentum": m, "nesterov": True, "dampening": 0.0, "weight_decay": 0.1} for m in (0.5, 0.9, 0.99)]),
    ("sgd", [{"momentum": 0.9, "nesterov": False, "dampening": d, "weight_decay": 0.0} for d in (0.0, 0.2, 0.7)]),
    *(
        (kind, [{"betas": (b, 0.99), "eps": e, "weight_decay": w, "amsgrad": amsgrad} for b, e, w in options])
        for kind in ("adam", "adamw")
        for amsgrad in (False, True)
        for options in [((0.9, 1e-8, 0.0), (0.5, 1e-6, 0.1), (0.8, 1e-3, 0.3))]
    ),
    *(
        ("rmsprop", [{"alpha": a, "momentum": m, "eps": 1e-8, "weight_decay": 0.1, "centered": c} for a, m in options])
        for c in (False, True)
        for options in [((0.99, 0.0), (0.9, 0.0), (0.5, 0.0)), ((0.99, 0.9), (0.9, 0.5), (0.5, 0.1))]
    ),
)


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("clips", (None, (math.inf, 0.5, 2.0)))
def test_each_lane_has_the_weights_of_torch_optim(
    kind: str, options: list[dict[str, Any]], clips: tuple[float, ...] | None
) -> None:
    generator = torch.Generator().manual_seed(0)
    start_TP = torch.randn(N_LANES, N_PARAMS, generator=generator, dtype=torch.float64)
    grads_NTP = torch.randn(N_STEPS, N_LANES, N_PARAMS, generator=generator, dtype=torch.float64)
    numbers = numbers_of(options, start_TP)
    update = StackedUpdate(
        kind=kind,
        weights_TP=start_TP.clone(),
        states_TP={name: torch.zeros_like(start_TP) for name in STATES[kind](options[0])},
        steps_T1=torch.zeros(N_LANES, 1),
        numbers=numbers,
        flags={name: value for name, value in options[0].items() if isinstance(value, bool)},
        lr_T1=start_TP.new_tensor(LRS).reshape(-1, 1),
        clip_T1=None if clips is None else start_TP.new_tensor(clips).reshape(-1, 1),
    )
    for grads_TP in grads_NTP:
        update.step(grads_TP.clone())
    for lane in range(N_LANES):
        weights = torch.nn.Parameter(start_TP[lane].clone())
        optimizer = OPTIMIZERS[kind]([weights], lr=LRS[lane], **options[lane])
        for grads_TP in grads_NTP:
            weights.grad = grads_TP[lane].clone()
            if clips is not None and clips[lane] < math.inf:
                torch.nn.utils.clip_grad_norm_([weights], clips[lane])
            optimizer.step()
        difference = float((update.weights_TP[lane] - weights.detach()).abs().max())
        assert difference < 1e-12 * N_STEPS
        assert float((weights.detach() - start_TP[lane]).abs().max()) > 1e-3
