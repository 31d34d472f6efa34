"""One long text: its parts by position, pieces, and what comes next in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.config.schema.text import CharacterData
from tuner.data.batches import eval_batches, train_batches
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.data.tokens import CharacterEncoder
from tuner.errors import DataError, NotFoundError

VERSE = "the cat sat on the mat.\n"


def load(folder: Path, text: str | bytes | None = VERSE * 40, *, metric: str = "loss", **options: Any) -> Prepared:
    if text is not None:
        (folder / "verse.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    data = CharacterData.model_validate({"path": "verse.txt", "context": 16, **options})
    return prepare(data, metric=metric, seed=0, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, text: str | bytes | None, **options: Any) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        load(folder, text, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def encoder(prepared: Prepared) -> CharacterEncoder:
    found = prepared.preprocess.encoder
    assert isinstance(found, CharacterEncoder)
    return found


def text_of(prepared: Prepared, part: Any) -> str:
    """What the rows of a part say, one behind the other, and the last target."""
    assert isinstance(part, ArrayPart)
    x = torch.cat([x for x, _ in eval_batches(part, prepared.preprocess, device="cpu")])
    names = encoder(prepared).tokens.names
    return "".join(names[token] for token in [*x.flatten().tolist(), int(part.targets[-1, -1])])


def test_targets_are_the_characters_that_come_next(tmp_path: Path) -> None:
    prepared = load(tmp_path)
    (x, y), *_ = train_batches(prepared.train, prepared.preprocess, batch_size=4, device="cpu", epoch_seed=0)
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((4, 16), (4, 16), torch.int64, torch.int64)
    assert torch.equal(x[:, 1:], y[:, :-1])
    info = prepared.info
    assert (info.task, info.padding, info.n_targets, info.n_tokens) == ("language", None, 2 + 12, 2 + 12)


def test_the_parts_are_cut_by_position_and_share_no_character(tmp_path: Path) -> None:
    text = "".join(chr(ord("a") + number % 26) + str(number) for number in range(400))
    prepared = load(tmp_path, text)
    test = prepared.open_test()
    spoken = [text_of(prepared, part) for part in (prepared.train, prepared.val, test)]
    assert all(part in text for part in spoken)
    places = [text.index(part) for part in spoken]
    assert places[0] == 0
    assert places[0] + len(spoken[0]) <= places[1]
    assert places[1] + len(spoken[1]) <= places[2]
    assert len("".join(spoken)) > len(text) - 3 * 17


def test_counts_are_pieces_and_a_stride_overlaps_those_for_training_alone(tmp_path: Path) -> None:
    split = {"val": 3, "test": 2}
    plain, strided = load(tmp_path, split=split), load(tmp_path, split=split, stride=4)
    assert (plain.info.n_val, plain.info.n_test) == (3, 2)
    assert (strided.info.n_val, strided.info.n_test) == (3, 2)
    assert strided.info.n_train > 3.9 * plain.info.n_train
    assert isinstance(strided.train, ArrayPart)
    assert strided.train.inputs.ndim == 1


def test_without_a_test_part_the_text_ends_with_what_validates(tmp_path: Path) -> None:
    prepared = load(tmp_path, split={"val": 0.2, "test": 0})
    assert prepared.info.n_test == 0
    assert prepared.open_test() is None


def test_a_character_that_training_has_not_seen_is_unknown(tmp_path: Path) -> None:
    prepared = load(tmp_path, VERSE * 40 + "Z" * 200, lowercase=False)
    assert "Z" not in encoder(prepared).tokens.names
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    assert (test.targets == 1).any()
    assert "Z" not in load(tmp_path, lowercase=True).preprocess.encoder.tokens.names  # type: ignore[union-attr]


def test_prediction_sees_the_last_characters_alone(tmp_path: Path) -> None:
    preprocess = load(tmp_path).preprocess
    read = Preprocess.from_json(json.loads(json.dumps(preprocess.to_json())))
    assert read == preprocess
    assert torch.equal(read(["xyz" + VERSE]), read([VERSE]))
    assert read("cat").shape == (1, 3)
    with pytest.raises(DataError, match=r"texts of \[2, 3\] characters; expected one length"):
        read(["ca", "cat"])
    with pytest.raises(DataError, match="expected one length, of 1 or more"):
        read("")


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    (
        (None, {}, "data.path verse.txt: no such file; looked in "),
        (b"abc\nd\xffe" * 99, {}, "verse.txt:2: byte 5 (0xff) is not utf-8"),
        ("ab" * 20, {}, "verse.txt: the val part has 4 characters; a piece takes 17"),
        ("ab" * 20, {"split": {"val": 1, "test": 0}, "context": 30}, "verse.txt: the train part has 9 characters"),
        ("ab" * 20, {"split": {"val": 2, "test": 1}}, "data.split: val takes 33 and test 17 of the 40 characters"),
        ("a" * 400, {}, "the training part has one character alone ('a')"),
        ("", {}, "data.split: val takes 0 and test 0 of the 0 characters"),
    ),
)
def test_a_bad_text_is_refused_with_its_place(
    tmp_path: Path, text: str | bytes | None, options: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(tmp_path, text, **options)


def test_the_metric_must_be_one_of_language(tmp_path: Path) -> None:
    assert "its targets are for language" in refusal(tmp_path, VERSE * 40, metric="rmse")
    assert load(tmp_path, metric="accuracy").info.task == "language"


def test_prediction_folds_case_and_line_ends_as_training_does(tmp_path: Path) -> None:
    preprocess = load(tmp_path, lowercase=True).preprocess
    restored = Preprocess.from_json(preprocess.to_json())
    assert torch.equal(restored(["THE Mat.\r\n"]), preprocess(["the mat.\n"]))
