"""A page as text for a terminal or a pipe: nothing is ever cut."""

from __future__ import annotations

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


def render(page: Page) -> str:
    return "\n\n".join(filter(None, [text_plain(page.subtitle), *map(_section, page.sections)]))


def _section(section: Section) -> str:
    blocks = [text for block in section.blocks if (text := block_plain(block))]
    return "\n".join([f"{section.title}:", *(_indented(text) for text in blocks)]) if blocks else ""


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


def text_plain(text: Text) -> str:
    return "".join(map(_inline, text)).strip()


def _inline(item: Inline) -> str:
    if isinstance(item, Code):
        return f"`{item.text}`" if " " in item.text else item.text
    if isinstance(item, Trial):
        return f"{item.word} {item.number}"
    return item.text if isinstance(item, Strong) else item


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int] = frozenset()) -> str:
    """Columns as wide as their widest cell, numbers to the right."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = []
    for row in table:
        cells = [
            cell.rjust(width) if column in numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


@singledispatch
def block_plain(block: Block) -> str:
    raise TypeError(type(block).__name__)


@block_plain.register
def _paragraph(block: Paragraph) -> str:
    return text_plain(block.text)


@block_plain.register
def _notice(block: Notice) -> str:
    return text_plain(block.text)


@block_plain.register
def _bullets(block: Bullets) -> str:
    return "\n".join(f"- {text_plain(item)}" for item in block.items)


@block_plain.register
def _table(block: Table) -> str:
    rows = [[str(cell.number) if isinstance(cell, Trial) else _inline(cell) for cell in row] for row in block.rows]
    return aligned(block.header, rows, block.numeric)


@block_plain.register
def _listing(block: Listing) -> str:
    return block.text


@block_plain.register
def _tiles(block: Tiles) -> str:
    return "\n".join(f"{item.label}: {item.value}" + (f" ({item.note})" if item.note else "") for item in block.items)


@block_plain.register
def _figure(block: Figure) -> str:
    return _table(block.table) if block.table is not None else ""


@block_plain.register
def _figures(block: Figures) -> str:
    return "\n".join(filter(None, map(_figure, block.items)))


@block_plain.register
def _columns(block: Columns) -> str:
    return "\n\n".join(filter(None, map(block_plain, block.blocks)))


@block_plain.register
def _fold(block: Fold) -> str:
    return "\n".join(map(block_plain, block.blocks)) if block.is_kept else ""
