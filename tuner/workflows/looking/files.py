"""What a path of data asks for: it is looked at, and a template filled in for it."""

from __future__ import annotations

import os
import tempfile
import wave
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

from tuner.config.schema.images import ImageFolderData
from tuner.config.spec import load
from tuner.data.decoded import Request
from tuner.data.fitting import shape_in_file
from tuner.data.sources import SOURCES, text_folder
from tuner.data.sources.image_folder import EXTENSIONS, Listing
from tuner.data.sources.table_files import PACKED, beginning
from tuner.data.targets import check_classes
from tuner.errors import DataError, UsageError
from tuner.workflows.looking import arrays, code, series, texts
from tuner.workflows.looking import draft as drafts
from tuner.workflows.looking.columns import Role
from tuner.workflows.looking.draft import Asked, Draft, line, option, some
from tuner.workflows.looking.reading import Table, delimiter_of, read_json_lines, read_table
from tuner.workflows.looking.tables import draft_of
from tuner.workflows.looking.targets import (
    CLASSIFICATION,
    REGRESSION,
    objective_of,
    predicts,
    target_line,
    targets_of,
)

TABLES = frozenset({".csv", ".tsv", ".tab", ".parquet", ".pq", ".data", ".dat"})
ARRAYS = {".npz": "npz", ".npy": "npz", ".pt": "tensors", ".pth": "tensors"}
OTHERS = {
    ".xlsx": "save the sheet as csv",
    ".xls": "save the sheet as csv",
    ".json": "make a csv of it, or for texts a .jsonl with an object a line",
    ".feather": "make a parquet file of it: pandas.read_feather(path).to_parquet(...)",
    ".mp3": "make wav files of the sounds, in a folder for each class",
    ".h5": "write its arrays with numpy.savez(path, x=x, y=y)",
    ".mat": "write its arrays with numpy.savez(path, x=x, y=y)",
    ".yaml": "a space file is searched: `tuner search --space FILE`",
    ".pkl": "pickles are not read: write a csv, or numpy.savez(path, x=x, y=y)",
}
"""Files that nobody reads here, and what to do about them."""
OF_TABLES = frozenset({CLASSIFICATION, REGRESSION, series.TEMPLATE, texts.TEMPLATE, "audio"})
N_LOOKED_AT = 2000
"""Files of a folder that are looked at."""
SMALL, LARGE = 32, 64
MAX_SECONDS = 10.0
SIZES = "val: 0.2, test: 0.2"


def look(asked: Asked) -> Draft:
    """UsageError or DataError, with what to do, where nothing can be made of it."""
    draft = _folder(asked) if asked.path.is_dir() else _file(asked)
    if not asked.wants(draft.template):
        raise UsageError(
            f"{asked.path}: is for {draft.template}, not for {asked.template}; `tuner init {asked.written}` makes a"
            f" file for it, `tuner init {asked.template}` one to fill in"
        )
    return draft


def _file(asked: Asked) -> Draft:
    path = asked.path
    suffix = path.suffix.lower()
    unpacked = Path(path.stem).suffix.lower() if suffix in PACKED else suffix
    if unpacked in TABLES or (unpacked == ".txt" and _has_rows(path)):
        return _table(read_table(asked))
    if suffix in (".jsonl", ".ndjson"):
        table = read_json_lines(asked)
        return texts.of_table(table, targets_of(table))
    if suffix == ".txt":
        return texts.book(asked)
    if suffix == ".py":
        return code.look(asked)
    if suffix in ARRAYS:
        return arrays.look(asked, ARRAYS[suffix])
    remedy = OTHERS.get(
        suffix, "point it at a table, arrays, a text, own code, or a folder of images, texts or wav files"
    )
    raise UsageError(f"{path}: cannot tell what to do with it; {remedy}")


def _has_rows(path: Path) -> bool:
    text = beginning(path, 2**16).decode("utf-8", errors="replace")
    return texts.is_table(path, delimiter_of(text), text)


def _table(table: Table) -> Draft:
    wanted = table.asked.template
    if wanted and wanted not in OF_TABLES:
        raise UsageError(f"{table.asked.path}: a table, which {wanted} is not for; try `tuner init {table.asked.path}`")
    if wanted == series.TEMPLATE:
        return series.of_table(table)
    targets = targets_of(table)
    sounds = [column.name for column in table.columns if _is_of_sounds(table, column.name)]
    if sounds and wanted in ("", "audio"):
        lines = [
            "data:",
            "  kind: audio",
            option("path", table.asked.written),
            option("file", sounds[0], "paths of wav files, relative to the table"),
            target_line(targets),
            "  features: mel",
            "  batch_size: 32",
            drafts.split(0.2, 0.2, targets.counts) if targets.counts else f"  split: {{{SIZES}}}",
        ]
        sections = {"data": tuple(lines), "objective": (objective_of(targets),)}
        return Draft(template="audio", sections=sections, found=(f"{table.n_rows} wav files", predicts(targets)))
    is_of_texts = bool(table.of(Role.TEXT, besides=targets.names))
    if wanted == texts.TEMPLATE or (not wanted and is_of_texts):
        return texts.of_table(table, targets)
    return draft_of(table, targets)


def _is_of_sounds(table: Table, name: str) -> bool:
    values = table.frame[name].dropna()
    return len(values) > 0 and all(isinstance(value, str) and value.lower().endswith(".wav") for value in values)


