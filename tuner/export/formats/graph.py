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
Axes = tuple[str | int, ...]
"""The axes of an input: names of those that vary, sizes of the others."""
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


def ways(model: LoadedModel, x_B: Tensor) -> list[tuple[Tensor, Axes]]:
    """Rows to make a graph of and the axes of its input, the best way first.

    Where rows vary in length, the second way is that all are as long as the longest: padding changes nothing.
    """
    rows, shape = examples(x_B), model.preprocess.input_shape
    if not has_any_length(model):
        return [(rows, (BATCH, *shape))]
    varying: tuple[Tensor, Axes] = (rows, (BATCH, LENGTH, *shape[1:]))
    if model.bundle.data.task == "language" or model.preprocess.padding is None:
        return [varying]
    return [varying, (padded(model, rows), (BATCH, *shape))]


def padded(model: LoadedModel, x_BL: Tensor) -> Tensor:
    """Rows as long as the longest of training."""
    missing = model.preprocess.input_shape[0] - x_BL.shape[1]
    return functional.pad(x_BL, (0, missing), value=model.preprocess.padding or 0)


def input_spec(model: LoadedModel, axes: Axes) -> dict[str, Any]:
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
    """Leave out what torch says that its user can do nothing about.

    That it uses what it will remove (other things in every version), that recurrent layers have their weights in a list
    as well, that it reads tensors from bytes, and the graphs that an exporter logs and prints before it raises.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export", UserWarning)
            warnings.filterwarnings("ignore", "The given buffer is not writable", UserWarning)
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
