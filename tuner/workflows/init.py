"""`tuner init`: a space file to begin with, from a template or made for the data that it is pointed at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tuner.config.files import shipped_folder
from tuner.config.messages import nearest
from tuner.errors import NotFoundError, UsageError
from tuner.paths import write_atomically

FOLDER = "templates"
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
TABLES = frozenset({".csv", ".tsv", ".parquet"})
N_LOOKED_AT = 2000
"""Files of a folder, or rows of a table, that are looked at."""
FEW_VALUES = 20
"""A numeric target with more distinct values is a number to predict, not a class."""
SENTENCE = 25
"""Characters in the mean of a column that is text, and not a category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A space file to copy, and the words in it that stand for the user's own."""

    about: str
    file: str = ""
    """Of the shipped files; by default that of its name in the folder of templates."""
    path: str = ""
    """The path of the data in it."""
    target: str = ""
    text: str = ""
    """The name of the text column in it."""
    needs: tuple[str, ...] = ()
    """Files that it names, copied beside it."""


TEMPLATES: dict[str, Template] = {
    "image-classification": Template(about="images in a known data set (Fashion-MNIST), a convolutional network"),
    "image-folder": Template(about="a folder of images, a folder a class", path="images"),
    "tabular-classification": Template(about="a table, a column of classes", path="table.csv", target="label"),
    "tabular-regression": Template(about="a table, a column of numbers", path="table.csv", target="value"),
    "text-classification": Template(
        about="sentences in a table, a column of classes", path="texts.csv", target="label", text="text"
    ),
    "forecasting": Template(about="a table in time order, its next values", path="series.csv", target="value"),
    "audio": Template(about="a folder of wav files, a folder a class", path="sounds"),
    "autoencoder": Template(about="images or numbers, compressed and restored"),
    "language-model": Template(about="a text, its next character", path="book.txt"),
    "own-model": Template(about="your own nn.Module, on any data", needs=("own_model.py",)),
    "own-data": Template(about="your own Dataset, with any model", needs=("own_data.py",)),
    "own-training": Template(about="your own training code", file="own_training.yaml", needs=("../own_training.py",)),
}
"""The templates, in the order in which `tuner init` lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was written."""

    template: str
    file: Path
    others: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What a path of data asks for."""

    template: str
    target: str = ""
    text: str = ""


def init(what: str, *, out: Path | None = None, data: str | None = None, target: str | None = None) -> Made:
    """Write the template `what`, or one for the data at the path `what`; never over a file that exists.

    Raises NotFoundError when there is neither a template nor a file of this name, UsageError where a file would be
    lost, or where nothing can be made of the data.
    """
    found = _Found(template=what)
    if what not in TEMPLATES:
        data = data or what
        found = _look(Path(data), target)
    template = TEMPLATES[found.template]
    file = out or Path(f"{found.template}.yaml")
    others = {file.parent / Path(name).name: _folder() / name for name in template.needs}
    there = [path for path in (file, *others) if path.exists()]
    if there:
        raise UsageError(f"{there[0]}: exists, and is not overwritten; choose another name with --out FILE")
    text = _filled(found.template, template, data, target or found.target, found.text)
    file.parent.mkdir(parents=True, exist_ok=True)
    for path, source in others.items():
        write_atomically(path, source.read_bytes())
    write_atomically(file, text.replace(f"--space {template.file or 'SPACE.yaml'}", f"--space {file}").encode())
    return Made(template=found.template, file=file, others=tuple(others))


def _folder() -> Path:
    return shipped_folder() / FOLDER


def _filled(name: str, template: Template, data: str | None, target: str, text: str) -> str:
    source = shipped_folder() / template.file if template.file else _folder() / f"{name}.yaml"
    content = source.read_text(encoding="utf-8")
    given = {"path": (template.path, data), "target": (template.target, target), "text": (template.text, text)}
    for option, (placeholder, value) in given.items():
        if not value:
            continue
        if not placeholder:
            raise UsageError(f"{name}: has no {option} to fill in; edit the file instead")
        content = content.replace(f"{option}: {placeholder}", f"{option}: {_quoted(value)}")
    return content


def _quoted(value: str) -> str:
    """As YAML takes it inside braces."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# ------------------------------------------------------------------------------------------------------- what it is


def _look(path: Path, target: str | None) -> _Found:
    if path.is_dir():
        return _folder_of(path)
    if not path.is_file():
        near = nearest(str(path), list(TEMPLATES))
        hint = f"; did you mean {near!r}?" if near else ""
        raise NotFoundError(f"{path}: no template and no file of this name{hint} Templates: {', '.join(TEMPLATES)}")
    if path.suffix.lower() in TABLES or path.name.lower().endswith((".csv.gz", ".tsv.gz")):
        return _table(path, target)
    if path.suffix.lower() == ".txt":
        return _Found(template="language-model")
    raise UsageError(f"{path}: cannot tell what to do with it; begin with one of {', '.join(TEMPLATES)}")


def _folder_of(path: Path) -> _Found:
    suffixes = [item.suffix.lower() for item in islice(_files(path), N_LOOKED_AT)]
    if any(suffix in IMAGES for suffix in suffixes):
        return _Found(template="image-folder")
    if ".wav" in suffixes:
        return _Found(template="audio")
    raise UsageError(f"{path}: no images and no wav files in it; begin with one of {', '.join(TEMPLATES)}")


def _files(path: Path) -> Iterator[Path]:
    return (item for item in path.rglob("*") if item.is_file())


def _table(path: Path, target: str | None) -> _Found:
    """A table of sentences, of classes or of numbers; the target is the last column unless it is said."""
    import pandas as pd

    try:
        is_parquet = path.suffix.lower() == ".parquet"
        separator = "\t" if ".tsv" in path.suffixes else ","
        table = pd.read_parquet(path) if is_parquet else pd.read_csv(path, nrows=N_LOOKED_AT, sep=separator)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(f"{path}: cannot be read as a table: {error}") from error
    columns = [str(name) for name in table.columns]
    if len(columns) < 2:  # noqa: PLR2004 - one to learn from, one to predict
        raise UsageError(f"{path}: one column only ({', '.join(columns)}); a table needs one to learn from as well")
    target = target or columns[-1]
    if target not in columns:
        raise UsageError(f"{path}: no column {target!r}; it has {', '.join(columns)}")
    for name in columns:
        if name != target and _is_text(table[name]):
            return _Found(template="text-classification", target=target, text=name)
    is_number = pd.api.types.is_numeric_dtype(table[target]) and table[target].nunique() > FEW_VALUES
    return _Found(template="tabular-regression" if is_number else "tabular-classification", target=target)


def _is_text(column: object) -> bool:
    import pandas as pd

    series = pd.Series(column).dropna()
    if pd.api.types.is_numeric_dtype(series) or series.empty:
        return False
    texts = series.astype(str)
    return bool(texts.str.len().mean() > SENTENCE and (texts.str.contains(" ")).mean() > 0.5)  # noqa: PLR2004 - most
