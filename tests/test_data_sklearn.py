from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.config.schema import SklearnData
from tuner.data.decoded import Request
from tuner.data.sources import sklearn_files, sklearn_sets

KINDS = tuple(sklearn_files.READERS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_files_hold_what_scikit_learn_loads_to_the_bit(kind: str) -> None:
    ours, expected = sklearn_files.read(kind), sklearn_sets.loaded(kind)
    assert ours is not None
    assert (ours.columns, ours.labels) == (expected.columns, expected.labels)
    assert ours.values.dtype == expected.values.dtype == np.float64
    assert np.ascontiguousarray(ours.values).tobytes() == np.ascontiguousarray(expected.values).tobytes()
    assert np.array_equal(ours.targets, expected.targets)


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_that_keeps_its_files_elsewhere_is_asked_itself(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(base_dir=tmp_path, task="auto", tasks=frozenset(), seed=0, scratch=tmp_path)
    data = SklearnData(kind=kind)  # type: ignore[arg-type]
    from_files = sklearn_sets.read(data, request)
    elsewhere = ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(sklearn_files, "find_spec", lambda name: elsewhere)
    assert sklearn_files.read(kind) is None
    from_package = sklearn_sets.read(data, request)
    assert from_files.labels == from_package.labels
    assert from_files.targets.dtype == from_package.targets.dtype
    assert np.array_equal(from_files.targets, from_package.targets)
    assert fitted(from_files) == fitted(from_package)


def fitted(decoded: Any) -> Any:
    return decoded.rows.fit(np.arange(100), normalize=True).to_json()


def test_a_file_that_is_no_table_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "datasets" / "data"
    folder.mkdir(parents=True)
    (folder / "iris.csv").write_text("2,4,a,b\n1,2,3,4,0\n1,2,x,4,0\n", encoding="utf-8")
    (folder / "wine_data.csv").write_text("1,2,a,b\n1,2,0\n", encoding="utf-8")
    (folder / "digits.csv.gz").write_bytes(b"no gzip")
    elsewhere = ModuleSpec("sklearn", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(sklearn_files, "find_spec", lambda name: elsewhere)
    assert [sklearn_files.read(kind) for kind in ("iris", "wine", "digits")] == [None, None, None]


def test_scikit_learn_is_not_imported(tmp_path: Path) -> None:
    code = """
import sys
from tuner.data.sources import sklearn_files
assert all(sklearn_files.read(kind) is not None for kind in sklearn_files.READERS)
print([name for name in sys.modules if name.partition(".")[0] in ("sklearn", "scipy", "pandas")])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
