"""The files that a user's own data depends on, as far as they can be told without running it.

What is decoded is kept for the next process, and is made anew when one of them changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def files_in(options: Mapping[str, Any], base_dir: Path) -> tuple[Path, ...]:
    """The files that options name, relative to the working directory or to the space file."""
    texts = [value for value in options.values() if isinstance(value, str) and value]
    found = (folder / text for text in texts for folder in (Path.cwd(), base_dir))
    return tuple(dict.fromkeys(path.resolve() for path in found if _is_file(path)))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text that is no path: too long, or with a null byte
        return False
