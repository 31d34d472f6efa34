"""Data sets of the package datasets: texts, images, or columns of a table."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.huggingface import HuggingfaceData
from tuner.data.categories import category_names
from tuner.data.decoded import Decoded, Request, Rows, TableRows
from tuner.data.fitting import Shape, natural_shape
from tuner.data.items import is_pil
from tuner.data.scaling import Array
from tuner.data.sources.image_items import N_PROBED, Reading
from tuner.data.sources.image_rows import Chosen, encoder_for
from tuner.data.sources.paths import resolve_existing
from tuner.data.sources.table_targets import Targets, targets_of_columns
from tuner.data.sources.text import checked_texts, text_rows, tokenizer_files
from tuner.data.splits import PARTS, Indices
from tuner.data.tables import TableFit, series_values
from tuner.errors import DataError, MissingError, NotFoundError

NAMES = {"train": ("train", "training"), "val": ("validation", "valid", "val", "dev"), "test": ("test", "testing")}
BUILDERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}
SAVED = ("dataset_dict.json", "dataset_info.json", "state.json")
NO_LABEL = -1


def files(data: HuggingfaceData, base_dir: Path) -> tuple[Path, ...]:
    """Local files; what is on the hub is told by its name and revision."""
    path = resolve_existing(data.path, base_dir)
    local = () if path is None else (path,) if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return (*local, *tokenizer_files(data, base_dir))


def read(data: HuggingfaceData, request: Request) -> Decoded:
    with tempfile.TemporaryDirectory() as folder:  # where the package converts local files
        table = Table.of(data, request.base_dir, Path(folder))
        table.check(data)
        targets = _targets(table, data.target, request)
        if data.classes:
            table, targets = _chosen(table, targets, data)
        return Decoded(
            task=targets.task,
            labels=targets.labels,
            rows=_rows(table, data, request),
            targets=targets.values,
            given=table.given(),
            row_name=lambda row: table.place(row, data.target),
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of all parts, those for training first."""

    path: Path
    """Or the name on the hub."""
    parts: dict[str, Any]
    """The package's Dataset of each part that is used."""
    names: dict[str, str]
    """What the data set calls them."""

    @classmethod
    def of(cls, data: HuggingfaceData, base_dir: Path, folder: Path) -> Table:
        found = _load(data, base_dir, folder)
        splits = dict(found) if isinstance(found, dict) else {"train": found}
        names = {part: name for part in PARTS if (name := _part_name(part, data, list(splits))) is not None}
        return cls(path=Path(data.path), parts={part: splits[name] for part, name in names.items()}, names=names)

    @property
    def features(self) -> dict[str, Any]:
        found: dict[str, Any] = self.parts["train"].features
        return found

    def check(self, data: HuggingfaceData) -> None:
        """DataError for a column that a part does not have, and for a part without rows."""
        asked = [("target", data.target), ("text", data.text), ("image", data.image)]
        asked += [("features", name) for name in data.features]
        for part, rows in self.parts.items():
            for key, name in asked:
                if name is not None and name not in rows.column_names:
                    raise DataError(
                        f"data.{key}: {self.path} ({self.names[part]}) has no column {name!r}"
                        f"{suggestion(name, rows.column_names)}"
                    )
        if data.target in (data.text, data.image, *data.features):
            raise DataError(f"data.target {data.target!r} is also what the model is to see; take it out there")

    def place(self, row: int, column: str) -> str:
        return f"{self.path}: {self.name(row)}: column {column!r}"

    def name(self, row: int) -> str:
        begins = 0
        for part, rows in self.parts.items():
            if row < begins + len(rows):
                return f"{self.names[part]}: row {row - begins}"
            begins += len(rows)
        raise AssertionError(f"no row {row}")

    def given(self) -> dict[str, Indices]:
        begins, given = 0, {}
        for part, rows in self.parts.items():
            if part != "train":
                given[part] = np.arange(begins, begins + len(rows))
            begins += len(rows)
        return given

    def selected(self, chosen: Indices) -> Table:
        """These rows alone, in their order."""
        parts, begins = {}, 0
        for part, rows in self.parts.items():
            own = chosen[(chosen >= begins) & (chosen < begins + len(rows))] - begins
            parts[part] = rows.select(own)
            begins += len(rows)
        return Table(path=self.path, parts=parts, names=self.names)

    def column(self, name: str, *, exact: bool = False) -> Array:
        """Numbers (float64), or objects with None for missing; classes by their names.

        `exact` keeps whole numbers that are the names of classes.
        """
        import pandas as pd

        labels = getattr(self.features[name], "names", None)
        series = pd.concat([rows.select_columns([name]).to_pandas()[name] for rows in self.parts.values()])
        values = series_values(series, exact=exact and labels is None)
        if labels is None or values.dtype != np.float64:
            return values
        named = np.empty(len(values), dtype=object)
        named[:] = [None if np.isnan(code) or code < 0 else labels[int(code)] for code in values]
        return named


