"""The tapes of several runs ("lanes") of one shape, merged into one function.

An operation of all lanes is one operation on stacked tensors where torch gives the same bits for both, which is so for
the products, sums and elementwise functions of a network (T products stacked in baddbmm are, to the bit, T calls of
addmm; tests/test_training_lanes.py holds it), and a call a lane where it is not. So the numbers of a lane do not depend
on its company: it can be paused, resumed alone, and put among others.

T lanes, B batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tuner.training.program import Results, Source, tensors_of
from tuner.training.tape import Instruction, Meta, Slot, Tape, TapeError

SMALL = 2**14
"""Values of one lane up to which stacking what exists a lane at a time costs less than T calls."""
RANDOM = "aten::random_.from"
"""The one random operation that lanes repeat, each with its own generator: the bits of a mask (models/layers.py)."""


class MergeError(TapeError):
    """The tapes are not the same steps, or a lane cannot repeat one."""


@dataclass(slots=True)
class Forms:
    """How the values of a slot exist: stacked in one tensor, as a list with one a lane, or both."""

    stacked: bool = False
    listed: bool = False
    shared: bool = False
    """Whether the list holds views of the stacked tensor: then a change in place of one is a change of the other."""


@dataclass(slots=True, kw_only=True)
class Writer:
    """Writes the function, an instruction at a time."""

    tapes: Sequence[Tape]
    generators: Sequence[torch.Generator]
    source: Source
    forms: dict[int, Forms] = field(default_factory=dict)

    @property
    def n_lanes(self) -> int:
        return len(self.tapes)

    def shape(self, slot: int) -> tuple[int, ...]:
        return self.tapes[0].metas[slot].shape

    def stacked(self, slot: int) -> str:
        form = self.forms[slot]
        if not form.stacked:
            self.source.line(f"s{slot} = {self.source.constant(torch.stack)}(l{slot})")
            form.stacked, form.shared = True, False
        return f"s{slot}"

    def listed(self, slot: int) -> str:
        form = self.forms[slot]
        if not form.listed:
            self.source.line(f"l{slot} = s{slot}.unbind(0)")
            form.listed, form.shared = True, True
        return f"l{slot}"

    def put(self, slot: int, expression: str) -> None:
        """The stacked form of a slot; a list that was there before is out of date."""
        if slot < self.tapes[0].n_persistent:  # changed in place; its names stand for all steps
            self.source.line(expression)
            return
        self.source.line(f"s{slot} = {expression}")
        self.forms[slot] = Forms(stacked=True)

    def write(self, number: int) -> None:
        steps = [tape.instructions[number] for tape in self.tapes]
        numbers = numbers_that_differ(steps)
        rule = RULES.get(steps[0].name)
        if rule is None or not self._suits(steps[0]) or not rule(self, steps[0], numbers):
            self._a_lane_at_a_time(steps)

    def _suits(self, instruction: Instruction) -> bool:
        """Whether all inputs are stacked, or cheap to stack; elementwise steps follow what they are given."""
        lists = [slot for slot in instruction.slots() if not self.forms[slot].stacked and self.shape(slot)]
        if lists and RULES[instruction.name] is elementwise:
            return False
        return all(torch.Size(self.shape(slot)).numel() <= SMALL for slot in lists)

    def _a_lane_at_a_time(self, steps: Sequence[Instruction]) -> None:
        first = steps[0]
        given, first_changing = set(first.slots()), self.tapes[0].n_persistent
        for slot in sorted(given):
            self.listed(slot)
        calls = ", ".join(self._call_of_lane(step, lane) for lane, step in enumerate(steps))
        if first.returns_several:
            self.source.line(f"r = [{calls}]")
        for position, output in enumerate(first.outputs):
            if output is None:
                continue
            if output < first_changing:  # changed in place
                if not first.returns_several:
                    self.source.line(calls)
                continue
            listed = f"[q[{position}] for q in r]" if first.returns_several else f"[{calls}]"
            self.source.line(f"l{output} = {listed}")
            if output in given:
                self.forms[output].stacked = self.forms[output].stacked and self.forms[output].shared
            else:
                self.forms[output] = Forms(listed=True)
        for slot in given - set(tensors_of(first)):  # a step in place that returns something else
            self.forms[slot].stacked = self.forms[slot].stacked and (self.forms[slot].shared or not first.is_in_place)

    def _call_of_lane(self, step: Instruction, lane: int) -> str:
        if step.is_random:
            if step.name != RANDOM:
                raise MergeError(f"{step.name} draws random numbers in a way that lanes cannot repeat")
            step = dataclasses.replace(step, kwargs={**step.kwargs, "generator": self.generators[lane]})
        return self.source.call(step, lambda slot: f"l{slot}[{lane}]")


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


def lanes_program(
    tapes: Sequence[Tape], persistent_T: Sequence[Tensor], generators: Sequence[torch.Generator]
) -> Callable[..., Results]:
    """A function of the changing inputs, each stacked [T, ...], that returns one sequence over the lanes an output.

    `persistent_T` are the weights and buffers of all lanes, stacked. Lane t draws from `generators[t]` what a run alone
    draws from the default one. Raises MergeError when the lanes' tapes do not go together.
    """
    first = tapes[0]
    for tape in tapes[1:]:
        if (len(tape.instructions), tape.outputs) != (
            len(first.instructions),
            first.outputs,
        ) or tape.metas != first.metas:
            raise MergeError("the lanes have different shapes")
    changing = range(first.n_persistent, first.n_inputs)
    source = Source([f"s{slot}" for slot in changing])
    writer = Writer(tapes=tapes, generators=generators, source=source)
    for slot, tensor in enumerate(persistent_T):
        source.names[f"s{slot}"], source.names[f"l{slot}"] = tensor, tensor.unbind(0)
        writer.forms[slot] = Forms(stacked=True, listed=True, shared=True)
    for slot in changing:
        writer.forms[slot] = Forms(stacked=True)
    for number in range(len(first.instructions)):
        writer.write(number)
    outputs = ["None" if slot is None else writer.listed(slot) for slot in first.outputs]
    source.line(f"return ({', '.join(outputs)},)")
    return source.compile()


# ---------------------------------------------------------------------------------------------------------------- rules

Rule = Callable[[Writer, Instruction, dict[int, list[float]]], bool]
"""Write one stacked call and return True, or return False when this use of the operation has none."""


def elementwise(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    """Shorter shapes get axes after the lanes', as broadcasting would give them before."""
    slots = [arg.index for arg in step.args if isinstance(arg, Slot)]
    n_axes = max(len(writer.shape(slot)) for slot in slots)
    output = tensors_of(step)[0]
    names = {slot: _aligned(writer, slot, n_axes) for slot in slots}
    if not numbers:
        writer.put(output, writer.source.call(step, lambda slot: names[slot]))
        return True
    method = WITH_NUMBERS.get(step.name)
    if method is None or list(numbers) != [1]:
        return False
    dtype = writer.tapes[0].metas[slots[0]].dtype
    value = torch.tensor(numbers[1], dtype=dtype).reshape(-1, *(1,) * n_axes)
    writer.put(output, f"{names[slots[0]]}.{method}({writer.source.constant(value)})")
    return True


