"""The files of image data sets: found on disk, or downloaded by torchvision's classes into its layout."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.config.schema.images import EmnistData, ImageData
from tuner.data.cache import locked
from tuner.data.decoded import Decoded, Request
from tuner.data.sources.image_rows import LabelledImages
from tuner.data.sources.image_sets import ImageSet, image_set_of
from tuner.data.sources.paths import resolve_existing
from tuner.data.targets import check_labels, resolve_task
from tuner.errors import DataError, MissingError, NotFoundError

DOWNLOAD_TIMEOUT_S = 30.0
DEBIAN_ROOT = Path("/usr/share/datasets")

KnownImages = ImageData | EmnistData


def files(data: KnownImages, base_dir: Path) -> tuple[Path, ...]:
    """The data set's files, downloaded first where they are missing and `download` allows it."""
    image_set = image_set_of(data)
    folders = _folders(data, base_dir)
    found = _find(image_set, folders)
    if found:
        return found
    if not data.download:
        raise _not_found(data, folders, "and data.download is false")
    root = resolve_root(data.root, base_dir) if data.root else user_root()
    with reserved(root):
        found = _find(image_set, [root / image_set.folder])  # another process may have downloaded it meanwhile
        if found:
            return found
        problem = _download(image_set, root)
        found = _find(image_set, [root / image_set.folder])
    if not found:
        raise _not_found(data, folders, f"and it could not be downloaded ({problem or 'files are missing'})")
    return found


def read(data: KnownImages, request: Request) -> Decoded:
    image_set = image_set_of(data)
    paths = files(data, request.base_dir)
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    n_train_files = len(image_set.train_files)
    train = image_set.read(paths[:n_train_files])
    test = image_set.read(paths[n_train_files:])
    folder = paths[0].parent
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(f"{folder}: images of {train[0].shape[1:]} for training, {test[0].shape[1:]} for the test")
    for part, (_, labels) in (("training", train), ("test", test)):
        check_labels(labels, len(image_set.labels), lambda row, part=part: f"{folder}: {part} image {row}")  # type: ignore[misc]
    labelled = LabelledImages.of_parts(train, test, labels=image_set.labels, name=f"{folder}: image {{}}".format)
    return labelled.decoded(data, task)


def _folders(data: KnownImages, base_dir: Path) -> list[Path]:
    """Where the files are looked for, in this order."""
    folder = image_set_of(data).folder
    if data.root:
        root = resolve_root(data.root, base_dir)
        return [root, root / folder]
    work = Path.cwd() / "data"
    debian = DEBIAN_ROOT / data.kind.replace("_", "-")
    # Files that lie in ./data itself do not say whether they are MNIST or Fashion-MNIST: last.
    return [work / folder, user_root() / folder, debian, work]


def resolve_root(root: str, base_dir: Path) -> Path:
    return resolve_existing(root, base_dir) or base_dir / Path(root).expanduser()


def user_root() -> Path:
    return Path.home() / ".cache" / "tuner" / "data"


def _find(image_set: ImageSet, folders: list[Path]) -> tuple[Path, ...] | None:
    """All files of the first folder that has every one, plain or gzipped; None when no folder has."""
    for folder in folders:
        found = [path for name in image_set.file_names if (path := _variant(folder, name))]
        if len(found) == len(image_set.file_names):
            return tuple(found)
    return None


def _variant(folder: Path, name: str) -> Path | None:
    dotted = name.replace("-idx", ".idx")  # as some mirrors name them
    candidates = (folder / candidate for base in (name, dotted) for candidate in (base, f"{base}.gz"))
    return next((path for path in candidates if path.is_file()), None)


def _not_found(data: KnownImages, folders: list[Path], reason: str) -> NotFoundError:
    image_set = image_set_of(data)
    places = "\n".join(f"  {folder}{_partly(image_set, folder)}" for folder in folders)
    form = " (plain or .gz)" if image_set.can_be_zipped else ""
    return NotFoundError(
        f"data.kind {data.kind}: not found {reason}; looked in\n{places}\nwhat to do: {image_set.hint}put"
        f" {', '.join(image_set.file_names)}{form} into a folder and name it with data.root"
    )


def _partly(image_set: ImageSet, folder: Path) -> str:
    missing = [name for name in image_set.file_names if not _variant(folder, name)]
    return f" (lacks {', '.join(missing)})" if len(missing) < len(image_set.file_names) else ""


@contextlib.contextmanager
def reserved(root: Path) -> Iterator[None]:
    """One download at a time into a folder that several studies may share."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(f"{root} is not writable")
    except OSError as error:
        raise NotFoundError(f"data.root {root}: nothing there, and no download into it ({error})") from error
    with locked(root / ".tuner-download.lock"):
        yield


def torchvision_datasets() -> Any:
    """Torchvision's module; MissingError when it is not installed."""
    try:
        from torchvision import datasets
    except ImportError as error:
        raise MissingError(
            f"torchvision is needed for this data ({error}); install it, or name a folder with data.root"
        ) from error
    return datasets


@contextlib.contextmanager
def downloading() -> Iterator[None]:
    """Downloads of torchvision end with an error where there is no network, and say what they do on stderr."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # torchvision sets none: it would wait for ever
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
            yield
    finally:
        socket.setdefaulttimeout(timeout)


def _download(image_set: ImageSet, root: Path) -> str | None:
    """Let torchvision download; what went wrong, or None."""
    dataset = getattr(torchvision_datasets(), image_set.torchvision_class)
    try:
        with downloading():
            for options in image_set.downloads:
                dataset(str(root / image_set.download_folder), download=True, **options)
    except (OSError, RuntimeError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return None
