"""Write docs/reference.md and docs/reference/: every section, kind and option, as the classes of the space file say.

    python docs/make_reference.py [--check]

With --check nothing is written, and the exit status is 1 when a page is not what the classes say.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tuner.config.jsonschema import json_schema
from tuner.config.metrics import COSTS, METRICS, TASKS, MetricInfo
from tuner.config.schema import DEFAULT_KINDS
from tuner.config.sections import KINDS, TRIAL_SECTIONS
from tuner.config.targets import refusal

DOCS = Path(__file__).parent
INDEX = "reference.md"
HEAD = """\
# Reference: every kind and its options

Made by `python docs/make_reference.py` from the classes that check the space file; do not edit it by hand. One page a
section. On them, *searched* says whether an option may stand under `space:`, by the dotted name `section.option`.
`tuner schema` prints the same for editors, with the limits of every number.

| section | kinds |
| --- | --- |
"""
CONTENTS = """
```{toctree}
:hidden:

"""
SEARCH_PARTS = ("search.sampler", "search.pruner")
TRACKERS = "trackers"

Schema = Mapping[str, Any]


def pages() -> dict[str, str]:
    """The text of every page by its path below docs/."""
    definitions = json_schema()["definitions"]
    found = {
        _path(name): _section(name, definitions).replace("\n### ", "\n## ") for name in (*TRIAL_SECTIONS, TRACKERS)
    }
    found[_path("objective")] = "\n".join([_plain("objective", definitions["Objective"], definitions), _metrics()])
    search = [_plain("search", definitions["Search"], definitions)]
    search += [_section(name, definitions) for name in SEARCH_PARTS]
    search.append(_plain("confirm", definitions["Confirm"], definitions))
    found[_path("search")] = "\n".join(search)
    return {INDEX: _index(), **{path: _as_page(text) for path, text in found.items()}}


def _path(section: str) -> str:
    return f"reference/{section.partition('.')[0]}.md"


def _as_page(text: str) -> str:
    """The first heading is the page's title."""
    return text.replace("## ", "# ", 1)


def _index() -> str:
    rows = [
        f"| [{name}]({_path(name)}) | {', '.join(_kind_links(name))} |\n"
        for name in (*TRIAL_SECTIONS, *SEARCH_PARTS, TRACKERS)
    ]
    rows.append(f"| [objective]({_path('objective')}) | the metrics and costs that it can name |\n")
    rows.append(f"| [search and confirm]({_path('search')}) | budget, workers, lanes; fresh seeds |\n")
    names = dict.fromkeys(
        _path(name).removesuffix(".md") for name in (*TRIAL_SECTIONS, "objective", "search", TRACKERS)
    )
    return "".join([HEAD, *rows, CONTENTS, *(f"{name}\n" for name in names), "```\n"])


def _kind_links(section: str) -> Iterator[str]:
    for names in _titles(section).values():
        heading = _heading(section, names)
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for name in names:
            yield f"[`{name}`]({_path(section)}#{anchor})"


def _titles(section: str) -> dict[str, list[str]]:
    """The kinds of a section by the class that has their options."""
    kinds: dict[str, list[str]] = {}
    for kind, cls in KINDS.get(section, {}).items():
        kinds.setdefault(cls.__name__, []).append(kind)
    return kinds


def _heading(section: str, names: list[str]) -> str:
    return f"{section}: {', '.join(f'`{kind}`' for kind in names)}"


def _section(name: str, definitions: Mapping[str, Schema]) -> str:
    kinds = _titles(name)
    if not kinds:
        return _plain(name, definitions[name.capitalize()], definitions)
    default = DEFAULT_KINDS.get(name)
    shared = _shared([definitions[title] for title in kinds]) if name in TRIAL_SECTIONS else {}
    said = f"`{default}` unless `kind` says otherwise." if default else "`kind` must be given."
    lines = [f"## {name}", "", said, ""]
    if shared:
        lines += ["Options of all kinds:", "", *_table(name, shared, definitions)]
    for title, names in kinds.items():
        own = {key: item for key, item in definitions[title]["properties"].items() if key not in shared}
        lines += [f"### {_heading(name, names)}", ""]
        if definitions[title].get("description"):
            lines += [_inline(definitions[title]["description"]), ""]
        lines += _table(name, own, definitions, required=definitions[title].get("required", ()))
    return "\n".join(lines)