# ------------------------------------------------------------------------------------------------------------ the files


def _load(data: HuggingfaceData, base_dir: Path, folder: Path) -> Any:
    library = _library()
    path = resolve_existing(data.path, base_dir)
    if path is None:
        return _from_hub(library, data)
    try:
        with _quiet(library):
            return _from_disk(library, path, folder)
    except library.exceptions.DatasetsError as error:
        reason = _reason(error)
        raise DataError(f"{path}: the package datasets cannot read it ({reason}); mend the file") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: no data set ({_reason(error)}); expected a folder of save_to_disk, a file"
            f" ({', '.join(BUILDERS)}), or a folder of such files"
        ) from error


def _from_disk(library: Any, path: Path, folder: Path) -> Any:
    if path.is_dir() and any((path / name).is_file() for name in SAVED):
        return library.load_from_disk(str(path))
    if path.is_dir():
        return library.load_dataset(str(path), cache_dir=str(folder))
    builder = BUILDERS.get(path.suffix.lower())
    if builder is None:
        raise ValueError(f"files ending in {path.suffix!r} are not known")
    options = {"sep": "\t"} if path.suffix.lower() == ".tsv" else {}
    return library.load_dataset(builder, data_files=str(path), cache_dir=str(folder), **options)


def _from_hub(library: Any, data: HuggingfaceData) -> Any:
    download = library.DownloadConfig(local_files_only=not data.download)
    offline = library.config.HF_HUB_OFFLINE
    try:
        library.config.HF_HUB_OFFLINE = offline or not data.download
        with _quiet(library):
            return library.load_dataset(data.path, data.name, revision=data.revision, download_config=download)
    except (OSError, ValueError, RuntimeError, library.exceptions.DatasetsError) as error:
        hub = "the hub gives none" if data.download else "data.download is false, and it is not in the cache"
        raise NotFoundError(
            f"data.path {data.path}: no such file or folder, and {hub} ({_reason(error)}); give the path of a"
            f' file, or with a network run datasets.load_dataset("{data.path}").save_to_disk("FOLDER") and name FOLDER'
        ) from error
    finally:
        library.config.HF_HUB_OFFLINE = offline


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise MissingError(
            "data.kind huggingface needs the package datasets, which is not installed: pip install 'tuner[huggingface]'"
        ) from error
    return datasets


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the package's bars and retries on the terminal; what is wrong is said by the error."""
    shows = library.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    library.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shows:
            library.enable_progress_bars()


def _reason(error: BaseException) -> str:
    """The first line of what went wrong; the package wraps it."""
    cause = error.__cause__ if error.__cause__ is not None and "generating the dataset" in str(error) else error
    return str(cause).strip().partition("\n")[0] or type(cause).__name__


def _part_name(part: str, data: HuggingfaceData, present: Sequence[str]) -> str | None:
    """What the data set calls a part; None when it has none, or none is wanted."""
    wanted = getattr(data.splits, part)
    if wanted is None:
        return None
    if wanted != "auto":
        if wanted not in present:
            raise DataError(f"data.splits.{part}: {data.path} has no {wanted!r}{suggestion(wanted, present)}")
        return str(wanted)
    found = next((name for name in NAMES[part] if name in present), None)
    if found is None and part == "train":
        if len(present) == 1:
            return present[0]
        raise DataError(f"data.splits.train: {data.path} has {', '.join(present)}; say which of them is for training")
    return found


# ------------------------------------------------------------------------------------------------------------- the rows


