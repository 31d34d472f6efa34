"""The export of a trial: a folder that stands for itself.

model.pt       the plain state_dict; torch.load(..., weights_only=True)
state.pt       of own training code: what it yielded after the best epoch; model.pt is there when that has a `model`
bundle.json    config, params, input specification, preprocessing, labels, metrics, fingerprints, versions, and the
               sha256 of every other file
README.md      model card
code/          the user's own files that the config names, if any
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.config.schema import TrialConfig
from tuner.data.info import DataInfo
from tuner.errors import NotFoundError, UsageError, VerificationError
from tuner.paths import sync_folder, write_atomically

FORMAT = 1
WEIGHTS, BUNDLE, CARD, CODE = "model.pt", "bundle.json", "README.md", "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The content of bundle.json."""

    study: str
    trial: int
    epoch: int
    seed: int
    metric: str
    value: float
    metrics: Mapping[str, float | None]
    """`<split>/<metric>` of the exported weights, evaluated again; None where not defined.

    Of own training code what it yielded after that epoch."""
    params: Mapping[str, Any]
    config: TrialConfig
    data: DataInfo
    preprocess: Mapping[str, Any]
    n_outputs: int
    code: Mapping[str, str]
    """SHA-256 of the file of every python target."""
    versions: Mapping[str, str]
    files: Mapping[str, str]
    """SHA-256 of every other file of the export."""
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By part, what each class or target came to, and the confusion of classes; see `tuner.training.details`."""
    objectives: Mapping[str, float] = field(default_factory=dict)
    """Several objectives by name, as the search had them; empty for one."""
    n_params: int | None = None
    """Parameters of the model; None of own training code."""
    formats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By format its `file`, over how many `rows` of the validation part it was compared with the weights, and the
    largest `difference`; empty where there are only the weights."""
    confirmed: Mapping[str, Any] | None = None
    """What fresh seeds say of this trial: mean, std, seeds ...; None when it is not the confirmed winner."""

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("objectives", "formats"):
            if not plain[name]:
                del plain[name]
        return {
            "format": FORMAT,
            **plain,
            "config": self.config.model_dump(mode="json"),
            "data": self.data.to_json(),
            "input": {
                "shape": list(self.data.input_shape),
                "dtype": self.data.input_dtype,
                "layout": _layout(self.data),
            },
            "labels": list(self.data.labels),
            "task": self.data.task,
        }

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read and verify an export; NotFoundError when there is none, VerificationError when a file was changed."""
        path = folder / BUNDLE
        if not path.is_file():
            raise NotFoundError(f"{folder}: no export here (no {BUNDLE}); make one with `tuner best`")
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != FORMAT:
                raise VerificationError(f"{path}: format {plain['format']}, this tuner reads {FORMAT}")
            bundle = cls._from_json(plain)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = str(error).partition("\n")[0]
            raise VerificationError(f"{path}: changed since it was exported ({problem}); export it again") from error
        needed = set() if bundle.config.is_own_training else {WEIGHTS}
        for name in needed | set(bundle.files):
            if not (folder / name).is_file() or sha256_of(folder / name) != bundle.files.get(name):
                raise VerificationError(f"{folder / name}: missing or changed since it was exported; export it again")
        return bundle

    def to_texts(self, **more: Any) -> dict[str, str]:
        """The same, and `more`, as JSON by key: the metadata of formats that are one file.

        `bundle_format` is what bundle.json calls `format`, which is a word of safetensors' own.
        """
        plain = {**self.to_json(), "files": {}, **more}
        plain["bundle_format"] = plain.pop("format")
        return {name: json.dumps(value, allow_nan=False) for name, value in plain.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], path: Path) -> Bundle:
        """Read what `to_texts` gave; UsageError when a file has nothing of the kind."""
        if "bundle_format" not in texts:
            raise UsageError(f"{path}: not exported by tuner: its metadata has no labels and no preprocessing")
        try:
            if json.loads(texts["bundle_format"]) != FORMAT:
                raise VerificationError(f"{path}: format {texts['bundle_format']}, this tuner reads {FORMAT}")
            names = {*cls.__dataclass_fields__} & texts.keys()
            return cls._from_json({name: json.loads(texts[name]) for name in names})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = str(error).partition("\n")[0]
            raise VerificationError(f"{path}: its metadata cannot be read ({problem}); export it again") from error

    @classmethod
    def _from_json(cls, plain: dict[str, Any]) -> Bundle:
        config = TrialConfig.model_validate_json(json.dumps(plain["config"]))
        fields = {name: plain[name] for name in cls.__dataclass_fields__ if name in plain}
        return cls(**{**fields, "config": config, "data": DataInfo.from_json(plain["data"])})


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _layout(data: DataInfo) -> str:
    return "CHW" if len(data.input_shape) == 3 else "features" if len(data.input_shape) == 1 else "other"  # noqa: PLR2004


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well; else `target` stays as it was.

    Raises UsageError when `target` holds something else than an export: it would be deleted.
    """
    target = target.resolve()
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        _sync_files(temporary)
        _exchange(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(target.parent)


def _exchange(temporary: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _refuse_foreign(target: Path) -> None:
    is_free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    if not is_free and not (target / BUNDLE).is_file():
        raise UsageError(f"{target}: exists and is no export; it would be replaced as a whole: choose another folder")


def _sync_files(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)


def write_bundle(folder: Path, bundle: Bundle) -> None:
    content = json.dumps(bundle.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(folder / BUNDLE, content.encode())
