"""A space file in the making: a template, and what is other in it for the data that was looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

COLUMN = 57
"""Where the templates have their comments."""
PLAIN = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
RESERVED = frozenset({"true", "false", "null"})
MOSTLY = 0.75
"""A class with a larger share of the rows makes accuracy praise those who always guess it."""
FEW_ROWS = 2
"""A class with fewer cannot be in two parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `tuner init` was pointed at."""

    path: Path
    written: str
    """The path as the space file will name it."""
    targets: tuple[str, ...] = ()
    """Columns to predict; empty for a guess."""
    template: str = ""
    """The template that was named; empty for a guess."""

    def wants(self, template: str) -> bool:
        return self.template in ("", template)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A template, its sections that are replaced, and what is told about the guesses."""

    template: str
    about: str = ""
    """Stands for the first line of the template, where that would mislead."""
    sections: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    found: tuple[str, ...] = ()

    def filled(self, content: str) -> str:
        """The template's text with these sections."""
        lines = [f"# {self.about}"] * bool(self.about)
        is_replaced = False
        for line in content.splitlines()[bool(self.about) :]:
            if line[:1].isalpha():
                key = line.partition(":")[0]
                is_replaced = key in self.sections
                lines += self.sections.get(key, ())
            elif not line.startswith(" "):
                is_replaced = False
            if not is_replaced:
                lines.append(line)
        return "\n".join(lines) + "\n"


def line(text: str, why: str = "") -> str:
    """One line of a space file, its reason where the templates have theirs."""
    return f"{text:<{COLUMN}} # {why}" if why else text


def option(key: str, value: str, why: str = "") -> str:
    """One option of a section."""
    return line(f"  {key}: {scalar(value)}", why)


def names(key: str, values: Sequence[str], why: str = "") -> str:
    """An option that is a list of texts."""
    return line(f"  {key}: [{', '.join(map(scalar, values))}]", why)


def scalar(text: str) -> str:
    """A text as YAML takes it, also between braces."""
    is_plain = PLAIN.fullmatch(text) and text.lower() not in RESERVED
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def some(texts: Sequence[str], most: int = 6) -> str:
    """The first of several names."""
    return ", ".join(texts[:most]) + (", ..." if len(texts) > most else "")


# ----------------------------------------------------------------------------------------------------------- of classes


def objective(counts: Mapping[str, int]) -> str:
    """The metric of a task of so many rows in each class."""
    total, (largest, most) = sum(counts.values()), max(counts.items(), key=lambda item: item[1])
    if most <= MOSTLY * total:
        return line("objective: {metric: accuracy}", "roc_auc or balanced_accuracy where classes are unequal")
    metric = "roc_auc" if len(counts) == 2 else "balanced_accuracy"  # noqa: PLR2004 - roc_auc is simplest for two
    why = f"{most / total:.0%} are {largest}, whose guess has as high an accuracy"
    return line(f"objective: {{metric: {metric}}}", why)


def split(val: float, test: float, counts: Mapping[str, int], why: str = "") -> str:
    """How parts are cut that have the same shares of classes, where every class has rows for that."""
    rare = [name for name, count in counts.items() if count < FEW_ROWS]
    sizes = f"val: {val}, test: {test}"
    if rare:
        return line(f"  split: {{{sizes}, stratify: false}}", f"by chance: there is one row of {some(rare, 3)}")
    return line(f"  split: {{{sizes}, stratify: true}}", why)


def shares(counts: Mapping[str, int]) -> str:
    """Classes with their shares, the most frequent first."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return f"{len(counts)} classes ({some([f'{name} {count / total:.0%}' for name, count in ordered], 4)})"
