"""The user's own files that an export carries: those of its python targets, and the modules that these import."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tuner.config.code import data_code
from tuner.config.imported import with_imports
from tuner.config.schema import PythonData, PythonModel, PythonTrain, TrialConfig
from tuner.config.schema.losses import PythonLoss
from tuner.config.schema.model_kinds.hub import Hub
from tuner.config.schema.optimizers import PythonOptimizer
from tuner.export.bundle import CODE
from tuner.registry import find_path, target_file


def with_code(config: TrialConfig, base_dir: Path, folder: Path) -> TrialConfig:
    """Copy the user's own files into the export and point the config at the copies."""
    python = (PythonData, PythonModel, PythonLoss, PythonOptimizer, PythonTrain)
    sections: dict[str, Any] = {}
    for name in ("data", "model", "loss", "optimizer", "train"):
        section = getattr(config, name)
        path = target_file(section.target, base_dir) if isinstance(section, python) else None
        if path is not None:
            copied = _copied(section.target, path, base_dir, folder / CODE / name)
            sections[name] = section.model_copy(update={"target": copied})
    for key, target in data_code(config).items():
        path = target_file(target, base_dir)
        if path is not None:
            data = sections.get("data", config.data)
            sections["data"] = data.model_copy(update={key: _copied(target, path, base_dir, folder / CODE / "data")})
    if isinstance(config.model, Hub) and config.model.source == "local":
        sections["model"] = _with_repository(config.model, base_dir, folder / CODE / "model")
    return config.model_copy(update=sections)


def _copied(target: str, path: Path, base_dir: Path, folder: Path) -> str:
    """Copy a file of the user's code and the modules that it imports, and name the target in the copy.

    A folder a section: two may have files of one name.
    """
    places = (path.parent, base_dir.resolve(), Path.cwd().resolve())
    for module in with_imports([path], places):
        within = next((module.relative_to(place) for place in places if module.is_relative_to(place)), None)
        if within is None:  # above all of them, from where no file can import it
            continue
        copy = folder / within
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, copy)
    return f"{folder.name}/{path.name}:{target.rpartition(':')[2]}"


def _with_repository(model: Hub, base_dir: Path, folder: Path) -> Hub:
    """The modules of the repository: without its history, weights and data."""
    repository = find_path(model.repo, base_dir)
    for path in sorted(repository.rglob("*.py")):
        copy = folder / path.relative_to(repository)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return model.model_copy(update={"repo": folder.name})
