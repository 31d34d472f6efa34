"""What texts ask for: a column of a table, a folder of files, or one long text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner.data.sources import text_folder
from tuner.data.sources.text_files import READERS, decoded
from tuner.errors import UsageError
from tuner.workflows.looking import draft as drafts
from tuner.workflows.looking.columns import Role
from tuner.workflows.looking.draft import Asked, Draft, line, option, some
from tuner.workflows.looking.reading import Table
from tuner.workflows.looking.targets import Targets, objective_of, predicts, target_line

TEMPLATE = "text-classification"
N_READ = 1000
"""Texts of a folder whose length is looked at."""
SHORTEST, LONGEST = 16, 256
PLAIN = frozenset({".csv", ".tsv", ".txt", *READERS})
SIZES = "val: 0.15, test: 0.15"


def of_table(table: Table, targets: Targets) -> Draft:
    """The longest texts of a table, and the column that is told from them."""
    path = table.asked.path
    texts = table.of(Role.TEXT, besides=targets.names)
    if not texts:
        raise UsageError(f"{path}: no column of sentences besides {', '.join(targets.names)}; try `tuner init {path}`")
    if path.suffix.lower() not in PLAIN:
        raise UsageError(f"{path}: texts are read from csv, tsv, jsonl and parquet as they are; unpack the file")
    column = max(texts, key=lambda column: _mean_length(table.frame[column.name]))
    others = [item.name for item in table.columns if item.name not in (column.name, *targets.names)]
    delimiter = table.dialect.delimiter if table.dialect else ","
    given = "\t" if path.suffix.lower() == ".tsv" else ","
    lines = [
        "data:",
        "  kind: text",
        option("path", table.asked.written),
        *([option("delimiter", delimiter)] if delimiter != given else []),
        *([option("encoding", table.dialect.encoding)] if table.dialect and table.dialect.encoding != "utf-8" else []),
        option("text", column.name, f"the only column that is read; not {some(others, 4)}" if others else ""),
        target_line(targets),
        *([f"  task: {targets.task}"] if targets.task != "classification" else []),
        *_options(table.frame[column.name].dropna().astype(str).tolist()[:N_READ]),
        _split(targets),
    ]
    about = "" if targets.task == "classification" else "Sentences with numbers or labels, in a table."
    return Draft(
        template=TEMPLATE,
        about=about,
        sections={"data": tuple(lines), "objective": (objective_of(targets),)},
        found=(f"{path}: {table.n_rows} texts in column {column.name}", predicts(targets)),
    )


def _split(targets: Targets) -> str:
    if targets.task == "classification":
        return drafts.split(0.15, 0.15, targets.counts)
    why = "by chance: rows with several labels cannot be stratified by them" if targets.task == "multilabel" else ""
    return line(f"  split: {{{SIZES}}}", why)


def _mean_length(values: Any) -> float:
    return float(values.dropna().astype(str).str.len().mean())


def _options(texts: Sequence[str]) -> list[str]:
    """Tokens, and how many of them nearly all texts have."""
    lengths = sorted(len(text.split()) for text in texts)
    usual = lengths[int(0.95 * (len(lengths) - 1))]
    most = min(LONGEST, max(SHORTEST, 2 ** math.ceil(math.log2(usual + 1))))
    return [
        "  tokenizer: {kind: word, vocab_size: 20000, min_frequency: 1}",
        line(f"  max_length: {most}", f"tokens of a text that are kept; 95 % have at most {usual} words"),
        line("  bucket: true", "texts of about one length in a batch"),
        "  batch_size: 32",
    ]


def of_folder(asked: Asked) -> Draft:
    """Text files in a folder a class."""
    listing = text_folder.Listing.of(asked.path)
    counts = {label: listing.targets.count(number) for number, label in enumerate(listing.labels)}
    texts = [decoded(path, "utf-8") for path in listing.paths[:N_READ]]
    why = f"not used for {' and '.join(listing.given())}, which has a folder" if listing.given() else ""
    lines = [
        "data:",
        "  kind: text",
        option("path", asked.written, "a folder of text files for each class"),
        *_options(texts),
        drafts.split(0.15, 0.15, counts, why),
    ]
    return Draft(
        template=TEMPLATE,
        about="Texts in classes: a folder of text files for each class. Words are learned from the training part.",
        sections={"data": tuple(lines), "objective": (drafts.objective(counts),)},
        found=(f"{asked.path}: {len(listing.paths)} texts", f"predicts the folder: {drafts.shares(counts)}"),
    )


def book(asked: Asked) -> Draft:
    """One long text, whose next character is told."""
    size = asked.path.stat().st_size
    lines = [
        "data:",
        "  kind: characters",
        option("path", asked.written),
        line(f"  context: {64 if size >= 20 * 64 else 8}", "characters that are seen"),
        "  batch_size: 32",
        line("  split: {val: 0.1, test: 0.1}", "cut by position: the end of the text is the test"),
    ]
    return Draft(
        template="language-model", sections={"data": tuple(lines)}, found=(f"{asked.path}: a text of {size} bytes",)
    )


def is_table(path: Path, delimiter: str, text: str) -> bool:
    """Whether the lines of a .txt file are rows, and not prose."""
    rows = [row for row in text.splitlines() if row.strip()][:50]
    return delimiter != "," and len(rows) > 1 and len({row.count(delimiter) for row in rows}) == 1 and path.is_file()
