"""README.md and the pages beside it as a person uses them: blocks are run, tables are compared with the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
import torch

from tuner.cli.main import COMMANDS
from tuner.config.files import shipped_names
from tuner.config.metrics import METRICS
from tuner.config.schema import (
    DATA_KINDS,
    LOSS_KINDS,
    MODEL_KINDS,
    OPTIMIZER_KINDS,
    PRUNER_KINDS,
    SAMPLER_KINDS,
    SCHEDULE_KINDS,
    TRAIN_KINDS,
)
from tuner.config.schema.trackers import TRACKER_KINDS
from tuner.config.sections import TRIAL_SECTIONS
from tuner.config.spec import load
from tuner.data.sources.classic_images import DEBIAN_ROOT
from tuner.data.sources.image_sets import IMAGE_SETS
from tuner.errors import TunerError
from tuner.execution.inline import InlineExecutor
from tuner.workflows.search import SearchRequest, search

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/sections.md", "docs/data.md", "docs/own-code.md", "docs/searching.md")
}
README = "\n\n".join(PAGES.values())
INTERRUPTED = {130, 143}
KINDS = {
    "data": DATA_KINDS,
    "model": MODEL_KINDS,
    "loss": LOSS_KINDS,
    "optimizer": OPTIMIZER_KINDS,
    "schedule": SCHEDULE_KINDS,
    "train": TRAIN_KINDS,
    "search.sampler": SAMPLER_KINDS,
    "search.pruner": PRUNER_KINDS,
    "trackers": TRACKER_KINDS,
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block_of(file: str) -> str:
    """The block that begins with the file's name as a comment."""
    (found,) = (block for block in (*blocks("python"), *blocks("yaml")) if block.startswith(f"# {file}\n"))
    return found


def table(header: str) -> list[list[str]]:
    """The cells of the table whose header line begins so, without header and rule."""
    _, _, rest = README.partition(f"\n{header}")
    assert rest, f"README has no table {header!r}"
    lines = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def quoted(text: str) -> list[str]:
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


def invocations() -> Iterator[list[str]]:
    """The arguments of every `tuner COMMAND ...` that the README names, prompts and inline code."""
    for text in (*re.findall(r"^\$ (tuner .*)$", README, re.MULTILINE), *quoted(prose())):
        if re.match(r"tuner [a-z]+\b", text):
            yield shlex.split(text.partition(" > ")[0])[1:]


def prose() -> str:
    return re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)


def command_of(name: str) -> click.Command:
    command: click.Command = import_module(f"tuner.cli.{name}").command
    return command


def help_of(name: str) -> str:
    return command_of(name).get_help(click.Context(command_of(name), info_name=name))


def options_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the README's own model, data and space file."""
    monkeypatch.chdir(tmp_path)
    for file in ("rings.py", "rings.yaml", "adversary.py", "adversary.yaml"):
        (tmp_path / file).write_text(block_of(file), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("yaml"))))
def test_every_space_file_in_the_readme_is_valid(number: int, workplace: Path) -> None:
    path = workplace / "readme.yaml"
    path.write_text(blocks("yaml")[number], encoding="utf-8")
    spec = load(path)
    assert spec.space.parameters
    assert spec.search.trials


def test_the_explained_space_file_shows_every_form_of_an_entry() -> None:
    explained = blocks("yaml")[0]
    for form in ("choices:", "low:", "high:", "log:", "step:", "when:", "each:", "prior:"):
        assert form in explained
    for section in TRIAL_SECTIONS:
        assert re.search(rf"^{section}:", explained, re.MULTILINE)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_every_python_block_compiles(number: int) -> None:
    code = compile(blocks("python")[number], f"README.md block {number}", "exec")
    assert code.co_code


