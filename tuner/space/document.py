"""Strict YAML 1.2 as a located tree: every key and value keeps its line and column.

The tree is built from PyYAML's parse events, not by its constructors: those read YAML 1.1 (`off` is False, `1e-4`
is text, `12:30` is 750), let the last of two equal keys win, and expand aliases. Here a plain scalar is resolved by
the core schema of YAML 1.2.2, section 10.3.2; anchors, aliases, tags and duplicate keys are errors, and so is a file
that is large or deeply nested.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from tuner.errors import ConfigError, NotFoundError, Place
from tuner.space.parameters import Scalar

MAX_BYTES = 64 * 1024
MAX_DEPTH = 32

_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + text: math.inf for sign in ("", "+") for text in (".inf", ".Inf", ".INF")},
    **{"-" + text: -math.inf for text in (".inf", ".Inf", ".INF")},
}
_INTEGERS = ((re.compile(r"[-+]?[0-9]+"), 10), (re.compile(r"0o[0-7]+"), 8), (re.compile(r"0x[0-9a-fA-F]+"), 16))
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_INTEGER = 100
"""Characters that are converted at all; Python refuses more than 4300 digits with an error of its own."""
_OUT_OF_RANGE = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a file; line and column count from 1, 0 is for values that come from no file."""

    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """A value with its place: a scalar, a tuple of located items or a dict of located values."""

    value: Scalar | tuple[Located, ...] | dict[str, Located]
    mark: Mark
    key: Mark | None = None
    """Where the key is that holds the value; None for list items and roots."""
    is_quoted: bool = False
    """Whether the text begins one column after its mark."""

    @property
    def items(self) -> dict[str, Located]:
        """The values of a mapping by key; empty when the value is no mapping."""
        return self.value if isinstance(self.value, dict) else {}

    def plain(self) -> Any:
        """The value without places: scalars, lists and dicts."""
        if isinstance(self.value, dict):
            return {key: value.plain() for key, value in self.value.items()}
        if isinstance(self.value, tuple):
            return [item.plain() for item in self.value]
        return self.value

    def child(self, part: str | int) -> Located | None:
        """The value of a key, or the item of an index; None when there is none."""
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, tuple) and str(part).isdecimal() and int(part) < len(self.value):
            return self.value[int(part)]
        return None

    def place(self, path: str, message: str, *, at_key: bool = False) -> Place:
        mark = self.key if at_key and self.key else self.mark
        return Place(file=mark.file, line=mark.line, column=mark.column, path=path, message=message)


