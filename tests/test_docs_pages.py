"""The pages of docs/ as a person follows them: every block of code is run in a folder of its page, in the page's order.

What a block is follows from its language. `console`: commands, run in this process, searches with a small budget.
`python`: run, later blocks know the names of earlier ones; one that begins with `# file.py` becomes that file. `yaml`:
a space file, checked as `tuner check` does; sections that it leaves out are filled in, `# file.yaml` makes it a file.
A comment above a block, which readers do not see, says more: `<!-- code of another library -->` is only parsed,
`<!-- exits with 2 -->` is what the last command of the block comes to, `<!-- a shell's -->` is not run.
"""

from __future__ import annotations

import ast
import io
import json
import multiprocessing.forkserver
import multiprocessing.util
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tuner.cli.main import COMMANDS
from tuner.cli.options import overrides_of
from tuner.config.spec import load
from tuner.errors import TunerError
from tuner.execution import forkserver
from tuner.execution.inline import InlineExecutor
from tuner.workflows.search import SearchRequest, search

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
LANGUAGES = {"console", "python", "yaml", "json", "text"}
FOREIGN, SHELL = "code of another library", "a shell's"
OTHER_PROGRAMS = {"pip", "make", "nohup", "kill", "ssh", "cat", "ls", "git", "wandb", "curl", "tail"}
NOT_RUN = {"app", "dashboard", "plan", "doctor", "reproduce", "confirm"}
"""Commands that serve, measure or train for long: their tests are elsewhere; here their options are parsed."""
PARSED_WITH = {"best": {"--trial", "--pick", "--out", "--format"}, "report": {"--format"}}
"""Commands that only their options of another kind would make run twice on a page, for seconds each."""
N_TRIALS = 2
SMALL = ("train.epochs=2", "search.threads=1", "search.pruner=none", "confirm=off")
WITH_MISTAKES = """\
version: 1
objective: {metric: acuracy}
data: {kind: digits}
optimizer: {kind: adamw, momentum: 0.9}
space:
  optimizer.lr: {low: 0.1, high: 0.0001}
  model.widht: {low: 1, high: 2}
"""
FILLED_IN = {
    "objective": "objective: {metric: accuracy}",
    "data": "data: {kind: digits}",
    "space": "space: {optimizer.lr: {low: 1e-4, high: 1e-1, log: true}}",
    "search": "search: {trials: 4}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    mark: str
    """What the comment above it says."""

    @property
    def file(self) -> str | None:
        """The file that the block is, by the comment in its first line."""
        found = re.match(r"# ([\w-]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"(?m)^(?:<!-- (.+?) -->\n+)?(`{3,})([^\n]*)\n(.*?)^\2$", text, re.DOTALL):
        mark, _, language, content = found.groups()
        if not language.startswith("{"):
            line = text[: found.start(4)].count("\n") + 1
            yield Block(page=page, line=line, language=language, text=content, mark=mark or "")


def commands_of(text: str) -> Iterator[str]:
    """The commands of a console block, those that go on in the next line joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            yield line[2:].strip()


@dataclass(slots=True)
class Workplace:
    """The folder of a page, in which its blocks are run."""

    folder: Path
    names: dict[str, object] = field(default_factory=lambda: {"__name__": "__main__"})

    def run(self, block: Block) -> None:
        if block.mark == FOREIGN:
            _parse_foreign(block)
        elif block.mark != SHELL:
            getattr(self, f"_run_{block.language}")(block)

    def _run_text(self, _block: Block) -> None:
        """Nothing to run: a layout, a message."""

    def _run_json(self, block: Block) -> None:
        json.loads(block.text)

    def _run_yaml(self, block: Block) -> None:
        path = self.folder / (block.file or "page.yaml")
        given = set(re.findall(r"(?m)^(\w+):", block.text))
        is_whole = re.search(r"(?m)^train: .*kind: python", block.text)
        rest = [] if is_whole else [line for key, line in FILLED_IN.items() if key not in given]
        path.write_text("\n".join([block.text.rstrip("\n"), *rest, ""]), encoding="utf-8")
        load(path)

    def _run_python(self, block: Block) -> None:
        code = compile(self._with_real_exports(block.text), block.place, "exec")
        if block.file:
            (self.folder / block.file).write_text(block.text, encoding="utf-8")
        else:
            exec(code, self.names)  # noqa: S102 - the documentation's own

    def _run_console(self, block: Block) -> None:
        commands = list(commands_of(block.text))
        assert commands, f"{block.place}: no command; write `text` for what is none"
        for command in commands:
            code = self._call(block, self._with_real_exports(command))
            expected = int(block.mark.rpartition(" ")[2]) if block.mark and command is commands[-1] else 0
            assert code == expected, f"{block.place}: {command}"

    def _call(self, block: Block, command: str) -> int:
        line, _, target = command.partition(" > ")
        name, *arguments = shlex.split(line)
        if name != "tuner":
            assert name in OTHER_PROGRAMS, f"{block.place}: {name} is not known here"
            return 0
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(output):
            code = _tuner(arguments)
        if target:
            output.flush()
            (self.folder / target).write_bytes(output.buffer.getvalue())
        return code

    def _with_real_exports(self, text: str) -> str:
        """The trial that a small search finds is another one than the page's."""

        def real(found: re.Match[str]) -> str:
            there = sorted((self.folder / "exports").glob(f"{found[1]}-*"))
            return f"exports/{there[0].name}" if there else found[0]

        return re.sub(r"exports/([a-z-]+)-\d+", real, text)


def _parse_foreign(block: Block) -> None:
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "yaml":
        yaml.safe_load(block.text)


def _tuner(arguments: list[str]) -> int:
    """Run a command line in this process, as `tuner` does."""
    if arguments == ["--help"] or not arguments:
        return 0
    name, *rest = arguments
    assert name in COMMANDS, f"there is no `tuner {name}`"
    command: click.Command = import_module(f"tuner.cli.{name}").command
    given = set(rest)
    if "--help" in given:
        return 0
    try:
        with command.make_context(name, rest) as context:
            if name in NOT_RUN or PARSED_WITH.get(name, set()) & given:
                return 0
            if name == "search":
                return _search(context.params)
            if isinstance(context.params.get("trial"), int):
                context.params["trial"] %= N_TRIALS
            return command.invoke(context) or 0
    except TunerError as error:
        return error.exit_code


def _search(params: dict[str, Any]) -> int:
    """What the command does, in this process and with the budget of a test."""
    small = {"trials": str(N_TRIALS), "workers": "1", "lanes": "1", "device": "cpu"}
    names, texts = overrides_of({"study": params["study"], "seed": params["seed"], **small})
    sets = (*params["sets"], *SMALL, *texts)
    request = SearchRequest(
        space=params["space"], storage=params["storage"], sets=sets, overrides=names, source=params["source"]
    )
    return 0 if search(request, None, InlineExecutor()).status.best else 1


@pytest.fixture(scope="module", autouse=True)
def _server_with_scikit_learn() -> None:
    """Each export imports scikit-learn in a worker; here it is there when workers are forked."""
    forkserver.context().set_forkserver_preload([forkserver.PRELOAD, "sklearn.metrics"])
    os.environ[forkserver.FOLDER_VARIABLE] = multiprocessing.util.get_temp_dir()
    multiprocessing.forkserver.ensure_running()
    del os.environ[forkserver.FOLDER_VARIABLE]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A folder with the small data that the pages speak of."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    rows = [f"{i},p{i % 20},{random.integers(20, 90)},{'mf'[i % 2]},{random.random():.3f},{i % 2}" for i in range(120)]
    (tmp_path / "visits.csv").write_text("\n".join(["id,patient,age,sex,score,readmitted", *rows, ""]))
    (tmp_path / "two.yaml").write_text(WITH_MISTAKES)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return Workplace(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_every_block_of_the_page_runs(page: Path, workplace: Workplace) -> None:
    for block in blocks_of(page):
        assert block.language in LANGUAGES, f"{block.place}: a block says its language, one of {sorted(LANGUAGES)}"
        workplace.run(block)


def test_every_command_has_its_entry_with_an_example() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    entries = dict(re.findall(r"(?ms)^### tuner (\w+)\n(.*?)(?=^##|\Z)", page))
    assert sorted(entries) == sorted(COMMANDS)
    for name, entry in entries.items():
        assert f"```{{tuner-command}} {name}\n" in entry, name
        assert f"$ tuner {name}" in entry, name


def test_the_words_of_the_pages_name_options_that_exist() -> None:
    commands = [import_module(f"tuner.cli.{name}").command for name in COMMANDS]
    parameters = [parameter for command in commands for parameter in command.params]
    known = {option for item in parameters for option in (*item.opts, *item.secondary_opts)} | {"--help"}
    for page in (page for page in PAGES if page.name != "speed.md"):  # the options there are those of benchmarks
        prose = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
        named = {
            option
            for code in re.findall(r"`(tuner [^`]+|--[^`]+)`", prose)
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)
        }
        assert named <= known, page
