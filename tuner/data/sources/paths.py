"""Where the files that a space file names are looked for."""

from __future__ import annotations

from pathlib import Path


def resolve_existing(name: str, base_dir: Path) -> Path | None:
    """The file or folder `name`, below the space file's folder, else below the working directory; None in neither."""
    path = Path(name).expanduser()
    candidates = (folder / path for folder in (base_dir, Path.cwd()))
    return next((candidate.resolve() for candidate in candidates if candidate.exists()), None)