def located(value: Any, mark: Mark, key: Mark | None = None) -> Located:
    """Wrap plain data, all of it at one place. Raises ConfigError for what YAML could not have held."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise ConfigError(f"keys must be text, got {list(value)!r}")
        return Located(value={name: located(item, mark, mark) for name, item in value.items()}, mark=mark, key=key)
    if isinstance(value, (list, tuple)):
        return Located(value=tuple(located(item, mark) for item in value), mark=mark, key=key)
    if value is None or isinstance(value, (bool, int, float, str)):
        return Located(value=value, mark=mark, key=key)
    raise ConfigError(f"expected plain values (text, numbers, lists, mappings), got {value!r}")


def read(path: Path, file: str) -> tuple[Located, list[Place]]:
    """Parse a file whose root must be a mapping; `file` is its name in messages.

    Returns the tree and the problems that left a usable tree (duplicate keys, tags). Raises ConfigError for the others,
    NotFoundError when there is no such file.
    """
    root, problems = parse(_read_bytes(path, file), file)
    if root.value is None:
        problems.append(root.place("", "the file is empty; start with data: {kind: digits}"))
    elif not isinstance(root.value, dict):
        problems.append(root.place("", "expected a mapping such as data: {kind: digits} at the top of the file"))
    else:
        return root, problems
    raise ConfigError.of(problems)


def _read_bytes(path: Path, file: str) -> bytes:
    if not path.exists():
        raise NotFoundError(f"{file}: no such file")
    if not path.is_file():
        raise ConfigError(f"{file}: expected a file, got a folder or device")
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def parse(content: bytes, file: str) -> tuple[Located, list[Place]]:
    """Parse one YAML document; nothing at all is null. Returns and raises as `read` does."""
    reader = _Reader(file)
    try:
        return reader.document(_decode(content, file)), reader.problems
    except yaml.MarkedYAMLError as error:
        raise ConfigError.of([*reader.problems, _syntax_problem(error, file)]) from error


def _decode(content: bytes, file: str) -> str:
    if len(content) > MAX_BYTES:
        raise ConfigError.of([Place(file=file, message=f"larger than {MAX_BYTES // 1024} KiB; a space file is small")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace").removeprefix("\ufeff")
        raise ConfigError.of([_place_after(before, file, "expected UTF-8 text; this byte is not")]) from error
    wrong = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if wrong:
        message = f"control character U+{ord(wrong.group()):04X}; expected plain text"
        raise ConfigError.of([_place_after(text[: wrong.start()], file, message)])
    return text


def _place_after(text: str, file: str, message: str) -> Place:
    return Place(file=file, line=text.count("\n") + 1, column=len(text) - text.rfind("\n"), message=message)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Place:
    mark = error.problem_mark or error.context_mark
    message = error.problem or error.context or "not valid"
    if "'\\t'" in message:
        message = "a tab cannot indent or start a value; use spaces"
    elif error.context and error.context_mark:
        message += f" ({error.context} that starts in line {error.context_mark.line + 1})"
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Place(file=file, line=line, column=column, message=f"not valid YAML: {' '.join(message.split())}")


class _Reader:
    """Builds the tree from events, and collects the problems that do not keep the rest from being read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Place] = []

    def document(self, text: str) -> Located:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        next(events)  # the start of the stream
        if isinstance(next(events), yaml.StreamEndEvent):
            return Located(value=None, mark=Mark(file=self.file, line=1, column=1))
        root = self._node(next(events), events, ())
        next(events)  # the end of the document
        after = next(events)
        if not isinstance(after, yaml.StreamEndEvent):
            self._fail(after, "", "a second document; a space file holds one")
        return root

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: tuple[str, ...]) -> Located:
        name = ".".join(path)
        if isinstance(event, yaml.AliasEvent):
            self._fail(event, name, f"alias *{event.anchor}; aliases are not allowed, write the value out")
        if len(path) > MAX_DEPTH:
            self._fail(event, name[:80], f"nested deeper than {MAX_DEPTH} levels")
        self._refuse_decoration(event, name)
        mark = self._mark(event)
        if isinstance(event, yaml.MappingStartEvent):
            return Located(value=self._mapping(events, path), mark=mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return Located(value=self._sequence(events, path), mark=mark)
        assert isinstance(event, yaml.ScalarEvent)
        return Located(value=self._scalar(event, name), mark=mark, is_quoted=event.style in ("'", '"'))

    def _sequence(self, events: Iterator[yaml.Event], path: tuple[str, ...]) -> tuple[Located, ...]:
        items: list[Located] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*path, str(len(items)))))
        return tuple(items)

    def _mapping(self, events: Iterator[yaml.Event], path: tuple[str, ...]) -> dict[str, Located]:
        items: dict[str, Located] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._node(event, events, (*path, "?"))
            name = key.value if isinstance(key.value, str) else "?"
            value = self._node(next(events), events, (*path, name))
            if not isinstance(key.value, str):
                self._add(key, path, f"expected text as a key, got {show(key.plain())}; put it in quotes")
            elif name in items:
                first = items[name].key or items[name].mark
                self._add(key, (*path, name), f"duplicate key; it is already in line {first.line}")
            else:
                items[name] = replace(value, key=key.mark)
        return items

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Scalar:
        if event.style:  # quoted or block text
            return str(event.value)
        value = resolve(event.value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.problems.append(self._at(event, path, "the integer does not fit into 64 bits"))
        return value

    def _refuse_decoration(self, event: yaml.Event, path: str) -> None:
        assert isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent))
        if event.anchor:
            self.problems.append(self._at(event, path, f"anchor &{event.anchor}; anchors are not allowed"))
        if event.tag:
            self.problems.append(self._at(event, path, f"tag {event.tag}; tags are not allowed"))

    def _mark(self, event: yaml.Event) -> Mark:
        start = event.start_mark
        return Mark(file=self.file, line=start.line + 1, column=start.column + 1) if start else Mark(file=self.file)

    def _at(self, event: yaml.Event, path: str, message: str) -> Place:
        mark = self._mark(event)
        return Place(file=self.file, line=mark.line, column=mark.column, path=path, message=message)

    def _add(self, node: Located, path: tuple[str, ...], message: str) -> None:
        self.problems.append(node.place(".".join(path), message))

    def _fail(self, event: yaml.Event, path: str, message: str) -> None:
        raise ConfigError.of([*self.problems, self._at(event, path, message)])


def resolve(text: str) -> Scalar:
    """The value of a plain scalar by YAML 1.2's core schema; digits beyond any use become a number out of range."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return int(text, base) if len(text) <= _LONGEST_INTEGER else _OUT_OF_RANGE
    return float(text) if _FLOAT.fullmatch(text) else text


def show(value: Any, limit: int = 60) -> str:
    """Plain data as YAML writes it in one line, text in quotes, cut when long: `{low: 1, log: true}`, `'fast'`."""
    text = _flow(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
