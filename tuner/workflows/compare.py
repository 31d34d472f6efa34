"""Compare studies: of one database, or of several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tuner.errors import UsageError
from tuner.paths import DEFAULT_STORAGE
from tuner.report.blocks import Page
from tuner.report.contest import Contest
from tuner.report.contest_page import contest_page
from tuner.study.queries import StudyReader
from tuner.workflows.facts import read_facts
from tuner.workflows.report import kind_of, render, write

FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    contest: Contest
    page: Page
    text: str
    """The page as HTML or Markdown, if that was asked for."""
    path: Path | None
    """Where it was written; None where it goes to standard output."""


def compare(names: Sequence[str], *, storage: str = DEFAULT_STORAGE, out: Path | None = None) -> Comparison:
    """Compare studies by name; `FILE.db:NAME` is one of another database.

    With `out` a page is written; `-` writes nothing. Raises UsageError for fewer than two, or where `out` is no file,
    NotFoundError, NoTrialError for one without a trial.
    """
    if len(set(names)) < FEWEST:
        there = ", ".join(study.name for study in StudyReader.open(storage).studies())
        raise UsageError(
            f"name two studies or more to compare, such as `tuner compare a b`; there are: {there or 'none'}"
        )
    kind = kind_of(out, None)
    facts = [read_facts(*_place(name, storage), evaluates=False, is_brief=True) for name in dict.fromkeys(names)]
    contest = Contest(entries=tuple(facts))
    page = contest_page(contest, metadata.version("tuner"), time.time())
    text = "" if out is None else render(page, kind)
    path = None if out is None else write(out, text)
    return Comparison(contest=contest, page=page, text=text, path=path)


def _place(name: str, storage: str) -> tuple[str, str]:
    """The database of a study, and its name there."""
    file, colon, rest = name.rpartition(":")
    if colon and Path(file).is_file():
        return f"sqlite:///{file}", rest
    return storage, name
