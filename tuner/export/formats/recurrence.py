"""Recurrent layers in a graph, for sequences of any length.

torch tells the shape of what a recurrent layer gives by unrolling it, step by step, which ties a graph to the length of
the example, although the operation itself stays whole and takes any length. Its shape follows from its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey

Kernel = Callable[..., tuple[Tensor, ...]]


def _shapes_of_one_state(x: Tensor, h: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    """What gru and rnn give: outputs as wide as all directions together, and a state of the same shape."""
    return _outputs(x, h, options), torch.empty_like(h)


def _shapes_of_two_states(x: Tensor, states: Sequence[Tensor], *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The same of lstm, whose first state is what it gives."""
    h, c = states
    return _outputs(x, h, options), torch.empty_like(h), torch.empty_like(c)


def _outputs(x: Tensor, h: Tensor, options: Sequence[Any]) -> Tensor:
    _, _, _, _, _, is_bidirectional, _ = options  # params, biases, layers, dropout, train, bidirectional, batch_first
    return x.new_empty((x.shape[0], x.shape[1], h.shape[-1] * (2 if is_bidirectional else 1)))


GATED: dict[Any, Kernel] = {
    torch.ops.aten.gru.input: _shapes_of_one_state,
    torch.ops.aten.lstm.input: _shapes_of_two_states,
}
"""Those that ONNX has an operation for; others are unrolled there, and need what they compute."""
ALL: dict[Any, Kernel] = {
    **GATED,
    torch.ops.aten.rnn_tanh.input: _shapes_of_one_state,
    torch.ops.aten.rnn_relu.input: _shapes_of_one_state,
}


@contextmanager
def by_shapes(kernels: dict[Any, Kernel]) -> Iterator[None]:
    """Trace these operations by the shapes of what they give."""
    keys = (DispatchKey.CompositeImplicitAutograd, DispatchKey.Autograd)
    before = {operation: dict(operation.py_kernels) for operation in kernels}
    try:
        for operation, kernel in kernels.items():
            _replace(operation, {**before[operation], **dict.fromkeys(keys, kernel)})
        yield
    finally:
        for operation, known in before.items():
            _replace(operation, known)


def _replace(operation: Any, kernels: dict[Any, Any]) -> None:
    operation.py_kernels.clear()
    operation.py_kernels.update(kernels)
    operation._dispatch_cache.clear()  # noqa: SLF001 - torch has no public way to take a kernel back
