"""How to use an export, for its card: with tuner, and each format without it."""

from __future__ import annotations

from collections.abc import Callable

from tuner.export.bundle import Bundle


def how_to_load(bundle: Bundle) -> list[str]:
    """A block for each format that there is."""
    code = ", allow_code=True" if bundle.code else ""
    lines = [
        "```python",
        "import tuner",
        "",
        f'model = tuner.load("{bundle.study}-{bundle.trial}"{code})',
        "model.predict(x)  # x as the data source gives it, before preprocessing",
        "model.predict_proba(x)" if bundle.data.task != "regression" else "model.predict_proba(x)  # the same",
        "```",
        "",
        f"On the command line: `tuner predict {bundle.study}-{bundle.trial} FILE... --out predictions.csv`.",
    ]
    for name, words in FORMATS.items():
        if name == "pt" or name in bundle.formats:
            lines += ["", *words(bundle)]
    return lines


def _pt(_bundle: Bundle) -> list[str]:
    return ['`model.pt` is a plain state_dict: `torch.load("model.pt", weights_only=True)`.']


def _safetensors(_bundle: Bundle) -> list[str]:
    return [
        "`model.safetensors` has the same tensors without pickle; labels, input specification and preprocessing are in",
        'its metadata. `tuner.load("model.safetensors")`, or without tuner:',
        "",
        "```python",
        "from safetensors.torch import load_file",
        "",
        'state_dict = load_file("model.safetensors")',
        "```",
    ]


def _onnx(bundle: Bundle) -> list[str]:
    return [
        f"`model.onnx` is the whole model, for any runtime of ONNX{_compared(bundle, 'onnx')}. It takes",
        f"preprocessed inputs (`{bundle.data.input_dtype}`, any number of rows) and gives the outputs of the model and",
        f"{_scores(bundle)}. Labels, input specification and preprocessing are in its metadata, as JSON.",
        '`tuner.load("model.onnx")`, or without tuner:',
        "",
        "```python",
        "import json",
        "",
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("model.onnx")',
        "about = session.get_modelmeta().custom_metadata_map",
        'print(json.loads(about["input"]), json.loads(about["preprocess"])["scaling"], json.loads(about["labels"]))',
        'outputs, scores = session.run(None, {"input": x})  # x preprocessed: encoded, then (x - mean) / std',
        "```",
    ]


def _pt2(bundle: Bundle) -> list[str]:
    return [
        f"`model.pt2` is the whole model as torch.export keeps it, without its code{_compared(bundle, 'pt2')}.",
        'The same is in its extra file `bundle.json`. `tuner.load("model.pt2")`, or without tuner:',
        "",
        "```python",
        "import torch",
        "",
        'about = {"bundle.json": ""}',
        'program = torch.export.load("model.pt2", extra_files=about)',
        "outputs, scores = program.module()(x)  # x preprocessed, as above",
        "```",
    ]


def _scores(bundle: Bundle) -> str:
    return {"regression": "the predictions", "autoencoding": "what it rebuilds"}.get(bundle.data.task, "probabilities")


def _compared(bundle: Bundle, name: str) -> str:
    found = bundle.formats[name]
    if "difference" not in found:
        return ""
    return f" (on {found['rows']} rows of the validation part within {found['difference']:.1g} of the weights)"


FORMATS: dict[str, Callable[[Bundle], list[str]]] = {
    "pt": _pt,
    "safetensors": _safetensors,
    "onnx": _onnx,
    "pt2": _pt2,
}
