"""Any data set of `sklearn.datasets` by its name: what it carries, downloads or generates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.sklearn_data import SklearnData, SklearnNamed
from tuner.data.categories import category_names
from tuner.data.decoded import Decoded, Request, TableRows, Task, WantedTask
from tuner.data.describing import describe
from tuner.data.scaling import Array
from tuner.data.sources import sklearn_sets
from tuner.data.tables import Columns, TableFit, series_values
from tuner.data.targets import resolve_task
from tuner.errors import DataError, NotFoundError
from tuner.seeding import derive

PREFIXES = ("load", "fetch", "make")
NO_TABLES = (
    "load_files",
    "load_sample_image",
    "load_sample_images",
    "load_svmlight_file",
    "load_svmlight_files",
    "fetch_20newsgroups",
    "fetch_file",
    "make_spd_matrix",
    "make_sparse_spd_matrix",
    "make_low_rank_matrix",
    "make_sparse_coded_signal",
    "make_biclusters",
    "make_checkerboard",
)
"""Functions that give no rows with a target."""
OWN_OPTIONS = ("return_X_y", "as_frame")
"""What tuner decides itself."""
MOST_VALUES = 2**28
"""A sparse matrix with more would not fit in memory as numbers."""
PAIR = 2
TABLE_NDIM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a function of `sklearn.datasets` has given."""

    columns: Columns
    targets: Array
    names: tuple[str, ...]
    """Of classes, or of target columns; empty where it does not say."""


def files(data: SklearnNamed, base_dir: Path) -> tuple[Path, ...]:  # noqa: ARG001 - the interface of all sources
    return ()


def read(data: SklearnNamed, request: Request) -> Decoded:
    if data.name.removeprefix("load_") == "digits" and not data.options:
        return sklearn_sets.read(SklearnData(kind="digits"), request)  # as images
    loaded = _load(data, request)
    task, labels, targets = _targets(data, loaded, request.task)
    if task != "autoencoding" and len(targets) != len(next(iter(loaded.columns.values()))):
        raise DataError(
            f"data.name {data.name}: as many targets as rows were expected; it has none for a model to learn"
        )
    return Decoded(
        task=task,
        labels=labels,
        rows=TableRows(columns=loaded.columns, how=TableFit(scale=data.scale, n_bins=data.n_bins)),
        targets=targets,
    )


def _load(data: SklearnNamed, request: Request) -> Loaded:
    function = _function(data.name)
    wrong = [name for name in data.options if name in OWN_OPTIONS]
    if wrong:
        raise DataError(f"data.options.{wrong[0]}: tuner decides it; leave it out")
    signature = inspect.signature(function)
    options = dict(data.options)
    if "random_state" in signature.parameters:
        options.setdefault("random_state", derive(request.seed, "sklearn", data.name) % 2**32)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise DataError(
            f"data.options: {error}; {function.__name__} takes {', '.join(signature.parameters)}"
        ) from error
    return _taken(data, _called(data, function, options))


def _function(name: str) -> Callable[..., Any]:
    from sklearn import datasets

    known = {
        full: getattr(datasets, full)
        for full in dir(datasets)
        if full.split("_")[0] in PREFIXES and full not in NO_TABLES
    }
    wanted = [name, *(f"{prefix}_{name}" for prefix in PREFIXES)]
    found = next((full for full in wanted if full in known), None)
    if found is None:
        short = [full.partition("_")[2] for full in known]
        raise DataError(f"data.name: scikit-learn has no data set {name!r}{suggestion(name, short)}")
    function: Callable[..., Any] = known[found]
    return function


