"""What the formats that hold the model itself, and not only its weights, have in common.

B batch, L length of rows that are padded.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.data.encoders import TensorEncoder
from tuner.export.loaded import LoadedModel, Network

INPUT = "input"
OUTPUTS = "outputs"
SCORES = {"regression": "predictions", "autoencoding": "rebuilt"}
N_EXAMPLES = 4
"""Rows that a graph is made from; one alone would be taken for a size that is always 1."""
BATCH, LENGTH = "batch", "length"
LOGGERS = ("torch.export._trace", "torch.fx.experimental.symbolic_shapes", "torch._guards", "torch._dynamo")


def output_names(model: LoadedModel) -> tuple[str, str]:
    """The module's outputs, and what `predict_proba` gives."""
    return OUTPUTS, SCORES.get(model.bundle.data.task, "probabilities")


def examples(x_B: Tensor) -> Tensor:
    """Some rows of a real batch, at least two; no view of it, whose size would become part of the graph."""
    some = x_B[:N_EXAMPLES]
    return torch.cat([some, some]) if len(some) == 1 else some.clone()


def copied(network: Network) -> Network:
    """A copy to be traced: a trace that fails leaves its stand-ins in recurrent layers."""
    try:
        return copy.deepcopy(network)
    except (RuntimeError, TypeError):  # what cannot be copied is traced as it is
        return network


def has_any_length(model: LoadedModel) -> bool:
    """Whether rows of a batch may be shorter than those of another."""
    encoder = model.preprocess.encoder
    if isinstance(encoder, TensorEncoder) and encoder.any_length:
        return True
    is_tokens = model.preprocess.n_tokens is not None and len(model.preprocess.input_shape) == 1
    return is_tokens and (model.preprocess.padding is not None or model.bundle.data.task == "language")


def axes_of(model: LoadedModel, *, any_length: bool) -> tuple[str | int, ...]:
    """The axes of the input: names of those that vary, sizes of the others."""
    shape = model.preprocess.input_shape
    return (BATCH, LENGTH, *shape[1:]) if any_length else (BATCH, *shape)


def with_lengths(
    model: LoadedModel, x_B: Tensor, make: Callable[[Tensor, tuple[str | int, ...]], Any]
) -> tuple[Any, tuple[str | int, ...]]:
    """What `make` makes of rows and axes, and the axes.

    Where rows vary in length and it cannot do that, it is asked again with the longest ones: padding changes nothing.
    """
    rows = examples(x_B)
    if not has_any_length(model):
        axes = axes_of(model, any_length=False)
        return make(rows, axes), axes
    axes = axes_of(model, any_length=True)
    try:
        return make(rows, axes), axes
    except Exception:
        if model.bundle.data.task == "language" or model.preprocess.padding is None:
            raise
    axes = axes_of(model, any_length=False)
    return make(padded(model, rows), axes), axes


def padded(model: LoadedModel, x_BL: Tensor) -> Tensor:
    """Rows as long as the longest of training."""
    missing = model.preprocess.input_shape[0] - x_BL.shape[1]
    return functional.pad(x_BL, (0, missing), value=model.preprocess.padding or 0)


def input_spec(model: LoadedModel, axes: tuple[str | int, ...]) -> dict[str, Any]:
    """What the graph takes and gives, for the metadata."""
    spec = {**model.bundle.to_json()["input"], "name": INPUT, "axes": list(axes)}
    return {"input": spec, "outputs": list(output_names(model))}


class Runner(nn.Module):
    """A graph that other libraries run, as a module that gives its outputs."""

    def __init__(self, run: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x_B: Tensor) -> Tensor:
        return self.run(x_B)[0]


@contextmanager
def without_noise() -> Iterator[None]:
    """Leave out what torch says to those who write models about an attempt that is followed by another one.

    That recurrent layers have their weights in a list as well, that torch uses what it will remove, and the graphs that
    an exporter logs and prints before it raises.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export", UserWarning)
            warnings.filterwarnings("ignore", "_check_is_size will be removed", FutureWarning)
            yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
