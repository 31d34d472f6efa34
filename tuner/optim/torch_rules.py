"""Rules that torch.optim has as functions, called without the classes around them.

Making an object of those classes imports torch's compiler (1.4 s of CPU time, torch 2.15). State and numbers are those
of the classes (tests/test_optim_updates.py compares every kind). A function counts the steps of each parameter itself,
so that parameters share no counter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim._adafactor import adafactor
from torch.optim.adadelta import adadelta
from torch.optim.adamax import adamax
from torch.optim.asgd import asgd
from torch.optim.nadam import nadam
from torch.optim.radam import radam
from torch.optim.rprop import rprop

from tuner.errors import MissingError
from tuner.optim.rules import Columns, Rule, State, Tensors, counter

Named = Callable[[dict[str, Any], float], dict[str, Any]]
"""Options and learning rate -> the keyword arguments of a function."""


@dataclass(frozen=True, slots=True)
class FunctionRule:
    """A function of parameters, gradients, the states in this order, and steps."""

    function: Callable[..., Any]
    states: tuple[str, ...]
    named: Named
    shares_counter = False

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del options
        return {"step": counter(), **{name: _fresh(name, param, lr) for name in self.states}}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        columns = [state[name] for name in self.states]
        self.function(params, grads, *columns, state["step"], maximize=False, **self.named(options, lr))


class AdafactorRule:
    """Matrices keep a row and a column of the second moments, vectors all of them."""

    shares_counter = False

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del options, lr
        if param.ndim < 2:  # noqa: PLR2004
            return {"step": counter(), "variance": torch.zeros_like(param)}
        *before, rows, columns = param.shape
        row_var, col_var = param.new_zeros((*before, rows, 1)), param.new_zeros((*before, 1, columns))
        return {"step": counter(), "row_var": row_var.detach(), "col_var": col_var.detach()}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        rest = {name: value for name, value in options.items() if name != "eps"}
        none: Any = [None] * len(params)
        rows, columns, all_of_it = (state.get(name, none) for name in ("row_var", "col_var", "variance"))
        eps1, eps2 = options["eps"]
        adafactor(
            params, grads, rows, columns, all_of_it, state["step"], lr=lr, eps1=eps1, eps2=eps2, maximize=False, **rest
        )


class MuonRule:
    """For matrices only."""

    shares_counter = False

    def new_state(self, options: dict[str, Any], param: Tensor, lr: float) -> State:
        del options, lr
        return {"momentum_buffer": torch.zeros_like(param)}

    def step(
        self, params: Tensors, grads: Tensors, state: Columns, lr: float, options: dict[str, Any], *, first: bool
    ) -> None:
        del first
        muon = muon_function()
        muon(params, grads, state["momentum_buffer"], lr=lr, has_complex=False, **options)


def muon_function() -> Callable[..., Any]:
    """The one that torch has; MissingError where it has none."""
    try:
        from torch.optim._muon import muon
    except ImportError:
        message = f"optimizer.kind: muon: torch {torch.__version__} has no Muon; install a newer torch, or take adamw"
        raise MissingError(message) from None
    return muon


def _fresh(name: str, param: Tensor, lr: float) -> Tensor:
    if name == "mu_product":
        return torch.ones((), dtype=torch.float32)
    if name in ("mu", "eta"):
        return torch.full((), 1.0 if name == "mu" else lr, dtype=torch.float32, device=param.device)
    return torch.full_like(param, lr).detach() if name == "step_size" else torch.zeros_like(param).detach()


def _with_betas(options: dict[str, Any], lr: float) -> dict[str, Any]:
    rest = {name: value for name, value in options.items() if name != "betas"}
    return {**rest, "lr": lr, "beta1": options["betas"][0], "beta2": options["betas"][1]}


def _as_they_are(options: dict[str, Any], lr: float) -> dict[str, Any]:
    return {**options, "lr": lr}


def _of_rprop(options: dict[str, Any], lr: float) -> dict[str, Any]:
    del lr
    etas, sizes = options["etas"], options["step_sizes"]
    return {"etaminus": etas[0], "etaplus": etas[1], "step_size_min": sizes[0], "step_size_max": sizes[1]}


FUNCTION_RULES: dict[str, Rule] = {
    "nadam": FunctionRule(nadam, ("exp_avg", "exp_avg_sq", "mu_product"), _with_betas),
    "radam": FunctionRule(radam, ("exp_avg", "exp_avg_sq"), _with_betas),
    "adamax": FunctionRule(adamax, ("exp_avg", "exp_inf"), _with_betas),
    "adadelta": FunctionRule(adadelta, ("square_avg", "acc_delta"), _as_they_are),
    "asgd": FunctionRule(asgd, ("ax", "mu", "eta"), _as_they_are),
    "rprop": FunctionRule(rprop, ("prev", "step_size"), _of_rprop),
    "adafactor": AdafactorRule(),
    "muon": MuonRule(),
}
