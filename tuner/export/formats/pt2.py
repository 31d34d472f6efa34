"""PT2, the archive of torch.export: the model as a graph of torch's operations, which needs none of its code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner.errors import UsageError, VerificationError
from tuner.export.bundle import BUNDLE, Bundle
from tuner.export.formats import graph, recurrence
from tuner.export.formats.pt2_contents import surprise_in
from tuner.export.loaded import LoadedModel, Network, loaded

ERRORS = (RuntimeError, OSError, ValueError, KeyError, AssertionError, zipfile.BadZipFile)
"""What torch raises at files that are none of its own."""


def write(model: LoadedModel, rows: Tensor, axes: graph.Axes, path: Path) -> None:
    program = _exported(model, rows, axes)
    texts = model.bundle.to_texts(**graph.input_spec(model, axes))
    plain = {name: json.loads(text) for name, text in texts.items()}
    torch.export.save(program, path, extra_files={BUNDLE: json.dumps(plain, indent=2)})


def _exported(model: LoadedModel, rows: Tensor, axes: graph.Axes) -> Any:
    assert isinstance(model.network, Network)
    dynamic = torch.export.Dim.DYNAMIC
    varying: dict[int, Any] = {number: dynamic for number, axis in enumerate(axes) if isinstance(axis, str)}
    with torch.no_grad(), graph.without_noise(), recurrence.by_shapes(recurrence.ALL):
        try:
            program = torch.export.export(graph.copied(model.network), (rows,), dynamic_shapes=(varying,), strict=False)
        except Exception:  # noqa: BLE001 - running the Python of a model may fail where reading it does not
            program = torch.export.export(graph.copied(model.network), (rows,), dynamic_shapes=(varying,), strict=True)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of the machine that trained
    return program


def open_file(path: Path, allow_code: bool) -> LoadedModel:
    surprise = "" if allow_code else surprise_in(path)
    if surprise:
        raise UsageError(
            f"{path}: {surprise} is more than tensors and torch's operations, and could run code; if you trust the"
            " file, load it with tuner.load(path, allow_code=True)"
        )
    extra = {BUNDLE: ""}
    try:
        with graph.without_noise():
            program = torch.export.load(str(path), extra_files=extra)
    except ERRORS as error:
        problem = str(error).partition("\n")[0]
        raise VerificationError(f"{path}: cannot be read as pt2 ({problem}); export it again") from error
    plain: dict[str, Any] = json.loads(extra[BUNDLE] or "{}")
    bundle = Bundle.from_texts({name: json.dumps(value) for name, value in plain.items()}, path)
    module = program.module()

    def run(x_B: Tensor) -> tuple[Tensor, Tensor]:
        outputs, scores = module(x_B)
        return outputs, scores

    keeps_padding = bundle.data.padding is not None and not isinstance(plain["input"]["axes"][1], str)
    return loaded(bundle, graph.Runner(run).eval(), run, keeps_padding=keeps_padding)
