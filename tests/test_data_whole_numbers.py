"""Whole numbers that float64 would merge, such as the ids of rows: as classes, categories and keys they stay apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.config.schema import CsvData
from tuner.config.schema.series import SeriesData
from tuner.config.schema.tables import ParquetData
from tuner.config.schema.text import TextData
from tuner.data.prepare import Prepared, prepare
from tuner.data.tables import series_values
from tuner.errors import DataError

ROWS = 60
FIRST = 10**18
"""Neighbours of it are one float64."""


def prepared(folder: Path, data: CsvData | ParquetData | SeriesData | TextData, metric: str = "accuracy") -> Prepared:
    return prepare(data, metric=metric, seed=0, base_dir=folder, cache_dir=folder / "cache")


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x": np.random.default_rng(0).normal(size=ROWS), **columns})


def csv_of(folder: Path, frame: pd.DataFrame, *, metric: str = "accuracy", **options: object) -> Prepared:
    frame.to_csv(folder / "table.csv", index=False)
    return prepared(folder, CsvData.model_validate({"path": "table.csv", "target": "y", **options}), metric)


def test_a_column_that_is_exact_has_the_type_of_all_others_where_nothing_merges() -> None:
    assert series_values(pd.Series([1, 2]), exact=True).dtype == np.float64
    assert series_values(pd.Series([1, FIRST + 1]), exact=True).tolist() == [1, FIRST + 1]
    assert series_values(pd.Series([None, FIRST + 1], dtype="Int64"), exact=True).tolist() == [None, FIRST + 1]
    assert series_values(pd.Series([2**64 - 1, 2**64 - 2]), exact=True).tolist() == [2**64 - 1, 2**64 - 2]


def test_groups_are_told_apart(tmp_path: Path) -> None:
    frame = table(g=FIRST + np.arange(ROWS) // 2, y=np.arange(ROWS) % 2)
    data = csv_of(tmp_path, frame, split={"by": "group", "column": "g", "val": 10, "test": 10})
    groups = [set(frame["g"].iloc[data.row_numbers(part)]) for part in ("train", "val", "test")]
    assert [len(found) for found in groups] == [20, 5, 5]
    assert not groups[0] & groups[1]


def test_times_keep_their_order(tmp_path: Path) -> None:
    frame = table(t=FIRST + np.arange(ROWS)[::-1], y=np.arange(ROWS) % 2)
    data = csv_of(tmp_path, frame, split={"by": "time", "column": "t", "val": 6, "test": 6})
    assert data.row_numbers("test").tolist() == [0, 1, 2, 3, 4, 5]


def test_classes_are_told_apart_in_every_format(tmp_path: Path) -> None:
    labels = FIRST + np.arange(ROWS) % 3
    names = tuple(str(FIRST + number) for number in range(3))
    assert csv_of(tmp_path, table(y=labels)).info.labels == names
    table(y=labels).to_parquet(tmp_path / "table.parquet")
    assert prepared(tmp_path, ParquetData(path="table.parquet", target="y")).info.labels == names
    texts = [{"text": f"some words {row}", "label": int(label)} for row, label in enumerate(labels)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    pd.DataFrame(texts).to_csv(tmp_path / "texts.csv", index=False)
    for name in ("texts.jsonl", "texts.csv"):
        assert prepared(tmp_path, TextData(path=name, target="label")).info.labels == names


def test_as_quantities_they_are_numbers_as_any_others(tmp_path: Path) -> None:
    data = csv_of(tmp_path, table(y=FIRST + np.arange(ROWS) * 10**12), metric="rmse")
    assert data.info.task == "regression"


def test_categories_are_told_apart_in_training_and_prediction(tmp_path: Path) -> None:
    frame = table(c=FIRST + np.arange(ROWS) % 3, y=np.arange(ROWS) % 2)
    data = csv_of(tmp_path, frame, categorical=["c"])
    assert data.info.input_shape == (4,)
    one_of_each = data.preprocess(frame.head(3))[:, 1:]
    assert torch.equal(one_of_each, torch.eye(3))
    assert torch.equal(data.preprocess(frame.head(3).to_dict("records"))[:, 1:], one_of_each)


def test_what_pandas_has_merged_already_is_refused(tmp_path: Path) -> None:
    ids = [None, *(FIRST + row % 3 for row in range(1, ROWS))]
    frame = table(c=pd.array(ids, dtype="Int64"), y=np.arange(ROWS) % 2)
    with pytest.raises(DataError, match=r"table.csv:3: column 'c': 10{18}: whole numbers above 2\*\*53 merge"):
        csv_of(tmp_path, frame, categorical=["c"])
    frame.to_parquet(tmp_path / "table.parquet")
    kept = prepared(
        tmp_path, ParquetData.model_validate({"path": "table.parquet", "target": "y", "categorical": ["c"]})
    )
    assert kept.info.input_shape == (1 + 3 + 1,)


def test_series_are_told_apart(tmp_path: Path) -> None:
    steps = pd.DataFrame({"id": FIRST + np.arange(ROWS) // 6, "t": np.arange(ROWS) % 6, "v": np.arange(ROWS) * 0.5})
    steps.assign(y=steps["id"] % 2).to_csv(tmp_path / "steps.csv", index=False)
    section = {"path": "steps.csv", "form": "long", "group": "id", "time": "t", "target": "y"}
    data = prepared(tmp_path, SeriesData.model_validate(section))
    assert data.info.n_train + data.info.n_val + data.info.n_test == ROWS // 6
