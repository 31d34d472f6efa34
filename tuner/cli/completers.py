"""What a shell offers after the Tab key. Nothing is created, and what goes wrong offers nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from tuner.paths import DEFAULT_STORAGE


def studies(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The studies of the database that the line names so far, the latest first."""
    from tuner.study.names import study_names

    return _matching(study_names(ctx.params.get("storage") or DEFAULT_STORAGE), incomplete)


def spaces(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The space files here and those that are shipped; else files."""
    from tuner.config.files import FOLDER, SUFFIX, shipped_names

    here = [path.name for folder in (Path(), Path(FOLDER)) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    shipped = [f"{name}{SUFFIX}" for name in shipped_names()]
    return _matching([*here, *shipped], incomplete) or _files(incomplete)


def beginnings(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `tuner init` takes: files and folders here, templates, known data sets, shipped space files."""
    from tuner.workflows.init import about

    here = sorted(path.name for path in Path().glob("[!.]*"))
    return _matching([*here, *about()], incomplete) or _files(incomplete)


def _matching(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _files(incomplete: str) -> list[CompletionItem]:
    """Leaves it to the shell, which knows folders."""
    return [CompletionItem(incomplete, type="file")]
