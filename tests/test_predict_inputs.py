"""Which rows files hold, by what the model takes, and what they are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from tuner.config.schema import DATA_KINDS, Data
from tuner.config.schema.text import Tokenizer
from tuner.data.encoders import ImageEncoder, TensorEncoder
from tuner.data.info import InputField
from tuner.data.named import NamedEncoder
from tuner.data.preprocess import Encoder
from tuner.data.sounds import SoundEncoder
from tuner.data.tables import TableEncoder, TableFit
from tuner.data.tokens import TextEncoder, Vocabulary
from tuner.data.windows import WindowEncoder
from tuner.errors import DataError, NotFoundError, UsageError
from tuner.export.inputs import Asked, Rows, rows_of

NUMBERS = TableEncoder.fit({"a": np.arange(5.0), "b": np.arange(5.0)}, TableFit(scale="none"))
WORDS = Vocabulary.fit(["good bad"], Tokenizer(min_frequency=1))


def section(kind: str, **options: object) -> Data:
    return DATA_KINDS[kind].model_validate({"kind": kind, **options})


def rows(encoder: Encoder, *paths: Path, data: Data | None = None, array: str | None = None) -> list[Rows]:
    return rows_of(Asked(encoder=encoder, data=data or section("digits"), paths=paths, array=array))


def names(found: list[Rows]) -> list[str]:
    return [part.name(row) for part in found for row in range(part.n_rows)]


def stored(encoder: Encoder, found: list[Rows]) -> np.ndarray:
    """All rows as the model is given them, one at a time."""
    return np.concatenate([encoder.encode(part.take(row, row + 1)) for part in found for row in range(part.n_rows)])


def test_a_table_of_recent_rows_is_a_window_and_one_of_several_groups_a_window_each(tmp_path: Path) -> None:
    encoder = WindowEncoder(table=NUMBERS, window=2, group="shop")
    data = section("series", path="x.csv", target="a", delimiter=";", window=2)
    (tmp_path / "one.csv").write_text("a;b\n1;2\n3;4\n5;6\n")
    (tmp_path / "two.csv").write_text("shop;a;b\nx;1;2\ny;7;8\nx;3;4\ny;9;10\n")
    found = rows(encoder, tmp_path / "one.csv", tmp_path / "two.csv", data=data)
    assert names(found) == [f"{tmp_path}/one.csv", f"{tmp_path}/two.csv: shop x", f"{tmp_path}/two.csv: shop y"]
    assert stored(encoder, found).tolist() == [[[3, 4], [5, 6]], [[1, 2], [3, 4]], [[7, 8], [9, 10]]]


def test_series_in_rows_are_as_many(tmp_path: Path) -> None:
    table = TableEncoder.fit({"value": np.arange(5.0)}, TableFit(scale="none"))
    encoder = WindowEncoder(table=table, window=3, pad="end", steps=("t0", "t1", "t2"))
    (tmp_path / "wide.csv").write_text("t0,t1,t2,kind\n1,2,3,a\n4,5,,b\n")
    found = rows(encoder, tmp_path / "wide.csv")
    assert names(found) == [f"{tmp_path}/wide.csv:2", f"{tmp_path}/wide.csv:3"]
    assert stored(encoder, found)[..., 0].tolist() == [[1, 2, 3], [4, 5, 0]]


def test_arrays_of_windows_are_windows_and_one_of_rows_is_one(tmp_path: Path) -> None:
    encoder = WindowEncoder(table=NUMBERS, window=2)
    np.save(tmp_path / "three.npy", np.arange(12.0).reshape(3, 2, 2))
    np.save(tmp_path / "rows.npy", np.arange(8.0).reshape(4, 2))
    found = rows(encoder, tmp_path / "three.npy", tmp_path / "rows.npy")
    assert [part.n_rows for part in found] == [3, 1]
    assert stored(encoder, found)[-1].tolist() == [[4, 5], [6, 7]]


def test_folders_of_sounds_are_looked_through(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for number, name in enumerate(("deep/b.wav", "deep/er/a.WAV", "c.wav")):
        wavfile.write(tmp_path / name, 100, np.full(4, 1000 * number, dtype=np.int16))
    encoder = SoundEncoder(rate=100, n_samples=4, channels=1, features="waveform")
    found = rows(encoder, tmp_path / "deep", tmp_path / "c.wav")
    assert names(found) == [f"{tmp_path}/{name}" for name in ("deep/b.wav", "deep/er/a.WAV", "c.wav")]
    assert stored(encoder, found)[:, 0, 0].tolist() == pytest.approx([0.0, 1000 / 2**15, 2000 / 2**15])


def test_arrays_by_name_are_given_by_name(tmp_path: Path) -> None:
    fields = (InputField(name="x", shape=(2,), dtype="float32"), InputField(name="word", shape=(1,), dtype="int64"))
    encoder = NamedEncoder(fields=fields)
    np.savez(tmp_path / "new.npz", x=np.arange(6.0).reshape(3, 2), word=np.arange(3), y=np.zeros(3))
    found = rows(encoder, tmp_path / "new.npz")
    assert stored(encoder, found).tolist() == [[0, 1, 0], [2, 3, 1], [4, 5, 2]]
    np.savez(tmp_path / "less.npz", x=np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"less.npz: no array 'word'; available: x"):
        rows(encoder, tmp_path / "less.npz")
    np.savez(tmp_path / "odd.npz", x=np.zeros((3, 2)), word=np.zeros(2, dtype=int))
    with pytest.raises(DataError, match=r"odd.npz: x 3, word 2 rows; expected as many"):
        rows(encoder, tmp_path / "odd.npz")


def test_a_file_of_several_arrays_gives_the_one_that_is_meant(tmp_path: Path) -> None:
    encoder = TensorEncoder(shape=(2,), dtype="float32")
    np.savez(tmp_path / "new.npz", first=np.zeros((3, 2)), second=np.ones((1, 2)))
    with pytest.raises(DataError, match=r"which array\? It has first, second; name one with --array"):
        rows(encoder, tmp_path / "new.npz")
    assert stored(encoder, rows(encoder, tmp_path / "new.npz", array="second")).tolist() == [[1, 1]]
    trained = section("npz", path="train.npz", x="first")
    assert rows(encoder, tmp_path / "new.npz", data=trained)[0].n_rows == 3
    with pytest.raises(NotFoundError, match=r"no array 'secnd'; did you mean 'second'\?"):
        rows(encoder, tmp_path / "new.npz", array="secnd")
    (tmp_path / "cat.png").touch()
    with pytest.raises(UsageError, match="--array names an array"):
        rows(ImageEncoder(shape=(1, 2, 2)), tmp_path / "cat.png", array="x")


@pytest.mark.parametrize("shape", ((2, 2), (1, 2, 2), (2, 2, 1), (5, 2, 2), (5, 1, 2, 2)))
def test_one_image_alone_is_one_row(tmp_path: Path, shape: tuple[int, ...]) -> None:
    encoder = ImageEncoder(shape=(1, 2, 2))
    np.save(tmp_path / "image.npy", np.zeros(shape, dtype=np.uint8))
    found = rows(encoder, tmp_path / "image.npy")
    assert stored(encoder, found).shape == (5 if shape[0] == 5 else 1, 1, 2, 2)


def test_texts_are_lines_or_files_as_they_were_in_training(tmp_path: Path) -> None:
    encoder = TextEncoder(tokens=WORDS, length=4, column="text")
    (tmp_path / "a.txt").write_bytes(b"good\x0bbad\r\n\r\nbad\n")
    of_lines = section("text", path="moods.csv", target="mood")
    found = rows(encoder, tmp_path / "a.txt", data=of_lines)
    assert names(found) == [f"{tmp_path}/a.txt:1", f"{tmp_path}/a.txt:3"]
    assert [found[0].take(0, 2)] == [["good\x0bbad", "bad"]]
    of_files = section("text", path="moods")
    assert names(rows(encoder, tmp_path / "a.txt", data=of_files)) == [f"{tmp_path}/a.txt"]
    assert names(rows(encoder, tmp_path, data=of_lines)) == [f"{tmp_path}/a.txt"]
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n{"text": ""}\n')
    with pytest.raises(DataError, match=r"a.jsonl:2: empty; remove these rows, or fill the texts in"):
        rows(encoder, tmp_path / "a.jsonl", data=of_lines)
    (tmp_path / "a.txt").write_text("\n")
    with pytest.raises(DataError, match=r"a.txt: no texts; expected one a line"):
        rows(encoder, tmp_path / "a.txt", data=of_lines)


def test_files_and_arrays_are_not_mixed(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", np.zeros((2, 2), dtype=np.uint8))
    (tmp_path / "cat.png").touch()
    with pytest.raises(UsageError, match="files and arrays; predict them one after the other"):
        rows(ImageEncoder(shape=(1, 2, 2)), tmp_path / "cat.png", tmp_path / "image.npy")
