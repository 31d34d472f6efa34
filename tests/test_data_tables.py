"""What columns of tables become: dates, scales, rare categories, codes; and files of other kinds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import RobustScaler

import tuner
from tuner.config.schema.tables import CsvData, ParquetData
from tuner.data.batches import eval_batches
from tuner.data.columns import CategoricalColumn, DateColumn, NumericColumn, PiecewiseColumn, QuantileColumn
from tuner.data.dates import parse_date
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.data.survey.features import features_of
from tuner.data.tables import TableEncoder, TableFit
from tuner.errors import DataError


def csv_of(folder: Path, text: str, **options: object) -> Prepared:
    (folder / "table.csv").write_text(text)
    return prepared(folder, CsvData.model_validate({"path": "table.csv", "target": "y", **options}))


def prepared(folder: Path, data: CsvData | ParquetData, *, metric: str = "loss") -> Prepared:
    return prepare(data, metric=metric, seed=3, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, text: str, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        csv_of(folder, text, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def dated(n_rows: int = 60, date_format: str = "%Y-%m-%d") -> str:
    days = pd.date_range("2024-01-01", periods=n_rows, freq="7D").strftime(date_format)
    return "day,y\n" + "".join(f"{day},{row * 0.5}\n" for row, day in enumerate(days))


# ---------------------------------------------------------------------------------------------------------------- dates


def test_a_date_becomes_elapsed_days_year_and_circles() -> None:
    days = np.array(["2024-01-01", "2024-07-01", "2026-01-01", "NaT"], dtype="datetime64[us]")
    column = DateColumn.fit("day", days, scale="none")
    elapsed, year, *circles = column.encode(days)[:3].T
    assert elapsed.tolist() == [0.0, 182.0, 731.0]
    assert year.tolist() == [2024.0, 2024.0, 2026.0]
    months, month_cosines = circles[:2]
    assert months == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert month_cosines == pytest.approx([1.0, -1.0, 1.0])
    weekdays = np.arctan2(circles[2], circles[3]) / (2 * np.pi) * 7
    assert (weekdays.round(6) % 7).tolist() == [0.0, 0.0, 3.0]  # two Mondays and a Thursday
    assert column.encode(days)[:, -1].tolist() == [0.0, 0.0, 0.0, 1.0]
    assert column.encode(days)[3, 0] == 182.0  # the date in the middle


def test_hours_become_a_circle_where_there_are_any() -> None:
    times = np.array(["2024-01-01T06:00", "2024-01-02T18:00"], dtype="datetime64[us]")
    column = DateColumn.fit("at", times, scale="standard")
    assert column.has_hours
    assert column.encode(times)[:, -2] == pytest.approx([1.0, -1.0])


def test_dates_are_found_and_predicted_from_text_dates_and_frames(tmp_path: Path) -> None:
    data = csv_of(tmp_path, dated())
    encoder = data.preprocess.encoder
    assert isinstance(encoder, TableEncoder)
    assert isinstance(encoder.columns[0], DateColumn)
    as_text = data.preprocess([{"day": "2024-03-04"}])
    frame = pd.DataFrame({"day": pd.to_datetime(["2024-03-04"])})
    assert torch.equal(as_text, data.preprocess(frame))
    assert torch.equal(as_text, data.preprocess(frame.assign(day=frame["day"].dt.tz_localize("UTC"))))
    assert torch.equal(as_text, Preprocess.from_json(data.preprocess.to_json())([{"day": "2024-03-04T00:00Z"}]))


def test_the_survey_knows_dates() -> None:
    days = np.array(["2024-01-01", "NaT", "2024-01-03"], dtype="datetime64[us]")
    (feature,) = features_of({"day": days}, np.array([0, 1, 0]))
    assert (feature.kind, feature.missing, feature.distinct) == ("date", 1, 2)
    assert feature.frequent == (("2024-01-01", 1), ("2024-01-03", 1))


def test_dates_of_another_format_are_read_with_it(tmp_path: Path) -> None:
    data = csv_of(tmp_path, dated(date_format="%d.%m.%Y"), dates=["day"], date_format="%d.%m.%Y")
    iso = csv_of(tmp_path, dated())
    assert torch.equal(data.preprocess([{"day": "04.03.2024"}]), iso.preprocess([{"day": "2024-03-04"}]))


def test_a_zone_is_taken_into_account() -> None:
    assert parse_date("2024-01-01T01:00+02:00", "") == np.datetime64("2023-12-31T23:00")


def test_a_wrong_date_is_refused_with_its_place_and_the_remedy(tmp_path: Path) -> None:
    message = refusal(tmp_path, dated().replace("2024-01-08", "2024-01-8x"))
    assert message.startswith("table.csv:3: column 'day': '2024-01-8x' is not a date, but 59 of 60 values are")
    message = refusal(tmp_path, dated().replace("2024-01-08", "2024-13-08"))
    assert message.startswith("table.csv:3: column 'day': '2024-13-08' is no date as 2026-01-31")
    message = refusal(tmp_path, dated(date_format="%d.%m.%Y"), dates=["day"], date_format="%m/%d/%Y")
    assert "table.csv:2: column 'day': '01.01.2024' is no date as data.date_format '%m/%d/%Y'" in message


# --------------------------------------------------------------------------------------------------------------- scales


def test_robust_scaling_is_scikit_learns() -> None:
    values = np.random.default_rng(0).standard_cauchy(101)
    ours = NumericColumn.fit("x", values, scale="robust").encode(values)
    assert ours == pytest.approx(RobustScaler().fit_transform(values[:, None]))


def test_minmax_scaling_reaches_from_0_to_1() -> None:
    values = np.array([3.0, 5.0, np.nan, 4.0])
    column = NumericColumn.fit("x", values, scale="minmax")
    assert column.encode(values)[:, 0].tolist() == [0.0, 1.0, 0.5, 0.5]


def test_robust_scaling_of_a_mostly_constant_column_takes_the_deviation() -> None:
    values = np.array([0.0] * 9 + [10.0])
    assert NumericColumn.fit("x", values, scale="robust").encode(values).std() == pytest.approx(1.0)


def test_quantile_scaling_makes_any_distribution_normal() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=5000) * 3)
    column = QuantileColumn.fit("x", values)
    scores = column.encode(values)[:, 0]
    assert len(column.knots) <= 200
    assert (scores.mean(), scores.std()) == pytest.approx((0.0, 1.0), abs=0.03)
    assert np.array_equal(np.argsort(values), np.argsort(scores, kind="stable")) or np.all(
        np.diff(np.sort(scores)) >= 0
    )
    beyond = column.encode(np.array([-1e9, 1e9]))[:, 0]
    assert beyond.tolist() == [column.scores[0], column.scores[-1]]


def test_a_piecewise_number_is_its_place_in_each_bin() -> None:
    column = PiecewiseColumn.fit("x", np.array([0.0, 10.0, 30.0]), n_bins=16)
    values = np.array([0.0, 5.0, 20.0, 30.0, -9.0, 99.0])
    assert column.encode(values).tolist() == [[0, 0], [0.5, 0], [1, 0.5], [1, 1], [0, 0], [1, 1]]


def test_piecewise_bins_see_rare_values_of_a_mostly_constant_column() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1.0, 101.0)])
    column = PiecewiseColumn.fit("x", values, n_bins=8)
    assert column.edges[0] == 0.0
    assert len(column.edges) >= 5
    encoder = TableEncoder.fit({"x": values}, TableFit(scale="piecewise", n_bins=8))
    assert TableEncoder.from_json(encoder.to_json()) == encoder


def test_equal_values_have_the_score_of_their_middle_rank() -> None:
    column = QuantileColumn.fit("x", np.array([0.0] * 50 + [1.0] * 50))
    assert column.scores == pytest.approx((-0.6745, 0.6745), abs=1e-4)


def test_a_constant_column_is_zero_under_every_scale() -> None:
    values = np.full(5, 7.0)
    for scale in ("standard", "minmax", "robust", "quantile", "piecewise"):
        encoder = TableEncoder.fit({"x": values}, TableFit(scale=scale))
        assert encoder.encode_columns({"x": values}).tolist() == [[0.0]] * 5


# ----------------------------------------------------------------------------------------------------------- categories


def test_rare_categories_share_one_feature() -> None:
    values = np.array(["a"] * 5 + ["b"] * 2 + ["c"], dtype=object)
    column = CategoricalColumn.fit("x", values, max_categories=50, min_count=3)
    assert (column.categories, column.marks_other) == (("a",), True)
    assert column.encode(np.array(["a", "b", "new"], dtype=object)).tolist() == [[1, 0], [0, 1], [0, 1]]


def test_embedded_categories_are_codes_in_the_last_columns(tmp_path: Path) -> None:
    text = "city,x,member,y\n" + "".join(
        f"{('', 'Oslo', 'Rome')[row % 3]},{row},{row % 2 == 0},{row * 0.5}\n" for row in range(60)
    )
    data = csv_of(tmp_path, text, categories="embedding")
    assert data.info.categories == (3, 3)
    assert data.info.input_shape == (3,)
    assert isinstance(data.train, ArrayPart)
    codes = data.train.inputs[:, 1:]
    assert torch.equal(codes, codes.round())
    assert codes.amax(dim=0).tolist() == [2.0, 2.0]
    row = data.preprocess([{"city": "Paris", "x": 0, "member": True}, {"city": "Rome", "x": 0, "member": None}])
    assert row[:, 1:].tolist() == [[0.0, 2.0], [2.0, 0.0]]


def test_a_mark_that_is_a_number_is_missing_in_training_and_prediction(tmp_path: Path) -> None:
    rows = "".join(f"{row % 7 or -999},{('NA', 'red', 'blue')[row % 3]},{row * 0.5}\n" for row in range(60))
    data = csv_of(tmp_path, f"x,colour,y\n{rows}", missing_values=["-999"])
    restored = Preprocess.from_json(data.preprocess.to_json())
    missing = restored(pd.DataFrame({"x": [np.nan], "colour": [None]}))
    assert missing[0, 1] == 1.0
    assert torch.equal(restored(pd.DataFrame({"x": [-999], "colour": ["NA"]})), missing)
    assert torch.equal(restored(pd.DataFrame({"x": [-999.0], "colour": ["NA"]})), missing)
    assert torch.equal(restored([{"x": -999, "colour": "NA"}]), missing)
    assert torch.equal(restored([{"x": "-999.0", "colour": "nan"}]), missing)
    assert not torch.equal(restored([{"x": -998, "colour": "red"}]), missing)


def test_marks_of_missing_values_are_missing_in_parquet_too(tmp_path: Path) -> None:
    x = [row % 7 or -999 for row in range(60)]
    colour = [("?", "red", "blue")[row % 3] for row in range(60)]
    pd.DataFrame({"x": x, "colour": colour, "y": np.arange(60) * 0.5}).to_parquet(tmp_path / "t.parquet")
    data = prepared(
        tmp_path,
        ParquetData.model_validate({"path": "t.parquet", "target": "y", "missing_values": ["-999", "?"]}),
    )
    encoder = data.preprocess.encoder
    assert isinstance(encoder, TableEncoder)
    assert [column.marks_missing for column in encoder.columns] == [True, True]
    assert isinstance(encoder.columns[0], NumericColumn)
    assert 1.0 <= encoder.columns[0].mean <= 6.0
    missing = data.preprocess(pd.DataFrame({"x": [np.nan], "colour": [None]}))
    assert torch.equal(data.preprocess([{"x": -999, "colour": "?"}]), missing)


def test_a_date_format_is_for_the_columns_that_are_named(tmp_path: Path) -> None:
    days = pd.date_range("2024-01-01", periods=60, freq="7D")
    rows = "".join(f"{day:%d.%m.%Y},{day:%Y-%m-%d},{row * 0.5}\n" for row, day in enumerate(days))
    data = csv_of(tmp_path, f"own,iso,y\n{rows}", dates=["own"], date_format="%d.%m.%Y")
    features = data.preprocess([{"own": "04.03.2024", "iso": "2024-03-04"}])[0]
    assert torch.equal(*features.chunk(2))


def test_marks_of_missing_values_are_missing_in_training_and_prediction(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{'?' if row % 5 == 0 else row},{row * 0.5}\n" for row in range(60))
    assert (
        "column 'x': '?' is not a number, but 48 of 60"
        not in (data := csv_of(tmp_path, text, missing_values=["?"])).info.kind
    )
    assert data.info.input_shape == (2,)
    assert data.preprocess([{"x": "?"}])[0, 1] == 1.0


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("suffix", (".gz", ".bz2", ".xz", ".zip", ".zst"))
def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"x": range(40), "y": np.arange(40) * 0.5})
    path = tmp_path / f"table.csv{suffix}"
    if suffix == ".zst":
        import pyarrow as pa

        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(frame.to_csv(index=False).encode())
    else:
        frame.to_csv(path, index=False)
    data = prepared(tmp_path, CsvData(path=path.name, target="y"))
    plain = csv_of(tmp_path, frame.to_csv(index=False))
    assert data.info.fingerprint == plain.info.fingerprint


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"x,y\n1,2\n" * 100)[:-9])
    with pytest.raises(DataError, match=r"t\.csv\.gz: cannot be unpacked"):
        prepared(tmp_path, CsvData(path="t.csv.gz", target="y"))


def test_a_file_in_another_encoding_is_read_with_it_and_refused_without(tmp_path: Path) -> None:
    text = "ville;prix;y\n" + "".join(f"Orléans;{row},5;{row * 2},25\n" for row in range(40))
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    options = {"path": "t.csv", "target": "y", "delimiter": ";", "decimal": ","}
    data = prepared(tmp_path, CsvData.model_validate({**options, "encoding": "latin-1"}))
    encoder = data.preprocess.encoder
    assert isinstance(encoder, TableEncoder)
    assert encoder.columns[0].categories == ("Orléans",)  # type: ignore[union-attr]
    assert isinstance(encoder.columns[1], NumericColumn)
    with pytest.raises(DataError, match=r"t\.csv:2: not UTF-8 .*data\.encoding: latin-1"):
        prepared(tmp_path, CsvData.model_validate(options))


def test_a_parquet_table_is_read_with_its_types(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "x": [1.5, None] * 20,
            "city": pd.Categorical(["Rome", "Oslo"] * 20),
            "day": pd.date_range("2024-01-01", periods=40),
            "member": [True, False] * 20,
            "y": np.arange(40) * 0.5,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    data = prepared(tmp_path, ParquetData(path="t.parquet", target="y"))
    encoder = data.preprocess.encoder
    assert isinstance(encoder, TableEncoder)
    kinds = [type(column).__name__ for column in encoder.columns]
    assert kinds == ["NumericColumn", "CategoricalColumn", "DateColumn", "CategoricalColumn"]
    trained = torch.cat([x for x, _ in eval_batches(data.train, data.preprocess, device="cpu")])
    rows = np.load(next((tmp_path / "cache").glob("*/train_rows.npy")))
    assert torch.equal(data.preprocess(frame.iloc[rows]), trained)


def test_what_is_no_parquet_file_is_refused_and_a_bad_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"x,y\n1,2\n")
    with pytest.raises(DataError, match=r"t\.parquet: no parquet file"):
        prepared(tmp_path, ParquetData(path="t.parquet", target="y"))
    pd.DataFrame({"x": [[1], [2]], "y": [1.0, 2.0]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet: row 0: column 'x': a (ndarray|list); expected one value"):
        prepared(tmp_path, ParquetData(path="t.parquet", target="y"))
    pd.DataFrame({"x": [1, 2], "y": [1.0, None]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"row 1: column 'y': the target is missing in 1 of 2 rows \(row 1\)"):
        prepared(tmp_path, ParquetData(path="t.parquet", target="y"))


def test_files_of_their_own_are_validation_and_test(tmp_path: Path) -> None:
    for name, first in (("val", 100), ("test", 200)):
        (tmp_path / f"{name}.csv").write_text("y,x\n" + "".join(f"{row}.5,{row}\n" for row in range(first, first + 5)))
    text = "x,y\n" + "".join(f"{row},{row}.5\n" for row in range(30))
    data = csv_of(tmp_path, text, val_path="val.csv", test_path="test.csv")
    assert (data.info.n_train, data.info.n_val, data.info.n_test) == (30, 5, 5)
    assert data.val.targets.flatten().tolist() == [100.5, 101.5, 102.5, 103.5, 104.5]
    (tmp_path / "val.csv").write_text("y,x\n1,2\nmany,3\n")
    assert "val.csv: column 'y': text, but numbers in table.csv" in refusal(tmp_path, text, val_path="val.csv")
    (tmp_path / "val.csv").write_text("y,X\n1,2\n")
    assert "val.csv: no column 'x', which table.csv has" in refusal(tmp_path, text, val_path="val.csv")


def test_a_column_may_be_empty_in_a_file_of_its_own(tmp_path: Path) -> None:
    rows = [("u", 1, "2024-01-01"), ("v", 2, "2024-02-01")] * 15
    text = "s,x,day,y\n" + "".join(f"{s},{x},{day},{row}.5\n" for row, (s, x, day) in enumerate(rows))
    (tmp_path / "val.csv").write_text("s,x,day,y\n" + ",,,3.5\n" * 5)
    data = csv_of(tmp_path, text, val_path="val.csv")
    assert data.info.input_shape == csv_of(tmp_path, text).info.input_shape
    assert data.info.n_val == 5


# -------------------------------------------------------------------------------------------------------------- targets


def test_several_targets_are_predicted_together(tmp_path: Path) -> None:
    text = "x,a,b\n" + "".join(f"{row},{row}.5,{-row}\n" for row in range(40))
    data = csv_of(tmp_path, text, target=["a", "b"])
    assert (data.info.task, data.info.n_targets, data.info.input_shape) == ("regression", 2, (1,))
    assert data.train.targets.shape[1] == 2
    with pytest.raises(DataError, match="2 columns cannot be one class"):
        prepared(tmp_path, CsvData(path="table.csv", target=("a", "b")), metric="accuracy")


def test_several_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    text = "x,red,big\n" + "".join(f"{row},{row % 2},{row % 3 == 0}\n" for row in range(60))
    (tmp_path / "table.csv").write_text(text)
    data = CsvData(path="table.csv", target=("red", "big"), task="multilabel")
    labels = prepared(tmp_path, data)
    assert (labels.info.task, labels.info.labels) == ("multilabel", ("red", "big"))
    assert set(labels.train.targets.flatten().tolist()) == {0.0, 1.0}
    (tmp_path / "table.csv").write_text(text.replace("\n7,1,", "\n7,2,"))
    with pytest.raises(DataError, match=r"table\.csv:9: column 'red': 2; a label of several is 0 or 1"):
        prepared(tmp_path, data)


def test_a_table_without_a_target_can_be_rebuilt(tmp_path: Path) -> None:
    data = csv_of(tmp_path, "x,z\n" + "".join(f"{row},{-row}\n" for row in range(40)), target=[], task="autoencoding")
    assert (data.info.task, data.info.n_targets) == ("autoencoding", 2)


def test_ordered_classes_keep_the_order_of_the_numbers(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{row},{(2, 10, 9)[row % 3]}\n" for row in range(60))
    classes = csv_of(tmp_path, text)
    assert classes.info.labels == ("2", "9", "10")
    assert csv_of(tmp_path, text, task="regression").info.task == "regression"


@pytest.mark.slow
def test_a_table_of_all_kinds_of_columns_is_searched_exported_and_predicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = pd.date_range("2024-01-01", periods=200).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": days, "city": ["Rome", "Oslo", None, "Bern"] * 50, "x": np.linspace(-1, 1, 200)})
    frame["rich"] = np.where((frame["city"] == "Rome") | (frame["x"] > 0), "yes", "no")
    frame["who"] = np.arange(200) // 4
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    split = "{by: group, column: who, val: 0.2, test: 0.2}"
    (tmp_path / "t.yaml").write_text(
        "version: 1\nobjective: {metric: accuracy}\n"
        f"data: {{kind: csv, path: t.csv.gz, target: rich, batch_size: 16, sampler: weighted, split: {split}}}\n"
        "model: {kind: mlp, depth: 1, width: 16}\noptimizer: {lr: 0.02}\ntrain: {epochs: 10}\n"
        "space: {data.categories: [onehot, embedding], data.scale: [piecewise, quantile]}\n"
        "search: {trials: 4, workers: 1, sampler: grid}\nconfirm: off\n"
    )
    monkeypatch.chdir(tmp_path)
    export = tuner.best(tuner.search("t.yaml"))
    model = tuner.load(export)
    predicted = model.predict(frame.drop(columns=["rich", "who"]))
    assert (predicted == frame["rich"]).mean() > 0.85
    assert set(predicted) == {"no", "yes"}
    assert json.loads((export / "bundle.json").read_text())["metrics"]["test/accuracy"] > 0.7
