"""`--set KEY=VALUE` and command line options as edits of the document, so that the file's own checks see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tuner.config.messages import Problems, suggestion
from tuner.config.sections import KINDS
from tuner.errors import ConfigError, Place
from tuner.space.document import MAX_DEPTH, Located, Mark, located, parse

_WHOLE = (1, 1)
"""The place of a whole value, which needs none: the value is there to be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A value for a dotted path of the document; `space.NAME` is one parameter, whatever dots its name has."""

    path: str
    value: Located

    @property
    def parameter(self) -> str | None:
        return self.path.removeprefix("space.") if self.path.startswith("space.") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An option of the command line that is short for `--set`."""

    text: str
    """KEY=VALUE."""
    typed: str
    """`--trials 0`, which messages name in the place of a file."""


def read_sets(sets: Sequence[str | Given], problems: Problems) -> Iterator[Edit]:
    """Parse KEY=VALUE texts; the value is YAML as it would be in the file."""
    for item in sets:
        text, file = (item.text, item.typed) if isinstance(item, Given) else (item, f"--set {item}")
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")) or key.count(".") > MAX_DEPTH:
            problems.add_place(Place(file=file, message="expected KEY=VALUE, such as optimizer.lr=0.01"))
            continue
        try:
            node, found = parse(value.encode(errors="surrogatepass"), file)
        except ConfigError as error:
            found = list(error.where)
        for place in found:
            path = ".".join(part for part in (key, place.path) if part)
            line, column = (0, 0) if (place.line, place.column) == _WHOLE else (place.line, place.column)
            problems.add_place(replace(place, path=path, line=line, column=column))
        if not found:
            whole = Mark(file=file)
            yield Edit(path=key, value=replace(node, mark=whole, key=whole))


def read_overrides(overrides: Mapping[str, Any]) -> Iterator[Edit]:
    """Values from the command line's own options, or from Python, by dotted path."""
    for path, value in overrides.items():
        yield Edit(path=path, value=located(value, Mark(), Mark()))


def apply(root: Located, edits: Iterable[Edit], problems: Problems) -> tuple[Located, frozenset[str]]:
    """The edited document, and the parameters that the edits took out of its space.

    To set a base value that `space:` varies is to pin it. `space.NAME=null` takes a parameter out, too.
    """
    released: set[str] = set()
    for edit in edits:
        space = root.items.get("space")
        names = space.items if space else {}
        if edit.parameter is None:
            root = _with(root, tuple(edit.path.split(".")), edit.value)
            pinned = {name for name in names if _pins(edit, name)} if edit.path != "space" else set(names)
        elif edit.value.value is None:
            pinned = {edit.parameter}
            if edit.parameter not in names:
                problems.add(edit.value, edit.path, f"no such parameter to take out{suggestion(edit.parameter, names)}")
        else:
            root = _with(root, ("space", edit.parameter), edit.value)
            pinned = set()
        if edit.path != "space":
            root = without(root, pinned)
        released |= pinned
    return root, frozenset(released)


def _pins(edit: Edit, name: str) -> bool:
    if not name.startswith(edit.path + "."):
        return name == edit.path
    below: Located | None = edit.value
    for part in name[len(edit.path) + 1 :].split("."):
        if not below or not isinstance(below.value, (dict, tuple)):
            return True  # the whole is set to something that has no parts
        below = below.child(part)
    return below is not None


def without(root: Located, names: Iterable[str]) -> Located:
    """The document without some parameters in its space."""
    space = root.items.get("space")
    if not space or not space.items:
        return root
    gone = set(names)
    left = {name: node for name, node in space.items.items() if name not in gone}
    return replace(root, value={**root.items, "space": replace(space, value=left)})


def _with(holder: Located, path: tuple[str, ...], value: Located, above: str = "") -> Located:
    part, rest = path[0], path[1:]
    here = f"{above}.{part}" if above else part
    if isinstance(holder.value, tuple) and part.isdecimal() and int(part) < len(holder.value):
        below = _with(holder.value[int(part)], rest, value, here) if rest else value
        items = [*holder.value]
        items[int(part)] = below
        return replace(holder, value=tuple(items))
    held = dict(holder.items)
    if above in KINDS and isinstance(holder.value, str):  # sampler: tpe is short for sampler: {kind: tpe}
        held = {"kind": replace(holder, key=None)}
    if rest:
        inner = held.get(part) or Located(value={}, mark=value.mark, key=value.key)
        held[part] = _with(inner, rest, value, here)
    else:
        held[part] = value
    return replace(holder, value=held)
