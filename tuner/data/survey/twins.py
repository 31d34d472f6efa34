"""Rows that occur more than once: in two parts, or with two targets."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuner.data.survey.rows import Looked

N_PAIRS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Rows of one part whose inputs are also in another (or the same) part."""

    first: str
    second: str
    n_rows: int
    """Rows of the second part that have a twin in the first."""
    pairs: tuple[tuple[int, int], ...]
    """The first few, as the source numbers its rows."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "pairs": [list(pair) for pair in self.pairs]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflicts:
    """Inputs that occur with different targets: nobody can be right about all of them."""

    n_inputs: int
    n_rows: int
    pairs: tuple[tuple[str, str], ...]
    """The first few, as `train row 3 (cat)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """All that was found by hashing the rows in stored form."""

    overlaps: tuple[Overlap, ...]
    """Between parts."""
    repeated: Mapping[str, int]
    """Rows of each part that occur in it already."""
    conflicts: Conflicts


def find_twins(
    parts: Sequence[Looked], targets: Mapping[str, Sequence[str]], texts: Sequence[str] | None = None
) -> Twins:
    """Hash every row that is looked at. `targets` has what each row of a part is, by its place.

    `texts` has every row of the source: as tokens two texts may be the same that are not.
    """
    where: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, looked in enumerate(parts):
        for place, digest in _digests(looked, texts):
            where[digest].append((number, place))
    groups = [places for places in where.values() if len(places) > 1]
    return Twins(
        overlaps=tuple(_overlaps(parts, groups)),
        repeated={looked.name: _repeated(groups, number) for number, looked in enumerate(parts)},
        conflicts=_conflicts(parts, groups, targets),
    )


def _digests(looked: Looked, texts: Sequence[str] | None) -> Iterator[tuple[int, bytes]]:
    if texts is not None:
        for place in looked.places.tolist():
            yield place, hashlib.blake2b(texts[looked.row(place)].encode(), digest_size=16).digest()
        return
    for places, rows in looked.chunks():
        for place, row in zip(places.tolist(), rows.contiguous().numpy(), strict=True):
            yield place, hashlib.blake2b(row, digest_size=16).digest()


def _overlaps(parts: Sequence[Looked], groups: Sequence[Sequence[tuple[int, int]]]) -> Iterator[Overlap]:
    for second in range(len(parts)):
        for first in range(second):
            pairs = [
                (parts[first].row(next(place for part, place in group if part == first)), parts[second].row(there))
                for group in groups
                if any(part == first for part, _ in group)
                for part, there in group
                if part == second
            ]
            if pairs:
                yield Overlap(
                    first=parts[first].name,
                    second=parts[second].name,
                    n_rows=len(pairs),
                    pairs=tuple(sorted(pairs)[:N_PAIRS]),
                )


def _repeated(groups: Sequence[Sequence[tuple[int, int]]], number: int) -> int:
    return sum(max(0, sum(part == number for part, _ in group) - 1) for group in groups)


def _conflicts(
    parts: Sequence[Looked], groups: Sequence[Sequence[tuple[int, int]]], targets: Mapping[str, Sequence[str]]
) -> Conflicts:
    def target(part: int, place: int) -> str:
        return targets[parts[part].name][place]

    def named(part: int, place: int) -> str:
        return f"{parts[part].name} row {parts[part].row(place)} ({target(part, place)})"

    found = [group for group in groups if len({target(*place) for place in group}) > 1]
    pairs = []
    for group in found[:N_PAIRS]:
        other = next(place for place in group if target(*place) != target(*group[0]))
        pairs.append((named(*group[0]), named(*other)))
    return Conflicts(n_inputs=len(found), n_rows=sum(map(len, found)), pairs=tuple(pairs))
