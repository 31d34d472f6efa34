"""Strict YAML 1.2: what is read as what, where everything is, and what is refused without hanging."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from tuner.errors import ConfigError, NotFoundError
from tuner.space.document import MAX_BYTES, Located, Mark, located, parse, read, resolve, show


def message_of(content: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(content, "x.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1e-4", 1e-4),
        ("1.", 1.0),
        (".5", 0.5),
        ("+1.5E3", 1500.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("off", "off"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2026-11-22", "2026-11-22"),
        ("<<", "<<"),
        ("=", "="),
        ("0b1", "0b1"),
        ("tRue", "tRue"),
        ("٣", "٣"),  # an Arabic three is text
    ),
)
def test_a_plain_scalar_is_what_the_core_schema_of_yaml_1_2_says(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


def test_quoted_and_block_scalars_are_text() -> None:
    root, problems = parse(b"a: '1'\nb: \"true\"\nc: |\n  12\n", "x.yaml")
    assert root.plain() == {"a": "1", "b": "true", "c": "12\n"}
    assert problems == []


def test_every_key_and_value_has_its_line_and_column() -> None:
    root, _ = parse("# ü\noptimizer: {lr: 1e-3}\nspace:\n  a.b: [1, 'ü', x]\n".encode(), "x.yaml")
    lr = root.items["optimizer"].items["lr"]
    assert (lr.key, lr.mark) == (Mark(file="x.yaml", line=2, column=13), Mark(file="x.yaml", line=2, column=17))
    choices = root.items["space"].items["a.b"]
    assert choices.key == Mark(file="x.yaml", line=4, column=3)
    assert [item.mark.column for item in choices.value] == [9, 12, 17]  # type: ignore[union-attr]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    assert parse(b"\xef\xbb\xbfa: 1", "x.yaml")[0].plain() == {"a": 1}


def test_nothing_is_null() -> None:
    assert parse(b"# only a comment\n", "--set a=")[0].value is None


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (b"a: b: c", "x.yaml:1:5: not valid YAML: mapping values are not allowed here"),
        (b"a:\n\tb: 1", "x.yaml:2:1: not valid YAML: a tab cannot indent or start a value; use spaces"),
        (b"a: &x 1\n", None),
        (
            b"a: {b: 1",
            (
                "x.yaml:1:9: not valid YAML: expected ',' or '}', but got '<stream end>' "
                "(while parsing a flow mapping that starts in line 1)"
            ),
        ),
        (b"a: 1\n---\nb: 2\n", "x.yaml:2:1: a second document; a space file holds one"),
        (b"a: 1\nb: *x\n", "x.yaml:2:4: b: alias *x; aliases are not allowed, write the value out"),
        (b"ok: 1\nx: \xff\xfe", "x.yaml:2:4: expected UTF-8 text; this byte is not"),
        (b"a: \x00b", "x.yaml:1:4: control character U+0000; expected plain text"),
        (
            b"a: " + b"[" * 40 + b"]" * 40,
            "x.yaml:1:36: " + "a" + ".0" * 32 + ": nested deeper than 32 levels",
        ),
        (b"a" * (MAX_BYTES + 1), "x.yaml: larger than 64 KiB; a space file is small"),
    ),
)
def test_what_is_no_document_is_refused_in_one_line(content: bytes, message: str | None) -> None:
    if message is None:
        assert [str(problem) for problem in parse(content, "x.yaml")[1]] == [
            "x.yaml:1:4: a: anchor &x; anchors are not allowed"
        ]
    else:
        assert message_of(content) == message


def test_problems_that_leave_a_tree_are_collected() -> None:
    root, problems = parse(b"a: 1\nb: !!int '3'\na: 2\n7: x\n? [k]\n: y\nn: 99999999999999999999\n", "x.yaml")
    assert [str(problem) for problem in problems] == [
        "x.yaml:2:4: b: tag tag:yaml.org,2002:int; tags are not allowed",
        "x.yaml:3:1: a: duplicate key; it is already in line 1",
        "x.yaml:4:1: expected text as a key, got 7; put it in quotes",
        "x.yaml:5:3: expected text as a key, got ['k']; put it in quotes",
        "x.yaml:7:4: n: the integer does not fit into 64 bits",
    ]
    assert root.plain()["a"] == 1


@pytest.mark.parametrize(
    "content",
    (
        b"a: &a [x, x]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 121)),
        b"[" * 60_000,
        b"{" * 60_000,
        b"? " * 30_000,
        b"- " * 30_000,
        b"a: " + b"9" * 60_000,
        b"- [" * 20_000,
        b"'" + b"a" * 60_000,
    ),
    ids=["alias bomb", "lists", "mappings", "complex keys", "items", "digits", "mixed", "open quote"],
)
def test_a_hostile_file_is_refused_at_once(content: bytes) -> None:
    start = time.process_time()
    try:
        problems = list(parse(content, "x.yaml")[1])
    except ConfigError as error:
        problems = list(error.where)
    assert problems
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize(
    ("content", "message"),
    (
        (b"", "x.yaml:1:1: the file is empty; start with data: {kind: digits}"),
        (b"- 1\n", "x.yaml:1:1: expected a mapping such as data: {kind: digits} at the top of the file"),
    ),
)
def test_a_file_must_hold_a_mapping(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / "x.yaml", "x.yaml")
    assert str(caught.value) == message


def test_a_missing_file_is_not_found_and_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"^x\.yaml: no such file$"):
        read(tmp_path / "x.yaml", "x.yaml")
    with pytest.raises(ConfigError, match=r"^x: expected a file, got a folder or device$"):
        read(tmp_path, "x")


def test_plain_data_from_python_has_no_place_and_must_be_plain() -> None:
    node = located({"a": (1, None)}, Mark())
    assert node == Located(value=node.value, mark=Mark())
    assert node.plain() == {"a": [1, None]}
    with pytest.raises(ConfigError, match="expected plain values"):
        located({"a": object()}, Mark())
    with pytest.raises(ConfigError, match="keys must be text, got \\[1\\]"):
        located({1: 2}, Mark())


def test_values_are_shown_as_yaml_writes_them() -> None:
    assert (
        show({"low": 1, "log": True, "when": {"a.b": [None, "x"]}}) == "{low: 1, log: true, when: {a.b: [null, 'x']}}"
    )
    assert show("x" * 100) == "'" + "x" * 56 + "..."
    assert show(1) == "1"  # and not true, which is equal
