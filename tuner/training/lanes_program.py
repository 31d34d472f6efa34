"""The tapes of several runs ("lanes") of one shape, merged into one function.

An operation of all lanes is one operation on stacked tensors where torch gives the same bits for both, which is so for
the products, sums and elementwise functions of a network (T products stacked in baddbmm are, to the bit, T calls of
addmm; tests/test_training_lanes.py holds it), and a call a lane where it is not. What depends on where its arguments
begin in memory gets them where they would be without company (`tuner.training.lane_memory`). So the numbers of a lane
do not depend on the others: it can be paused, resumed alone, and put among others.

T lanes, B batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tuner.data.batches import ALIGNED_BYTES
from tuner.training.lane_memory import VECTORS_BYTES, Operand, fills, stacks_exactly
from tuner.training.lane_steps import (
    ELEMENTWISE,
    RANDOM,
    WITH_NUMBERS,
    MergeError,
    depends_on_memory,
    is_rounded,
    numbers_that_differ,
)
from tuner.training.program import Results, Source, tensors_of
from tuner.training.tape import Instruction, Slot, Tape

SMALL = 2**14
"""Values of one lane up to which stacking what exists a lane at a time costs less than T calls."""


@dataclass(slots=True)
class Forms:
    """How the values of a slot exist: stacked in one tensor, as a list with one a lane, or both."""

    stacked: bool = False
    listed: bool = False
    shared: bool = False
    """Whether the list holds views of the stacked tensor: then a change in place of one is a change of the other."""
    aligned: bool = False
    """Whether every lane of the stacked tensor begins where it would in memory of its own."""


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
            form.stacked, form.shared, form.aligned = True, False, self.fills(slot)
        return f"s{slot}"

    def listed(self, slot: int, *, in_own_memory: bool = False) -> str:
        form = self.forms[slot]
        if not form.listed:
            self.source.line(f"l{slot} = s{slot}.unbind(0)")
            form.listed, form.shared = True, True
        if in_own_memory and form.shared and not form.aligned:
            self.source.line(f"l{slot} = [lane.clone() for lane in l{slot}]")
            form.shared = False
        return f"l{slot}"

    def fills(self, slot: int, n_bytes: int = ALIGNED_BYTES) -> bool:
        """Whether the values of a lane fill whole vectors."""
        return fills(self.tapes[0].metas[slot], n_bytes)

    def operand(self, slot: int) -> Operand:
        form = self.forms[slot]
        return Operand(meta=self.tapes[0].metas[slot], is_stacked=form.stacked, is_aligned=form.aligned)

    def put(self, slot: int, expression: str, *, aligned: bool | None = None) -> None:
        """The stacked form of a slot; a list that was there before is out of date.

        `aligned` is given where it is a view, whose lanes lie as those of another slot.
        """
        if slot < self.tapes[0].n_persistent:  # changed in place; its names stand for all steps
            self.source.line(expression)
            return
        self.source.line(f"s{slot} = {expression}")
        if aligned is None:
            aligned = self.forms[slot].aligned if slot in self.forms else self.fills(slot)
        self.forms[slot] = Forms(stacked=True, aligned=aligned)

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
            self.listed(slot, in_own_memory=depends_on_memory(first) and slot not in first.outputs)
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


def lanes_program(
    tapes: Sequence[Tape],
    persistent_T: Sequence[Tensor],
    generators: Sequence[torch.Generator],
    *,
    results_in_own_memory: bool = False,
) -> Callable[..., Results]:
    """A function of the changing inputs, each stacked [T, ...], that returns one sequence over the lanes an output.

    `persistent_T` are the weights and buffers of all lanes, as `stacked_apart` stacks them. Lane t draws from
    `generators[t]` what a run alone draws from the default one. `results_in_own_memory` is for optimizers that may do
    more with gradients than go through them. Raises MergeError when the lanes' tapes do not go together.
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
        writer.forms[slot] = Forms(stacked=True, listed=True, shared=True, aligned=True)
    for slot in changing:
        writer.forms[slot] = Forms(stacked=True, aligned=writer.fills(slot))
    for number in range(len(first.instructions)):
        writer.write(number)
    outputs = [
        "None" if slot is None else writer.listed(slot, in_own_memory=results_in_own_memory) for slot in first.outputs
    ]
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
    if is_rounded(step) and not all(writer.fills(slot, VECTORS_BYTES) for slot in slots):
        return False
    names = {slot: _with_axes(writer, slot, n_axes) for slot in slots}
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


def _with_axes(writer: Writer, slot: int, n_axes: int) -> str:
    missing = n_axes - len(writer.shape(slot))
    return writer.stacked(slot) + ".unsqueeze(1)" * missing


