"""Which wav files there are, and the class or number of each: a folder a class, or a csv that names them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tuner.config.schema.audio import AudioData
from tuner.data.categories import category_names
from tuner.data.decoded import Task, WantedTask
from tuner.data.scaling import Array
from tuner.data.sources.csv_table import parts_by_column
from tuner.data.sources.image_folder import folders_in, parts_in
from tuner.data.sources.paths import resolve_existing
from tuner.data.sources.table_files import Dialect, read_csv
from tuner.data.sources.table_targets import targets_of
from tuner.data.splits import Indices
from tuner.data.tables import series_values
from tuner.data.targets import resolve_task
from tuner.errors import DataError, NotFoundError

WAV = (".wav", ".wave")
CSV = ".csv"
MIN_CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFiles:
    """Files in the order of their rows."""

    paths: tuple[Path, ...]
    task: Task
    labels: tuple[str, ...]
    targets: Array
    given: dict[str, Indices] = field(default_factory=dict)
    keys: Indices | None = None
    """The group of each, where groups are kept whole."""
    places: tuple[str, ...] = ()
    """Where a csv names each; empty for folders."""

    def name(self, row: int) -> str:
        return f"{self.places[row]}: {self.paths[row]}" if self.places else str(self.paths[row])


def root_of(data: AudioData, base_dir: Path) -> Path:
    path = resolve_existing(data.path, base_dir)
    if path is None:
        raise NotFoundError(
            f"data.path {data.path}: no such folder or csv; looked in {base_dir} and {Path.cwd()}; name the folder that"
            " has a folder a class, or a .csv with the columns path and label"
        )
    return path


def find(data: AudioData, base_dir: Path, wanted: WantedTask) -> SoundFiles:
    """Look the folder through, or read the csv; DataError where there is nothing to train on."""
    root = root_of(data, base_dir)
    if root.is_dir():
        if data.split.column is not None:
            raise DataError(
                f"data.split.column: {root} is a folder and has no columns; take a .csv of files and labels"
            )
        return _in_folders(root, wanted)
    if root.suffix.lower() != CSV:
        raise DataError(f"{root}: neither a folder nor a .csv; name the folder that has a folder a class")
    return _in_csv(data, root, wanted)


def _in_folders(root: Path, wanted: WantedTask) -> SoundFiles:
    task = resolve_task("audio", own="classification", wanted=wanted)
    parts = parts_in(root)
    labels = tuple(folders_in(parts["train"]))
    if len(labels) < MIN_CLASSES:
        found = f"only one folder ({labels[0]})" if labels else "no folders in it"
        raise DataError(
            f"{parts['train']}: {found}; expected a folder of wav files for each class, such as {root / 'dog'} and"
            f" {root / 'cat'}, or a .csv of files and labels as data.path"
        )
    paths: list[Path] = []
    targets: list[int] = []
    given: dict[str, Indices] = {}
    for part, folder in parts.items():
        begins = len(paths)
        for label in folders_in(folder):
            if label not in labels:
                raise DataError(f"{folder / label}: the training part has no class {label!r}; add sounds, or remove it")
            found_paths = _wavs(folder / label)
            paths += found_paths
            targets += [labels.index(label)] * len(found_paths)
        if part != "train":
            given[part] = np.arange(begins, len(paths))
    return SoundFiles(
        paths=tuple(paths), task=task, labels=labels, targets=np.array(targets, dtype=np.int64), given=given
    )


def _wavs(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in WAV]
    if not found:
        others = f" ({len(files)} other files; convert them, as with ffmpeg -i in.mp3 out.wav)" if files else ""
        raise DataError(f"{folder}: no wav files in it{others}; add some, or remove the folder")
    return found


def _in_csv(data: AudioData, path: Path, wanted: WantedTask) -> SoundFiles:
    file = read_csv(path, Dialect())
    frame = file.frame
    for key, name in (("file", data.file), ("target", data.target), ("split.column", data.split.column)):
        if name is not None and name not in file.header:
            raise DataError(f"{path}: data.{key}: no column {name!r}; it has {', '.join(file.header)}")
    paths = [path.parent / str(name) for name in frame[data.file]]
    missing = [row for row, sound in enumerate(paths) if not sound.is_file()]
    if missing:
        more = f" ({len(missing)} such rows)" if len(missing) > 1 else ""
        raise DataError(f"{file.place(missing[0], data.file)}: {paths[missing[0]]}: no such file{more}")
    values = series_values(frame[data.target], exact=True)
    task, labels, targets = targets_of(file, values, data.target, wanted)
    places = tuple(file.place(row, data.file).partition(": column")[0] for row in range(len(frame)))
    found = SoundFiles(paths=tuple(paths), task=task, labels=labels, targets=targets, places=places)
    if data.split.column is None:
        return found
    column = category_names(series_values(frame[data.split.column], exact=True))
    given, keys = parts_by_column(data.split, column, {}, file.place)
    return replace(found, given=given, keys=keys)
