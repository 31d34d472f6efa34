"""Data sets of the package datasets: local files and folders, their columns and parts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")

from PIL import Image  # noqa: E402 - a test without the package needs none of this
from pydantic import ValidationError  # noqa: E402

from tuner.config.schema.huggingface import HuggingfaceData  # noqa: E402
from tuner.data.batches import eval_batches  # noqa: E402
from tuner.data.parts import ArrayPart  # noqa: E402
from tuner.data.prepare import Prepared, prepare  # noqa: E402
from tuner.errors import DataError, NotFoundError  # noqa: E402

CLASSES = datasets.ClassLabel(names=["bad", "good"])
ROWS = {
    "review": ["a dull film", "a warm film"] * 10,
    "stars": [1.5, 4.0] * 9 + [None, 5.0],
    "cinema": ["Odeon", None] * 10,
    "label": [0, 1] * 10,
}
FEATURES = {
    "review": datasets.Value("string"),
    "stars": datasets.Value("float32"),
    "cinema": datasets.Value("string"),
    "label": CLASSES,
}


def made(rows: dict[str, list[Any]] | None = None, **changes: Any) -> Any:
    return datasets.Dataset.from_dict(rows or ROWS, features=datasets.Features({**FEATURES, **changes}))


def load(folder: Path, *, metric: str = "accuracy", **options: Any) -> Prepared:
    data = HuggingfaceData.model_validate({"path": "saved", "target": "label", **options})
    return prepare(data, metric=metric, seed=0, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        load(folder, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def test_texts_and_classes_by_name(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "saved")
    prepared = load(tmp_path, text="review", tokenizer={"min_frequency": 1})
    assert prepared.info.labels == ("bad", "good")
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (16, 2, 2)
    (x, y), *_ = eval_batches(prepared.train, prepared.preprocess, device="cpu")
    assert torch.equal(prepared.preprocess({"review": ["a warm film"]})[0, : x.shape[1]], x[y == 1][0])


def test_parts_are_found_by_the_usual_names_and_by_those_that_are_given(tmp_path: Path) -> None:
    parts = {"train": made(), "validation": made().select(range(6)), "test": made().select(range(4))}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    info = load(tmp_path, text="review").info
    assert (info.n_train, info.n_val, info.n_test) == (20, 6, 4)
    info = load(tmp_path, text="review", splits={"train": "validation", "val": "test", "test": "off"}).info
    assert (info.n_train, info.n_val, info.n_test) == (5, 4, 1)
    assert "data.splits.val: saved has no 'valid'" in refusal(tmp_path, text="review", splits={"val": "valid"})


def test_a_table_has_numbers_categories_and_missing_values(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "saved")
    names = [column.name for column in load(tmp_path, features=["stars", "cinema"]).preprocess.encoder.columns]  # type: ignore[union-attr]
    assert names == ["stars", "cinema"]
    assert load(tmp_path, target="review", features=[]).info.labels == ("a dull film", "a warm film")


@pytest.mark.parametrize("suffix", ("csv", "jsonl", "parquet"))
def test_local_files_are_read_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    rows = made({**ROWS, "label": ["bad", "good"] * 10}, label=datasets.Value("string"))
    write = {"csv": rows.to_csv, "jsonl": rows.to_json, "parquet": rows.to_parquet}[suffix]
    write(str(tmp_path / f"rows.{suffix}"))
    prepared = load(tmp_path, path=f"rows.{suffix}", text="review")
    assert prepared.info.labels == ("bad", "good")
    assert prepared.info.n_train == 16


def test_a_folder_of_files_has_the_parts_of_their_names(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for part, n_rows in (("train", 20), ("test", 4)):
        made().select(range(n_rows)).to_csv(str(folder / f"{part}.csv"))
    info = load(tmp_path, path="files", text="review").info
    assert (info.n_train, info.n_val, info.n_test) == (18, 2, 4)


def pictures(sizes: list[int]) -> Any:
    images = [Image.fromarray(np.full((size, size, 3), 10 * row, dtype=np.uint8)) for row, size in enumerate(sizes)]
    features = datasets.Features({"image": datasets.Image(), "label": CLASSES})
    return datasets.Dataset.from_dict({"image": images, "label": [0, 1] * (len(sizes) // 2)}, features=features)


def test_images_of_one_size_or_resized(tmp_path: Path) -> None:
    pictures([8] * 20).save_to_disk(tmp_path / "saved")
    prepared = load(tmp_path, image="image")
    assert prepared.info.input_shape == (3, 8, 8)
    assert isinstance(prepared.train, ArrayPart)
    assert {int(row.unique()) for row in prepared.train.inputs} <= {10 * row for row in range(20)}
    pictures([8, 12] * 10).save_to_disk(tmp_path / "mixed")
    assert load(tmp_path, path="mixed", image="image", resize=6, channels=1).info.input_shape == (1, 6, 6)
    assert "12 by 12 pixels, the first image has 8 by 8; set data.resize" in refusal(
        tmp_path, path="mixed", image="image"
    )


def test_classes_are_chosen_and_numbered_anew(tmp_path: Path) -> None:
    three = datasets.ClassLabel(names=["bad", "fair", "good"])
    made({**ROWS, "label": [0, 1, 2, 1] * 5}, label=three).save_to_disk(tmp_path / "saved")
    prepared = load(tmp_path, text="review", classes=["good", "bad"])
    assert prepared.info.labels == ("good", "bad")
    assert prepared.info.n_train + prepared.info.n_val + prepared.info.n_test == 10


@pytest.mark.parametrize(
    ("options", "expected"),
    (
        ({"text": "reviews"}, "data.text: saved (train) has no column 'reviews'; did you mean 'review'?"),
        ({"text": "review", "target": "labels"}, "data.target: saved (train) has no column 'labels'"),
        ({"text": "label"}, "data.target 'label' is also what the model is to see"),
        ({"text": "cinema"}, "saved: train: row 1: column 'cinema': empty (10 of 20 rows)"),
        ({"image": "review"}, "saved: train: row 0: column 'review': str, no image"),
        ({"features": ["stars"], "target": "cinema"}, "column 'cinema': the target is missing in 10 of 20 rows"),
        ({"text": "review", "path": "nothing", "download": False}, "data.path nothing: no such file or folder, and"),
    ),
)
def test_what_cannot_be_trained_on_is_refused_with_its_place(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    made().save_to_disk(tmp_path / "saved")
    assert expected in refusal(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    (
        ({"resize": 8}, "resize: is for images, and these are columns of numbers and categories; leave it out"),
        ({"max_length": 3}, "max_length: is for texts, and these are columns"),
        ({"tokenizer": {"kind": "char"}, "image": "x"}, "tokenizer: is for texts, and these are images"),
        ({"channels": 1, "text": "x"}, "channels: is for images, and these are texts"),
        ({"max_categories": 9, "text": "x"}, "max_categories: is for columns of numbers and categories, and these are"),
    ),
)
def test_options_of_other_inputs_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        HuggingfaceData.model_validate({"path": "saved", "target": "label", **options})
    HuggingfaceData.model_validate({"path": "saved", "target": "label", "resize": None, "max_length": 256})


def test_hidden_classes_of_a_test_part_are_refused_with_the_remedy(tmp_path: Path) -> None:
    hidden = made({**ROWS, "label": [-1] * 20})
    datasets.DatasetDict({"train": made(), "test": hidden}).save_to_disk(tmp_path / "saved")
    message = refusal(tmp_path, text="review")
    assert message == ("saved: test: row 0: column 'label': the class is missing in 20 rows; set data.splits.test: off")
    assert load(tmp_path, text="review", splits={"test": "off"}).info.n_test == 2


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    (
        ("rows.csv", "review,label\na,b\nc,d,e,f\n", "rows.csv: the package datasets cannot read it ("),
        ("rows.doc", "what", "rows.doc: no data set (files ending in '.doc' are not known)"),
        ("rows.parquet", "what", "rows.parquet: no data set ("),
    ),
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: str, expected: str) -> None:
    (tmp_path / name).write_text(content)
    assert expected in refusal(tmp_path, path=name, text="review")
