"""What is known of single operations when the steps of several lanes are merged into one."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.training.tape import Instruction, TapeError

RANDOM = "aten::random_.from"
"""The one random operation that lanes repeat, each with its own generator: the bits of a mask (models/layers.py)."""

ELEMENTWISE = frozenset(
    f"aten::{name}"
    for name in (
        *("relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "neg", "empty_like", "ones_like", "zeros_like"),
        *("gelu_backward", "silu_backward", "tanh_backward", "sigmoid_backward", "leaky_relu_backward"),
        *("threshold_backward", "mul.Tensor", "add.Tensor", "sub.Tensor", "div.Tensor", "div_.Scalar", "mul.Scalar"),
        *("lt.Scalar", "_to_copy", "view.dtype"),
    )
)
"""Steps whose stacked form is the same step."""

ROUNDED = frozenset(
    f"aten::{name}{suffix}" for name in ("gelu", "silu", "tanh", "sigmoid") for suffix in ("", "_backward")
)
"""Elementwise steps with a form for vectors and another one for what is left at an end."""

WITH_NUMBERS = {
    "aten::div_.Scalar": "div_",
    "aten::mul.Scalar": "mul",
    "aten::mul.Tensor": "mul",
    "aten::div.Tensor": "div",
    "aten::lt.Scalar": "lt",
}
"""Methods that take a tensor [T, 1, ...] where each lane has a number of its own."""


class MergeError(TapeError):
    """The tapes are not the same steps, or a lane cannot repeat one."""


def depends_on_memory(step: Instruction) -> bool:
    """Whether its bits may depend on where its arguments begin; of views what is made of them may."""
    return step.name not in ELEMENTWISE or is_rounded(step)


def is_rounded(step: Instruction) -> bool:
    """Whether an elementwise step may round a value otherwise where it is at the end of its memory."""
    return step.name in ROUNDED or step.kwargs.get("alpha", 1) != 1


def numbers_that_differ(steps: Sequence[Instruction]) -> dict[int, list[float]]:
    """Positions of numbers that differ between lanes (a dropout rate); MergeError when anything else does."""
    first = steps[0]
    found: dict[int, list[float]] = {}
    for step in steps[1:]:
        if (step.op, step.outputs, len(step.args)) != (first.op, first.outputs, len(first.args)):
            raise MergeError(f"one lane does {first.name} where another does {step.name}")
        if step.kwargs != first.kwargs:
            raise MergeError(f"{first.name} has other arguments in another lane")
    for position, value in enumerate(first.args):
        values = [step.args[position] for step in steps]
        if all(other == value for other in values):
            continue
        if not all(isinstance(other, (int, float)) for other in values):
            raise MergeError(f"{first.name} has other arguments in another lane")
        found[position] = values
    return found
