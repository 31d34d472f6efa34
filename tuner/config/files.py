"""Where space files are: as named, in `search_spaces/`, among those that are shipped."""

from __future__ import annotations

from pathlib import Path

from tuner.config.messages import nearest
from tuner.errors import NotFoundError, UsageError

FOLDER = "search_spaces"
SUFFIX = ".yaml"
OF_DATA = frozenset({".csv", ".tsv", ".parquet", ".jsonl", ".txt", ".npz", ".npy", ".pt", ".gz", ".zip", ".xlsx"})
"""What `tuner init` is to be pointed at, and not a search."""


def find_file(name: str) -> Path:
    """The file that a name means: as given, in ./search_spaces, then among the shipped; with or without `.yaml`.

    Raises NotFoundError that lists where it looked, UsageError for what is data.
    """
    folders = (Path(), Path(FOLDER), shipped_folder())
    is_data = Path(name).suffix.lower() in OF_DATA
    for folder in () if is_data else folders:
        for candidate in (folder / name, folder / f"{name}{SUFFIX}"):
            if candidate.is_file():
                return candidate
    if is_data or Path(name).is_dir():
        raise UsageError(f"{name}: data, and no space file; `tuner init {name}` writes one for it")
    shipped = shipped_names()
    near = nearest(Path(name).stem, _stems(folders))
    hint = f"; did you mean {near!r}?" if near else ""
    looked = ", ".join(str(folder.resolve()) for folder in folders)
    raise NotFoundError(
        f"{name}: no such space file{hint} (looked in {looked}; shipped: {', '.join(shipped)}; `tuner init` makes one)"
    )


def _stems(folders: tuple[Path, ...]) -> list[str]:
    """What can be typed for the space files that there are."""
    return [path.stem for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))]


def shipped_folder() -> Path:
    """The folder of the shipped space files: in the installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[1]
    return package / FOLDER if (package / FOLDER).is_dir() else package.parent / FOLDER


def shipped_names() -> list[str]:
    return sorted(path.stem for path in shipped_folder().glob(f"*{SUFFIX}"))


def shown(path: Path) -> str:
    """A path as messages name it: relative to the working directory where it is below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here)) if absolute.is_relative_to(here) else str(path)