def _shared(schemas: list[Schema]) -> dict[str, Schema]:
    """Options that every kind has, with the same meaning."""
    first, *others = [schema["properties"] for schema in schemas]
    if not others:
        return {}
    return {
        key: item
        for key, item in first.items()
        if key != "kind" and all(key in other and other[key] == item for other in others)
    }


def _plain(name: str, schema: Schema, definitions: Mapping[str, Schema]) -> str:
    lines = [f"## {name}", ""]
    if schema.get("description"):
        lines += [_inline(schema["description"]), ""]
    return "\n".join([*lines, *_table(name, schema["properties"], definitions)])


def _table(
    section: str, options: Mapping[str, Schema], definitions: Mapping[str, Schema], required: Any = ()
) -> list[str]:
    rows = list(_rows(section, "", options, definitions, required))
    if not rows:
        return ["No options of its own.", ""]
    is_trial = section in TRIAL_SECTIONS
    head = ["option", "values", "default", *(["searched"] if is_trial else []), "meaning"]
    table = [head, ["---"] * len(head), *(row if is_trial else [*row[:3], row[4]] for row in rows)]
    return [*(f"| {' | '.join(row)} |" for row in table), ""]


def _rows(
    section: str, prefix: str, options: Mapping[str, Schema], definitions: Mapping[str, Schema], required: Any = ()
) -> Iterator[list[str]]:
    for key, item in options.items():
        if key == "kind" and not prefix:
            continue
        path = f"{prefix}{key}"
        nested = _nested(item, definitions)
        if nested is not None:
            yield from _rows(section, f"{path}.", nested["properties"], definitions)
            continue
        default = "required" if path in required else _shown(item.get("default"))
        is_searched = "yes" if refusal(f"{section}.{path}") is None else "no"
        yield [f"`{path}`", _values(item, definitions), default, is_searched, _inline(item.get("description", ""))]


def _nested(item: Schema, definitions: Mapping[str, Schema]) -> Schema | None:
    """The section that an option is, if it is one."""
    for form in (item, *item.get("allOf", ()), *item.get("anyOf", ())):
        if "$ref" in form:
            found = definitions[form["$ref"].rpartition("/")[2]]
            if "properties" in found:
                return found
    return None


def _values(item: Schema, definitions: Mapping[str, Schema]) -> str:
    if "$ref" in item:
        return _values(definitions[item["$ref"].rpartition("/")[2]], definitions)
    forms = item.get("anyOf", item.get("oneOf"))
    if forms is not None:
        return " or ".join(dict.fromkeys(_values(form, definitions) for form in forms))
    named = item.get("enum", [item["const"]] if "const" in item else None)
    if named is not None:
        return ", ".join(f"`{_plain_value(value)}`" for value in named)
    kind = item.get("type", "anything")
    if kind in ("integer", "number"):
        return f"{'whole number' if kind == 'integer' else 'number'}{_limits(item)}"
    if kind == "array":
        inner = item.get("items")
        return f"list of {_values(inner, definitions)}" if isinstance(inner, dict) else "list"
    return {"boolean": "`true`, `false`", "string": "text", "null": "`null`", "object": "mapping"}.get(kind, str(kind))


def _limits(item: Schema) -> str:
    low, above = item.get("minimum"), item.get("exclusiveMinimum")
    high, below = item.get("maximum"), item.get("exclusiveMaximum")
    parts = [
        *([f"from {_number(low)}"] if low is not None else []),
        *([f"above {_number(above)}"] if above is not None else []),
        *([f"to {_number(high)}"] if high is not None else []),
        *([f"below {_number(below)}"] if below is not None else []),
    ]
    return f" {' '.join(parts)}" if parts else ""


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 or value != int(value) else str(int(value))  # noqa: PLR2004


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"`{_plain_value(value)}`"


def _plain_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _metrics() -> str:
    lines = ["## Metrics and costs", "", "`objective.metric`, and what is recorded every epoch.", ""]
    lines += ["| metric | better | for |", "| --- | --- | --- |"]
    for name, info in (*METRICS.items(), *COSTS.items()):
        better = "higher" if info.direction == "maximize" else "lower"
        what = "a cost" if name in COSTS else _tasks(info)
        lines.append(f"| `{name}` | {better} | {what} |")
    return "\n".join([*lines, ""])


def _tasks(info: MetricInfo) -> str:
    return "any task" if set(info.tasks) == set(TASKS) else ", ".join(info.tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 when a page is stale")
    is_check = parser.parse_args().check
    for name, text in pages().items():
        path = DOCS / name
        if not is_check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{name} is stale: run `python docs/make_reference.py`")


if __name__ == "__main__":
    main()
