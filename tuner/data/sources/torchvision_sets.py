"""Data sets of torchvision by the names of their classes.

Their parts are told by the constructor: `train: bool`, or `split` with the names that torchvision uses. A class without
either, or whose part is chosen in `data.options`, is one set, which is split.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.images import TorchvisionData
from tuner.data.datasets import Items
from tuner.data.decoded import ArrayRows, Decoded, Request, Rows
from tuner.data.describing import describe
from tuner.data.fitting import Shape, natural_shape
from tuner.data.items import is_pil, stored_form
from tuner.data.own_files import files_in
from tuner.data.scaling import Array
from tuner.data.sources.classic_images import downloading, reserved, resolve_root, torchvision_datasets, user_root
from tuner.data.sources.image_folder import EXTENSIONS
from tuner.data.sources.image_items import N_PROBED, Reading
from tuner.data.sources.image_rows import Chosen, encoder_for
from tuner.data.sources.paths import files_below
from tuner.data.splits import Indices
from tuner.data.targets import resolve_task
from tuner.errors import DataError, NotFoundError

SPLITS = {"train": ("train", "trainval"), "val": ("val", "valid"), "test": ("test",)}


def files(data: TorchvisionData, base_dir: Path) -> tuple[Path, ...]:
    """What lies below a root that is named; what torchvision downloads into the usual places does not change."""
    named = files_in(data.options, base_dir)
    if not data.root:
        return named
    root = resolve_root(data.root, base_dir).resolve()
    # Of a folder in which one works too, images alone: studies and logs below it change all the time.
    is_shared = any(folder.resolve().is_relative_to(root) for folder in (Path.cwd(), base_dir))
    return (*files_below(root, EXTENSIONS if is_shared else ("",)), *named)


def open_items(data: TorchvisionData, base_dir: Path) -> Items:
    """All images, of train, then val, then test; NotFoundError when they are not there and cannot be downloaded."""
    datasets = torchvision_datasets()
    names = [name for name in datasets.__all__ if _has_root(getattr(datasets, name))]
    if data.name not in names:
        raise DataError(f"data.name: torchvision.datasets has no {data.name!r}{suggestion(data.name, names)}")
    try:
        found = _open(getattr(datasets, data.name), data, base_dir)
    except (TypeError, ValueError, LookupError, AssertionError, ImportError) as error:
        raise DataError(
            f"data.name: {data.name} cannot be made from data.root and data.options ({describe(error)}); give what it"
            " asks for, or wrap it in a function of your own with kind: python"
        ) from error
    return Items(target=f"torchvision's {data.name}", parts=found, sizes={part: len(found[part]) for part in found})


def _has_root(dataset: Any) -> bool:
    return inspect.isclass(dataset) and "root" in inspect.signature(dataset).parameters


def read(data: TorchvisionData, request: Request) -> Decoded:
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    items = open_items(data, request.base_dir)
    if not len(items):
        raise DataError(f"{items.target}: the data set has no images")
    encoder = encoder_for(data, _shape(items))
    reading = Reading(items=items, encoder=encoder, has_one_size=data.resize is None, n_threads=1)
    values: list[Any] = []
    rows, content = reading.rows(data, values, scratch=request.scratch, seed=request.seed)
    targets = np.array([_class_of(items, row, value) for row, value in enumerate(values)])
    chosen = Chosen.of(data, targets, _labels(items, targets))
    return Decoded(
        task=task,
        labels=chosen.labels,
        rows=_picked(items, rows, chosen.rows),
        targets=chosen.targets,
        given=_given(items, chosen.rows),
        content=content,
        row_name=lambda row: items.name(int(chosen.rows[row])),
    )


def _open(dataset: Any, data: TorchvisionData, base_dir: Path) -> dict[str, Any]:
    _check_options(dataset, data)
    roots = [resolve_root(data.root, base_dir)] if data.root else [Path.cwd() / "data", user_root()]
    problems = []
    for root in roots:
        try:
            return _parts(dataset, data, root, download=False)
        except (RuntimeError, OSError) as error:
            problems.append(f"  {root} ({describe(error)})")
    reason = "data.download is false"
    if data.download:
        with reserved(roots[-1]), downloading():
            try:
                return _parts(dataset, data, roots[-1], download=True)
            except (RuntimeError, OSError) as error:
                reason = f"it could not be downloaded ({describe(error)})"
    where = "\n".join(problems)
    raise NotFoundError(
        f"data.kind torchvision: {data.name}: not found and {reason}; looked in\n{where}\nwhat to do: put the files as"
        " torchvision's documentation lays them out into a folder and name it with data.root"
    )


def _check_options(dataset: Any, data: TorchvisionData) -> None:
    known = inspect.signature(dataset).parameters
    for name in data.options:
        if name not in known or name in ("root", "download"):
            raise DataError(f"data.options.{name}: {data.name} takes no such option{suggestion(name, known)}")


def _parts(dataset: Any, data: TorchvisionData, root: Path, *, download: bool) -> dict[str, Any]:
    known = inspect.signature(dataset).parameters
    common = {**data.options, **({"download": download} if "download" in known else {})}
    if not known.keys() & {"train", "split"} or data.options.keys() & {"train", "split"}:
        return {"train": dataset(root, **common)}
    if "train" in known:
        return {part: dataset(root, train=part == "train", **common) for part in ("train", "test")}
    found = {part: _first(dataset, root, names, common) for part, names in SPLITS.items()}
    if found["train"] is None:
        raise DataError(f"data.name: {data.name} has no split called train; name one in data.options: {{split: ...}}")
    return {part: part_set for part, part_set in found.items() if part_set is not None}


def _first(dataset: Any, root: Path, names: tuple[str, ...], common: Mapping[str, Any]) -> Any:
    """The split of the first of these names that the class has; None when it has none of them."""
    for name in names:
        try:
            return dataset(root, split=name, **common)
        except ValueError as error:
            if "split" not in str(error):  # as torchvision refuses a name
                raise DataError(f"data.options: {describe(error)}") from error
    return None


def _shape(items: Items) -> Shape:
    """Grey when all of some images are; the size is that of the first."""
    rows = np.unique(np.linspace(0, len(items) - 1, N_PROBED).astype(np.int64)).tolist()
    shapes = [_shape_of(items, row) for row in rows]
    return max(channels for channels, _, _ in shapes), *shapes[0][1:]


def _shape_of(items: Items, row: int) -> Shape:
    image, _ = items.read(row)
    if is_pil(image):
        return natural_shape(image)
    try:
        channels, height, width = stored_form(image).shape
    except ValueError as error:
        raise DataError(f"{items.name(row)}: expected an image, got {type(image).__name__}") from error
    return channels, height, width


def _class_of(items: Items, row: int, value: Any) -> int:
    number = np.asarray(value)
    if number.ndim or number.dtype.kind not in "iu":
        raise DataError(f"{items.name(row)}: the target is {value!r:.60}; expected the number of a class")
    return int(number)


def _labels(items: Items, targets: Array) -> tuple[str, ...]:
    n_classes = int(targets.max(initial=-1)) + 1
    names = items.class_names
    return names[:n_classes] if len(names) >= n_classes else tuple(map(str, range(n_classes)))


def _picked(items: Items, rows: Rows, chosen: Indices) -> Rows:
    if len(chosen) == len(items):
        return rows
    if not isinstance(rows, ArrayRows):
        raise DataError("data.classes: needs all images in memory; set data.in_memory: true, or a smaller data.resize")
    return ArrayRows(array=rows.array[chosen], encoder=rows.encoder)


def _given(items: Items, chosen: Indices) -> dict[str, Indices]:
    part_of = np.repeat(np.arange(len(items.sizes)), list(items.sizes.values()))[chosen]
    return {part: np.flatnonzero(part_of == k) for k, part in enumerate(items.sizes) if part != "train"}
