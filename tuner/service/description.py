"""What a model takes, as the page and programs have to know it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tuner.data.columns import CategoricalColumn, Column, DateColumn
from tuner.data.encoders import ImageEncoder, TensorEncoder
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Encoder
from tuner.data.sounds import SoundEncoder
from tuner.data.tables import TableEncoder
from tuner.data.tokens import CharacterEncoder, TextEncoder
from tuner.data.windows import WindowEncoder
from tuner.export.loaded import LoadedModel
from tuner.export.predictions import label_names, target_names

LARGEST_DRAWN = 64
"""Pixels a side up to which a grey image can be drawn by hand."""


def description(model: LoadedModel, *, max_bytes: int, max_rows: int) -> dict[str, Any]:
    """The answer of `/model`."""
    bundle = model.bundle
    return {
        "study": bundle.study,
        "trial": bundle.trial,
        "task": bundle.data.task,
        "labels": list(label_names(model)),
        "targets": list(target_names(model)) if bundle.data.task == "regression" else [],
        "metric": bundle.metric,
        "value": bundle.value,
        "metrics": dict(bundle.metrics),
        "input": input_form(model),
        "limits": {"max_bytes": max_bytes, "max_rows": max_rows},
    }


def input_form(model: LoadedModel) -> dict[str, Any]:
    """The kind of the input, and what a form for it needs."""
    encoder = model.preprocess.encoder
    form: Callable[[Any], dict[str, Any]] = _FORMS[type(encoder)]
    return form(encoder)


def _image_form(encoder: ImageEncoder) -> dict[str, Any]:
    channels, height, width = encoder.shape
    draws = channels == 1 and max(height, width) <= LARGEST_DRAWN
    return {"kind": "image", "channels": channels, "height": height, "width": width, "draws": draws}


def _table_form(encoder: TableEncoder) -> dict[str, Any]:
    return {"kind": "table", "columns": [_column_form(column) for column in encoder.columns]}


def _text_form(encoder: TextEncoder) -> dict[str, Any]:
    return {"kind": "text", "column": encoder.column, "max_tokens": encoder.length}


def _characters_form(encoder: CharacterEncoder) -> dict[str, Any]:
    return {"kind": "characters", "length": encoder.length}


def _sound_form(encoder: SoundEncoder) -> dict[str, Any]:
    return {"kind": "sound", "rate": encoder.rate, "seconds": encoder.n_samples / encoder.rate}


def _series_form(encoder: WindowEncoder) -> dict[str, Any]:
    return {"kind": "series", "columns": list(encoder.names), "rows": encoder.window}


def _named_form(encoder: NamedEncoder) -> dict[str, Any]:
    fields = [{"name": item.name, "shape": list(item.shape), "dtype": item.dtype} for item in encoder.fields]
    return {"kind": "named", "fields": fields}


def _array_form(encoder: TensorEncoder) -> dict[str, Any]:
    return {"kind": "array", "shape": list(encoder.shape), "dtype": encoder.dtype}


_FORMS: dict[type[Encoder], Callable[[Any], dict[str, Any]]] = {
    ImageEncoder: _image_form,
    TableEncoder: _table_form,
    TextEncoder: _text_form,
    CharacterEncoder: _characters_form,
    SoundEncoder: _sound_form,
    WindowEncoder: _series_form,
    NamedEncoder: _named_form,
    TensorEncoder: _array_form,
}


def _column_form(column: Column) -> dict[str, Any]:
    """One field of a table's form; its default is an ordinary value of the training part."""
    if isinstance(column, CategoricalColumn):
        first = column.categories[0] if column.categories else None
        return {"name": column.name, "kind": "category", "choices": list(column.categories), "default": first}
    if isinstance(column, DateColumn):
        middle = datetime.fromtimestamp(column.median_s, tz=UTC)
        text = middle.strftime(column.format) if column.format else middle.replace(tzinfo=None).isoformat()
        default = text if column.has_hours or column.format else text.partition("T")[0]
        return {"name": column.name, "kind": "date", "format": column.format or "ISO 8601", "default": default}
    return {"name": column.name, "kind": "number", "default": float(f"{column.median:.6g}")}
