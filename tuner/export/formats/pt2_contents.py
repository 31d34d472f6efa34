"""Whether a PT2 archive is data alone.

torch.export.load is for files that are trusted: it unpickles records that are no plain tensors, gives the expressions
of shapes to sympy, which evaluates them as Python, and looks functions up by the names in the graph.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tuner.errors import VerificationError

OPERATION = re.compile(
    r"torch\.ops\.(aten|prims|prim|torchvision|higher_order)\.[\w.]+"
    r"|_operator\.\w+|math\.\w+|torch\.(_check\w*|sym_\w+|_sym_\w+)"
)
"""Functions that compute with tensors and sizes."""
EXPRESSION = re.compile(r"[\w\s+\-*/%()<>=!&|~,.]*")
NAMED = re.compile(r"\b(Symbol|Float)\('[\w.+-]*'")
"""How a size that varies, and a number, are written."""
CALLS = re.compile(r"([A-Za-z_]\w*)\s*\(")
ATTRIBUTE = re.compile(r"\.\s*[A-Za-z_]|__")
TENSORS = ("weight_", "tensor_")
"""How the records of plain tensors are called."""
FUNCTIONS = ("floor", "ceiling", "sqrt", "log")
"""Of sympy, besides those with a capital letter: all of those are of sympy, or of torch's shapes."""


def surprise_in(path: Path) -> str:
    """The first record that could run code when it is read; empty where there is none, or the file is no archive.

    VerificationError for an archive with a record that is not what its name says.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if _is_surprise(name.partition("/")[2], archive.read(name)):
                    return name
    except (zipfile.BadZipFile, OSError):
        return ""
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise VerificationError(f"{path}: {name} cannot be read ({error}); export it again") from error
    return ""


def _is_surprise(name: str, content: bytes) -> bool:
    folder, file = name.rpartition("/")[::2]
    if folder in ("data/weights", "data/constants"):
        return _is_pickled(file, content)
    if folder == "data/sample_inputs":
        return not _is_tensors(content)
    if folder == "models":
        return any(not _is_harmless(key, text) for key, text in _named_texts(json.loads(content)))
    return folder.startswith("data/aotinductor")


def _is_pickled(file: str, content: bytes) -> bool:
    if file.endswith("_config.json"):
        records = json.loads(content)["config"].values()
        return any(record["use_pickle"] or not record["path_name"].startswith(TENSORS) for record in records)
    return not file.startswith(TENSORS)


def _is_tensors(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        return not content
    return True


def _named_texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _named_texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _named_texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def _is_harmless(key: str, text: str) -> bool:
    if key in ("target", "as_operator"):
        return not text.startswith(("torch", "_operator", "math", "#")) or OPERATION.fullmatch(text) is not None
    if key == "expr_str":
        text = NAMED.sub(r"\1(", text)
        calls = all(name[0].isupper() or name in FUNCTIONS for name in CALLS.findall(text))
        return EXPRESSION.fullmatch(text) is not None and ATTRIBUTE.search(text) is None and calls
    return True
