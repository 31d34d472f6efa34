"""A page as Markdown: the same facts, tables where the page has pictures (CommonMark with GitHub's tables)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import singledispatch

from tuner.report.blocks import (
    Block,
    Bullets,
    Code,
    Columns,
    Figure,
    Figures,
    Fold,
    Inline,
    Listing,
    Notice,
    Page,
    Paragraph,
    Section,
    Strong,
    Table,
    Text,
    Tiles,
    Trial,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&])")


def render(page: Page) -> str:
    """The whole file."""
    parts = [f"# {_escaped(page.title)}", text_markdown(page.subtitle), *map(_section, page.sections)]
    return "\n\n".join([*parts, text_markdown(page.footer)]).strip() + "\n"


def _section(section: Section) -> str:
    return "\n\n".join([f"## {_escaped(section.title)}", *filter(None, map(block_markdown, section.blocks))])


def text_markdown(text: Text) -> str:
    return "".join(map(_inline, text)).strip()


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split("\n")))


def _inline(item: Inline) -> str:
    if isinstance(item, Strong):
        return f"**{_escaped(item.text)}**"
    if isinstance(item, Code):
        fence, pad = _fence(item.text, 1), " " * ("`" in (item.text[:1], item.text[-1:]))
        return f"{fence}{pad}{item.text}{pad}{fence}".replace("\n", " ")
    if isinstance(item, Trial):
        return f"{item.word} {item.number}"
    return _escaped(item)


def _fence(text: str, least: int) -> str:
    """More backticks than the text has in a row, which would end it."""
    return "`" * max([least, *(len(found) + 1 for found in re.findall("`+", text))])


def _cell(item: Inline) -> str:
    if isinstance(item, Trial):
        return str(item.number)
    return _inline(item).replace("|", "\\|") if isinstance(item, Code) else _inline(item)


@singledispatch
def block_markdown(block: Block) -> str:
    raise TypeError(type(block).__name__)


@block_markdown.register
def _paragraph(block: Paragraph) -> str:
    return text_markdown(block.text)


@block_markdown.register
def _notice(block: Notice) -> str:
    return f"> {text_markdown(block.text)}"


@block_markdown.register
def _bullets(block: Bullets) -> str:
    return "\n".join(f"- {text_markdown(item)}" for item in block.items)


@block_markdown.register
def _table(block: Table) -> str:
    rule = ["---:" if index in block.numeric else "---" for index in range(len(block.header))]
    return "\n".join(
        [
            _line([_escaped(name) for name in block.header]),
            _line(rule),
            *(_line(list(map(_cell, row))) for row in block.rows),
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@block_markdown.register
def _listing(block: Listing) -> str:
    fence = _fence(block.text, 3)
    return f"{fence}{block.language}\n{block.text}\n{fence}"


@block_markdown.register
def _tiles(block: Tiles) -> str:
    rows = [(item.label, Strong(item.value), item.note) for item in block.items]
    return _table(Table(("what", "value", "how"), rows))


@block_markdown.register
def _figure(block: Figure) -> str:
    """The table; a picture's caption speaks of what is not there."""
    if block.table is None:
        return ""
    title = f"**{_escaped(block.title)}**\n\n" if block.title else ""
    return title + _table(block.table)


@block_markdown.register
def _figures(block: Figures) -> str:
    return "\n\n".join(filter(None, map(_figure, block.items)))


@block_markdown.register
def _columns(block: Columns) -> str:
    return "\n\n".join(filter(None, map(block_markdown, block.blocks)))


@block_markdown.register
def _fold(block: Fold) -> str:
    if not block.is_kept:
        return ""
    return "\n\n".join([f"**{_escaped(block.summary)}**", *filter(None, map(block_markdown, block.blocks))])
