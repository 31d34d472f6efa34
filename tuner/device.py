"""Which device a trial trains on, and in which arithmetic.

What is there is asked of torch by `available` and `supports_bf16`; what follows from it is decided by pure functions.
torch is imported inside the functions, so that this module costs nothing to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.errors import ConfigError, MissingError, Place

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """The accelerators of this machine."""

    n_cuda: int
    has_mps: bool

    def names(self) -> tuple[str, ...]:
        """Every name that `choose` accepts here, the preferred one first."""
        cuda = tuple(f"cuda:{index}" for index in range(self.n_cuda))
        return (*cuda, *(("mps",) if self.has_mps else ()), "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionPlan:
    """The arithmetic of forward and backward, and that of the weights."""

    autocast_dtype: torch.dtype | None
    """The type to autocast to; None for plain fp32."""
    needs_scaler: bool
    """Whether small gradients vanish without a GradScaler: fp16 has 5 exponent bits, bf16 as many as fp32."""
    is_double: bool = False
    """Whether weights and inputs are fp64 instead of fp32."""

    @property
    def name(self) -> str:
        """fp32, bf16, fp16 or fp64."""
        if self.is_double:
            return "fp64"
        return "fp32" if self.autocast_dtype is None else "fp16" if self.needs_scaler else "bf16"


def available() -> Available:
    """Ask torch what is there."""
    import torch

    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Available(n_cuda=n_cuda, has_mps=torch.backends.mps.is_available())


def choose(name: str, there: Available) -> str:
    """Turn auto, cpu, cuda, cuda:N or mps into the name of a device that is there.

    `auto` takes CUDA, then MPS, then the CPU; `cuda` is `cuda:0`. Raises MissingError when the device is not there and
    ConfigError when the name is none of these.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise ConfigError.of(
            [Place(path="train.device", message=f"unknown device {name!r}; expected auto, cpu, cuda, cuda:N or mps")]
        )
    if name == "auto":
        return there.names()[0]
    exact = "cuda:0" if name == "cuda" else name
    if exact not in there.names():
        raise MissingError(f"train.device: {_not_there(name, there)}")
    return exact


def resolve(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda, cuda:N or mps; raises as `choose` does."""
    import torch

    return torch.device(choose(name, available()))


def precision_of(name: str, device: torch.device) -> PrecisionPlan:
    """Return how to compute on `device` when auto, fp32, bf16, fp16 or fp64 is asked for.

    Only CUDA has reduced precision: everywhere else the answer is fp32. Raises MissingError for bf16 on a card that
    does not compute in it.
    """
    on_cuda = device.type == "cuda"
    return plan_precision(name, on_cuda=on_cuda, has_bf16=on_cuda and supports_bf16(device))


def plan_precision(name: str, *, on_cuda: bool, has_bf16: bool) -> PrecisionPlan:
    """Decide for `precision_of`, which asks the card."""
    import torch

    wanted = ("bf16" if has_bf16 else "fp32") if name == "auto" else name
    if wanted == "fp64":
        return PrecisionPlan(autocast_dtype=None, needs_scaler=False, is_double=True)
    if not on_cuda or wanted == "fp32":
        return PrecisionPlan(autocast_dtype=None, needs_scaler=False)
    if wanted == "fp16":
        return PrecisionPlan(autocast_dtype=torch.float16, needs_scaler=True)
    if not has_bf16:
        raise MissingError("train.precision: bf16: this card has no bf16 arithmetic; use auto, fp32 or fp16")
    return PrecisionPlan(autocast_dtype=torch.bfloat16, needs_scaler=False)


def supports_bf16(device: torch.device) -> bool:
    """Whether a CUDA device computes in bf16 itself; emulation, which is slower than fp32, does not count."""
    import torch

    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _not_there(name: str, there: Available) -> str:
    message = f"{name} is not there; this machine has {', '.join(there.names())}. Use auto, or one of these"
    if not name.startswith("cuda") or there.n_cuda:
        return message
    return f"{message}; when it does have an NVIDIA card, `nvidia-smi` and `tuner doctor` tell what is missing"
