"""The modules of a user's own that others import, told from their texts: nothing is run."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path


def with_imports(files: Iterable[Path], folders: Iterable[Path]) -> tuple[Path, ...]:
    """These modules and those that they import from beside them or from `folders`, and so on.

    What installed packages import is not followed.
    """
    folders = tuple(folder.resolve() for folder in folders)
    found: dict[Path, None] = {}
    waiting = [path.resolve() for path in files]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = None
            waiting += () if _is_installed(path) else _imported_by(path, (path.parent, *folders))
    return tuple(found)


def _is_installed(path: Path) -> bool:
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return any(path.is_relative_to(Path(place).resolve()) for place in places)


def _imported_by(path: Path, folders: tuple[Path, ...]) -> list[Path]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # importing it will say what is wrong
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found: list[Path] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [file for alias in node.names for file in _files_of(alias.name, folders)]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [f"{module}.{alias.name}".strip(".") for alias in node.names]
            places = (path.parents[node.level - 1],) if 0 < node.level <= len(path.parents) else folders
            found += [file for name in dict.fromkeys((module, *names)) for file in _files_of(name, places)]
    return found


def _files_of(module: str, folders: tuple[Path, ...]) -> Iterator[Path]:
    """The file of a module, and those of the packages around it, in the first folder that has it."""
    parts = module.split(".") if module else []
    for folder in folders:
        found = [
            candidate  # a link by its own name, as Python imports it
            for n_parts in range(1, len(parts) + 1)
            for candidate in _candidates(folder.joinpath(*parts[:n_parts]))
            if candidate.is_file()
        ]
        if found:
            yield from found
            return


def _candidates(base: Path) -> tuple[Path, Path]:
    return base / "__init__.py", base.with_name(f"{base.name}.py")
