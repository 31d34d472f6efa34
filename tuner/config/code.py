"""Which files of the user's own a config names, and their checksums: a change is noticed before a resume."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from tuner.config.schema import PythonData, PythonModel, PythonTrain, TrialConfig
from tuner.config.spec import Spec
from tuner.registry import target_file
from tuner.space.parameters import Choices


def targets_of(config: TrialConfig) -> tuple[str, ...]:
    """The python targets of a config, each once."""
    sections = (config.data, config.model, config.train)
    python = (PythonData, PythonModel, PythonTrain)
    return tuple(dict.fromkeys(item.target for item in sections if isinstance(item, python)))


def source_of(target: str, base_dir: Path) -> Path | None:
    """The file that defines a target, without importing it; None when it cannot be told."""
    path = target_file(target, base_dir)
    if path is not None:
        return path
    module = target.rpartition(":")[0].split(".")
    for folder in (Path.cwd(), base_dir):
        for candidate in (folder.joinpath(*module).with_suffix(".py"), folder.joinpath(*module, "__init__.py")):
            if candidate.is_file():
                return candidate
    spec = importlib.util.find_spec(module[0]) if len(module) == 1 else None
    return Path(spec.origin) if spec and spec.origin else None


def reachable_targets(spec: Spec) -> tuple[str, ...]:
    """The python targets of every trial that a space file can lead to."""
    found = [*targets_of(spec.base)]
    named = (spec.document.get("model") or {}).get("target")
    found += [named] if isinstance(named, str) else []
    for parameter in spec.space.parameters:
        if parameter.name in ("model.target", "train.target") and isinstance(parameter.domain, Choices):
            found += [str(value) for value in parameter.domain.values]
    return tuple(dict.fromkeys(found))


def fingerprints(targets: Sequence[str], base_dir: Path) -> dict[str, str]:
    """SHA-256 of the file of every python target; ConfigError when a named file is not there."""
    found = {}
    for target in targets:
        path = source_of(target, base_dir)
        if path is not None:
            found[target] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
