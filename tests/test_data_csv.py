"""CSV files: column types, targets, what prediction gets, and every way in which a file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.config.schema import CsvData, Split
from tuner.data.batches import eval_batches
from tuner.data.columns import CategoricalColumn, NumericColumn
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import DataError, NotFoundError

HEADER = "age,city,member,zip,constant,empty,income\n"


def mixed_rows(n_rows: int = 40) -> str:
    """Numbers with gaps, text with gaps, booleans, numeric categories, a constant and an empty column."""
    lines = [HEADER]
    for row in range(n_rows):
        age = "" if row % 10 == 3 else str(20 + row)
        city = "" if row % 8 == 5 else ("Rome", "Oslo", "Bern")[row % 3]
        lines.append(f"{age},{city},{row % 2 == 0},{100 + row % 3},5,,{'>50K' if row % 4 == 0 else '<=50K'}\n")
    return "".join(lines)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load(folder: Path, text: str | bytes, *, metric: str = "accuracy", **options: object) -> Prepared:
    write(folder, text)
    data = CsvData.model_validate({"kind": "csv", "path": "table.csv", "target": "income", **options})
    return prepare(data, metric=metric, seed=3, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, text: str | bytes, *, metric: str = "accuracy", **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, text, metric=metric, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def rows_of(prepared: Prepared) -> np.ndarray:
    assert isinstance(prepared.train, ArrayPart)
    return prepared.train.inputs.numpy()


def targets_of(prepared: Prepared) -> torch.Tensor:
    return torch.cat([prepared.train.targets, prepared.val.targets])


def numbers(values: list[object]) -> str:
    return "x,income\n" + "".join(f"{row % 7},{value}\n" for row, value in enumerate(values))


def test_each_column_type_becomes_the_features_that_it_should(tmp_path: Path) -> None:
    prepared = load(tmp_path, mixed_rows(), categorical=["zip"])
    encoder = prepared.preprocess.encoder
    by_name = {column.name: column for column in encoder.columns}  # type: ignore[union-attr]
    assert by_name["age"].n_features == 2
    assert by_name["city"].categories == ("Bern", "Oslo", "Rome")
    assert by_name["city"].n_features == 4
    assert by_name["member"].categories == ("False", "True")
    assert by_name["zip"].categories == ("100", "101", "102")
    assert (by_name["constant"].n_features, by_name["empty"].n_features) == (1, 2)
    assert prepared.info.input_shape == (2 + 4 + 2 + 3 + 1 + 2,)
    assert prepared.info.labels == ("<=50K", ">50K")


def test_numbers_are_scaled_by_the_training_part_alone(tmp_path: Path) -> None:
    prepared = load(tmp_path, mixed_rows(200))
    features = rows_of(prepared)
    age = prepared.preprocess.encoder.columns[0]  # type: ignore[union-attr]
    assert isinstance(age, NumericColumn)
    assert features[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert features[:, 0].std() == pytest.approx(1, abs=1e-6)
    assert set(np.unique(features[:, 1])) == {0.0, 1.0}
    whole_file = pd.read_csv(tmp_path / "table.csv")["age"].fillna(age.median)
    assert age.mean != pytest.approx(whole_file.mean(), abs=1e-6)


def test_a_constant_and_an_empty_column_become_zeros(tmp_path: Path) -> None:
    prepared = load(tmp_path, mixed_rows())
    columns = prepared.preprocess.encoder.columns  # type: ignore[union-attr]
    begins = np.cumsum([0, *(column.n_features for column in columns)])
    by_name = {column.name: begin for column, begin in zip(columns, begins[:-1], strict=True)}
    features = rows_of(prepared)
    assert np.all(features[:, by_name["constant"]] == 0)
    assert np.all(features[:, by_name["empty"]] == 0)
    assert np.all(features[:, by_name["empty"] + 1] == 1)


def test_without_normalisation_numbers_stay_as_they_are(tmp_path: Path) -> None:
    prepared = load(tmp_path, numbers(["a", "b"] * 20), normalize=False)
    assert set(np.unique(rows_of(prepared))) == set(range(7))


def test_a_data_frame_in_prediction_gives_the_bits_of_training(tmp_path: Path) -> None:
    prepared = load(tmp_path, mixed_rows(), categorical=["zip"])
    frame = pd.read_csv(tmp_path / "table.csv")
    trained = torch.cat([x for x, _ in eval_batches(prepared.train, prepared.preprocess, device="cpu")])
    rows = np.load(next((tmp_path / "cache").glob("*/train_rows.npy")))
    assert torch.equal(prepared.preprocess(frame.iloc[rows]), trained)
    restored = Preprocess.from_json(prepared.preprocess.to_json())
    assert restored == prepared.preprocess
    assert torch.equal(restored(frame.iloc[rows].drop(columns="income").to_dict("records")), trained)


def test_a_missing_value_may_be_none_in_prediction(tmp_path: Path) -> None:
    preprocess = load(tmp_path, mixed_rows()).preprocess
    row = {"age": None, "city": None, "member": True, "zip": 100, "constant": 5, "empty": None}
    age = preprocess.encoder.columns[0]  # type: ignore[union-attr]
    x = preprocess([row])[0]
    assert x[0].item() == pytest.approx((age.median - age.mean) / age.std)
    assert x[1:6].tolist() == [1, 0, 0, 0, 1]


def test_rare_categories_share_one_feature_and_unseen_ones_join_them() -> None:
    values = np.array(["a"] * 5 + ["b"] * 4 + ["c", "d"], dtype=object)
    column = CategoricalColumn.fit("letter", values, max_categories=2)
    assert (column.categories, column.marks_other, column.n_features) == (("a", "b"), True, 3)
    assert column.encode(np.array(["b", "c", "new", None], dtype=object)).astype(int).tolist() == [
        [0, 1, 0],
        [0, 0, 1],
        [0, 0, 1],
        [0, 0, 1],
    ]


def test_an_unseen_category_is_all_zeros_where_nothing_was_rare() -> None:
    column = CategoricalColumn.fit("letter", np.array(["a", "b", None], dtype=object), max_categories=9)
    assert column.encode(np.array(["new", None, "b"], dtype=object)).astype(int).tolist() == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 0],
    ]


def test_few_integers_are_classes_in_the_order_of_numbers(tmp_path: Path) -> None:
    prepared = load(tmp_path, numbers([10, 9, 100] * 10), metric="loss")
    assert (prepared.info.task, prepared.info.labels) == ("classification", ("9", "10", "100"))
    assert prepared.train.targets.dtype == torch.int64


def test_integers_are_a_quantity_when_the_metric_says_so(tmp_path: Path) -> None:
    prepared = load(tmp_path, numbers([3, 4, 5] * 10), metric="rmse")
    assert (prepared.info.task, prepared.info.n_targets, prepared.info.labels) == ("regression", 1, ())
    assert prepared.train.targets.shape == (prepared.info.n_train, 1)
    assert set(targets_of(prepared).flatten().tolist()) == {3.0, 4.0, 5.0}


def test_many_integers_and_fractions_are_quantities(tmp_path: Path) -> None:
    assert load(tmp_path, numbers(list(range(40))), metric="loss").info.task == "regression"
    assert load(tmp_path, numbers([0.5, 1.5] * 10), metric="loss").info.task == "regression"


def test_booleans_are_two_classes(tmp_path: Path) -> None:
    assert load(tmp_path, numbers(["true", "false"] * 10), metric="loss").info.labels == ("False", "True")


def test_another_delimiter_a_byte_order_mark_and_blank_lines_are_read(tmp_path: Path) -> None:
    text = "\ufeff" + numbers(["a", "b"] * 10).replace(",", ";").replace("\n", "\r\n") + "\r\n\r\n"
    assert load(tmp_path, text, delimiter=";").info.labels == ("a", "b")


def test_dropped_columns_are_no_features(tmp_path: Path) -> None:
    data = load(tmp_path, mixed_rows(), drop=["city", "zip", "member", "empty", "constant"])
    assert data.info.input_shape == (2,)


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("", "table.csv: the file is empty"),
        ("a,income\n", "table.csv: no rows below the line of column names"),
        ("a,income\n1,x\n2\n", "table.csv:3: 1 fields; expected 2, as the header has"),
        ('a,income\n1,x\n"2\n3",y,z\n', "table.csv:3: 3 fields; expected 2"),
        ("a,a,income\n1,2,x\n", "table.csv:1: column 'a' is there 2 times"),
        (
            b"a,income\n1,x\n2,\xff\xfe\n",
            "table.csv:3: not UTF-8 (invalid start byte); say what it is, such as data.encoding: latin-1",
        ),
        ("income\nx\ny\n", "no column is left besides the target 'income'"),
        ("a,income\n1,x\n2,\n3,y\n", "table.csv:3: column 'income': the target is missing in 1 of 3 rows (lines 3)"),
        ("a,income\n1,x\ninf,y\n", "table.csv:3: column 'a': infinite (1 of 2 values)"),
        ("a,income\n" + "1,x\n2,y\n" * 10 + "?,x\n", "table.csv:22: column 'a': '?' is not a number, but 20 of 21"),
        ("a,income\n" + "1,x\n" * 9, "only one class (x) in 9 rows"),
        (
            "a,income\n" + "1,x\n2,y\n" * 5 + "3,z\n",
            "table.csv:12: column 'income': the only row of class 'z'; a stratified split needs two of each class",
        ),
    ),
)
def test_a_file_that_cannot_be_trained_on_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert message in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"target": "incom"}, "data.target: no column 'incom'; did you mean 'income'?"),
        ({"drop": ["agee"]}, "data.drop: no column 'agee'; did you mean 'age'?"),
        ({"categorical": ["ZIP"]}, "data.categorical: no column 'ZIP'; did you mean 'zip'?"),
        ({"drop": ["income"]}, "data.target 'income' is also listed"),
        ({"split": Split(val=1000)}, "val takes 1000 and test 4 of 40 rows"),
    ),
)
def test_options_that_do_not_fit_the_file_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    assert message in refusal(tmp_path, mixed_rows(), **options)


def test_text_is_no_target_for_regression(tmp_path: Path) -> None:
    message = refusal(tmp_path, numbers([1, "two", 3]), metric="rmse")
    assert "table.csv:3: column 'income': 'two' is not a number; for classes take data.task: classification" in message


def test_a_task_that_contradicts_the_metric_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, mixed_rows(), task="regression")
    assert message.startswith("data.task is regression, but objective.metric accuracy is for classification")


def test_a_file_that_is_not_there_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    data = CsvData(path="absent.csv", target="y")
    with pytest.raises(NotFoundError, match=r"data\.path absent\.csv: no such file; looked in .*" + tmp_path.name):
        prepare(data, metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("source", "message"),
    (
        ([{"age": 1.0}], "input: no column 'city'"),
        ([[1.0, 2.0]], r"input: shape \(1, 2\); expected \(N, 6\): age, city"),
        (
            {"age": ["old"], "city": [""], "member": [True], "zip": [1], "constant": [5], "empty": [None]},
            "row 0: column 'age': 'old' is not a",
        ),
        (
            {"age": [np.inf], "city": [""], "member": [True], "zip": [1], "constant": [5], "empty": [None]},
            "column 'age': infinite",
        ),
    ),
)
def test_prediction_refuses_what_training_would_not_have_seen(tmp_path: Path, source: object, message: str) -> None:
    preprocess = load(tmp_path, mixed_rows()).preprocess
    with pytest.raises(DataError, match=message):
        preprocess(source)


def test_names_are_no_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{row},{('Rome', 'Oslo')[row % 2]},{7 + row % 2},{row % 3}\n" for row in range(40))
    preprocess = load(tmp_path, "age,city,zip,income\n" + rows, categorical=["zip"]).preprocess
    message = "input: column 'city': numbers, but in training it had names such as Oslo, Rome; give the names"
    numbers = np.array([[3.0, 1.0, 7.0]])
    for source in (numbers, pd.DataFrame(numbers, columns=["age", "city", "zip"]), [{"age": 3, "city": 1, "zip": 7}]):
        with pytest.raises(DataError, match=message):
            preprocess(source)
    known = preprocess([{"age": 3, "city": "Rome", "zip": 7}])
    assert torch.equal(preprocess(np.array([[3.0, "Rome", 7.0]], dtype=object)), known)
    assert torch.equal(preprocess(np.array([["3", "Rome", "7"]])), known)
    nowhere = preprocess(pd.DataFrame({"age": [3], "city": [np.nan], "zip": [7]}))
    assert torch.equal(preprocess(np.array([["3", "NA", "7"]])), nowhere)


def test_values_beyond_float32_are_refused(tmp_path: Path) -> None:
    text = "a,income\n" + "1e300,x\n2e300,y\n" * 10
    assert "column 'a': values outside float32's range" in refusal(tmp_path, text, normalize=False)
    assert load(tmp_path, text).info.n_train == 16