def _called(data: SklearnNamed, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    try:
        return function(**options)
    except (URLError, ConnectionError, TimeoutError, OSError) as error:
        raise NotFoundError(
            f"data.name {data.name}: {function.__name__} found no files and could not download them ({error}); run it"
            " once with a network, or name the folder in data.options.data_home (by default ~/scikit_learn_data)"
        ) from error
    except (TypeError, ValueError) as error:  # InvalidParameterError is both
        raise DataError(f"data.name {data.name}: {describe(error)}; change data.options") from error


def _taken(data: SklearnNamed, found: Any) -> Loaded:
    """Inputs and targets of a Bunch, or of the pair that generators return."""
    columns: Sequence[Any]
    names: Sequence[Any] | None
    if isinstance(found, tuple):
        if len(found) < PAIR:
            raise _no_table(data)
        inputs, targets, columns, names = found[0], found[1], (), ()
    else:
        inputs, targets = found.get("data"), found.get("target")
        columns, names = found.get("feature_names", ()), found.get("target_names", ())
    if inputs is None or targets is None:
        raise _no_table(data)
    return Loaded(
        columns=_columns(data, inputs, [str(name) for name in columns]),
        targets=_as_array(data, targets),
        names=tuple(str(name) for name in (() if names is None else names)),
    )


def _as_array(data: SklearnNamed, targets: Any) -> Array:
    try:
        return np.asarray(targets.toarray() if hasattr(targets, "toarray") else targets)
    except ValueError as error:  # rows of different lengths
        raise DataError(
            f"data.name {data.name}: its rows have targets of different lengths; change data.options, such as"
            " return_indicator, so that each row has as many"
        ) from error


def _columns(data: SklearnNamed, inputs: Any, names: list[str]) -> Columns:
    if hasattr(inputs, "columns"):  # openml gives a DataFrame
        frame = {str(name): series_values(inputs[name]) for name in inputs.columns}
        return {name: values if values.dtype.kind in "fM" else category_names(values) for name, values in frame.items()}
    if hasattr(inputs, "toarray"):
        if np.prod(inputs.shape, dtype=np.float64) > MOST_VALUES:
            raise DataError(f"data.name {data.name}: a sparse matrix {inputs.shape} is too large as numbers")
        inputs = inputs.toarray()
    array = np.asarray(inputs)
    if array.dtype.kind not in "biuf" or array.ndim < TABLE_NDIM:
        raise _no_table(data)
    values = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(values).all():
        values = np.where(np.isinf(values), np.nan, values)
    fitting = names if len(names) == values.shape[1] else [f"x{number}" for number in range(values.shape[1])]
    return {name: values[:, number] for number, name in enumerate(fitting)}


def _no_table(data: SklearnNamed) -> DataError:
    return DataError(f"data.name {data.name}: has no table of numbers with targets; take another, or a python source")


def _targets(data: SklearnNamed, loaded: Loaded, wanted: WantedTask) -> tuple[Task, tuple[str, ...], Array]:
    """Fractions are quantities, whole numbers and names classes, several columns of 0 and 1 labels."""
    targets = loaded.targets
    is_number = targets.dtype.kind in "biuf"
    if targets.ndim == TABLE_NDIM and targets.shape[1] > 1:
        indicates = is_number and targets.dtype.kind in "biu" and bool(np.isin(targets, (0, 1)).all())
        own: Task = "multilabel" if indicates else "regression"
        task = resolve_task(f"sklearn, {data.name}", own=own, wanted=wanted)
        labels = tuple(f"label {number}" for number in range(targets.shape[1])) if task == "multilabel" else ()
        return task, labels, targets.astype(np.float32)
    targets = targets.reshape(-1)
    if is_number and wanted == "regression":
        return "regression", (), targets.astype(np.float32).reshape(-1, 1)
    if targets.dtype.kind == "f" and not bool((targets == np.floor(targets)).all() and wanted == "classification"):
        task = resolve_task(f"sklearn, {data.name}", own="regression", wanted=wanted)
        return task, (), targets.astype(np.float32).reshape(-1, 1)
    distinct, codes = np.unique(targets, return_inverse=True)
    task = resolve_task(f"sklearn, {data.name}", own="classification", wanted=wanted)
    is_named = len(loaded.names) == len(distinct) and is_number
    labels = loaded.names if is_named else tuple(str(name) for name in category_names(distinct))
    return task, labels, codes.astype(np.int64)
