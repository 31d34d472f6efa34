"""Texts: files and folders, tokenizers, batches as long as their longest text, and every way to be refused."""

from __future__ import annotations

import builtins
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tuner.config.schema.text import TextData, Tokenizer
from tuner.data.batches import eval_batches, n_batches, stacked_batches, train_batches
from tuner.data.encoders import TensorEncoder
from tuner.data.lengths import MAX_SHAPES, batch_lengths, bucketed, rounded_up, row_lengths, without_padding
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.data.subwords import Subwords
from tuner.data.tokens import TextEncoder, Vocabulary
from tuner.errors import DataError, MissingError, NotFoundError

GOOD = ("a", "warm", "and", "funny", "film", ",", "the", "best", "of", "the", "year", ".")
BAD = ("a", "dull", "and", "lazy", "mess", ",", "the", "worst", "of", "them", "all", "!")
LEARNED = ("bpe", "wordpiece", "unigram")


def sentences(n_rows: int = 120) -> list[tuple[str, str]]:
    """Texts of 3 to 22 words with their class."""
    draw = random.Random(0)
    rows = []
    for row in range(n_rows):
        words = GOOD if row % 2 else BAD
        rows.append((" ".join(draw.choices(words, k=3 + row % 20)), "pos" if row % 2 else "neg"))
    return rows


def csv_of(rows: list[tuple[str, str]], delimiter: str = ",") -> str:
    return f"text{delimiter}label\n" + "".join(f'"{text}"{delimiter}{label}\n' for text, label in rows)


def load(folder: Path, content: str | bytes | None = None, *, metric: str = "accuracy", **options: Any) -> Prepared:
    options = {"path": "texts.csv", "target": "label", **options}
    if content is not None:
        (folder / options["path"]).write_bytes(content if isinstance(content, bytes) else content.encode())
    data = TextData.model_validate(options)
    return prepare(data, metric=metric, seed=3, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, content: str | bytes | None = None, *, metric: str = "accuracy", **options: Any) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        load(folder, content, metric=metric, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def inputs(prepared: Prepared, part: str = "train") -> torch.Tensor:
    rows = getattr(prepared, part)
    assert isinstance(rows, ArrayPart)
    return rows.inputs


def vocabulary(prepared: Prepared) -> Vocabulary:
    encoder = prepared.preprocess.encoder
    assert isinstance(encoder, TextEncoder)
    assert isinstance(encoder.tokens, Vocabulary)
    return encoder.tokens


# ----------------------------------------------------------------------------------------------------------- tokenizers


def test_words_are_numbered_by_how_often_they_occur() -> None:
    words = Vocabulary.fit(["It's red red", "red, it's!", "blue"], Tokenizer(min_frequency=1))
    assert words.tokens == ("red", "it's", "!", ",", "blue")
    assert words.encode(["It's BLUE? red"], 9) == [[3, 6, 1, 2]]
    assert words.encode(["red red red"], 2) == [[2, 2]]


def test_rare_words_and_those_beyond_the_size_are_unknown() -> None:
    texts = ["a a a b b c"]
    assert Vocabulary.fit(texts, Tokenizer()).tokens == ("a", "b")
    assert Vocabulary.fit(texts, Tokenizer(vocab_size=4, min_frequency=1)).tokens == ("a", "b")
    assert Vocabulary.fit(texts, Tokenizer(min_frequency=1)).n_tokens == 5


def test_characters_of_one_look_are_one_token() -> None:
    characters = Vocabulary.fit(["caf\u00e9 A"], Tokenizer(kind="char", min_frequency=1, lowercase=False))
    assert characters.encode(["cafe\u0301"], 9) == characters.encode(["caf\u00e9"], 9)
    assert "A" in characters.tokens


def test_the_vocabulary_is_that_of_the_training_part_alone(tmp_path: Path) -> None:
    rows = [(f"word{row} shared", "pos" if row % 2 else "neg") for row in range(40)]
    prepared = load(tmp_path, csv_of(rows), tokenizer={"min_frequency": 1})
    assert len(vocabulary(prepared).tokens) == prepared.info.n_train + 1
    assert (inputs(prepared) != 1).all()
    assert (inputs(prepared, "val")[:, 0] == 1).all()


@pytest.mark.parametrize("kind", LEARNED)
def test_parts_of_words_are_learned_the_same_each_time(kind: str) -> None:
    texts = [text for text, _ in sentences()]
    section = Tokenizer.model_validate({"kind": kind, "vocab_size": 300})
    one, again = Subwords.fit(texts, section), Subwords.fit(texts, section)
    assert one == again
    assert json.loads(one.definition)["added_tokens"][0]["content"] == "[PAD]"
    (ids,) = one.encode(["A warm film"], 99)
    assert ids == one.encode(["a WARM film"], 99)[0]
    assert one.padding == 0
    assert 1 < max(ids) < one.n_tokens
    assert one.encode(["a warm film"], 2) == [ids[:2]]


@pytest.mark.parametrize("kind", ("word", "char", *LEARNED))
def test_every_tokenizer_gives_training_and_prediction_the_same_numbers(tmp_path: Path, kind: str) -> None:
    rows = sentences()
    prepared = load(tmp_path, csv_of(rows), tokenizer={"kind": kind, "vocab_size": 300})
    read = Preprocess.from_json(json.loads(json.dumps(prepared.preprocess.to_json())))
    assert read == prepared.preprocess
    all_rows = read([text for text, _ in rows])
    assert {tuple(row) for row in torch.cat([inputs(prepared), inputs(prepared, "val")]).tolist()} <= {
        tuple(row) for row in all_rows.tolist()
    }
    info = prepared.info
    assert (info.input_dtype, info.padding, info.labels) == ("int64", 0, ("neg", "pos"))
    assert info.n_tokens is not None
    assert int(all_rows.max()) < info.n_tokens


def test_a_tokenizer_file_is_used_as_it_is(tmp_path: Path) -> None:
    import tokenizers

    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"warm": 0, "film": 1, "<unk>": 2}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.enable_padding()
    tokenizer.save(str(tmp_path / "mine.json"))
    prepared = load(tmp_path, csv_of(sentences()), tokenizer={"kind": "file", "path": "mine.json"})
    assert (prepared.info.n_tokens, prepared.info.padding) == (4, 3)
    assert prepared.preprocess(["warm cold film"])[0, :4].tolist() == [0, 2, 1, 3]


