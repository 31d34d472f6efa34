"""The packages that tuner asks for, and those of its extras, as its own metadata names them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata

OURS = "tuner"
FOR_DEVELOPERS = frozenset({"dev", "bench", "docs"})
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)\s*(\[[^\]]*\])?\s*\(?(?P<wanted>[^;)]*)\)?\s*(;(?P<marker>.*))?")
EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package, the versions that will do, and the one that is there."""

    name: str
    wanted: str
    """Such as `>=2.11`; empty where any will do."""
    version: str
    """Empty where it is missing."""

    @classmethod
    def of(cls, name: str, wanted: str) -> Package:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = ""
        return cls(name=name, wanted=wanted.replace(" ", ""), version=version)

    @property
    def is_met(self) -> bool:
        return bool(self.version) and all(
            _numbers(self.version) >= _numbers(least) for least in re.findall(r">=([\d.]+)", self.wanted)
        )


def requirements() -> list[str]:
    """What was written down when tuner was installed; nothing where it runs from a folder that was not."""
    try:
        return metadata.requires(OURS) or []
    except metadata.PackageNotFoundError:
        return []


def required(lines: list[str]) -> list[Package]:
    """What tuner cannot do without."""
    return [Package.of(name, wanted) for name, wanted, extra in _read(lines) if not extra]


def extras(lines: list[str]) -> dict[str, list[Package]]:
    """What more can be installed, by the name of the extra; not those for tuner's own developers."""
    found: dict[str, list[Package]] = {}
    for name, wanted, extra in _read(lines):
        if extra and extra not in FOR_DEVELOPERS:
            found.setdefault(extra, []).append(Package.of(name, wanted))
    return dict(sorted(found.items()))


def _read(lines: list[str]) -> list[tuple[str, str, str]]:
    """Name, versions and extra of each line."""
    matches = [match for line in lines if (match := REQUIREMENT.match(line))]
    extra_of = [EXTRA.search(match["marker"] or "") for match in matches]
    return [
        (match["name"], match["wanted"], extra[1] if extra else "")
        for match, extra in zip(matches, extra_of, strict=True)
    ]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