def _aligned(writer: Writer, slot: int, n_axes: int) -> str:
    missing = n_axes - len(writer.shape(slot))
    return writer.stacked(slot) + ".unsqueeze(1)" * missing


def _same_for_all(
    arguments: Callable[[Writer, Instruction], Sequence[Any] | None],
) -> Rule:
    """The same operation with other arguments; `arguments` None where it does not suit."""

    def rule(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
        args = None if numbers else arguments(writer, step)
        if args is None:
            return False
        writer.put(tensors_of(step)[0], writer.source.call(step, writer.stacked, args))
        return True

    return rule


def _made(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    """A new tensor, of which each lane gets one."""
    if numbers:
        return False
    args = ([writer.n_lanes, *step.args[0]], *step.args[1:])
    writer.put(tensors_of(step)[0], writer.source.call(step, writer.stacked, args))
    return True


def _sliced(_writer: Writer, step: Instruction) -> Sequence[Any]:
    x, dim, *rest = step.args
    return (x, _later(dim), *rest)


def _later(dim: int) -> int:
    return dim + 1 if dim >= 0 else dim


def _shaped(writer: Writer, step: Instruction) -> Sequence[Any]:
    return (step.args[0], [writer.n_lanes, *step.args[1]])


def _viewed(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    """A view where memory allows it, as it did alone: stacking what was transposed puts it into another order."""
    if numbers:
        return False
    shape = [writer.n_lanes, *step.args[1]]
    writer.put(tensors_of(step)[0], f"{writer.stacked(step.args[0].index)}.reshape({shape})")
    return True


def _expanded(writer: Writer, step: Instruction) -> Sequence[Any] | None:
    same_rank = len(step.args[1]) == len(writer.shape(step.args[0].index))
    return (step.args[0], [writer.n_lanes, *step.args[1]]) if same_rank and len(step.args) == 2 else None  # noqa: PLR2004


def _along(_writer: Writer, step: Instruction) -> Sequence[Any]:
    """(x, dims or dim, ...)."""
    where = step.args[1]
    return (step.args[0], [_later(dim) for dim in where] if isinstance(where, list) else _later(where), *step.args[2:])


def _log_softmax_backward(_writer: Writer, step: Instruction) -> Sequence[Any]:
    grad, output, dim, dtype = step.args
    return (grad, output, _later(dim), dtype)


def _swapped(_writer: Writer, step: Instruction) -> Sequence[Any]:
    return (step.args[0], _later(step.args[1]), _later(step.args[2]))


def _transpose(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    slot = step.args[0].index
    if len(writer.shape(slot)) != 2:  # noqa: PLR2004 - the transpose of a vector is itself
        return False
    writer.put(tensors_of(step)[0], f"{writer.stacked(slot)}.mT")
    return True


def _addmm(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    slots = [arg.index for arg in step.args if isinstance(arg, Slot)]
    metas = tuple(writer.tapes[0].metas[slot] for slot in slots)
    is_plain = len(slots) == len(step.args) and not step.kwargs and len(metas[0].shape) == 1
    if not is_plain or not stacks_exactly(torch.addmm, _stacked_addmm, metas, writer.n_lanes):
        return False
    product = writer.source.constant(_stacked_addmm)
    writer.put(tensors_of(step)[0], f"{product}({', '.join(map(writer.stacked, slots))})")
    return True


def _stacked_addmm(bias_T: Tensor, left_T: Tensor, right_T: Tensor) -> Tensor:
    return torch.baddbmm(bias_T.unsqueeze(1), left_T, right_T)


def _mm(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    slots = [arg.index for arg in step.args]
    metas = tuple(writer.tapes[0].metas[slot] for slot in slots)
    if not stacks_exactly(torch.mm, torch.bmm, metas, writer.n_lanes):
        return False
    writer.put(tensors_of(step)[0], f"{writer.source.constant(torch.bmm)}({', '.join(map(writer.stacked, slots))})")
    return True


@functools.lru_cache(maxsize=1024)
def stacks_exactly(
    alone: Callable[..., Tensor], together: Callable[..., Tensor], metas: tuple[Meta, ...], n_lanes: int
) -> bool:
    """Whether a stacked product has the bits of a call a lane, for these shapes, with the libraries of this machine.

    Mostly so; not where a side is 1, since a product with a vector is another routine. It is tried on random numbers:
    another order of summation shows in some of thousands of sums.
    """
    generator = torch.Generator().manual_seed(0)
    stacks = [_random(meta, n_lanes, generator) for meta in metas]
    expected = [alone(*lane) for lane in zip(*stacks, strict=True)]
    return torch.equal(together(*stacks), torch.stack(expected))


def _random(meta: Meta, n_lanes: int, generator: torch.Generator) -> Tensor:
    n_values = torch.Size(meta.shape).numel()
    values = torch.randn(n_lanes * n_values, generator=generator, dtype=meta.dtype)
    return values.as_strided((n_lanes, *meta.shape), (n_values, *meta.strides))


def _nll_loss_backward(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    """Mean over the rows, classes unweighted: -(gradient / rows) where the class is, else 0."""
    grad, scores, classes, weight, reduction, _, total = step.args
    if weight is not None or reduction != 1 or len(writer.shape(classes.index)) != 1:
        return False
    value = f"({writer.stacked(grad.index)} / {writer.stacked(total.index)}).neg_()"
    index = f"{writer.stacked(classes.index)}.unsqueeze(2)"
    zeros = f"{writer.source.constant(torch.zeros_like)}({writer.stacked(scores.index)})"
    writer.put(tensors_of(step)[0], f"{zeros}.scatter_(2, {index}, {value}.reshape(-1, 1, 1).expand_as({index}))")
    return True


WITH_NUMBERS = {
    "aten::div_.Scalar": "div_",
    "aten::mul.Scalar": "mul",
    "aten::mul.Tensor": "mul",
    "aten::div.Tensor": "div",
    "aten::lt.Scalar": "lt",
}
"""Methods that take a tensor [T, 1, ...] where each lane has a number of its own."""

RULES: dict[str, Rule] = {
    **{
        f"aten::{name}": elementwise
        for name in (
            *("relu", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "neg", "empty_like", "ones_like", "zeros_like"),
            *("gelu_backward", "silu_backward", "tanh_backward", "sigmoid_backward", "leaky_relu_backward"),
            *(
                "threshold_backward",
                "mul.Tensor",
                "add.Tensor",
                "sub.Tensor",
                "div.Tensor",
                "div_.Scalar",
                "mul.Scalar",
                "lt.Scalar",
                "_to_copy",
                "view.dtype",
            ),
        )
    },
    "aten::empty.memory_format": _made,
    "aten::slice.Tensor": _same_for_all(_sliced),
    "aten::view": _viewed,
    "aten::_unsafe_view": _same_for_all(_shaped),
    "aten::expand": _same_for_all(_expanded),
    "aten::sum.dim_IntList": _same_for_all(_along),
    "aten::_log_softmax": _same_for_all(_along),
    "aten::_log_softmax_backward_data": _same_for_all(_log_softmax_backward),
    "aten::transpose.int": _same_for_all(_swapped),
    "aten::t": _transpose,
    "aten::addmm": _addmm,
    "aten::mm": _mm,
    "aten::nll_loss_backward": _nll_loss_backward,
}
"""Operations whose stacked form has, to the bit, the results of a call a lane."""
