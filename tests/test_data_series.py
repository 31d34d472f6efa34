"""Series in tables: windows cut in time, what prediction gets, and every way in which a table is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.config.schema import MODEL_KINDS
from tuner.config.schema.series import SeriesData
from tuner.config.spec import load as load_spec
from tuner.data.batches import eval_batches, train_batches
from tuner.data.flows import Part
from tuner.data.offered import OfferedData
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import ConfigError, DataError, NotFoundError
from tuner.models.build import build_model, check_output


def hourly(n_rows: int = 120, *, start: str = "2026-01-01") -> pd.DataFrame:
    """Each value is the number of its row, so that a window tells which rows it has."""
    hours = pd.date_range(start, periods=n_rows, freq="h")
    return pd.DataFrame({"time": hours, "load": np.arange(n_rows, dtype=float), "day": hours.day_name()})


def prepared(folder: Path, table: pd.DataFrame | str, **options: object) -> Prepared:
    path = folder / "table.csv"
    path.write_text(table if isinstance(table, str) else table.to_csv(index=False))
    wanted = {"path": "table.csv", "target": "load", "time": "time", "window": 6, "horizon": 2, "normalize": False}
    data = SeriesData.model_validate({**wanted, **options})
    return prepare(data, metric="rmse", seed=1, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, table: pd.DataFrame | str, **options: object) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        prepared(folder, table, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def batches(part: Part, preprocess: Preprocess) -> tuple[np.ndarray, np.ndarray]:
    found = list(eval_batches(part, preprocess, device="cpu"))
    return torch.cat([x for x, _ in found]).numpy(), torch.cat([y for _, y in found]).numpy()


def parts(data: Prepared) -> list[tuple[np.ndarray, np.ndarray]]:
    test = data.open_test()
    assert test is not None
    return [batches(part, data.preprocess) for part in (data.train, data.val, test)]


def rows_of(x: np.ndarray, y: np.ndarray) -> set[int]:
    return set(x[:, :, 0].astype(int).ravel().tolist()) | set(y.astype(int).ravel().tolist())


# ------------------------------------------------------------------------------------------------------- the windows


def test_a_window_is_followed_by_its_targets(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly(), inputs=["load"])
    assert (data.info.task, data.info.input_shape, data.info.n_targets) == ("regression", (6, 1), 2)
    assert data.info.layout == "steps_first"
    for x, y in parts(data):
        assert np.array_equal(x[:, :, 0], x[:, :1, 0] + np.arange(6))
        assert np.array_equal(y, x[:, -1:, 0] + [1, 2])


def test_parts_follow_each_other_in_time_and_share_no_row(tmp_path: Path) -> None:
    train, val, test = (rows_of(x, y) for x, y in parts(prepared(tmp_path, hourly(), inputs=["load"])))
    assert max(train) < min(val) <= max(val) < min(test)
    assert (min(train), max(train), min(val), max(val), min(test), max(test)) == (0, 95, 96, 107, 108, 119)


def test_looking_back_shows_rows_from_before_the_cut_and_predicts_each_row_after_it(tmp_path: Path) -> None:
    train, val, test = parts(prepared(tmp_path, hourly(), inputs=["load"], look_back=True))
    assert train[1].max() == 95
    assert (val[1].min(), val[1].max(), len(val[1])) == (96, 107, 11)
    assert val[0].min() == 90
    assert (test[1].min(), test[1].max()) == (108, 119)


def test_the_stride_thins_out_training_windows_alone(tmp_path: Path) -> None:
    every, third = (prepared(tmp_path, hourly(), inputs=["load"], stride=stride) for stride in (1, 3))
    assert third.info.n_val == every.info.n_val
    x, _ = batches(third.train, third.preprocess)
    assert x[:4, 0, 0].tolist() == [0, 3, 6, 9]


def test_the_rows_of_a_table_are_stored_once(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly(1000), window=90)
    assert isinstance(data.train, ArrayPart)
    assert data.info.n_train == 800 - 91
    assert len(data.train.inputs) == 798  # the last two rows are predicted, never seen
    x, _ = next(iter(train_batches(data.train, data.preprocess, batch_size=8, device="cpu", epoch_seed=0)))
    assert x.shape == (8, 90, data.info.input_shape[1])


def test_own_training_code_gets_windows(tmp_path: Path) -> None:
    offered = OfferedData.of(prepared(tmp_path, hourly(), inputs=["load"]))
    x, y = offered.train[3]
    assert (x[:, 0].tolist(), y.tolist()) == ([3, 4, 5, 6, 7, 8], [9, 10])
    assert len(list(torch.utils.data.DataLoader(offered.val, batch_size=2))) == 3


def test_several_targets_are_predicted_step_by_step(tmp_path: Path) -> None:
    table = hourly().assign(cost=np.arange(120) * 10.0)
    data = prepared(tmp_path, table, target=["load", "cost"])
    _, y = batches(data.train, data.preprocess)
    assert y[0].tolist() == [6, 60, 7, 70]


def test_series_of_several_groups_are_cut_at_one_time_and_never_mixed(tmp_path: Path) -> None:
    first, second = hourly().assign(shop="b"), hourly(60, start="2026-01-03 12:00").assign(shop="a")
    second["load"] += 1000
    table = pd.concat([first, second]).sample(frac=1.0, random_state=0)
    data = prepared(tmp_path, table, group="shop", inputs=["load"])
    for x, y in parts(data):
        whole = np.concatenate([x[:, :, 0], y], axis=1)
        assert np.array_equal(np.diff(whole, axis=1), np.ones((len(whole), 7)))
    _, y = batches(data.val, data.preprocess)
    assert sorted({int(value) for value in y.ravel()}) == [*range(102, 108), *range(1042, 1048)]


def test_text_columns_are_categories_and_numbers_are_scaled_by_training_rows(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly(), normalize=True)
    x, _ = batches(data.train, data.preprocess)
    assert data.info.input_shape == (6, 1 + 4)  # four days of training
    assert x[0, 0, 0] == pytest.approx((0 - 46.5) / np.std(np.arange(94)))
    assert set(np.unique(x[:, :, 1:])) == {0.0, 1.0}


def test_without_a_time_column_rows_come_as_in_the_file(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly().drop(columns="time"), time=None, inputs=["load"])
    assert rows_of(*batches(data.val, data.preprocess)) == set(range(96, 108))


def test_parts_can_be_counted_in_time_steps(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly(), inputs=["load"], split={"val": 10, "test": 20})
    assert (data.info.n_val, data.info.n_test) == (10 - 7, 20 - 7)


def test_guesses_are_measured_on_the_windows_of_validation_and_test(tmp_path: Path) -> None:
    table = hourly()
    table["load"] = np.tile([0.0, 1.0, 5.0], 40)
    baselines = prepared(tmp_path, table, horizon=4, season=3).info.baselines
    assert baselines["value 3 rows ago"] == {"val/mae": 0.0, "val/rmse": 0.0, "test/mae": 0.0, "test/rmse": 0.0}
    last, changes = baselines["last value"], np.array([[1, 5, 0, 1], [4, -1, 0, 4], [-5, -4, 0, -5]])
    assert last["val/mae"] == pytest.approx(np.abs(changes).mean())
    assert last["val/rmse"] == pytest.approx(np.sqrt((changes**2).mean(axis=0)).mean())


# ------------------------------------------------------------------------------------------- what prediction is given


def test_prediction_takes_the_last_rows_in_every_form(tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly(), normalize=True)
    preprocess = Preprocess.from_json(data.preprocess.to_json())
    (expected,) = batches(data.val, data.preprocess)[0][:1]
    table = hourly()[90:102]
    rows = table[["load", "day"]].to_dict("records")
    columns = {"load": table["load"].tolist(), "day": table["day"].tolist()}
    table.to_csv(tmp_path / "recent.csv", index=False)
    for source in (table, rows, columns, tmp_path / "recent.csv", [table], table[["load", "day"]].to_numpy()):
        assert np.array_equal(preprocess(source).numpy(), expected[None])
    assert preprocess([table, table]).shape == (2, *expected.shape)


def test_prediction_sorts_by_time_and_reads_files_as_training_did(tmp_path: Path) -> None:
    table = hourly().to_csv(index=False, sep=";")
    preprocess = Preprocess.from_json(prepared(tmp_path, table, delimiter=";").preprocess.to_json())
    recent = hourly()[90:102]
    shuffled = recent.sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "recent.csv", index=False, sep=";")
    for source in (shuffled, shuffled.to_dict("records"), tmp_path / "recent.csv"):
        assert torch.equal(preprocess(source), preprocess(recent))


def test_numbers_of_one_column_need_no_axis_of_their_own(tmp_path: Path) -> None:
    preprocess = prepared(tmp_path, hourly(), inputs=["load"]).preprocess
    values = np.arange(6.0)
    for source in (values, values[:, None], values[None], values[None, :, None], values.tolist(), torch.tensor(values)):
        assert preprocess(source).squeeze().tolist() == values.tolist()
    assert preprocess(np.stack([values, values])).shape == (2, 6, 1)


def test_a_table_of_several_groups_gives_a_window_each(tmp_path: Path) -> None:
    table = pd.concat([hourly().assign(shop=shop) for shop in "ab"])
    preprocess = prepared(tmp_path, table, group="shop").preprocess
    assert preprocess(table).shape[0] == 2


@pytest.mark.parametrize(
    ("source", "message"),
    (
        (np.arange(5.0), "window 0: 5 rows; a forecast needs the last 6"),
        (np.zeros((2, 6, 3)), r"shape \(6, 3\); expected \(rows, 1\): load; the oldest row first"),
        ([{"loud": 1.0}] * 6, "no column 'loud|no column 'load'; did you mean 'loud'"),
        (np.array([0, 1, np.nan, 3, 4, 5]), "window 0: row 2: 'load' is missing; fill it in"),
        ("missing.csv", "missing.csv: .*No such file"),
    ),
)
def test_what_cannot_be_predicted_from_is_refused(source: object, message: str, tmp_path: Path) -> None:
    preprocess = prepared(tmp_path, hourly(), inputs=["load"]).preprocess
    with pytest.raises(DataError, match=message):
        preprocess(source)


# ---------------------------------------------------------------------------------------------------- missing and gaps


def test_a_missing_value_is_refused_with_its_line_or_filled_from_before(tmp_path: Path) -> None:
    table = hourly()
    table.loc[[10, 11], "load"] = np.nan
    assert refusal(tmp_path, table) == (
        "table.csv:12: column 'load': missing; fill it in, or set data.missing: forward_fill for the last known value"
    )
    data = prepared(tmp_path, table, missing="forward_fill", inputs=["load"])
    x, _ = batches(data.train, data.preprocess)
    assert x[9, :, 0].tolist() == [9, 9, 9, 12, 13, 14]
    assert data.preprocess(np.array([0, 1, 2, np.nan, 4, 5]))[0, :, 0].tolist() == [0, 1, 2, 2, 4, 5]


def test_nothing_is_filled_from_another_series(tmp_path: Path) -> None:
    first, second = hourly().assign(shop="a"), hourly().assign(shop="b")
    second.loc[0, "load"] = np.nan
    message = refusal(tmp_path, pd.concat([first, second]), group="shop", missing="forward_fill")
    assert message == "table.csv:122: column 'load': missing; nothing before it to fill it with; remove the row"


def test_a_gap_is_refused_with_its_line_split_or_ignored(tmp_path: Path) -> None:
    table = hourly().drop(index=[20, 21])
    assert refusal(tmp_path, table) == (
        "table.csv:22: column 'time': 0 days 03:00:00 after the row before, the usual step is 0 days 01:00:00 (the only"
        " such place); add the rows that are missing, or set data.gaps: split (no window crosses a gap) or ignore (rows"
        " as they come)"
    )
    for gaps, crosses in (("split", False), ("ignore", True)):
        data = prepared(tmp_path, table, gaps=gaps, inputs=["load"])
        x, y = batches(data.train, data.preprocess)
        whole = np.concatenate([x[:, :, 0], y], axis=1)
        assert (np.diff(whole, axis=1) > 1).any() == crosses


@pytest.mark.parametrize("frequency", ("MS", "ME", "QS", "B", "D", "15min"))
def test_steps_of_the_calendar_are_regular(frequency: str, tmp_path: Path) -> None:
    table = hourly()
    table["time"] = pd.date_range("2010-01-01", periods=120, freq=frequency)
    assert prepared(tmp_path, table).info.n_train > 0
    message = refusal(tmp_path, table.drop(index=50))
    assert message.startswith("table.csv:52: column 'time': ")
    assert "the only such place" in message


def test_a_time_that_comes_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    table = pd.concat([hourly(), hourly()[5:6]])
    assert refusal(tmp_path, table) == (
        "table.csv:122: column 'time': the time of table.csv:7 again; a series has one row a time; name the column that"
        " tells series apart in data.group"
    )


# ------------------------------------------------------------------------------------------------------- bad tables


@pytest.mark.parametrize(
    ("change", "options", "message"),
    (
        ({}, {"target": "laod"}, "table.csv: data.target: no column 'laod'; did you mean 'load'?"),
        ({}, {"time": "tine"}, "table.csv: data.time: no column 'tine'; did you mean 'time'?"),
        ({}, {"target": "day"}, "table.csv:2: column 'day': 'Thursday' is not a number; correct it, or leave it empty"),
        ({(3, "time"): "soon"}, {}, "table.csv:5: column 'time': 'soon' is no date; write dates as 2026-01-31"),
        ({(3, "time"): ""}, {}, "table.csv:5: column 'time': the time is missing; fill it in, or remove the row"),
        ({(3, "load"): "1e999"}, {}, "table.csv:5: column 'load': infinite; give a finite number"),
        ({(50, "load"): "1e99"}, {"inputs": ["day"]}, "table.csv:52: column 'load': 1e+99 is outside float32's range"),
        ({}, {"window": 50}, "table.csv: the val part has 12 time steps and no whole window; one takes 52"),
        ({}, {"window": 118, "look_back": True}, "table.csv: the train part has 96 time steps and no whole window"),
        ({}, {"split": {"val": 60, "test": 60}}, "data.split: val takes 60 and test 60 of 120 time steps"),
        ({}, {"inputs": ["time"]}, "data.inputs: 'time' is also the time, the group, a target, or dropped"),
        ({}, {"path": "tabel.csv"}, "data.path tabel.csv: no such file"),
    ),
)
def test_a_table_that_cannot_be_used_is_refused_with_the_place(
    change: dict[tuple[int, str], str], options: dict[str, object], message: str, tmp_path: Path
) -> None:
    table = hourly().astype(object)
    for (row, column), value in change.items():
        table.loc[row, column] = value
    assert refusal(tmp_path, table, **options).startswith(message)


def test_dates_that_can_be_read_in_several_ways_are_refused(tmp_path: Path) -> None:
    table = hourly(31).assign(time=[f"{day:02}/01/2026" for day in range(1, 32)])
    assert "write dates as 2026-01-31" in refusal(tmp_path, table)


SPACE = """
objective: {metric: rmse}
data: {kind: series, path: table.csv, %s}
space: {%s}
"""


def problems(folder: Path, data: str, space: str = "optimizer.lr: [0.1, 0.2]") -> str:
    target = "" if "target" in data else "target: load, "
    (folder / "x.yaml").write_text(SPACE % (target + data, space))
    with pytest.raises(ConfigError) as caught:
        load_spec(folder / "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    (
        ("target: []", "data.target: expected at least one column"),
        ("form: long", "data.group: missing; form long needs the column that tells which series a row belongs to"),
        ("form: wide, window: 5", "data.window: is for form windows, and this is wide; leave it out"),
        ("form: wide, time: t", "data.time: form wide has a row a series; leave it out"),
        ("length: 5", "data.length: is for form long or wide, and this is windows; leave it out"),
        ("task: classification", "data.task: series is for regression, not for classification"),
        ("split: {by: time, column: t}", "data.split: a forecast is cut in time by itself; leave by and column out"),
        (
            "form: wide, split: {by: time, column: t}",
            "data.split: by: time is for tables; whole series can be split by",
        ),
        ("split: {folds: 3}", "data.split: folds would validate on the past of what they train on; leave folds out"),
        ("augment: {kind: light}", "data.augment: light is for images"),
    ),
)
def test_options_that_do_not_go_together_are_refused(data: str, message: str, tmp_path: Path) -> None:
    assert message in problems(tmp_path, data)


def test_the_task_is_known_without_the_data(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(SPACE.replace("rmse", "accuracy") % ("target: load", "optimizer.lr: [0.1, 0.2]"))
    with pytest.raises(ConfigError, match="accuracy is for classification and language, but series is regression"):
        load_spec(tmp_path / "x.yaml")


def test_confirming_cuts_no_forecast_anew(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(SPACE % ("target: load", "optimizer.lr: [0.1, 0.2]"))
    spec = load_spec(tmp_path / "x.yaml")
    assert spec.on_cut(spec.base, 1) == spec.base
    (tmp_path / "x.yaml").write_text(SPACE % ("form: wide, target: load", "optimizer.lr: [0.1, 0.2]"))
    spec = load_spec(tmp_path / "x.yaml")
    assert spec.on_cut(spec.base, 1) != spec.base


def test_a_searched_window_needs_validation_rows_that_do_not_depend_on_it(tmp_path: Path) -> None:
    searched: Sequence[str] = ("target: load, look_back: true", "data.window: {low: 3, high: 9}")
    assert "look_back: true" in problems(tmp_path, "window: 5", searched[1])
    (tmp_path / "x.yaml").write_text(SPACE % searched)
    assert load_spec(tmp_path / "x.yaml").space.parameters[0].name == "data.window"


@pytest.mark.parametrize("kind", ("linear", "mlp", "moe", "convnet", "recurrent", "transformer"))
def test_every_model_of_sequences_takes_windows(kind: str, tmp_path: Path) -> None:
    data = prepared(tmp_path, hourly())
    model = build_model(MODEL_KINDS[kind](), info=data.info, n_outputs=2, base_dir=tmp_path, seed=0)
    x, _ = next(iter(eval_batches(data.val, data.preprocess, device="cpu")))
    assert x.shape[1:] == (6, 5)
    check_output(model, x, 2)