def _targets(table: Table, name: str, request: Request) -> Targets:
    labels = getattr(table.features[name], "names", None)
    if request.task == "autoencoding" or labels is None or request.task == "regression":
        return targets_of_columns(table, {name: table.column(name, exact=True)}, request)
    codes = np.concatenate([np.asarray(rows[name], dtype=np.float64) for rows in table.parts.values()])
    missing = np.flatnonzero(np.isnan(codes) | (codes == NO_LABEL))
    if len(missing):
        row = int(missing[0])
        part = next((part for part, rows in table.given().items() if row in rows), "train")
        remedy = "remove these rows" if part == "train" else f"set data.splits.{part}: off"
        raise DataError(f"{table.place(row, name)}: the class is missing in {len(missing)} rows; {remedy}")
    return Targets(task="classification", labels=tuple(labels), values=codes.astype(np.int64), column=name)


def _chosen(table: Table, targets: Targets, data: HuggingfaceData) -> tuple[Table, Targets]:
    if targets.task != "classification":
        raise DataError(f"data.classes: is for classification, and {data.target!r} is for {targets.task}; leave it out")
    chosen = Chosen.of(data, targets.values, targets.labels)
    kept = Targets(task="classification", labels=chosen.labels, values=chosen.targets, column=targets.column)
    return table.selected(chosen.rows), kept


def _rows(table: Table, data: HuggingfaceData, request: Request) -> Rows:
    if data.image is not None:
        return _images(table, data, request)
    return _texts(table, data, request) if data.text is not None else _columns(table, data)


def _texts(table: Table, data: HuggingfaceData, request: Request) -> Rows:
    name = str(data.text)
    texts = checked_texts(table.column(name), lambda row: table.place(row, name))
    return text_rows(texts, data, request, column=name)


def _columns(table: Table, data: HuggingfaceData) -> TableRows:
    names = data.features or tuple(name for name in table.features if name != data.target)
    columns = {}
    for name in names:
        if not _is_plain(table.features[name]):
            others = ", ".join(other for other in names if _is_plain(table.features[other]))
            raise DataError(
                f"data.features: column {name!r} of {table.path} holds {type(table.features[name]).__name__}, no number"
                f" and no category; name it in data.text or data.image, or list the others: [{others}]"
            )
        values = table.column(name)
        columns[name] = values if values.dtype == np.float64 else category_names(values)
    if not columns:
        raise DataError(f"{table.path}: no column is left besides the target {data.target!r}")
    return TableRows(columns=columns, how=TableFit(max_categories=data.max_categories))


def _is_plain(feature: Any) -> bool:
    return type(feature).__name__ in ("Value", "ClassLabel")


def _images(table: Table, data: HuggingfaceData, request: Request) -> Rows:
    items = Images(table=table, column=str(data.image))
    encoder = encoder_for(data, items.shape())
    reading = Reading(items=items, encoder=encoder, has_one_size=data.resize is None, n_threads=1)
    rows, _ = reading.rows(data, [], scratch=request.scratch, seed=request.seed)
    return rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Images:
    """A column of images, as items."""

    table: Table
    column: str

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.table.parts.values())

    def name(self, row: int) -> str:
        return self.table.place(row, self.column)

    def read(self, row: int) -> tuple[Any, None]:
        """The image; DataError when it is none, or cannot be decoded."""
        begins = 0
        for rows in self.table.parts.values():
            if row < begins + len(rows):
                return self._image(rows, row - begins, row), None
            begins += len(rows)
        raise IndexError(row)

    def _image(self, rows: Any, number: int, row: int) -> Any:
        try:
            image = rows[number][self.column]
        # What Pillow raises at changed bytes is open-ended; the row is at fault in every case.
        except Exception as error:
            raise DataError(f"{self.name(row)}: cannot be read as an image ({error}); remove the row") from error
        if not is_pil(image):
            raise DataError(
                f"{self.name(row)}: {type(image).__name__}, no image; name a column of images in data.image"
            )
        return image

    def shape(self) -> Shape:
        """That of the first image; as many channels as the first hundred have at most."""
        shapes = [natural_shape(self.read(row)[0]) for row in range(min(len(self), N_PROBED))]
        return max(channels for channels, _, _ in shapes), *shapes[0][1:]