# -------------------------------------------------------------------------------------------------------------- folders


def _folder(asked: Asked) -> Draft:
    suffixes = Counter(item.suffix.lower() for item in islice(_files(asked.path), N_LOOKED_AT))
    if any(suffix in EXTENSIONS for suffix in suffixes):
        return _images(asked)
    if ".wav" in suffixes:
        return _sounds(asked)
    if ".npy" in suffixes and list(asked.path.glob("*.npy")):
        return arrays.look(asked, "npz")
    if text_folder.SUFFIX in suffixes and any(item.is_dir() for item in asked.path.iterdir()):
        return texts.of_folder(asked)
    inside = sorted(item.name for item in asked.path.iterdir() if item.suffix.lower() in (TABLES | {*ARRAYS, ".txt"}))
    hint = f"; it has {some(inside, 3)}: `tuner init {Path(asked.written) / inside[0]}`" if inside else ""
    raise UsageError(f"{asked.path}: no images, wav files or folders of texts in it{hint}")


def _files(path: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(path, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(files) if not name.startswith("."))


def _images(asked: Asked) -> Draft:
    if not any(item.is_dir() and not item.name.startswith(".") for item in asked.path.iterdir()):
        raise UsageError(
            f"{asked.path}: images, but no folders of classes; put those of each class into a folder of their own, or"
            " begin with `tuner init autoencoder` and data: {kind: image_folder, resize: 32}, which needs no classes"
        )
    listing = Listing.of(ImageFolderData(kind="image_folder", path=str(asked.path.resolve())), Path())
    n_train = listing.sizes["train"]
    codes = Counter(listing.images.targets[:n_train])
    counts = {label: codes[number] for number, label in enumerate(listing.labels)}
    given = " and ".join(part for part in listing.sizes if part != "train")
    lines = [
        "data:",
        "  kind: image_folder",
        option("path", asked.written),
        _size(listing.images.paths),
        "  batch_size: 32",
        drafts.split(0.2, 0.2, counts, f"not used for {given}, of which there is a folder" if given else ""),
    ]
    return Draft(
        template="image-folder",
        sections={"data": tuple(lines), "objective": (drafts.objective(counts),)},
        found=(f"{asked.path}: {len(listing.images)} images", f"predicts the folder: {drafts.shares(counts)}"),
    )


def _size(paths: tuple[str, ...]) -> str:
    """What all images are brought to."""
    step = max(1, len(paths) // N_LOOKED_AT)
    shapes = []
    for path in paths[::step]:
        try:
            shapes.append(shape_in_file(path)[1:])
        except ValueError:
            continue  # it is named before a search
    usual = median(min(shape) for shape in shapes) if shapes else SMALL
    if len(set(shapes)) == 1 and usual <= SMALL:
        height, width = shapes[0]
        return line("  resize: null", f"all are {height} x {width}")
    size = SMALL if usual < LARGE else LARGE
    return line(f"  resize: {size}", f"all images become {size} x {size}; larger sees more, and is slower")


def _sounds(asked: Asked) -> Draft:
    listing = [path for path in _files(asked.path) if path.suffix.lower() == ".wav"]
    if any(path.parent == asked.path for path in listing):
        raise UsageError(
            f"{asked.path}: wav files outside of the folders of classes; put those of each class into a folder of their"
            " own, or name a csv of files and labels"
        )
    rates, lengths = _rates_and_lengths(listing[:: max(1, len(listing) // N_LOOKED_AT)])
    counts = Counter(path.parent.name for path in listing)
    longest = sorted(lengths)[int(0.95 * (len(lengths) - 1))] if lengths else 1.0
    seconds = min(MAX_SECONDS, max(0.1, round(longest, 1)))
    lines = [
        "data:",
        "  kind: audio",
        option("path", asked.written),
        line(f"  seconds: {seconds}", "shorter ones are filled up, longer ones cut"),
        *([line(f"  sample_rate: {min(rates)}", "they have several")] if len(rates) > 1 else []),
        "  features: mel",
        "  batch_size: 32",
        drafts.split(0.2, 0.2, counts),
    ]
    return Draft(
        template="audio",
        sections={"data": tuple(lines), "objective": (drafts.objective(counts),)},
        found=(f"{asked.path}: {len(listing)} wav files", f"predicts the folder: {drafts.shares(counts)}"),
    )


def _rates_and_lengths(paths: list[Path]) -> tuple[set[int], list[float]]:
    rates, lengths = set(), []
    for path in paths:
        try:
            with wave.open(str(path), "rb") as file:
                rates.add(file.getframerate())
                lengths.append(file.getnframes() / file.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError):
            continue  # floats, or broken: the search reads or names it
    return rates, lengths


def problem_of(file: Path) -> str:
    """What a search would refuse in the data of a space file; empty for nothing."""
    spec = load(file)
    data = spec.base.data
    with tempfile.TemporaryDirectory() as scratch:
        request = Request(
            base_dir=spec.base_dir, task=data.task, tasks=frozenset(), seed=spec.seed, scratch=Path(scratch)
        )
        try:
            check_classes(SOURCES[data.kind].read(data, request), stratify=data.split.stratify)
        except DataError as error:
            return str(error)
    return ""
