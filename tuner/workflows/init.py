"""`tuner init`: a space file to begin with, from a template or made for the data that it is pointed at."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tuner.config.files import SUFFIX, shipped_folder, shipped_names
from tuner.config.messages import nearest
from tuner.config.sections import KINDS
from tuner.errors import NotFoundError, UsageError
from tuner.paths import write_atomically
from tuner.workflows.looking.draft import Asked, Draft, scalar

FOLDER = "templates"
SUFFIXES = (
    ".csv",
    ".tsv",
    ".parquet",
    ".gz",
    ".bz2",
    ".xz",
    ".zip",
    ".zst",
    ".txt",
    ".npz",
    ".npy",
    ".pt",
    ".py",
    ".jsonl",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A space file to copy, and the words in it that stand for the user's own."""

    about: str
    file: str = ""
    """Of the shipped files; by default that of its name in the folder of templates."""
    path: str = ""
    """The path of the data in it."""
    target: str = ""
    needs: tuple[str, ...] = ()
    """Files that it names, copied beside it."""


TEMPLATES: dict[str, Template] = {
    "image-classification": Template(about="images in a known data set (Fashion-MNIST), a convolutional network"),
    "image-folder": Template(about="a folder of images, a folder a class", path="images"),
    "tabular-classification": Template(about="a table, a column of classes", path="table.csv", target="label"),
    "tabular-regression": Template(about="a table, a column of numbers", path="table.csv", target="value"),
    "text-classification": Template(
        about="sentences in a table, a column of classes", path="texts.csv", target="label"
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

_CUT = "  split: {val: 0.2, test: 0.2, stratify: true}"
_OWN_TEST = "  split: {val: 0.1, stratify: true}                       # this source has a test part of its own"
_LIGHT = "  augment: {kind: light, shift: 2}"
_CLASSES, _NUMBERS, _IMAGES = "tabular-classification", "tabular-regression", "image-classification"

DATA: dict[str, tuple[str, tuple[str, ...]]] = {
    "digits": (_IMAGES, (_CUT, "  augment: {kind: light, shift: 1}")),
    "iris": (_CLASSES, (_CUT,)),
    "wine": (_CLASSES, (_CUT,)),
    "breast_cancer": (_CLASSES, (_CUT,)),
    "diabetes": (_NUMBERS, ("  split: {val: 0.2, test: 0.2}",)),
    "sklearn": (_CLASSES, ("  name: moons", "  options: {n_samples: 1000, noise: 0.2}", _CUT)),
    **dict.fromkeys(
        ("mnist", "fashion_mnist", "kmnist", "qmnist", "emnist", "cifar10", "cifar100", "svhn"),
        (_IMAGES, (_OWN_TEST, _LIGHT)),
    ),
    "fake": (_IMAGES, (_CUT, _LIGHT)),
    "torchvision": (_IMAGES, ("  name: USPS", _OWN_TEST, _LIGHT)),
}
"""Kinds of data that need no path: the template, and the data section besides its kind and batch size."""

OF_KIND = {
    "csv": "tabular-classification",
    "parquet": "tabular-classification",
    "image_folder": "image-folder",
    "text": "text-classification",
    "huggingface": "text-classification",
    "series": "forecasting",
    "audio": "audio",
    "characters": "language-model",
    "npz": "tabular-classification",
    "tensors": "tabular-classification",
    "python": "own-data",
}
"""The template of the kinds of data that are in a file of yours."""
_PLACES = {
    "parquet": ("path: table.parquet", "target: label"),
    "npz": ("path: arrays.npz",),
    "tensors": ("path: tensors.pt",),
    "huggingface": ("path: imdb", "text: text", "target: label", "max_length: 64"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was written."""

    template: str
    file: Path
    others: tuple[Path, ...]
    found: tuple[str, ...] = ()
    """What was seen in the data and guessed from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A space file before it is written."""

    template: str
    content: str
    name: str
    """Of the file, unless another is asked for."""
    needs: tuple[str, ...] = ()
    found: tuple[str, ...] = field(default_factory=tuple)


def init(
    what: str, *, out: Path | None = None, data: str | None = None, target: str | Sequence[str] | None = None
) -> Made:
    """Write the template `what`, or a file for the data at the path `what`; never over a file that exists.

    `what` may also be a kind of data that needs no path, such as digits, or a shipped space file, such as mlp. Without
    `out` the file has the name of the data, with a number where there is such a file already.
    Raises NotFoundError when there is nothing of this name, UsageError where a file would be lost, or where nothing can
    be made of the data, DataError when it cannot be read.
    """
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    text = _text(what, out, data, targets)
    file = out or _free(text.name)
    if file.exists():
        raise _exists(file)
    others = {file.parent / Path(name).name: (_folder() / name).read_bytes() for name in text.needs}
    for path, content in others.items():
        if path.exists() and path.read_bytes() != content:
            raise _exists(path, "choose another folder with --out FOLDER/FILE")
    file.parent.mkdir(parents=True, exist_ok=True)
    for path, content in others.items():
        write_atomically(path, content)
    write_atomically(file, _for_file(text, file).encode())
    return Made(template=text.template, file=file, others=tuple(others), found=(*text.found, *_problems(text, file)))


def about() -> dict[str, str]:
    """Everything that `tuner init` knows by name."""
    return {
        **{name: template.about for name, template in TEMPLATES.items()},
        **{name: f"the data set {name}, with a model that fits" for name in DATA},
        **{name: _first_line(name) for name in shipped_names()},
    }


def _first_line(name: str) -> str:
    first = (shipped_folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8").partition("\n")[0]
    return re.split(r"(?<=\w)[.;:] ", first.removeprefix("# "), maxsplit=1)[0].rstrip(".")


def _exists(path: Path, remedy: str = "choose another name with --out FILE") -> UsageError:
    return UsageError(f"{path}: exists, and is not overwritten; {remedy}")


def _free(name: str) -> Path:
    """A file of this name, or of the first number behind it, that does not exist."""
    file, number = Path(f"{name}{SUFFIX}"), 1
    while file.exists():
        number += 1
        file = Path(f"{name}-{number}{SUFFIX}")
    return file


def _for_file(text: _Text, file: Path) -> str:
    """The content with the file's own name in its comments, and as the study's."""
    content = re.sub(r"--space (SPACE|\w+)\.yaml", lambda _: f"--space {file}", text.content)
    return re.sub(r"(?m)^study: .*$", lambda _: f"study: {file.stem}", content)


def _folder() -> Path:
    return shipped_folder() / FOLDER


# -------------------------------------------------------------------------------------------------------- what is asked


def _text(what: str, out: Path | None, data: str | None, targets: tuple[str, ...]) -> _Text:
    kind = what.replace("-", "_")
    if what in TEMPLATES:
        return _of_template(what, out, data, targets)
    if Path(what).exists():
        if data is not None:
            raise UsageError(f"{what}: is data itself; leave --data out")
        return _of_data(what, out, "", targets)
    if kind in DATA:
        _refuse_options(what, data, targets)
        return _of_known_data(kind)
    if kind in OF_KIND:
        return _of_kind(kind, out, data, targets)
    shipped = kind.removesuffix(SUFFIX)
    if shipped in shipped_names():
        _refuse_options(what, data, targets)
        return _shipped(shipped)
    raise _unknown(what)


def _refuse_options(what: str, data: str | None, targets: tuple[str, ...]) -> None:
    if data is not None or targets:
        raise UsageError(f"{what}: brings its own data and target; leave --data and --target out")


def _unknown(what: str) -> NotFoundError:
    if _is_path(what):
        return NotFoundError(f"{what}: no such file or folder, looked in {Path.cwd()}")
    kind = what.replace("-", "_")
    for section in ("model", "loss", "optimizer", "schedule"):
        if kind in KINDS[section]:
            return NotFoundError(
                f"{what}: a kind of {section}, and no template; begin with your data, `tuner init DATA`, and write"
                f" {section}: {{kind: {kind}}} into the file"
            )
    near = nearest(what, [*TEMPLATES, *DATA, *shipped_names()])
    hint = f"; did you mean {near!r}?" if near else ";"
    return NotFoundError(f"{what}: no template and no file of this name{hint} Templates: {', '.join(TEMPLATES)}")


def _is_path(what: str) -> bool:
    return os.sep in what or what.lower().endswith(SUFFIXES)


def _of_template(name: str, out: Path | None, data: str | None, targets: tuple[str, ...]) -> _Text:
    if data is not None and TEMPLATES[name].path and Path(data).exists():
        return _of_data(data, out, name, targets)
    template = TEMPLATES[name]
    content = _content(name)
    columns = scalar(targets[0]) if len(targets) == 1 else f"[{', '.join(map(scalar, targets))}]" if targets else ""
    given = {"path": (template.path, scalar(data) if data else ""), "target": (template.target, columns)}
    for option, (placeholder, value) in given.items():
        if value and not placeholder:
            raise UsageError(f"{name}: has no {option} to fill in; edit the file instead")
        if value:
            content = content.replace(f"{option}: {placeholder}", f"{option}: {value}")
    found = (f"{data}: is not there yet",) if data else ()
    return _Text(template=name, content=content, name=_stem(data) if data else name, needs=template.needs, found=found)


def _content(name: str) -> str:
    file = TEMPLATES[name].file
    source = shipped_folder() / file if file else _folder() / f"{name}{SUFFIX}"
    return source.read_text(encoding="utf-8")


def _of_data(data: str, out: Path | None, template: str, targets: tuple[str, ...]) -> _Text:
    from tuner.workflows.looking.files import look  # it imports torch and pandas, which a template does not need

    path = Path(data)
    is_elsewhere = out is not None and out.parent != Path() and not path.is_absolute()
    written = os.path.relpath(path, out.parent) if out is not None and is_elsewhere else str(path)
    draft = look(Asked(path=path, written=written, targets=targets, template=template))
    return _Text(
        template=draft.template, content=draft.filled(_content(draft.template)), name=_stem(data), found=draft.found
    )


def _of_known_data(kind: str) -> _Text:
    template, options = DATA[kind]
    section = ("data:", f"  kind: {kind}", "  batch_size: 64", *options)
    task = "numbers to predict" if template == _NUMBERS else "classes"
    draft = Draft(template=template, about=f"The data set {kind}, with {task}.", sections={"data": section})
    return _Text(template=template, content=draft.filled(_content(template)), name=kind)


def _of_kind(kind: str, out: Path | None, data: str | None, targets: tuple[str, ...]) -> _Text:
    template = OF_KIND[kind]
    if kind not in _PLACES or data is not None:
        return _of_template(template, out, data, targets)
    lines = [f"  {place}" for place in _PLACES[kind]]
    draft = Draft(template=template, sections={"data": ("data:", f"  kind: {kind}", *lines, "  batch_size: 64", _CUT)})
    return _Text(template=template, content=draft.filled(_content(template)), name=kind)


def _shipped(name: str) -> _Text:
    code = f"{name}.py"
    needs = (f"../{code}",) if (shipped_folder() / code).is_file() else ()
    content = (shipped_folder() / f"{name}{SUFFIX}").read_text(encoding="utf-8")
    return _Text(template=name, content=content, name=name, needs=needs)


def _stem(data: str) -> str:
    """The name of data as that of a space file, which is that of a study."""
    name = Path(data).resolve().name
    while name.lower().endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-._")[:90] or "data"


def _problems(text: _Text, file: Path) -> list[str]:
    """What a search would refuse in the rows of a table, before it is tried."""
    if not text.found or text.template not in ("tabular-classification", "tabular-regression", "text-classification"):
        return []
    from tuner.workflows.looking.files import problem_of

    problem = problem_of(file)
    return [f"! {problem}"] if problem else []
