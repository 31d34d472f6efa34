"""Splits by groups, by time and by a column that names the parts."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tuner.config.schema import Split
from tuner.config.schema.sklearn_data import SklearnData
from tuner.config.schema.tables import CsvData
from tuner.data.key_splits import split_by_keys
from tuner.data.prepare import Prepared, prepare
from tuner.data.splits import SplitRows
from tuner.errors import DataError


def split(keys: list[int], by: str, **sizes: object) -> SplitRows:
    section = Split.model_validate({"by": by, "column": "c", **sizes})
    return split_by_keys(np.arange(len(keys)), np.array(keys), section, given={}, seed=1)


def prepared(folder: Path, text: str, **options: object) -> Prepared:
    (folder / "t.csv").write_text(text)
    data = CsvData.model_validate({"path": "t.csv", "target": "y", **options})
    return prepare(data, metric="loss", seed=1, base_dir=folder, cache_dir=folder / "cache")


def test_no_group_is_in_two_parts_and_sizes_are_near_those_asked_for() -> None:
    keys = np.random.default_rng(0).integers(0, 60, 1000)
    parts = split(keys.tolist(), "group", val=0.2, test=0.1)
    groups = [set(keys[parts[part]]) for part in ("train", "val", "test")]
    assert sum(map(len, groups)) == 60
    assert all(not one & other for one, other in combinations(groups, 2))
    assert len(parts.val) == pytest.approx(200, abs=15)
    assert len(parts.test) == pytest.approx(100, abs=15)


def test_group_folds_validate_every_group_once() -> None:
    keys = np.random.default_rng(0).integers(0, 23, 500)
    seen: list[int] = []
    for fold in range(5):
        parts = split(keys.tolist(), "group", test=0.1, folds=5, fold=fold)
        validated = set(keys[parts.val].tolist())
        assert not validated & set(keys[parts.train])
        assert len(parts.val) == pytest.approx(90, abs=20)
        seen += validated
    assert len(seen) == len(set(seen)) == 23 - len(set(keys[parts.test].tolist()))


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match="all rows are of one group"):
        split([4] * 10, "group", val=0.2, test=0)
    with pytest.raises(DataError, match=r"3 folds of 2 groups; take fewer folds"):
        split([1, 2] * 5, "group", folds=3, test=0)


def test_validation_comes_after_training_and_the_test_last() -> None:
    times = np.random.default_rng(0).permutation(100)
    parts = split(times.tolist(), "time", val=0.2, test=0.1)
    assert sorted(times[parts.train]) == list(range(70))
    assert sorted(times[parts.val]) == list(range(70, 90))
    assert sorted(times[parts.test]) == list(range(90, 100))


def test_rows_of_one_time_stay_together() -> None:
    parts = split([1, 2, 3, 3, 3, 4, 5], "time", val=2, test=1)
    assert (parts.train.tolist(), parts.val.tolist(), parts.test.tolist()) == ([0, 1], [2, 3, 4, 5], [6])
    with pytest.raises(DataError, match="too few distinct times"):
        split([1] * 9 + [2], "time", val=1, test=1)


def test_folds_in_time_train_on_what_was_before() -> None:
    times = list(range(60))
    folds = [split(times, "time", test=10, folds=4, fold=fold) for fold in range(4)]
    assert [len(parts.train) for parts in folds] == [10, 20, 30, 40]
    assert [parts.val.tolist() for parts in folds] == [list(range(s, s + 10)) for s in (10, 20, 30, 40)]
    assert all(parts.test.tolist() == list(range(50, 60)) for parts in folds)
    with pytest.raises(DataError, match="4 folds of 3 distinct times"):
        split([1, 2, 3] * 5, "time", test=0, folds=4)


def test_the_column_of_a_split_is_no_feature_unless_it_is_kept(tmp_path: Path) -> None:
    text = "who,x,y\n" + "".join(f"{row // 4},{row},{row}.5\n" for row in range(80))
    by_group = {"by": "group", "column": "who", "val": 0.2, "test": 0.2}
    assert prepared(tmp_path, text, split=by_group).info.input_shape == (1,)
    assert prepared(tmp_path, text, split={**by_group, "keep": True}).info.input_shape == (2,)


def test_dates_order_a_split_by_time(tmp_path: Path) -> None:
    text = "day,x,y\n" + "".join(f"2024-{12 - row // 5:02d}-0{row % 5 + 1},{row},{row}.5\n" for row in range(60))
    data = prepared(tmp_path, text, split={"by": "time", "column": "day", "val": 5, "test": 5})
    assert sorted(data.val.targets.flatten().tolist()) == [5.5, 6.5, 7.5, 8.5, 9.5]  # November; the file goes back
    test = data.open_test()
    assert test is not None
    assert sorted(test.targets.flatten().tolist()) == [0.5, 1.5, 2.5, 3.5, 4.5]


def test_a_class_that_comes_late_asks_for_another_column(tmp_path: Path) -> None:
    text = "day,x,y\n" + "".join(f"{row},{row},{'new' if row > 54 else 'old'}\n" for row in range(60))
    with pytest.raises(DataError, match="no row of class 'new'; split by another column, or give more data"):
        prepared(tmp_path, text, split={"by": "time", "column": "day"})


def test_a_column_names_the_parts(tmp_path: Path) -> None:
    names = ("train", "train", "validation", "Test")
    text = "part,x,y\n" + "".join(f"{names[row % 4]},{row},{row}.5\n" for row in range(40))
    data = prepared(tmp_path, text, split={"by": "column", "column": "part"})
    assert (data.info.n_train, data.info.n_val, data.info.n_test) == (20, 10, 10)
    assert data.val.targets[0].item() == 2.5
    with pytest.raises(DataError, match=r"t\.csv:4: column 'part': 'oops'; expected train, val or test"):
        prepared(tmp_path, text.replace("validation,2,", "oops,2,"), split={"by": "column", "column": "part"})


@pytest.mark.parametrize(
    ("sizes", "message"),
    (
        ({"by": "group", "column": "Who"}, "data.split.column: no column 'Who'; did you mean 'who'?"),
        ({"by": "group", "column": "y"}, "data.target 'y' is also data.split.column"),
        ({"by": "time", "column": "name"}, "t.csv:2: column 'name': 'a0' is no time; expected numbers or dates"),
        ({"by": "group", "column": "gap"}, "t.csv:3: column 'gap': missing in 20 of 40 rows"),
    ),
)
def test_a_split_by_a_wrong_column_is_refused(tmp_path: Path, sizes: dict[str, object], message: str) -> None:
    text = "who,name,gap,y\n" + "".join(f"{row},a{row},{'' if row % 2 else 1},{row}.5\n" for row in range(40))
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, text, split=sizes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    (
        ({"by": "group"}, "by: group needs the name of a column"),
        ({"column": "c"}, "say how to split by the column"),
        ({"by": "column", "column": "c", "folds": 3}, "leave folds out"),
        ({"keep": True}, "is for a split by a column"),
    ),
)
def test_a_split_that_says_too_little_or_too_much_is_refused(sizes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Split.model_validate(sizes)


def test_data_without_columns_cannot_be_split_by_one() -> None:
    with pytest.raises(ValidationError, match=r"split\.by: group is for tables"):
        SklearnData.model_validate({"kind": "digits", "split": {"by": "group", "column": "c"}})
