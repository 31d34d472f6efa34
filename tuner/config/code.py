"""Which files of the user's own a config names, and their checksums: a change is noticed before a resume."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from tuner.config.schema import PythonData, PythonModel, TrialConfig
from tuner.registry import target_file


def targets_of(config: TrialConfig) -> tuple[str, ...]:
    """The python targets of a config, each once."""
    sections = (config.data, config.model)
    return tuple(dict.fromkeys(item.target for item in sections if isinstance(item, (PythonData, PythonModel))))


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


def fingerprints(config: TrialConfig, base_dir: Path) -> dict[str, str]:
    """SHA-256 of the file of every python target; ConfigError when a named file is not there."""
    found = {}
    for target in targets_of(config):
        path = source_of(target, base_dir)
        if path is not None:
            found[target] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
