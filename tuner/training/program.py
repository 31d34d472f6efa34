"""A tape made into a Python function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tuner.training.tape import VIEWS, Instruction, Slot, Tape, last_uses

Results = tuple[Any, ...]


class Source:
    """Lines of a function, and what its names stand for."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.names: dict[str, Any] = {}
        self._lines = [f"def program({', '.join(arguments)}):"]

    def constant(self, value: Any) -> str:
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name

    def line(self, text: str) -> None:
        self._lines.append("    " + text)

    def literal(self, value: Any, name_of: Callable[[int], str]) -> str:
        """A value as source; slots by their names."""
        if isinstance(value, Slot):
            return name_of(value.index)
        if isinstance(value, (tuple, list)):
            return "[" + ", ".join(self.literal(item, name_of) for item in value) + "]"
        if value is None or isinstance(value, (bool, int)):
            return repr(value)
        return self.constant(value)

    def call(self, instruction: Instruction, name_of: Callable[[int], str], args: Sequence[Any] | None = None) -> str:
        positional = [self.literal(value, name_of) for value in (instruction.args if args is None else args)]
        named = [f"{key}={self.literal(value, name_of)}" for key, value in instruction.kwargs.items()]
        # The builtin below the OpOverload: 0.6 us less a call.
        return f"{self.constant(instruction.op._op)}({', '.join([*positional, *named])})"  # noqa: SLF001

    def compile(self) -> Callable[..., Results]:
        # Source made here from operations alone; the standard library makes namedtuples and dataclasses so.
        exec("\n".join(self._lines), self.names)  # noqa: S102
        function: Callable[..., Results] = self.names["program"]
        return function


def single_program(tape: Tape, persistent: Sequence[Tensor]) -> Callable[..., Results]:
    """A function of the changing inputs that does what was recorded; `persistent` have the recorded shapes."""
    source = Source([f"t{slot}" for slot in range(tape.n_persistent, tape.n_inputs)])
    source.names.update({f"t{slot}": tensor for slot, tensor in enumerate(persistent)})
    fixed, last = set(range(tape.n_persistent)), last_uses(tape)
    for number, instruction in enumerate(tape.instructions):
        if instruction.name in VIEWS and set(instruction.slots()) <= fixed:
            slot = _only_output(instruction)
            source.names[f"t{slot}"] = _view_now(instruction, source)
            fixed.add(slot)
            continue
        if instruction.name == "aten::ones_like" and not tape.changes(_only_output(instruction)):
            # Where backward begins: 5 us for a number that is the same at every step.
            slot = _only_output(instruction)
            source.names[_name(slot)] = torch.ones(tape.metas[slot].shape, dtype=tape.metas[slot].dtype)
            fixed.add(slot)
            continue
        call = source.call(instruction, _name)
        source.line(f"{_targets(instruction, fixed)}{call}")
        dead = {slot for slot in (*instruction.slots(), *tensors_of(instruction)) if last.get(slot) == number} - fixed
        if dead:
            source.line("del " + ", ".join(_name(slot) for slot in sorted(dead)))
    source.line(f"return ({', '.join('None' if slot is None else _name(slot) for slot in tape.outputs)},)")
    return source.compile()


def _name(slot: int) -> str:
    return f"t{slot}"


def tensors_of(instruction: Instruction) -> list[int]:
    return [slot for slot in instruction.outputs if slot is not None]


def _only_output(instruction: Instruction) -> int:
    (slot,) = instruction.outputs
    assert slot is not None, "a view is a tensor"
    return slot


def _view_now(instruction: Instruction, source: Source) -> Tensor:
    args = [source.names[_name(arg.index)] if isinstance(arg, Slot) else arg for arg in instruction.args]
    view: Tensor = instruction.op(*args, **instruction.kwargs)
    return view


def _targets(instruction: Instruction, fixed: set[int]) -> str:
    """Where the results go; weights and buffers, changed in place, keep their names."""
    names = ["_" if slot is None or slot in fixed else _name(slot) for slot in instruction.outputs]
    if not names:
        return ""
    return f"({', '.join(names)},) = " if instruction.returns_several else f"{names[0]} = "
