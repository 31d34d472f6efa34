"""Whole series with a target each: their steps, their lengths, what prediction gets, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.config.schema.series import SeriesData
from tuner.data.batches import eval_batches
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import DataError

N = 30
LENGTHS = 3 + np.arange(N) % 4
KINDS = np.array(["up", "down"])[np.arange(N) % 2]


def steps(series: int) -> np.ndarray:
    return 100.0 * series + np.arange(LENGTHS[series])


def long() -> pd.DataFrame:
    """A row a step; the rows of a series are not together, and not in order."""
    tables = [
        pd.DataFrame({"who": f"s{n}", "at": np.arange(LENGTHS[n]), "a": steps(n), "b": -steps(n), "kind": KINDS[n]})
        for n in range(N)
    ]
    return pd.concat(tables).sample(frac=1.0, random_state=0)


def wide() -> pd.DataFrame:
    filled_up = [np.pad(steps(n), (0, 6 - LENGTHS[n]), constant_values=np.nan) for n in range(N)]
    table = pd.DataFrame(filled_up, columns=[f"t{n}" for n in range(6)])
    return table.assign(kind=KINDS)


def prepared(folder: Path, table: pd.DataFrame, *, metric: str = "accuracy", **options: object) -> Prepared:
    table.to_csv(folder / "table.csv", index=False)
    form = {"form": "wide"} if "t0" in table else {"form": "long", "group": "who", "time": "at"}
    wanted = {"path": "table.csv", "target": "kind", "normalize": False, **form, **options}
    data = SeriesData.model_validate(wanted)
    return prepare(data, metric=metric, seed=1, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, table: pd.DataFrame, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        prepared(folder, table, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def all_rows(data: Prepared) -> np.ndarray:
    parts = [data.train, data.val, data.open_test()]
    found = [x for part in parts if part for x, _ in eval_batches(part, data.preprocess, device="cpu")]
    return torch.cat(found).numpy()


@pytest.mark.parametrize("pad", ("end", "start"))
def test_steps_are_ordered_and_filled_up_to_the_longest(pad: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, long(), pad=pad)
    assert (data.info.input_shape, data.info.layout, data.info.labels) == ((6, 2), "steps_first", ("down", "up"))
    rows = all_rows(data)
    assert len(rows) == N
    for row in rows:
        series = int(row[:, 0].max() // 100)
        known = row[: LENGTHS[series]] if pad == "end" else row[6 - LENGTHS[series] :]
        assert np.array_equal(known, np.stack([steps(series), -steps(series)], axis=1))
        assert np.abs(row).sum() == pytest.approx(np.abs(known).sum())


def test_a_row_with_empty_fields_at_its_end_is_a_shorter_series(tmp_path: Path) -> None:
    data = prepared(tmp_path, wide())
    assert data.info.input_shape == (6, 1)
    one_channel = prepared(tmp_path, long(), inputs=["a"])
    assert sorted(all_rows(data).tolist()) == sorted(all_rows(one_channel).tolist())


def test_scaled_series_are_filled_up_with_the_mean(tmp_path: Path) -> None:
    rows = all_rows(prepared(tmp_path, wide(), normalize=True))
    assert (rows == 0.0).sum() == 6 * N - LENGTHS.sum()
    assert rows[rows != 0].mean() == pytest.approx(0.0, abs=0.2)


def test_a_length_cuts_and_fills_up(tmp_path: Path) -> None:
    assert all_rows(prepared(tmp_path, wide(), length=4))[:, :, 0].max() == 100.0 * (N - 1) + 3
    assert prepared(tmp_path, wide(), length=9).info.input_shape == (9, 1)


def test_numbers_can_be_predicted_of_series(tmp_path: Path) -> None:
    table = wide().assign(kind=np.arange(N) / 7)
    assert prepared(tmp_path, table, metric="rmse").info.task == "regression"


def test_text_columns_of_steps_are_categories(tmp_path: Path) -> None:
    table = long().assign(mood=lambda table: np.where(table["a"] % 2, "odd", "even"))
    assert prepared(tmp_path, table).info.input_shape == (6, 4)


def test_prediction_takes_series_of_any_length_in_every_form(tmp_path: Path) -> None:
    data = prepared(tmp_path, long())
    preprocess = Preprocess.from_json(data.preprocess.to_json())
    table = long().sort_values("at")
    three = table[table["who"].isin(["s1", "s2", "s3"])].sort_values("who")
    expected = preprocess(three)
    assert expected.shape == (3, 6, 2)
    frames = [part for _, part in three.groupby("who")]
    arrays = [part[["a", "b"]].to_numpy() for part in frames]
    for source in (frames, arrays):
        assert torch.equal(preprocess(source), expected)
    assert torch.equal(preprocess(arrays[0]), expected[:1])
    assert preprocess(np.zeros((4, 6, 2))).shape == (4, 6, 2)


def test_prediction_takes_rows_as_they_are_in_the_table(tmp_path: Path) -> None:
    preprocess = prepared(tmp_path, wide()).preprocess
    expected = preprocess(wide())
    assert expected.shape == (N, 6, 1)
    path = tmp_path / "table.csv"
    for source in (path, wide().drop(columns="kind"), [steps(n) for n in range(N)], wide().to_dict("records")):
        assert torch.equal(preprocess(source), expected)
    assert preprocess(np.zeros((5, 6))).shape == (5, 6, 1)


@pytest.mark.parametrize("table", (wide(), long()), ids=("wide", "long"))
def test_series_of_a_group_stay_together_and_a_column_can_name_the_parts(table: pd.DataFrame, tmp_path: Path) -> None:
    series = table["who"].str[1:].astype(int) if "who" in table else pd.Series(np.arange(N), index=table.index)
    table = table.assign(clinic=series % 5, part=(series % 5).map({0: "val", 1: "test"}).fillna("train"))
    named = prepared(tmp_path, table, split={"by": "column", "column": "part"}, drop=["clinic"])
    assert (named.info.n_train, named.info.n_val, named.info.n_test) == (18, 6, 6)
    split = {"by": "group", "column": "clinic", "val": 0.2, "test": 0.2}
    grouped = prepared(tmp_path, table, split=split, drop=["part"])
    assert (grouped.info.n_train, grouped.info.n_val, grouped.info.n_test) == (18, 6, 6)
    assert grouped.info.input_shape == named.info.input_shape


def test_missing_steps_are_refused_with_their_place_or_filled(tmp_path: Path) -> None:
    in_rows, in_steps = wide(), long().sort_values(["who", "at"], ignore_index=True)
    in_rows.loc[7, "t1"] = np.nan
    in_steps.loc[4, "a"] = np.nan
    fill_in = "missing; fill it in, or set data.missing: forward_fill for the last known value"
    assert refusal(tmp_path, in_rows) == f"table.csv:9: column 't1': {fill_in}"
    assert refusal(tmp_path, in_steps) == f"table.csv:6: column 'a': {fill_in}"
    assert 700.0 in all_rows(prepared(tmp_path, in_rows, missing="forward_fill"))[:, 1]
    in_rows.loc[7, "t0"] = np.nan
    assert refusal(tmp_path, in_rows, missing="forward_fill") == (
        "table.csv:9: column 't0': missing; nothing before it in the series to fill it with; remove the step"
    )


def test_a_series_has_one_target_and_one_row_a_time(tmp_path: Path) -> None:
    table = long().sort_values(["who", "at"], ignore_index=True)
    table.loc[1, "kind"] = "down"
    assert refusal(tmp_path, table).startswith(
        "table.csv:3: column 'kind': 'down', but table.csv:2 of the same series has 'up'; a series has one target"
    )
    table = long().sort_values(["who", "at"], ignore_index=True)
    table.loc[1, "at"] = 0
    assert refusal(tmp_path, table) == (
        "table.csv:3: column 'at': the time of table.csv:2 again, in the same series; a series has one row a time"
    )


def test_a_missing_target_and_an_empty_series_are_refused_with_their_line(tmp_path: Path) -> None:
    table = wide()
    table.loc[3, "kind"] = None
    assert refusal(tmp_path, table).startswith("table.csv:5: column 'kind': the target is missing in 1 of 30 rows")
    table = wide()
    table.loc[3, [f"t{n}" for n in range(6)]] = np.nan
    assert refusal(tmp_path, table) == "table.csv:5: no steps in it; remove the row"
    assert refusal(tmp_path, wide().astype(object).replace(200.0, "x")).startswith(
        "table.csv:4: column 't0': 'x' is not"
    )


def test_text_among_the_steps_of_an_input_is_refused_with_its_place(tmp_path: Path) -> None:
    preprocess = prepared(tmp_path, wide()).preprocess
    rows = wide().head(2).astype(object)
    rows.loc[1, "t2"] = "x"
    with pytest.raises(DataError, match="input: row 1: column 't2': 'x' is not a number"):
        preprocess(rows)
    rows.loc[1, "t2"] = "7.5"
    assert preprocess(rows).shape == preprocess(wide().head(2)).shape


def test_an_input_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="window 1: 0 rows"):
        prepared(tmp_path, wide()).preprocess([steps(0), np.zeros(0)])