@pytest.mark.slow
def test_the_own_model_is_exported_and_predicts_what_the_readme_says(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    search(SearchRequest(space="rings.yaml", sets=("search.workers=1",)), None, InlineExecutor())
    (code,) = (block for block in blocks("python") if "allow_code=True" in block)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own
    (promised,) = re.findall(r"# (\[.*\])$", code, re.MULTILINE)
    assert capsys.readouterr().out.strip() == promised


def test_the_command_table_and_the_commands_are_the_same() -> None:
    named = [quoted(row[0])[0].split()[1] for row in table("| command | does |")]
    assert named == list(COMMANDS)


def test_every_option_of_the_command_table_is_in_the_commands_help() -> None:
    for row in table("| command | does |"):
        name = quoted(row[0])[0].split()[1]
        missing = options_of(" ".join(row)) - options_of(help_of(name))
        assert not missing, f"tuner {name} has no {missing}"


def test_every_option_of_search_and_best_is_in_the_command_table() -> None:
    rows = {quoted(row[0])[0].split()[1]: " ".join(row) for row in table("| command | does |")}
    general = {"--storage", "--study", "--json", "--help"}
    for name in ("search", "best"):
        assert options_of(help_of(name)) - general == options_of(rows[name])


def test_every_command_line_in_the_readme_is_accepted() -> None:
    lines = list(invocations())
    assert len(lines) > 20
    for name, *arguments in lines:
        assert options_of(" ".join(arguments)) <= options_of(help_of(name)), name
        if name != "show" or arguments:
            filled = [{"N": "1", "SHELL": "bash"}.get(argument, argument) for argument in arguments]
            _parse(name, filled)


def _parse(name: str, arguments: list[str]) -> None:
    command = command_of(name)
    needs_space = any("--space" in parameter.opts for parameter in command.params)
    given = [*arguments, *(["--space", "mlp.yaml"] if needs_space and "--space" not in arguments else [])]
    command.make_context(name, given)


def test_every_option_named_anywhere_belongs_to_a_command() -> None:
    known = set().union(*(options_of(help_of(name)) for name in COMMANDS))
    named = set().union(*(options_of(text) for text in quoted(prose()) if not text.startswith("python ")))
    assert "--set" in named
    assert named <= known


def test_the_exit_codes_are_those_of_the_errors() -> None:
    errors = {error.exit_code for error in TunerError.__subclasses__()}
    listed = [int(row[0]) for row in table("| exit code | means |")]
    assert listed == sorted(errors | {0} | INTERRUPTED)


def test_the_sections_table_names_every_kind() -> None:
    named: dict[str, list[str]] = {}
    section = ""
    for row in table("| section | kind | keys |"):
        section = quoted(row[0])[0] if row[0] else section
        named.setdefault(section, []).extend(quoted(re.sub(r"\([^)]*\)", "", row[1])))
    for section, kinds in KINDS.items():
        assert sorted(named[section]) == sorted(kinds), section
    assert set(named) == {
        *TRIAL_SECTIONS,
        "objective",
        "constraints",
        "metrics",
        "search",
        "confirm",
        "search.sampler",
        "search.pruner",
        "trackers",
    }


def test_the_sections_table_names_the_keys_and_defaults_of_every_kind() -> None:
    section, shared = "", ""
    for first, kinds, keys in table("| section | kind | keys |"):
        section, shared = (quoted(first)[0], "") if first else (section, shared)
        if kinds == "any":
            shared = keys
        for kind in quoted(re.sub(r"\([^)]*\)", "", kinds)):
            if section in KINDS and kind != "auto":
                _assert_keys(f"{section} {kind}", KINDS[section][kind].model_fields, f"{shared} {keys}")


def _assert_keys(where: str, fields: dict[str, object], text: str) -> None:
    named = {name for name, *_ in (re.split(r":| ", item, maxsplit=1) for item in quoted(text))}
    assert set(fields) - {"kind"} <= named, where


def test_every_metric_and_every_shipped_space_file_is_named() -> None:
    inline = quoted(prose())
    assert set(METRICS) <= set(inline)
    assert {f"{name}.yaml" for name in shipped_names()} <= set(inline)


def test_the_places_of_fashion_mnist_are_those_that_are_looked_at() -> None:
    inline = quoted(prose())
    folder = IMAGE_SETS["fashion_mnist"].folder
    for place in (f"FOLDER/{folder}", f"data/{folder}", f"~/.cache/tuner/data/{folder}"):
        assert place in inline
    assert str(DEBIAN_ROOT / "fashion-mnist") in inline
    for image_set in IMAGE_SETS.values():
        assert any(image_set.folder in text for text in inline)


def links() -> Iterator[tuple[str, str, str]]:
    """Every link to a file or heading of ours: its page, the file, the heading; either of these may be empty."""
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if not link.startswith("https://"):
                path, _, heading = link.partition("#")
                yield page, path, heading


def test_every_file_that_the_readme_names_is_there() -> None:
    paths = [text for text in quoted(prose()) if re.fullmatch(r"(tests|benchmarks|search_spaces)/[\w./]*", text)]
    scripts = [text.split()[1] for text in quoted(prose()) if text.startswith("python benchmarks/")]
    assert len(scripts) >= 2
    assert [path for path in (*paths, *scripts) if not (ROOT / path).exists()] == []
    files = [(page, path) for page, path, _ in links() if path]
    assert len(files) >= 10
    assert [(page, path) for page, path in files if not ((ROOT / page).parent / path).exists()] == []


def test_every_link_leads_to_a_heading() -> None:
    places = [(page, (ROOT / page).parent / path if path else ROOT / page, heading) for page, path, heading in links()]
    found = [(page, place, heading) for page, place, heading in places if heading]
    assert len(found) >= 5
    for page, place, heading in found:
        headings = re.findall(r"(?m)^#+ (.+)$", place.read_text(encoding="utf-8"))
        anchors = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
        assert heading in anchors, f"{page}: #{heading}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {path for page, path, _ in links() if page == "README.md"}
    assert set(PAGES) - {"README.md"} <= linked


def test_the_make_targets_that_the_documents_name_exist() -> None:
    root = Path(__file__).parents[1]
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    for name in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:`|^    )make ([a-z]+)", (root / name).read_text(encoding="utf-8"), re.MULTILINE))
        assert named
        assert {target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()


def test_the_files_and_tables_that_contributing_names_are_there() -> None:
    root = Path(__file__).parents[1]
    inline = quoted((root / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    files = [text for text in inline if re.fullmatch(r"[a-z_/]+/[a-z_]+\.py|data/sources/", text)]
    assert len(files) > 15
    assert [file for file in files if not (root / "tuner" / file).exists() and not (root / file).exists()] == []
    tables = [text for text in inline if re.fullmatch(r"_?[A-Z]+(_[A-Z]+)*", text) and text != "TUNER_FAULT"]
    source = "\n".join(path.read_text(encoding="utf-8") for path in (root / "tuner").rglob("*.py"))
    assert [table for table in tables if not re.search(rf"^{table}: ", source, re.MULTILINE)] == []
