"""Write the report of a study."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from tuner.errors import UsageError
from tuner.paths import DEFAULT_STORAGE, write_atomically
from tuner.report import html, markdown
from tuner.report.blocks import Page, Paragraph
from tuner.report.facts import Facts
from tuner.report.markdown import text_markdown
from tuner.report.study_page import study_page
from tuner.workflows.facts import read_facts

Kind = Literal["html", "md"]
SUFFIXES: dict[str, Kind] = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written, and where."""

    facts: Facts
    page: Page
    text: str
    path: Path | None
    """None where it goes to standard output."""

    @property
    def verdict(self) -> str:
        """The first sentences, as Markdown."""
        lead = next(block for block in self.page.sections[0].blocks if isinstance(block, Paragraph))
        return text_markdown(lead.text)

    def to_json(self) -> dict[str, Any]:
        return {
            "study": self.facts.study.name,
            "path": None if self.path is None else str(self.path),
            "bytes": len(self.text.encode()),
            "winner": self.facts.winner and self.facts.winner.number,
            "verdict": self.verdict,
        }


def report(
    *,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    out: Path | None = None,
    kind: Kind | None = None,
    evaluates: bool = True,
) -> Report:
    """Write the report of a study to `out`, `<study>-report.html` by default; `-` writes nothing.

    Without `kind` the ending of `out` says what it is. Raises NotFoundError, NoTrialError when there is no trial,
    UsageError for an ending that says something else.
    """
    kind = kind_of(out, kind)
    facts = read_facts(storage, study, evaluates=evaluates)
    page = study_page(facts, metadata.version("tuner"))
    text = render(page, kind)
    path = write(out or Path(f"{facts.study.name}-report.{kind}"), text)
    return Report(facts=facts, page=page, text=text, path=path)


def kind_of(out: Path | None, kind: Kind | None) -> Kind:
    """What is asked for, by `--format` and the file's ending together."""
    if out is None or out == Path("-") or not out.suffix:
        return kind or "html"
    found = SUFFIXES.get(out.suffix.lower())
    if found is None and kind is None:
        raise UsageError(f"--out {out}: expected a name that ends in .html or .md, or say --format html or md")
    if found is not None and kind is not None and found != kind:
        raise UsageError(f"--out {out}: its ending says {found}, --format says {kind}; leave one of them out")
    return kind or found or "html"


def render(page: Page, kind: Kind) -> str:
    return html.render(page) if kind == "html" else markdown.render(page)


def write(path: Path, text: str) -> Path | None:
    """Write a page, and say where; `-` writes nothing. UsageError for a folder."""
    if path == Path("-"):
        return None
    if path.is_dir():
        raise UsageError(f"--out {path}: is a folder; name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    return path
