"""A page as one HTML file: nothing is loaded from anywhere, and the file says so itself (Content-Security-Policy)."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import singledispatch
from html import escape
from importlib import resources
from typing import Any

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

SCRIPT, STYLE = "page.js", "page.css"


def render(page: Page) -> str:
    """The whole file."""
    script, style = _asset(SCRIPT), _asset(STYLE)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    links = "".join(f'<a href="#{item.key}">{escape(item.title)}</a>' for item in page.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f'<title>{escape(page.title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{style}</style>\n'
        "</head>\n<body>\n"
        f"<header><h1>{escape(page.title)}</h1><p>{text_html(page.subtitle)}</p><nav>{links}</nav></header>\n<main>\n"
        f"{''.join(map(_section, page.sections))}</main>\n<footer>{text_html(page.footer)}</footer>\n"
        '<div id="tip" role="status" hidden></div>\n'
        f'<script type="application/json" id="described">{_data(page.trials)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return resources.files("tuner.report").joinpath(name).read_text(encoding="utf-8")


def _data(value: Any) -> str:
    """JSON inside a script element, which a `</script>` in a name would end."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _section(section: Section) -> str:
    blocks = "".join(map(block_html, section.blocks))
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>\n{blocks}</section>\n'


def text_html(text: Text) -> str:
    return "".join(map(_inline, text))


def _inline(item: Inline) -> str:
    if isinstance(item, Strong):
        return f"<strong>{_glued(item.text)}</strong>"
    if isinstance(item, Code):
        return f"<code>{_words(item.text)}</code>"
    if isinstance(item, Trial):
        return f'<button type="button" class="trial" data-t="{item.number}">{item.word} {item.number}</button>'
    return _glued(item)


def _glued(text: str) -> str:
    """A number stays in one line with its deviation, or its sign of per cent."""
    return escape(text).replace(" ± ", "&nbsp;±&nbsp;").replace(" %", "&nbsp;%")


def _words(text: str) -> str:
    """A command is broken between its words, and long names after a dot."""
    words = (
        f'<span class="word">{escape(word)}</span>' if "-" in word else _breakable(word) for word in text.split(" ")
    )
    return " ".join(words)


def _cell(item: Inline) -> str:
    if isinstance(item, Trial):
        return f'<button type="button" class="trial" data-t="{item.number}">{item.number}</button>'
    return _inline(item)


@singledispatch
def block_html(block: Block) -> str:
    raise TypeError(type(block).__name__)


@block_html.register
def _paragraph(block: Paragraph) -> str:
    style = ' class="lead"' if block.is_lead else ""
    return f"<p{style}>{text_html(block.text)}</p>\n"


@block_html.register
def _notice(block: Notice) -> str:
    return f'<p class="notice {block.tone}">{text_html(block.text)}</p>\n'


@block_html.register
def _bullets(block: Bullets) -> str:
    return f"<ul>{''.join(f'<li>{text_html(item)}</li>' for item in block.items)}</ul>\n"


@block_html.register
def _table(block: Table) -> str:
    style = "compact" if block.is_compact else ""
    if block.shades:
        style += " matrix"
    head = "".join(f"<th{_right(block, index)}>{_breakable(name)}</th>" for index, name in enumerate(block.header))
    body = "".join(_row(block, index) for index in range(len(block.rows)))
    table = f'<table class="{style}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>\n'


def _row(block: Table, index: int) -> str:
    style = ' class="marked"' if index in block.marked else ""
    cells = []
    for column, cell in enumerate(block.rows[index]):
        shade = block.shades.get((index, column))
        dark = "" if shade is None else f' style="--s:{shade:.3f}"{" data-dark" * (shade > 0.5)}'  # noqa: PLR2004
        cells.append(f"<td{_right(block, column)}{dark}>{_cell(cell)}</td>")
    return f"<tr{style}>{''.join(cells)}</tr>"


def _breakable(name: str) -> str:
    """A dotted name, which may go on in another line after a dot."""
    return escape(name).replace(".", ".<wbr>")


def _right(block: Table, column: int) -> str:
    return ' class="n"' if column in block.numeric else ""


@block_html.register
def _listing(block: Listing) -> str:
    return f"<pre><code>{escape(block.text)}</code></pre>\n"


@block_html.register
def _tiles(block: Tiles) -> str:
    items = "".join(
        f'<div class="tile {item.tone}"><dt>{escape(item.label)}</dt><dd>{_glued(item.value)}</dd>'
        f"<p>{escape(item.note)}</p></div>"
        for item in block.items
    )
    return f'<dl class="tiles">{items}</dl>\n'


@block_html.register
def _figure(block: Figure) -> str:
    title = f"<h3>{escape(block.title)}</h3>" if block.title else ""
    caption = f"<figcaption>{text_html(block.caption)}</figcaption>" if any(block.caption) else ""
    return f"<figure>{title}{block.chart.html()}{caption}</figure>\n"


@block_html.register
def _figures(block: Figures) -> str:
    inside = "".join(map(_figure, block.items))
    return f'<div class="figures" style="--min:{block.min_width}px">{inside}</div>\n'


@block_html.register
def _columns(block: Columns) -> str:
    inside = "".join(f"<div>{block_html(item)}</div>" for item in block.blocks)
    return f'<div class="columns">{inside}</div>\n'


@block_html.register
def _fold(block: Fold) -> str:
    inside = "".join(map(block_html, block.blocks))
    kept = ' class="kept"' if block.is_kept else ""
    return f"<details{kept}><summary>{escape(block.summary)}</summary>{inside}</details>\n"
