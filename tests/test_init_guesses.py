"""`tuner init DATA`: what is seen in data of every kind, and a space file that is valid and reads it."""

from __future__ import annotations

import csv
import gzip
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from tuner.cli.main import cli
from tuner.config.files import shipped_names
from tuner.config.spec import Spec, load
from tuner.errors import DataError, NotFoundError, UsageError
from tuner.workflows.init import DATA, OF_KIND, TEMPLATES, Made, init
from tuner.workflows.looking.files import problem_of

N_ROWS = 60


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(name: str, columns: dict[str, Sequence[object]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    path = Path(name)
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def numbers(n_rows: int = N_ROWS) -> list[float]:
    return np.random.default_rng(0).normal(size=n_rows).round(4).tolist()


def classes(*names: str, n_rows: int = N_ROWS) -> list[str]:
    return [names[row % len(names)] for row in range(n_rows)]


def days(n_rows: int = N_ROWS) -> list[str]:
    return [str(day.date()) for day in pd.date_range("2024-03-01", periods=n_rows)]


def made(what: str, **options: Any) -> tuple[Made, Spec, Any]:
    """What was written, checked, and read by its source without a complaint."""
    found = init(what, **options)
    assert problem_of(found.file) == ""
    spec = load(found.file)
    return found, spec, spec.base.data


# ---------------------------------------------------------------------------------------------------------------- names


def test_the_file_has_the_name_of_the_data_so_that_a_second_table_has_its_own() -> None:
    table("people.csv", {"age": numbers(), "income": classes("low", "high")})
    table("prices.csv", {"size": numbers(), "price": numbers()})
    assert [init("people.csv").file, init("prices.csv").file] == [Path("people.yaml"), Path("prices.yaml")]
    before = Path("people.yaml").read_text()
    again = init("people.csv")
    assert again.file == Path("people-2.yaml")
    assert load(again.file).study == "people-2"
    assert Path("people.yaml").read_text() == before


def test_a_text_is_begun_with_as_often_as_one_likes() -> None:
    Path("book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    written = [init("language-model", data="book.txt").file for _ in range(2)] + [init("book.txt").file]
    assert [str(file) for file in written] == ["book.yaml", "book-2.yaml", "book-3.yaml"]
    assert load(written[-1]).base.data.kind == "characters"


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    table("people.csv", {"age": numbers(), "income": classes("low", "high")})
    init("people.csv", out=Path("spaces/mine.yaml"))
    assert load(Path("spaces/mine.yaml")).base.data.path == "../people.csv"
    (tmp_path / "elsewhere").mkdir()
    assert init(str(tmp_path / "people.csv")).file == Path("people.yaml")
    assert load(Path("people.yaml")).base.data.path == str(tmp_path / "people.csv")


@pytest.mark.parametrize("name", (*DATA, *OF_KIND, *shipped_names(), "fashion-mnist", "own_training", "mlp.yaml"))
def test_known_data_and_shipped_files_can_be_begun_with_by_name(name: str) -> None:
    kind = name.replace("-", "_")
    spec = load(init(name).file)
    assert spec.space.parameters
    if kind in DATA or kind in OF_KIND:
        assert spec.base.data.kind == kind


def test_what_is_nothing_is_refused_with_what_to_do() -> None:
    with pytest.raises(NotFoundError, match=r"digit: no template and no file of this name; did you mean 'digits'\?"):
        init("digit")
    with pytest.raises(
        NotFoundError, match=r"recurrent: a kind of model, and no template; .* model: {kind: recurrent}"
    ):
        init("recurrent")
    with pytest.raises(NotFoundError, match=r"data/people.csv: no such file or folder, looked in "):
        init("data/people.csv")
    with pytest.raises(UsageError, match="digits: brings its own data and target; leave --data and --target out"):
        init("digits", target="label")


def test_the_list_has_templates_data_sets_and_shipped_files() -> None:
    for arguments in (["init"], ["init", "--list"], ["init", "people.csv", "--list"]):
        listed = CliRunner().invoke(cli, arguments)
        assert listed.exit_code == 0
        assert {line.split(" ")[0] for line in listed.output.splitlines()} >= {*TEMPLATES, *DATA, *shipped_names()}


# --------------------------------------------------------------------------------------------------------------- tables


def test_rows_in_the_order_of_a_date_are_split_by_it() -> None:
    table("visits.csv", {"day": days(), "size": numbers(), "bought": classes("yes", "no")})
    _, spec, data = made("visits.csv")
    assert (data.split.by, data.split.column) == ("time", "day")
    text = Path("visits.yaml").read_text()
    assert "# rows are in the order of day: learn from the past, be tested on what came later" in text
    assert "# split: {val: 0.2, test: 0.2, stratify: true}" in text
    assert spec.objective.metric == "accuracy"


def test_a_date_that_does_not_order_the_rows_is_proposed_in_a_comment_that_is_valid() -> None:
    shuffled = [days()[(7 * row) % N_ROWS] for row in range(N_ROWS)]
    table("visits.csv", {"day": shuffled, "size": numbers(), "bought": classes("yes", "no")})
    _, _, data = made("visits.csv")
    assert (data.split.by, data.split.stratify) == ("random", True)
    lines = Path("visits.yaml").read_text().splitlines()
    chance = next(number for number, line in enumerate(lines) if line.startswith("  split:"))
    assert lines[chance + 1].startswith("  # split: {by: time, column: day, val: 0.2, test: 0.2}")
    lines[chance] = lines.pop(chance + 1).replace("  # split", "  split")
    Path("visits.yaml").write_text("\n".join(lines))
    assert load(Path("visits.yaml")).base.data.split.by == "time"
    assert problem_of(Path("visits.yaml")) == ""


def test_classes_that_come_late_are_not_split_by_time() -> None:
    table("visits.csv", {"day": days(), "size": numbers(), "bought": ["yes"] * 40 + ["no"] * 20})
    _, _, data = made("visits.csv")
    assert data.split.by == "random"


def test_dates_as_people_write_them_are_found() -> None:
    written = [f"{day[8:]}.{day[5:7]}.{day[:4]}" for day in days()]
    table("visits.csv", {"day": written, "size": numbers(), "price": numbers()})
    found, _, data = made("visits.csv")
    assert (data.dates, data.date_format, data.split.column) == (("day",), "%d.%m.%Y", "day")
    assert any("tuner init forecasting --data visits.csv" in told for told in found.found)


def test_what_several_rows_are_of_is_proposed_as_groups() -> None:
    table("visits.csv", {"patient": [row // 4 for row in range(N_ROWS)], "x": numbers(), "ill": classes("yes", "no")})
    made("visits.csv")
    assert "# split: {by: group, column: patient, val: 0.2, test: 0.2}" in Path("visits.yaml").read_text()


def test_several_labels_are_told_not_to_be_stratified() -> None:
    table("films.csv", {"length": numbers(), "funny": [0, 1, 1] * 20, "sad": [1, 0, 0, 1] * 15})
    _, spec, data = made("films.csv", target=("funny", "sad"))
    assert (data.task, data.target, spec.objective.metric) == ("multilabel", ("funny", "sad"), "f1_macro")
    text = Path("films.yaml").read_text()
    assert "# by chance: rows with several labels cannot be stratified by them" in text
    assert "stratify" not in text.replace("stratified", "")


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"),
    (
        ("people.tsv", "\t", "utf-8"),
        ("people.csv", ";", "cp1252"),
        ("people.csv", "|", "utf-16"),
        ("a.txt", "\t", "utf-8"),
    ),
)
def test_how_a_table_is_written_is_found(name: str, delimiter: str, encoding: str) -> None:
    written = [f"{number:.3f}".replace(".", ",") for number in numbers()]
    table(name, {"größe": written, "town": classes("Köln", "Łódź" if "utf" in encoding else "Aix"), "y": written},
          delimiter, encoding)  # fmt: skip
    _, _, data = made(name)
    assert (data.kind, data.delimiter, data.decimal) == ("csv", delimiter, ",")
    assert data.encoding == encoding
    assert data.target == "y"


def test_parquet_and_packed_tables_are_read_as_what_they_are() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-03-01", periods=N_ROWS), "x": numbers(), "y": numbers()})
    frame.to_parquet("people.parquet")
    _, _, data = made("people.parquet")
    assert (data.kind, data.task, data.split.by) == ("parquet", "regression", "time")
    Path("people.csv.gz").write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    found, _, data = made("people.csv.gz")
    assert (data.kind, data.path, found.file) == ("csv", "people.csv.gz", Path("people-2.yaml"))


def test_what_is_no_property_of_a_row_is_left_out_and_marks_are_missing_values() -> None:
    columns = {
        "customer_id": list(range(1000, 1000 + N_ROWS)),
        "age": ["?" if row % 9 == 0 else row for row in range(N_ROWS)],
        "job": classes("?", "clerk", "cook"),
        "country": ["NL"] * N_ROWS,
        "income": classes("low", "high", "low"),
    }
    table("people.csv", columns)
    found, _, data = made("people.csv", target="income")
    assert data.drop == ("customer_id", "country")
    assert data.missing_values == ("?",)
    assert found.found[0] == "people.csv: 60 rows, 5 columns (1 identifier, 1 number, 2 categories, 1 constant)"


def test_the_target_is_a_column_that_is_called_so_or_the_last_one_that_can_be() -> None:
    table("a.csv", {"label": classes("x", "y"), "age": numbers(), "size": numbers()})
    assert made("a.csv")[2].target == "label"
    table("b.csv", {"age": numbers(), "income": classes("x", "y"), "id": list(range(N_ROWS))})
    found, _, data = made("b.csv")
    assert data.target == "income"
    assert (
        "predicts income (the last column of numbers or classes; another: --target COLUMN): 2 classes" in found.found[1]
    )


def test_unequal_classes_are_not_measured_by_accuracy() -> None:
    table("a.csv", {"age": numbers(), "ill": ["no"] * 50 + ["yes"] * 10})
    _, spec, _ = made("a.csv")
    assert spec.objective.metric == "roc_auc"
    assert "# 83% are no, whose guess has as high an accuracy" in Path("a.yaml").read_text()
    table("b.csv", {"age": numbers(), "town": ["A"] * 50 + ["B"] * 5 + ["C"] * 5})
    assert made("b.csv")[1].objective.metric == "balanced_accuracy"


def test_numbers_that_are_taken_for_classes_may_be_quantities() -> None:
    table("wine.csv", {"acid": numbers(), "quality": [3 + row % 4 for row in range(N_ROWS)]})
    found, spec, _ = made("wine.csv")
    assert spec.base.data.task == "classification"
    assert "# or regression, with {metric: rmse}: numbers in an order" in Path("wine.yaml").read_text()
    assert found.found[-1] == (
        "they are numbers: `tuner init tabular-regression --data wine.csv` learns them as quantities instead"
    )
    assert made("tabular-regression", data="wine.csv")[1].base.data.task == "regression"


def test_a_class_with_one_row_is_not_stratified() -> None:
    table("a.csv", {"age": numbers(), "town": ["A", "B"] * 29 + ["A", "C"]})
    _, _, data = made("a.csv")
    assert data.split.stratify is False
    assert "# by chance: there is one row of C" in Path("a.yaml").read_text()


def test_sentences_are_read_as_texts_unless_a_table_is_asked_for() -> None:
    words = np.random.default_rng(0).choice(["good", "bad", "fine", "poor", "film", "book"], size=(N_ROWS, 7))
    table("reviews.tsv", {"id": list(range(N_ROWS)), "text": [" ".join(row) for row in words],
                          "length": numbers(), "stars": [row % 5 for row in range(N_ROWS)]}, "\t")  # fmt: skip
    _, spec, data = made("reviews.tsv")
    assert (data.kind, data.text, data.target, spec.base.model.kind) == ("text", "text", "stars", "bag")
    assert data.max_length == 16
    _, _, data = made("tabular-regression", data="reviews.tsv")
    assert (data.kind, data.task, data.drop) == ("csv", "regression", ("id", "text"))


def test_texts_in_json_lines_are_read() -> None:
    lines = [f'{{"text": "a film that is number {row} of many", "mood": "{"ab"[row % 2]}"}}' for row in range(N_ROWS)]
    Path("films.jsonl").write_text("\n".join(lines))
    _, _, data = made("films.jsonl")
    assert (data.kind, data.path, data.text, data.target) == ("text", "films.jsonl", "text", "mood")


def test_several_series_in_a_table_are_told_apart() -> None:
    table("load.csv", {"day": sorted(days(30) * 2), "shop": classes("a", "b"), "sold": numbers()})
    _, _, data = made("forecasting", data="load.csv")
    assert (data.time, data.group, data.target) == ("day", "shop", "sold")


def test_a_series_is_made_of_a_table_when_it_is_asked_for() -> None:
    hours = pd.date_range("2024-03-01", periods=400, freq="h").strftime("%Y-%m-%d %H:%M:%S").tolist()
    table("load.csv", {"time": hours, "load": numbers(400)})
    _, spec, data = made("forecasting", data="load.csv")
    assert (data.time, data.target, data.window, data.horizon, data.season) == ("time", "load", 20, 5, 24)
    assert spec.objective.metric == "mae"
    table("short.csv", {"load": numbers(), "other": numbers()})
    _, _, data = made("forecasting", data="short.csv")
    assert (data.time, data.target, data.season) == (None, "other", None)


def test_what_a_search_would_refuse_is_told_before() -> None:
    income = classes("low", "high")
    income[7] = ""
    table("a.csv", {"age": numbers(), "income": income})
    assert "the target is missing in 1 of 60 rows" in init("a.csv").found[-1]


@pytest.mark.parametrize(
    ("columns", "message"),
    (
        (
            {"5.1": [1.0] * 3, "3.5": [2.0] * 3, "setosa": ["a"] * 3},
            "a.csv:1: 5.1, 3.5, setosa: numbers in the place of",
        ),
        ({"income": ["a", "b", "c"]}, r"one column only \(income\)"),
        ({"name": [f"n{row}" for row in range(N_ROWS)], "age": numbers()}, "no column is left to learn age from"),
        ({"day": days(), "name": [f"n{row}" for row in range(N_ROWS)]}, "no column of numbers or classes to predict"),
    ),
)
def test_a_table_that_cannot_be_learned_is_refused(columns: dict[str, Sequence[object]], message: str) -> None:
    table("a.csv", columns)
    with pytest.raises(UsageError, match=message):
        init("a.csv")


def test_names_of_columns_may_be_numbers_that_count() -> None:
    table("a.csv", {"0": numbers(), "1": numbers(), "2": numbers(), "kind": classes("x", "y")})
    assert made("a.csv")[2].target == "kind"


@pytest.mark.parametrize(
    ("target", "message"), (("day", "dates, which cannot be predicted"), ("name", "are no classes"))
)
def test_a_named_target_that_cannot_be_predicted_is_refused(target: str, message: str) -> None:
    table("a.csv", {"day": days(), "name": [f"n{row}" for row in range(N_ROWS)], "y": numbers()})
    with pytest.raises(UsageError, match=f"a.csv: column '{target}': .*{message}.* --target"):
        init("a.csv", target=target)


# --------------------------------------------------------------------------------------------------- folders and arrays


def _pictures(folder: str, size: int, n_files: int = 4) -> None:
    for label in ("cat", "dog"):
        place = Path(folder) / label
        place.mkdir(parents=True)
        for number in range(n_files):
            Image.fromarray(np.full((size, size, 3), 20 * number, dtype=np.uint8)).save(place / f"{number}.png")


def test_a_folder_of_images_is_resized_by_what_is_in_it() -> None:
    _pictures("small", 20)
    assert made("small")[2].resize is None
    _pictures("large", 200)
    assert made("large")[2].resize == 64
    _pictures("parts/train", 40)
    _pictures("parts/test", 40, 2)
    made("parts/")
    assert "# not used for test, of which there is a folder" in Path("parts.yaml").read_text()


def test_a_folder_of_texts_is_read_as_texts() -> None:
    for label in ("good", "bad"):
        (Path("mails") / label).mkdir(parents=True)
        for number in range(4):
            (Path("mails") / label / f"{number}.txt").write_text(f"a {label} mail {number}")
    _, spec, data = made("mails")
    assert (data.kind, data.target, data.task) == ("text", None, "auto")
    assert spec.base.model.kind == "bag"


def _wav(path: Path, seconds: float, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * int(seconds * rate)))


def test_sounds_are_cut_to_what_nearly_all_of_them_last() -> None:
    for number in range(4):
        _wav(Path("sounds/low") / f"{number}.wav", 0.5, 4000)
        _wav(Path("sounds/high") / f"{number}.wav", 0.3, 4000 if number else 8000)
    _, _, data = made("sounds")
    assert (data.kind, data.seconds, data.sample_rate) == ("audio", 0.5, 4000)
    files = [f"sounds/low/{number}.wav" for number in range(4)] + [
        f"sounds/high/{number}.wav" for number in range(1, 4)
    ]
    table("list.csv", {"file": files, "kind": ["a", "b", "a", "b", "a", "b", "a"]})
    _, _, data = made("list.csv")
    assert (data.kind, data.file, data.target) == ("audio", "file", "kind")


def test_arrays_are_told_apart_by_their_shape_and_type() -> None:
    random = np.random.default_rng(0)
    y = np.arange(N_ROWS) % 3
    np.savez("pictures.npz", x=random.integers(0, 255, (N_ROWS, 8, 8), dtype=np.uint8), y=y)
    np.savez("rows.npz", x=random.normal(size=(N_ROWS, 5)).astype(np.float32), y=random.normal(size=N_ROWS))
    np.savez(
        "words.npz", x=random.integers(0, 50, (N_ROWS, 12)), y=y, x_test=random.integers(0, 50, (6, 12)), y_test=y[:6]
    )
    np.savez("labels.npz", x=random.normal(size=(N_ROWS, 5)), y=random.integers(0, 2, (N_ROWS, 4)))
    torch.save({"x": torch.randn(N_ROWS, 5), "y": torch.tensor(y)}, "tensors.pt")
    Path("folder").mkdir()
    np.save("folder/x.npy", random.normal(size=(N_ROWS, 5)))
    np.save("folder/y.npy", y)
    expected = {
        "pictures.npz": ("npz", "image-classification", "accuracy"),
        "rows.npz": ("npz", "tabular-regression", "rmse"),
        "words.npz": ("npz", "text-classification", "accuracy"),
        "labels.npz": ("npz", "tabular-classification", "f1_macro"),
        "tensors.pt": ("tensors", "tabular-classification", "accuracy"),
        "folder": ("npz", "tabular-classification", "accuracy"),
    }
    for name, (kind, template, metric) in expected.items():
        found, spec, data = made(name)
        assert (data.kind, found.template, spec.objective.metric) == (kind, template, metric), name
    assert "# not used for test, of which there are arrays" in Path("words.yaml").read_text()
    assert "cannot be stratified" in Path("labels.yaml").read_text()


def test_files_and_folders_of_other_kinds_are_refused_with_what_to_do() -> None:
    Path("book.xlsx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"book.xlsx: cannot tell what to do with it; save the sheet as csv"):
        init("book.xlsx")
    Path("folder").mkdir()
    table("folder/people.csv", {"a": numbers(), "b": numbers()})
    with pytest.raises(UsageError, match=r"it has people.csv: `tuner init folder/people.csv`"):
        init("folder")
    _pictures("flat", 8)
    for path in Path("flat/cat").iterdir():
        path.rename(Path("flat") / path.name)
    for name in ("cat", "dog"):
        for path in (Path("flat") / name).iterdir():
            path.unlink()
        (Path("flat") / name).rmdir()
    with pytest.raises(UsageError, match="flat: images, but no folders of classes; put those of each class"):
        init("flat")
    table("rows.csv", {"a": numbers(), "b": numbers()})
    with pytest.raises(
        UsageError, match=r"rows.csv: a table, which language-model is not for; try `tuner init rows.csv`"
    ):
        init("language-model", data="rows.csv")
    Path("book.txt").write_text("prose")
    with pytest.raises(UsageError, match=r"book.txt: is for language-model, not for tabular-regression; `tuner init"):
        init("tabular-regression", data="book.txt")
    np.savez("broken.npz", x=np.zeros(3))
    with pytest.raises(DataError, match=r"broken.npz"):
        init("broken.npz")


# ------------------------------------------------------------------------------------------------------------- own code

CODE = """
import torch
from torch import nn
from torch.utils.data import Dataset

raise RuntimeError("this file is read, and not run")


class Block(nn.Module):
    pass


class Net(nn.Module):
    def __init__(self, input_shape, n_classes, hidden=64, dropout: float = 0.1, *, activation="relu", bias=True):
        super().__init__()


class Points(Dataset[int]):
    def __init__(self, path, n=100):
        self.n = n
"""


def test_classes_of_own_code_are_found_without_running_it() -> None:
    Path("net.py").write_text(CODE)
    found = init("net.py")
    spec = load(found.file)
    assert spec.base.model.target == "net.py:Net"
    assert dict(spec.base.model.options) == {"hidden": 64, "dropout": 0.1, "activation": "relu", "bias": True}
    assert [parameter.name for parameter in spec.space.parameters] == [
        "model.options.hidden",
        "model.options.dropout",
        "optimizer.lr",
    ]
    assert (spec.base.data.target, dict(spec.base.data.options)) == ("net.py:Points", {"n": 100})
    assert found.found == ("model: Net (the last one; also Block)", "data: Points; options must give path")
    assert found.others == ()


def test_code_without_a_model_and_data_is_refused_with_what_to_do() -> None:
    Path("loop.py").write_text("def run(config, state):\n    yield {}, {}\n")
    with pytest.raises(
        UsageError, match=r"loop.py: no class of torch.nn.Module and no Dataset .* `tuner init own-training`"
    ):
        init("loop.py")
    Path("broken.py").write_text("class Net(")
    with pytest.raises(UsageError, match=r"broken.py: is no Python that can be read"):
        init("broken.py")
