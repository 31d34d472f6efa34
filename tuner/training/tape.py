"""A training step as a list of torch's operations, recorded once and replayed without autograd.

A small network spends more time in autograd's bookkeeping than in arithmetic: forward and backward of an MLP
784-32-32-10 on 32 rows take 237 us through autograd and 141 us replayed, 398 and 292 us at width 128 (torch 2.15, one
core of an AMD EPYC, best of 5 x 100). A replay runs the very operations of the recorded step in the same order, so its
numbers are the same to the bit. Python code of the model does not run again: only models that do the same at every step
may be recorded, which those of `tuner.models` do and a user's need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ALIASES = frozenset({"aten::detach", "aten::alias"})
"""Operations that give their argument again, which a replay leaves out."""
VIEWS = frozenset({"aten::t", "aten::transpose.int", "aten::view", "aten::unsqueeze", "aten::expand", "aten::permute"})
"""Views; those of weights and buffers, which are changed in place, are made once."""

WITH_DROPOUT = {"aten::_scaled_dot_product_flash_attention_for_cpu": 3}
"""Operations that draw only where they have a rate of dropout, and its place among their arguments."""


class TapeError(Exception):
    """The step cannot be replayed, since it depends on something that a tape does not hold."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one tensor on a tape."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What is fixed about the tensor in a slot."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> Meta:
        return cls(shape=tuple(tensor.shape), strides=tensor.stride(), dtype=tensor.dtype)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One operation; tensors among its arguments are slots."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[int | None, ...]
    """Slots of its outputs; None for an output that is no tensor."""
    returns_several: bool

    @property
    def name(self) -> str:
        return str(self.op._schema.name) + (f".{self.op._overloadname}" if self.op._overloadname != "default" else "")  # noqa: SLF001

    @property
    def is_random(self) -> bool:
        is_quiet = self.name in WITH_DROPOUT and self.args[WITH_DROPOUT[self.name]] == 0.0
        return torch.Tag.nondeterministic_seeded in self.op.tags and not is_quiet

    @property
    def is_in_place(self) -> bool:
        return bool(self.op._schema.is_mutable)  # noqa: SLF001

    def slots(self) -> Iterator[int]:
        yield from _slots((self.args, dict(self.kwargs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tape:
    """A recorded step: instructions over slots, of which the first are the inputs."""

    instructions: tuple[Instruction, ...]
    n_persistent: int
    """Inputs 0 to n_persistent - 1 are the same tensors at every step (weights and buffers); the rest change."""
    n_inputs: int
    outputs: tuple[int | None, ...]
    """Slots of what the step returns; None for what it returned as None."""
    metas: Mapping[int, Meta]

    def changes(self, slot: int) -> bool:
        """Whether a later step writes to this slot in place."""
        return any(step.is_in_place and slot in step.slots() for step in self.instructions)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation below autograd; what it holds keeps the tensors alive, so that an id means one tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch asks, and would import its compiler (5 s) at the first operation in order to be left alone by it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result


def record(
    step: Callable[[], Sequence[Tensor | None]], *, persistent: Sequence[Tensor], changing: Sequence[Tensor]
) -> tuple[Tape, list[Tensor | None]]:
    """Run `step` once and return its tape and what it returned.

    `persistent` and `changing` are all tensors that it starts from. Raises TapeError when it used another one, or read
    a value back to Python.
    """
    with _Recorder() as recorder:
        results = list(step())
    builder = _Builder([*persistent, *changing])
    for call in recorder.calls:
        builder.add(*call)
    tape = Tape(
        instructions=tuple(builder.instructions),
        n_persistent=len(persistent),
        n_inputs=len(persistent) + len(changing),
        outputs=tuple(None if result is None else builder.slot_of(result) for result in results),
        metas=builder.metas,
    )
    return tape, results


class _Builder:
    """Gives slots to tensors, in the order of the calls."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        self._slots = {id(tensor): index for index, tensor in enumerate(inputs)}
        self._count = len(inputs)
        self.metas = {index: Meta.of(tensor) for index, tensor in enumerate(inputs)}
        self.instructions: list[Instruction] = []

    def slot_of(self, tensor: Tensor) -> int:
        slot = self._slots.get(id(tensor))
        if slot is None:
            raise TapeError(f"a tensor of shape {tuple(tensor.shape)} was made outside the step")
        return slot

    def add(self, op: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        name = str(op._schema.name)  # noqa: SLF001
        if name == "aten::_local_scalar_dense":
            raise TapeError("the step reads a value back to Python")
        if name in ALIASES:
            self._slots[id(result)] = self.slot_of(args[0])
            return
        held_args, held_kwargs = self._hold(_with_defaults(op, args, kwargs)), self._hold(kwargs)
        several = isinstance(result, (tuple, list))
        outputs = tuple(self._output(item) for item in (result if several else (result,)))
        self.instructions.append(
            Instruction(op=op, args=held_args, kwargs=held_kwargs, outputs=outputs, returns_several=several)
        )

    def _output(self, item: Any) -> int | None:
        if not isinstance(item, Tensor):
            if item is not None:
                raise TapeError(f"an operation returned {type(item).__name__}")
            return None
        if id(item) not in self._slots:  # an operation in place returns what it was given
            self._slots[id(item)] = self._count
            self.metas[self._count] = Meta.of(item)
            self._count += 1
        return self._slots[id(item)]

    def _hold(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return Slot(self.slot_of(value))
        if isinstance(value, (tuple, list)):
            return tuple(self._hold(item) for item in value) if isinstance(value, tuple) else [*map(self._hold, value)]
        if isinstance(value, dict):
            return {key: self._hold(item) for key, item in value.items()}
        return value


def _with_defaults(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """All positional arguments: a dropout rate of 0.5, the default of `bernoulli_`, is left out of a call."""
    missing = [argument for argument in op._schema.arguments[len(args) :] if not argument.kwarg_only]  # noqa: SLF001
    if any(argument.name in kwargs or not argument.has_default_value() for argument in missing):
        return args
    return (*args, *(argument.default_value for argument in missing))


def _slots(value: Any) -> Iterator[int]:
    if isinstance(value, Slot):
        yield value.index
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _slots(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _slots(item)


def last_uses(tape: Tape) -> dict[int, int]:
    """The number of the last instruction that needs each slot; slots that are returned are left out."""
    last: dict[int, int] = {}
    for number, instruction in enumerate(tape.instructions):
        last.update(dict.fromkeys([*instruction.slots(), *filter(None, instruction.outputs)], number))
    return {slot: number for slot, number in last.items() if slot not in tape.outputs}


@contextmanager
def untouched(buffers: Sequence[Tensor]) -> Iterator[None]:
    """Give buffers and the CPU's generator back as they were: a recording must not count as a step."""
    kept = [buffer.clone() for buffer in buffers]
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        for buffer, before in zip(buffers, kept, strict=True):
            buffer.copy_(before)
