"""scikit-learn's data sets by name: what their targets make the task, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from tuner.config.schema.sklearn_data import SklearnNamed
from tuner.data.prepare import Prepared, prepare
from tuner.errors import DataError, NotFoundError


def prepared(folder: Path, name: str, *, metric: str = "loss", **options: object) -> Prepared:
    data = SklearnNamed(name=name, options=options)
    return prepare(data, metric=metric, seed=0, base_dir=folder, cache_dir=folder / "cache")


@pytest.mark.parametrize(
    ("name", "task", "n_targets", "shape"),
    (
        ("wine", "classification", 3, (13,)),
        ("diabetes", "regression", 1, (10,)),
        ("linnerud", "regression", 3, (3,)),
        ("digits", "classification", 10, (1, 8, 8)),
        ("moons", "classification", 2, (2,)),
        ("make_circles", "classification", 2, (2,)),
        ("blobs", "classification", 3, (2,)),
        ("friedman1", "regression", 1, (10,)),
        ("classification", "classification", 2, (20,)),
        ("regression", "regression", 1, (100,)),
        ("multilabel_classification", "multilabel", 5, (20,)),
    ),
)
def test_the_targets_say_the_task(tmp_path: Path, name: str, task: str, n_targets: int, shape: tuple[int, ...]) -> None:
    info = prepared(tmp_path, name).info
    assert (info.task, info.n_targets, info.input_shape) == (task, n_targets, shape)


def test_options_reach_the_generator_and_the_seed_is_the_studys(tmp_path: Path) -> None:
    one = prepared(tmp_path, "moons", n_samples=60, noise=0.1)
    assert one.info.n_train + one.info.n_val + one.info.n_test == 60
    again = prepared(tmp_path / "b", "moons", n_samples=60, noise=0.1)
    assert one.info.fingerprint == again.info.fingerprint
    seeded = prepared(tmp_path, "moons", n_samples=60, random_state=3)
    x, _ = datasets.make_moons(n_samples=60, random_state=3)
    encoder = seeded.preprocess
    rows = seeded.row_numbers("train")
    assert np.allclose(encoder(x[rows]).numpy(), seeded.train.inputs.numpy())  # type: ignore[union-attr]


def test_classes_have_their_names(tmp_path: Path) -> None:
    assert prepared(tmp_path, "load_iris").info.labels == ("setosa", "versicolor", "virginica")
    assert prepared(tmp_path, "moons").info.labels == ("0", "1")


def test_whole_numbers_can_be_quantities(tmp_path: Path) -> None:
    assert prepared(tmp_path, "wine", metric="rmse").info.task == "regression"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    (
        ("mons", {}, r"data\.name: scikit-learn has no data set 'mons'; did you mean 'moons'\?"),
        ("moons", {"n_sample": 5}, r"data\.options: .*n_sample.*; make_moons takes n_samples, shuffle, noise"),
        ("moons", {"noise": -1}, r"data\.name moons: .*noise.*; change data\.options"),
        ("iris", {"as_frame": True}, r"data\.options\.as_frame: tuner decides it"),
        ("swiss_roll", {}, ""),
    ),
)
def test_a_wrong_name_or_option_is_refused(tmp_path: Path, name: str, options: dict[str, object], message: str) -> None:
    if not message:
        assert prepared(tmp_path, name).info.task == "regression"
        return
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, name, **options)


def test_files_that_are_not_there_and_cannot_be_downloaded_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"fetch_california_housing found no files and could not download them"):
        prepared(tmp_path, "california_housing", data_home=str(tmp_path), download_if_missing=False)


def test_quantities_cannot_be_classes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its targets are for regression"):
        prepared(tmp_path, "friedman1", metric="accuracy")
