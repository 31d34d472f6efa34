"""Every command says what it is for, shows examples that it takes, and stands in the README."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tuner.cli.main import cli
from tuner.errors import MissingError

TUNER = [sys.executable, "-m", "tuner"]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def words(path: tuple[str, ...]) -> str:
    return " ".join(path)


COMMANDS = {words(path): (path, command) for path, command in commands()}


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TUNER, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def examples(command: click.Command) -> list[str]:
    """The command lines below the word Examples, without what explains them."""
    _, found, rest = (command.epilog or "").partition("Example")
    lines = re.findall(r"(?m)(?:^  |\$\()(tuner .*?)(?:\)\".*|  .*)?$", rest) if found else []
    return [re.split(r" [|>] ", line)[0].strip() for line in lines]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_and_what_each_option_is_for(name: str) -> None:
    path, command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"
    shown = CliRunner().invoke(cli, [*path, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output


def _problem(command: click.Command, name: str, arguments: list[str]) -> str:
    """What is wrong with a command line; its end where a file is only not there."""
    try:
        command.make_context(name, arguments)
    except click.BadParameter as error:
        return error.message[-len("does not exist.") :]
    return ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_of_a_command_are_lines_that_it_takes(name: str) -> None:
    path, command = COMMANDS[name]
    lines = examples(command)
    assert lines, f"tuner {name}: no examples"
    for line in lines:
        assert line.startswith(f"tuner {name}"), line
        arguments = shlex.split(line)[1 + len(path) :]
        if arguments:
            assert _problem(command, name, arguments) in ("", "does not exist."), line


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_line_in_the_readme(name: str) -> None:
    assert re.search(rf"^\| `tuner {name}\b", README, re.MULTILINE)


def test_without_arguments_the_first_steps_are_shown(tmp_path: Path) -> None:
    result = run(folder=tmp_path)
    assert result.returncode == 2
    assert re.search(r"First steps:\n +tuner init people.csv", result.stdout)
    for name, (path, _) in COMMANDS.items():
        assert len(path) > 1 or re.search(rf"^  {name} ", result.stdout, re.MULTILINE)


def test_a_wrong_command_names_the_next_step(tmp_path: Path) -> None:
    result = run("serch", "--space", "mlp.yaml", folder=tmp_path)
    assert result.returncode == 2
    assert "serch" in result.stderr
    assert re.search(r"search|tuner --help", result.stderr)


def test_a_missing_extra_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for package in ("pyarrow", "tokenizers"):
        monkeypatch.setitem(sys.modules, package, None)  # as Python does it for what cannot be imported
    Path("a.parquet").write_bytes(b"PAR1")
    Path("a.csv").write_text("text,y\n" + "a good film,1\na bad film,0\n" * 20)
    Path("a.yaml").write_text(
        "objective: {metric: accuracy}\nmodel: {kind: bag}\n"
        "data: {kind: text, path: a.csv, target: y, tokenizer: {kind: bpe}}\n"
    )
    for arguments, extra in ((["init", "a.parquet"], "parquet"), (["data", "--space", "a.yaml"], "text")):
        error = CliRunner().invoke(cli, arguments).exception
        assert isinstance(error, MissingError)
        assert f"pip install 'tuner[{extra}]'" in error.message