def test_a_missing_package_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_tokenizers(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tokenizers":
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tokenizers)
    assert load(tmp_path, csv_of(sentences())).info.n_train == 96
    with pytest.raises(MissingError, match=r"pip install 'tuner\[text\]', or take kind: word or char"):
        load(tmp_path, tokenizer={"kind": "bpe"})


# -------------------------------------------------------------------------------------------------- lengths and batches


def test_rows_are_as_long_as_the_longest_text_for_training(tmp_path: Path) -> None:
    prepared = load(tmp_path, csv_of(sentences()))
    assert prepared.info.input_shape == (24,)
    assert inputs(prepared).dtype == torch.int32
    assert load(tmp_path, max_length=5).info.input_shape == (5,)


def test_lengths_leave_out_the_padding_at_the_end() -> None:
    rows = torch.tensor([[3, 0, 4, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    assert row_lengths(rows, 0).tolist() == [3, 1, 4]
    assert without_padding(rows[:2], 0).shape == (2, 4)
    assert without_padding(torch.tensor([[5] * 9 + [0] * 20]), 0).shape == (1, 16)


@pytest.mark.parametrize(("length", "stored", "expected"), ((1, 40, 8), (8, 40, 8), (9, 12, 12), (513, 1024, 528)))
def test_lengths_are_rounded_up_so_that_there_are_few(length: int, stored: int, expected: int) -> None:
    assert rounded_up(length, stored) == expected
    assert len({rounded_up(n, stored) for n in range(1, stored + 1)}) <= MAX_SHAPES


def batches(prepared: Prepared, **options: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    options = {"batch_size": 16, "device": "cpu", "epoch_seed": 1, **options}
    return list(train_batches(prepared.train, prepared.preprocess, **options))


def test_rows_with_a_target_for_every_token_stay_as_long_as_those() -> None:
    encoder = TensorEncoder(shape=(40,), dtype="int64", n_tokens=9, padding=0)
    inputs = torch.zeros(6, 40, dtype=torch.int64)
    inputs[:, :3] = 5
    labels, tokens = torch.zeros(6, dtype=torch.int64), torch.zeros(6, 40, dtype=torch.int64)
    for targets, length in ((labels, 8), (tokens, 40)):
        part = ArrayPart(inputs=inputs, targets=targets)
        ((x, _),) = eval_batches(part, Preprocess(encoder=encoder), device="cpu")
        assert x.shape == (6, length)


def test_a_batch_is_as_long_as_its_longest_text(tmp_path: Path) -> None:
    prepared = load(tmp_path, csv_of(sentences()))
    found = [*batches(prepared, batch_size=4), *eval_batches(prepared.val, prepared.preprocess, device="cpu")]
    for x, _ in found:
        longest = int((x != 0).sum(1).max())
        assert x.dtype == torch.int64
        assert x.shape[1] == -(-longest // 8) * 8
        assert x.is_contiguous()
    assert len({x.shape[1] for x, _ in found}) > 1


def test_bucketed_batches_have_every_row_once_and_less_padding(tmp_path: Path) -> None:
    prepared = load(tmp_path, csv_of(sentences()))
    plain, sorted_ = batches(prepared, batch_size=8), batches(prepared, batch_size=8, bucket=True)

    def rows(found: list[tuple[torch.Tensor, torch.Tensor]]) -> list[tuple[Any, int]]:
        return sorted(
            ([token for token in row if token], label)
            for x, y in found
            for row, label in zip(x.tolist(), y.tolist(), strict=True)
        )

    assert rows(sorted_) == rows(plain)
    assert sum(x.numel() for x, _ in sorted_) < 0.8 * sum(x.numel() for x, _ in plain)
    again, other = (
        batches(prepared, batch_size=8, bucket=True),
        batches(prepared, batch_size=8, bucket=True, epoch_seed=2),
    )
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(sorted_, again, strict=True))
    assert [x.shape for x, _ in sorted_] != [x.shape for x, _ in other]


@pytest.mark.parametrize("n_rows", (1, 7, 8, 17))
def test_what_makes_no_full_bucket_stays_at_the_end(n_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(n_rows, generator=generator)
    lengths = torch.arange(n_rows) % 5 + 1
    found = bucketed(order, lengths, 8, generator)
    assert sorted(found.tolist()) == list(range(n_rows))
    assert found[n_rows // 8 * 8 :].tolist() == order[n_rows // 8 * 8 :].tolist()


@pytest.mark.parametrize("options", ({"drop_last": True}, {"limit": 3}, {}))
def test_buckets_change_neither_the_number_of_batches_nor_their_sizes(tmp_path: Path, options: dict[str, Any]) -> None:
    prepared = load(tmp_path, csv_of(sentences()))
    plain, bucketed_ = (
        batches(prepared, batch_size=20, **options),
        batches(prepared, batch_size=20, bucket=True, **options),
    )
    assert [len(y) for _, y in plain] == [len(y) for _, y in bucketed_]
    assert len(plain) == n_batches(len(prepared.train), batch_size=20, **options)


def test_lanes_are_padded_to_one_length(tmp_path: Path) -> None:
    prepared = load(tmp_path, csv_of(sentences()))
    assert isinstance(prepared.train, ArrayPart)
    shared: dict[str, Any] = {"batch_size": 4, "device": "cpu", "bucket": True}
    stacked = list(stacked_batches(prepared.train, prepared.preprocess, epoch_seeds=(1, 2), **shared))
    alone = [batches(prepared, epoch_seed=seed, **shared) for seed in (1, 2)]
    for number, (x, y) in enumerate(stacked):
        assert x.shape[2] == max(lane[number][0].shape[1] for lane in alone)
        for lane in range(2):
            x_alone, y_alone = alone[lane][number]
            assert torch.equal(x[lane, :, : x_alone.shape[1]], x_alone)
            assert torch.equal(y[lane], y_alone)


def test_batches_that_share_a_block_are_cut_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tuner.data import batches as module

    prepared = load(tmp_path, csv_of(sentences()))
    single = batches(prepared, batch_size=4)
    monkeypatch.setattr(module._Reader, "_batches_at_once", lambda reader, plan: 3)
    for (x, y), (x_single, y_single) in zip(batches(prepared, batch_size=4), single, strict=True):
        assert torch.equal(x, x_single)
        assert torch.equal(y, y_single)


def test_bucketing_does_not_encode_again(tmp_path: Path) -> None:
    load(tmp_path, csv_of(sentences()))
    load(tmp_path, bucket=True)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1
    load(tmp_path, tokenizer={"vocab_size": 10})
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 2


# ------------------------------------------------------------------------------------------------- what prediction gets


def test_prediction_takes_texts_in_every_form(tmp_path: Path) -> None:
    preprocess = load(tmp_path, csv_of(sentences())).preprocess
    texts = ["a warm film", "the worst mess"]
    expected = preprocess(texts)
    for source in (
        tuple(texts),
        np.array(texts),
        pd.Series(texts),
        pd.DataFrame({"text": texts, "other": [1, 2]}),
        {"text": texts},
        [{"text": text} for text in texts],
    ):
        assert torch.equal(preprocess(source), expected)
    assert torch.equal(preprocess("a warm film"), expected[:1])
    assert preprocess([""])[0].tolist() == [1] + [0] * 23


def test_prediction_refuses_what_is_no_text(tmp_path: Path) -> None:
    preprocess = load(tmp_path, csv_of(sentences())).preprocess
    with pytest.raises(DataError, match="input: row 1: expected a text, got float"):
        preprocess(["a", 1.5])
    with pytest.raises(DataError, match="no column 'text'; did you mean 'texts'"):
        preprocess({"texts": ["a"]})
    for source in (5, None, tmp_path, b"a film"):
        with pytest.raises(DataError, match="expected a text, a list of texts, or a table with their column 'text'"):
            preprocess(source)


# -------------------------------------------------------------------------------------------------------------- formats


def test_the_formats_of_files_give_the_same_data(tmp_path: Path) -> None:
    rows = sentences()
    frame = pd.DataFrame(rows, columns=["text", "label"])
    frame.to_parquet(tmp_path / "texts.parquet")
    frame.to_json(tmp_path / "texts.jsonl", orient="records", lines=True)
    (tmp_path / "texts.tsv").write_text(csv_of(rows, "\t"))
    expected = load(tmp_path, csv_of(rows)).info.fingerprint
    for name in ("texts.tsv", "texts.parquet", "texts.jsonl"):
        assert load(tmp_path, path=name).info.fingerprint == expected, name


def test_a_line_of_json_may_hold_what_ends_lines_elsewhere(tmp_path: Path) -> None:
    texts = [{"text": f"film {row}\u2028and \x85 more", "label": row % 2} for row in range(20)]
    content = "\r\n".join(json.dumps(text, ensure_ascii=False) for text in texts)
    assert load(tmp_path, content, path="texts.jsonl").info.labels == ("0", "1")


def test_texts_that_look_like_missing_values_stay_texts(tmp_path: Path) -> None:
    rows = [("null", "pos"), ("NA", "neg")] * 20
    assert vocabulary(load(tmp_path, csv_of(rows))).tokens == ("na", "null")


def test_numbers_as_targets_are_classes_or_quantities(tmp_path: Path) -> None:
    rows = [(text, str(row % 3)) for row, (text, _) in enumerate(sentences())]
    assert load(tmp_path, csv_of(rows)).info.labels == ("0", "1", "2")
    prepared = load(tmp_path, metric="rmse")
    assert (prepared.info.task, prepared.info.n_targets) == ("regression", 1)
    assert prepared.train.targets.dtype == torch.float32


def test_several_columns_are_labels_or_quantities(tmp_path: Path) -> None:
    rows = [(text, f"{row % 2},{row % 3 // 2}") for row, (text, _) in enumerate(sentences())]
    content = "text,warm,long\n" + "".join(f'"{text}",{values}\n' for text, values in rows)
    info = load(tmp_path, content, target=["warm", "long"], task="multilabel", metric="f1_macro").info
    assert (info.task, info.labels, info.n_targets) == ("multilabel", ("warm", "long"), 2)
    info = load(tmp_path, target=["warm", "long"], metric="rmse").info
    assert (info.task, info.n_targets) == ("regression", 2)
    assert "autoencoding is for inputs that are numbers" in refusal(
        tmp_path, target="warm", task="autoencoding", metric="loss"
    )


def write_folder(root: Path, rows: list[tuple[str, str]]) -> None:
    for number, (text, label) in enumerate(rows):
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{number:03}.txt").write_text(text)


def test_a_folder_a_class_is_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "reviews", sentences(40))
    prepared = load(tmp_path, path="reviews", target=None)
    assert prepared.info.labels == ("neg", "pos")
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (32, 4, 4)


def test_a_folder_a_part_is_taken_as_it_is(tmp_path: Path) -> None:
    for part, n_rows in (("train", 20), ("valid", 8), ("test", 6)):
        write_folder(tmp_path / "reviews" / part, sentences(n_rows))
    info = load(tmp_path, path="reviews", target=None).info
    assert (info.n_train, info.n_val, info.n_test) == (20, 8, 6)


# ------------------------------------------------------------------------------------------------------------- bad data


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("data.path texts.csv: no such file or folder; looked in ")
    assert "data.tokenizer.path t.json: no such file" in refusal(
        tmp_path, csv_of(sentences()), tokenizer={"kind": "file", "path": "t.json"}
    )


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    (
        ("text,lable\na,b\n", {}, "texts.csv: data.target: no column 'label'; did you mean 'lable'?"),
        ("txt,label\na,b\n", {}, "texts.csv: data.text: no column 'text'; did you mean 'txt'?"),
        ("", {}, "texts.csv: the file is empty; expected a line of column names, then rows"),
        ("text,label\n", {}, "texts.csv: no rows; expected one a text"),
        ("text,label\na,b\nc,d,e\n", {}, "texts.csv:3: 3 fields; expected 2, as the header has"),
        ("text,label\na,b\n", {"target": None}, "data.target: missing; name the column of texts.csv"),
        ("text,label\na,b\n", {"target": "text"}, "data.text and data.target are the same column 'text'"),
        (
            'text,label\na,b\n ,b\n"",b\nd,b\n',
            {},
            "texts.csv:3: column 'text': empty (2 of 4 rows); remove these rows, or fill the texts in",
        ),
        (
            b"text,label\nok,pos\ncaf\xe9 noir,neg\n",
            {},
            "texts.csv:3: byte 21 (0xe9) is not utf-8 (invalid continuation byte); save the file as UTF-8",
        ),
        ("text,label\na,pos\nb,pos\n", {}, "only one class (pos) in 2 rows; classification needs at least two"),
        ("text,label\na,1\nb,nan\nc,2\n", {}, "texts.csv:3: column 'label': the target is missing in 1 of 3 rows"),
        ("text,label\na,pos\nb,\nc,neg\n", {}, "texts.csv:3: column 'label': the target is missing in 1 of 3 rows"),
    ),
)
def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, content: str | bytes, options: dict[str, Any], expected: str
) -> None:
    assert expected in refusal(tmp_path, content, **options)


def test_another_encoding_can_be_told(tmp_path: Path) -> None:
    content = "text,label\n" + "café noir,neg\nthé vert,pos\n" * 20
    prepared = load(tmp_path, content.encode("latin-1"), encoding="latin-1")
    assert "café" in vocabulary(prepared).tokens


@pytest.mark.parametrize(
    ("content", "expected"),
    (
        ('{"text": "a", "label": "b"}\n{"text": "a"\n', "texts.jsonl:2: no JSON"),
        ('{"text": "a", "label": "b"}\n[1]\n', "texts.jsonl:2: list; expected an object"),
        ('{"text": "a", "label": "b"}\n{"text": "a", "lab": 1}\n', "texts.jsonl:2: data.target: no column 'label'"),
        ('{"text": 7, "label": "b"}\n', "texts.jsonl:1: column 'text': 7, which is no text"),
        (
            '{"text": "a", "label": "b"}\n{"text": "a", "label": [1]}\n',
            "texts.jsonl:2: column 'label': a list; a target",
        ),
    ),
)
def test_bad_json_lines_are_refused_with_their_line(tmp_path: Path, content: str, expected: str) -> None:
    assert expected in refusal(tmp_path, content, path="texts.jsonl")


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    assert "texts.parquet: no parquet file" in refusal(tmp_path, b"PAR1 no", path="texts.parquet")


@pytest.mark.parametrize(
    "content", (b"{}", b'{"model": {"type": "BPE"}}', b"\xff\xfe not text", b'{"version": "1.0", "model": null}')
)
def test_a_tokenizer_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.json").write_bytes(content)
    message = refusal(tmp_path, csv_of(sentences()), tokenizer={"kind": "file", "path": "t.json"})
    assert message.startswith("data.tokenizer.path: t.json: no tokenizer (")
    assert message.endswith("or take another data.tokenizer.kind")


def test_a_bad_folder_is_refused_with_its_place(tmp_path: Path) -> None:
    root = tmp_path / "reviews"
    root.mkdir()
    assert "reviews: no folders in it" in refusal(tmp_path, path="reviews", target=None)
    write_folder(root / "train", sentences(8))
    write_folder(root / "test", [("text", "neutral")])
    assert "the training part has no class 'neutral'" in refusal(tmp_path, path="reviews", target=None)
    (root / "test" / "neutral" / "000.txt").rename(root / "note.txt")
    (root / "test" / "neutral").rename(root / "test" / "pos")
    assert "reviews/test/pos: no texts in it (*.txt)" in refusal(tmp_path, path="reviews", target=None)
    (root / "test" / "pos" / "1.txt").write_text(" \n")
    assert "reviews/test/pos/1.txt: empty" in refusal(tmp_path, path="reviews", target=None)
    assert "leave it out" in refusal(tmp_path, path="reviews", target="label")


def test_batch_lengths_are_those_of_the_longest_rows() -> None:
    lengths = torch.tensor([3, 17, 5, 9])
    assert batch_lengths(lengths, torch.tensor([0, 2, 1, 3]), 2, 40) == [8, 24]