def _same_for_all(arguments: Callable[[Writer, Instruction], Sequence[Any] | None], *, is_view: bool = False) -> Rule:
    """The same operation with other arguments; `arguments` None where it does not suit."""

    def rule(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
        args = None if numbers else arguments(writer, step)
        if args is None:
            return False
        call = writer.source.call(step, writer.stacked, args)
        writer.put(tensors_of(step)[0], call, aligned=writer.forms[step.args[0].index].aligned if is_view else None)
        return True

    return rule


def _made(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    """A new tensor, of which each lane gets one."""
    if numbers:
        return False
    args = ([writer.n_lanes, *step.args[0]], *step.args[1:])
    writer.put(tensors_of(step)[0], writer.source.call(step, writer.stacked, args))
    return True


def _sliced(writer: Writer, step: Instruction) -> Sequence[Any] | None:
    """A part that begins within memory, or has gaps, is taken of lanes that lie as they would alone."""
    x, dim, *rest = step.args
    is_beginning = dim == 0 and not (rest and rest[0])
    return (x, _later(dim), *rest) if is_beginning or writer.operand(x.index).is_aligned else None


def _later(dim: int) -> int:
    return dim + 1 if dim >= 0 else dim


def _shaped(writer: Writer, step: Instruction) -> Sequence[Any]:
    return (step.args[0], [writer.n_lanes, *step.args[1]])


def _viewed(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    """A view where memory allows it, as it did alone: stacking what was transposed puts it into another order."""
    if numbers:
        return False
    slot, shape = step.args[0].index, [writer.n_lanes, *step.args[1]]
    whole = writer.stacked(slot)
    writer.put(
        tensors_of(step)[0], f"{whole}.reshape({shape})", aligned=writer.forms[slot].aligned and writer.fills(slot)
    )
    return True


def _expanded(writer: Writer, step: Instruction, numbers: dict[int, list[float]]) -> bool:
    slot, shape = step.args[0].index, [writer.n_lanes, *step.args[1]]
    if numbers or len(step.args) > 2 or len(step.args[1]) != len(writer.shape(slot)):  # noqa: PLR2004
        return False
    # A repeated value is read one at a time, and a copy of it would be another thing in memory.
    writer.put(tensors_of(step)[0], f"{writer.stacked(slot)}.expand({shape})", aligned=True)
    return True


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
    whole = writer.stacked(slot)
    writer.put(tensors_of(step)[0], f"{whole}.mT", aligned=writer.forms[slot].aligned)
    return True


def _addmm(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    slots = [arg.index for arg in step.args if isinstance(arg, Slot)]
    is_plain = len(slots) == len(step.args) and not step.kwargs and len(writer.shape(slots[0])) == 1
    operands = tuple(map(writer.operand, slots))
    if not is_plain or not stacks_exactly(torch.addmm, _stacked_addmm, operands, writer.n_lanes):
        return False
    product = writer.source.constant(_stacked_addmm)
    writer.put(tensors_of(step)[0], f"{product}({', '.join(map(writer.stacked, slots))})")
    return True


def _stacked_addmm(bias_T: Tensor, left_T: Tensor, right_T: Tensor) -> Tensor:
    return torch.baddbmm(bias_T.unsqueeze(1), left_T, right_T)


def _mm(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    slots = [arg.index for arg in step.args]
    if not stacks_exactly(torch.mm, torch.bmm, tuple(map(writer.operand, slots)), writer.n_lanes):
        return False
    writer.put(tensors_of(step)[0], f"{writer.source.constant(torch.bmm)}({', '.join(map(writer.stacked, slots))})")
    return True


def _nll_loss_backward(writer: Writer, step: Instruction, _numbers: dict[int, list[float]]) -> bool:
    """Mean over the rows that count, classes unweighted: -(gradient / rows) where the class is, else 0."""
    grad, scores, classes, weight, reduction, ignored, total = step.args
    if weight is not None or reduction != 1 or len(writer.shape(classes.index)) != 1:
        return False
    value = f"({writer.stacked(grad.index)} / {writer.stacked(total.index)}).neg_().reshape(-1, 1, 1)"
    index = f"{writer.stacked(classes.index)}.unsqueeze(2)"
    zeros = f"{writer.source.constant(torch.zeros_like)}({writer.stacked(scores.index)})"
    if classes.index < writer.tapes[0].n_inputs:  # the data's classes as they are: all of them count
        filled = f"{zeros}.scatter_(2, {index}, {value}.expand_as({index}))"
    else:
        filled = f"{writer.source.constant(_filled)}({zeros}, {index}, {value}, {ignored})"
    writer.put(tensors_of(step)[0], filled)
    return True


def _filled(zeros_TBK: Tensor, class_TB1: Tensor, value_T11: Tensor, ignored: int) -> Tensor:
    """Zeros with the value where the class is; tokens that are ignored have none."""
    counts_TB1 = class_TB1 != ignored
    return zeros_TBK.scatter_(2, class_TB1 * counts_TB1, torch.where(counts_TB1, value_T11, 0.0))


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    "aten::empty.memory_format": _made,
    "aten::slice.Tensor": _same_for_all(_sliced, is_view=True),
    "aten::view": _viewed,
    "aten::_unsafe_view": _same_for_all(_shaped, is_view=True),
    "aten::expand": _expanded,
    "aten::sum.dim_IntList": _same_for_all(_along),
    "aten::_log_softmax": _same_for_all(_along),
    "aten::_log_softmax_backward_data": _same_for_all(_log_softmax_backward),
    "aten::transpose.int": _same_for_all(_swapped, is_view=True),
    "aten::t": _transpose,
    "aten::addmm": _addmm,
    "aten::mm": _mm,
    "aten::nll_loss_backward": _nll_loss_backward,
}
"""Operations whose stacked form has, to the bit, the results of a call a lane."""
