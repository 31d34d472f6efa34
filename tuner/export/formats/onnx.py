"""ONNX: the model as a graph that other runtimes know, made by torch's exporter and run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tuner.errors import VerificationError
from tuner.export.bundle import Bundle
from tuner.export.formats import graph, recurrence
from tuner.export.loaded import LoadedModel, Network, loaded

LARGEST_BYTES = 1_800_000_000
"""Weights that fit into one file of protobuf, which ends at 2 GB; larger ones get a file of their own."""
NOTHING_BUT_FATAL = 4


def write(model: LoadedModel, rows: Tensor, axes: graph.Axes, path: Path) -> None:
    program = _exported(model, rows, axes)
    content = program.model
    for node in content.graph.all_nodes():
        node.metadata_props.clear()  # paths of the machine that trained
    content.metadata_props.clear()
    content.metadata_props.update(model.bundle.to_texts(**graph.input_spec(model, axes)))
    bundle = model.bundle
    content.producer_name = "tuner"
    content.doc_string = f"{bundle.study}, trial {bundle.trial}: {bundle.config.model.kind} for {bundle.data.task}"
    n_bytes = sum(tensor.nbytes for tensor in model.module.state_dict().values() if isinstance(tensor, Tensor))
    program.save(path, external_data=n_bytes > LARGEST_BYTES)


def _exported(model: LoadedModel, rows: Tensor, axes: graph.Axes) -> Any:
    assert isinstance(model.network, Network)
    varying = {number: axis for number, axis in enumerate(axes) if isinstance(axis, str)}
    with torch.no_grad(), graph.without_noise(), recurrence.by_shapes(recurrence.GATED):
        return torch.onnx.export(
            graph.copied(model.network),
            (rows,),
            input_names=[graph.INPUT],
            output_names=list(graph.output_names(model)),
            dynamic_shapes=(varying,),
            dynamo=True,
            verbose=False,
        )


def open_file(path: Path, _allow_code: bool) -> LoadedModel:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = NOTHING_BUT_FATAL
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors are bare ones
        problem = str(error).partition("\n")[0]
        raise VerificationError(f"{path}: cannot be read as ONNX ({problem}); export it again") from error
    texts: dict[str, str] = session.get_modelmeta().custom_metadata_map
    bundle = Bundle.from_texts(texts, path)

    def run(x_B: Tensor) -> tuple[Tensor, Tensor]:
        outputs, scores = session.run(None, {graph.INPUT: x_B.numpy()})
        return torch.from_numpy(outputs), torch.from_numpy(scores)

    axes = json.loads(texts["input"])["axes"]
    keeps_padding = bundle.data.padding is not None and not isinstance(axes[1], str)
    return loaded(bundle, graph.Runner(run).eval(), run, keeps_padding=keeps_padding)
