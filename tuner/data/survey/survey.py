"""Everything that can be said of a prepared data set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tuner.data.decoded import Decoded, TableRows
from tuner.data.encoders import ImageEncoder
from tuner.data.info import DataInfo
from tuner.data.prepare import Prepared
from tuner.data.scaling import Array
from tuner.data.splits import PARTS, Indices
from tuner.data.survey.features import MANY, Feature, columns_of_vectors, features_of
from tuner.data.survey.parts import PartSurvey, target_texts
from tuner.data.survey.pictures import as_rgb
from tuner.data.survey.rows import Looked
from tuner.data.survey.twins import Twins, find_twins
from tuner.data.tables import Columns
from tuner.data.text_rows import TextRows
from tuner.data.tokens import N_SPECIAL, CharacterEncoder, Vocabulary
from tuner.data.window_rows import WindowRows

N_SAMPLES = 8
N_PICTURES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One training row, to look at."""

    row: int
    target: str
    text: str
    """In words; empty for a picture."""
    picture: Array | None = None
    """uint8 [H, W, 3]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """The values of the training inputs as they are stored: pixels, numbers or tokens."""

    minimum: float
    mean: float
    maximum: float
    n_constant: int
    """Values of an input that are the same in all rows."""
    n_values: int
    """Values of one input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What `tuner data` shows."""

    info: DataInfo
    parts: tuple[PartSurvey, ...]
    values: Values
    features: tuple[Feature, ...]
    """Of tables and short vectors; empty for others."""
    twins: Twins
    samples: tuple[Sample, ...]

    def to_json(self) -> dict[str, Any]:
        twins = self.twins
        values = {name: getattr(self.values, name) for name in self.values.__dataclass_fields__}
        return {
            "info": self.info.to_json(),
            "parts": {part.name: part.to_json() for part in self.parts},
            "values": values,
            "features": [feature.to_json() for feature in self.features],
            "overlaps": [overlap.to_json() for overlap in twins.overlaps],
            "conflicts": {
                "inputs": twins.conflicts.n_inputs,
                "rows": twins.conflicts.n_rows,
                "pairs": [list(pair) for pair in twins.conflicts.pairs],
            },
            "samples": [{"row": sample.row, "target": sample.target, "text": sample.text} for sample in self.samples],
        }


def survey(prepared: Prepared, source: Decoded | None, *, n_samples: int = N_SAMPLES) -> Survey:
    """Look at all parts. Of the test part rows are counted and hashed; features and samples are of the training part.

    `source` has tables and texts as they were before they were encoded. DataError when an item cannot be read.
    """
    info = prepared.info
    opened = {"train": prepared.train, "val": prepared.val, "test": prepared.open_test()}
    looked = [
        Looked.at(name, part, torch.from_numpy(prepared.row_numbers(name)))
        for name in PARTS
        if (part := opened[name]) is not None
    ]
    targets = {part.name: target_texts(part, info) for part in looked}
    texts = source.rows.texts if source is not None and isinstance(source.rows, TextRows) else None
    twins = find_twins(looked, targets, texts)
    train = looked[0]
    return Survey(
        info=info,
        parts=tuple(PartSurvey.of(part, info, twins.repeated[part.name]) for part in looked),
        values=_values(train),
        features=_features(train, prepared, source),
        twins=twins,
        samples=tuple(_samples(train, targets["train"], prepared, source, n_samples)),
    )


# ---------------------------------------------------------------------------------------------------------- the values


def _values(train: Looked) -> Values:
    total, count = 0.0, 0
    lowest: Array | None = None
    highest: Array | None = None
    for _, rows in train.chunks():
        array = rows.numpy()
        total, count = total + float(array.sum(dtype=np.float64)), count + array.size
        low, high = array.min(axis=0), array.max(axis=0)
        lowest = low if lowest is None else np.minimum(lowest, low)
        highest = high if highest is None else np.maximum(highest, high)
    assert lowest is not None
    assert highest is not None
    return Values(
        minimum=float(lowest.min()),
        mean=total / count,
        maximum=float(highest.max()),
        n_constant=int((lowest == highest).sum()),
        n_values=lowest.size,
    )


def _features(train: Looked, prepared: Prepared, source: Decoded | None) -> tuple[Feature, ...]:
    columns = _columns(source)
    if columns is not None and source is not None:
        rows = _table_rows(source, train.rows.numpy())
        targets = source.targets[train.rows.numpy()]
        return features_of(
            {name: values[rows] for name, values in columns.items()}, targets if len(rows) == len(targets) else rows
        )
    info = prepared.info
    if len(info.input_shape) != 1 or info.input_shape[0] > MANY or info.input_dtype == "int64":
        return ()
    rows_NF = train.take(train.places).numpy()
    names = _names(info)
    return features_of(columns_of_vectors(rows_NF, names), train.part.targets[train.places].numpy())


def _columns(source: Decoded | None) -> Columns | None:
    return source.rows.columns if source is not None and isinstance(source.rows, (TableRows, WindowRows)) else None


def _table_rows(source: Decoded, rows: Indices) -> Indices:
    """Of windows the rows of the table that they begin with."""
    return source.rows.starts[rows] if isinstance(source.rows, WindowRows) else rows


def _names(info: DataInfo) -> list[str]:
    """What the values of a vector are called, where its inputs have names."""
    return [
        field.name if field.size == 1 else f"{field.name} {place}"
        for field in info.inputs
        for place in range(field.size)
    ]


# --------------------------------------------------------------------------------------------------------- the samples


def _samples(
    train: Looked, targets: Sequence[str], prepared: Prepared, source: Decoded | None, n_samples: int
) -> list[Sample]:
    info = prepared.info
    places = _chosen(train, targets, info, n_samples)
    stored = train.take(places).numpy()
    encoder = prepared.preprocess.encoder
    is_picture = isinstance(encoder, ImageEncoder)
    vocabulary = encoder.tokens if isinstance(encoder, CharacterEncoder) else None
    return [
        Sample(
            row=train.row(place),
            target=targets[place],
            text="" if is_picture else _text_of(train.row(place), row, source, vocabulary),
            picture=as_rgb(row) if is_picture else None,
        )
        for place, row in zip(places.tolist(), stored, strict=True)
    ]


def _chosen(train: Looked, targets: Sequence[str], info: DataInfo, n_samples: int) -> torch.Tensor:
    """The first rows of every class in turn; without classes the first rows."""
    places = train.places.tolist()
    if info.task != "classification":
        return torch.tensor(places[:n_samples])
    by_class: dict[str, list[int]] = {label: [] for label in info.labels}
    most = math.ceil(n_samples / len(by_class))
    for place in places:
        if len(by_class[targets[place]]) < most:
            by_class[targets[place]].append(place)
    turns = [found[turn] for turn in range(most) for found in by_class.values() if turn < len(found)]
    return torch.tensor(turns[:n_samples])


def _text_of(row: int, stored: Array, source: Decoded | None, vocabulary: Vocabulary | None) -> str:
    if vocabulary is not None:
        return "".join(vocabulary.tokens[token - N_SPECIAL] if token >= N_SPECIAL else "?" for token in stored.tolist())
    columns = _columns(source)
    if columns is not None and source is not None:
        [at] = _table_rows(source, np.array([row]))
        return ", ".join(f"{name} {_shown(values[at])}" for name, values in columns.items())
    if source is not None and isinstance(source.rows, TextRows):
        return " ".join(source.rows.texts[row].split())
    return " ".join(f"{value:.4g}" for value in stored.ravel()[:40].tolist())


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def needs_source(prepared: Prepared) -> bool:
    """Whether rows are encoded so that the source has to be asked what they were."""
    kind: Mapping[str, Any] = prepared.preprocess.encoder.to_json()
    return kind["kind"] in ("table", "window", "text")
