"""Which device a trial trains on, and in which arithmetic.

What is there is asked of torch by `available` and `arithmetic_of`; what follows from it is decided by pure functions.
torch is imported inside the functions, so that this module costs nothing to import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tuner.errors import ConfigError, MissingError, Place

if TYPE_CHECKING:
    import torch


Kind = Literal["cuda", "xpu", "mps"]
NAMES = r"auto|cpu|mps|(cuda|xpu)(:\d+)?"
"""What a device may be called, as a regular expression."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Available:
    """The accelerators of this machine, all of one kind, as torch has them."""

    kind: Kind | None = None
    n_devices: int = 0

    def names(self) -> tuple[str, ...]:
        """Every name that `choose` accepts here, the preferred one first."""
        if self.kind == "mps":
            return ("mps", "cpu")
        return (*(f"{self.kind}:{index}" for index in range(self.n_devices)), "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What a device computes in by itself, besides fp32."""

    kind: str
    """cpu, cuda, xpu or mps."""
    has_bf16: bool = False
    """Emulation, which is slower than fp32, does not count."""
    has_tf32: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionPlan:
    """The arithmetic of forward and backward, and that of the weights."""

    autocast_dtype: torch.dtype | None
    """The type to autocast to; None for plain fp32."""
    needs_scaler: bool
    """Whether small gradients vanish without a GradScaler: fp16 has 5 exponent bits, bf16 as many as fp32."""
    is_double: bool = False
    """Whether weights and inputs are fp64 instead of fp32."""
    is_tf32: bool = False
    """Whether products of fp32 matrices are computed in tf32, with 10 bits of the 23."""

    @property
    def name(self) -> str:
        """fp32, tf32, bf16, fp16 or fp64."""
        if self.is_double or self.is_tf32:
            return "fp64" if self.is_double else "tf32"
        return "fp32" if self.autocast_dtype is None else "fp16" if self.needs_scaler else "bf16"


def available() -> Available:
    """Ask torch what is there."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or found.type not in ("cuda", "xpu", "mps"):
        return Available()
    kind: Any = found.type
    return Available(kind=kind, n_devices=torch.accelerator.device_count())


def name_of(device: str) -> str:
    """What the maker calls an accelerator."""
    import torch

    if device == "mps":
        return "Apple GPU"
    module = torch.xpu if device.startswith("xpu") else torch.cuda
    return str(module.get_device_name(torch.device(device)))


def choose(name: str, there: Available) -> str:
    """Turn auto, cpu, cuda, cuda:N, xpu, xpu:N or mps into the name of a device that is there.

    `auto` takes the accelerator that torch has, else the CPU; `cuda` is `cuda:0`. Raises MissingError when the device
    is not there and ConfigError when the name is none of these.
    """
    if not re.fullmatch(NAMES, name):
        expected = "auto, cpu, cuda, cuda:N, xpu, xpu:N or mps"
        message = f"unknown device {name!r}; expected {expected}"
        raise ConfigError.of([Place(path="train.device", message=message)])
    if name == "auto":
        return there.names()[0]
    exact = f"{name}:0" if name in ("cuda", "xpu") else name
    if exact not in there.names():
        raise MissingError(f"train.device: {_not_there(name, there)}")
    return exact


def resolve(name: str) -> torch.device:
    """Return the device called auto, cpu, cuda, cuda:N, xpu, xpu:N or mps; raises as `choose` does."""
    import torch

    return torch.device(choose(name, available()))


def precision_of(name: str, device: torch.device) -> PrecisionPlan:
    """Return how to compute on `device` when auto, fp32, tf32, bf16, fp16 or fp64 is asked for.

    MissingError when the device does not compute so.
    """
    return plan_precision(name, arithmetic_of(device))


def plan_precision(name: str, there: Arithmetic) -> PrecisionPlan:
    """Decide for `precision_of`, which asks the device."""
    import torch

    wanted = name if name != "auto" else "bf16" if there.kind == "cuda" and there.has_bf16 else "fp32"
    reason = _refusal(wanted, there)
    if reason is not None:
        raise MissingError(f"train.precision: {wanted}: {reason}")
    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return PrecisionPlan(
        autocast_dtype=types.get(wanted),
        needs_scaler=wanted == "fp16",
        is_double=wanted == "fp64",
        is_tf32=wanted == "tf32",
    )


def _refusal(wanted: str, there: Arithmetic) -> str | None:
    if wanted == "fp32":
        return None
    if there.kind == "mps":
        return "tuner trains in fp32 on an Apple GPU; use auto or fp32"
    if wanted == "tf32" and not there.has_tf32:
        return "only NVIDIA cards from compute capability 8.0 (Ampere) on have it; use auto or fp32"
    if wanted == "bf16" and not there.has_bf16:
        return "this card has no bf16 arithmetic; use auto, fp32 or fp16"
    return None


def stored_precision(name: str) -> PrecisionPlan:
    """The arithmetic of weights that were trained in `name`, on any device: to evaluate them no more is needed."""
    return PrecisionPlan(autocast_dtype=None, needs_scaler=False, is_double=name == "fp64")


def arithmetic_of(device: torch.device) -> Arithmetic:
    """Ask the device."""
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            has_bf16 = bool(torch.cuda.is_bf16_supported(including_emulation=False))
        has_tf32 = torch.version.cuda is not None and torch.cuda.get_device_capability(device) >= AMPERE
        return Arithmetic(kind="cuda", has_bf16=has_bf16, has_tf32=has_tf32)
    has_bf16 = device.type == "cpu" or (device.type == "xpu" and bool(torch.xpu.is_bf16_supported()))
    return Arithmetic(kind=device.type, has_bf16=has_bf16)


AMPERE = (8, 0)


def set_products(plan: PrecisionPlan, device: torch.device) -> None:
    """Let this process compute products in fp32 or tf32, as the plan has it.

    torch's setting is one for the process, and its default is tf32 for convolutions alone; so it stays for a plan that
    is neither of the two.
    """
    import torch

    if device.type != "cuda":
        return
    torch.backends.cuda.matmul.fp32_precision = "tf32" if plan.is_tf32 else "ieee"
    others = "ieee" if plan.name == "fp32" else "tf32"
    torch.backends.cudnn.conv.fp32_precision = others  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = others  # type: ignore[attr-defined]


def _not_there(name: str, there: Available) -> str:
    message = f"{name} is not there; this machine has {', '.join(there.names())}. Use auto, or one of these"
    if not name.startswith("cuda") or there.kind == "cuda":
        return message
    return f"{message}; when it does have an NVIDIA card, `nvidia-smi` and `tuner doctor` tell what is missing"
