"""Where the files that a space file names are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def resolve_existing(name: str, base_dir: Path) -> Path | None:
    """The file or folder `name`, below the space file's folder, else below the working directory; None in neither."""
    path = Path(name).expanduser()
    candidates = (folder / path for folder in (base_dir, Path.cwd()))
    return next((candidate.resolve() for candidate in candidates if candidate.exists()), None)


def files_below(folder: Path, endings: tuple[str, ...] = ("",)) -> tuple[Path, ...]:
    """The files of a folder and of those in it that end so, sorted; hidden ones, such as a lock, do not count."""
    found: list[Path] = []
    for path, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(path, name) for name in names if name.lower().endswith(endings) and not name.startswith(".")]
    return tuple(sorted(path for path in found if path.is_file()))
