"""Which files of the user's own a config names, and their checksums: a change is noticed before a resume."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from tuner.config.imported import with_imports
from tuner.config.schema import PythonData, PythonTrain, TrialConfig
from tuner.config.schema.losses import PythonLoss
from tuner.config.schema.model_kinds.pretrained import DEFAULT_WEIGHTS
from tuner.config.schema.optimizers import PythonOptimizer
from tuner.config.spec import Spec
from tuner.registry import find_path, target_file
from tuner.space.parameters import Choices

_NAMING_FILES = ("model.target", "model.weights", "model.repo", "loss.target", "optimizer.target", "train.target")


def targets_of(config: TrialConfig) -> tuple[str, ...]:
    """The user's own code that a config runs: its python targets and the repository of its model, each once."""
    optimizer = (config.optimizer.target,) if isinstance(config.optimizer, PythonOptimizer) else ()
    return tuple(dict.fromkeys((*targets_to_load(config), *optimizer, *data_code(config).values())))


def data_code(config: TrialConfig) -> dict[str, str]:
    """The user's own functions that a data section names besides its target, by their keys."""
    data = config.data
    found: dict[str, str] = {}
    if data is not None and ":" in data.sampler:
        found["sampler"] = data.sampler
    if isinstance(data, PythonData) and data.collate is not None:
        found["collate"] = data.collate
    return found


def targets_to_load(config: TrialConfig) -> tuple[str, ...]:
    """The code without which its model cannot be built again."""
    sections = (config.data, config.loss, config.train)
    found = [item.target for item in sections if isinstance(item, (PythonData, PythonLoss, PythonTrain))]
    found += config.model.code() if config.model is not None else ()
    return tuple(dict.fromkeys(found))


def source_of(target: str, base_dir: Path) -> Path | None:
    """The file that defines a target, without importing it, or a file or folder itself; None when it cannot be told."""
    if "://" in target:
        return None
    path = target_file(target, base_dir) if ":" in target else find_path(target, base_dir)
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
    """The python targets of every trial that a space file can lead to, and the files that their models begin with."""
    found = [function.target for function in spec.recorded.own.values()]
    found += [*targets_of(spec.base), *(spec.base.model.files() if spec.base.model is not None else ())]
    model = spec.document.get("model") or {}
    sections = [spec.document.get(name) or {} for name in ("loss", "optimizer")]
    found += [section["target"] for section in sections if isinstance(section.get("target"), str)]
    found += [model[name] for name in ("target", "weights") if isinstance(model.get(name), str)]
    for parameter in spec.space.parameters:
        if parameter.name in _NAMING_FILES and isinstance(parameter.domain, Choices):
            found += [str(value) for value in parameter.domain.values if value is not None]
    return tuple(name for name in dict.fromkeys(found) if name != DEFAULT_WEIGHTS)


def fingerprints(targets: Sequence[str], base_dir: Path) -> dict[str, str]:
    """SHA-256 of the code of every python target, and of every file; ConfigError when a named file is not there."""
    found = {}
    for target in targets:
        path = source_of(target, base_dir)
        if path is not None:
            found[target] = _digest_of_code(path, base_dir) if ":" in target else _digest(path)
    return found


def _digest_of_code(path: Path, base_dir: Path) -> str:
    """SHA-256 of a module, and of those of the user's own that it imports, if any."""
    digests = [_digest(module) for module in with_imports([path], (base_dir, Path.cwd()))]
    return digests[0] if len(digests) == 1 else hashlib.sha256(repr(sorted(digests)).encode()).hexdigest()


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder that of its modules."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    modules = [(module.relative_to(path).as_posix(), _digest(module)) for module in sorted(path.rglob("*.py"))]
    return hashlib.sha256(repr(modules).encode()).hexdigest()


def named(targets: Sequence[str]) -> str:
    """Targets and files in words: `the code of net.py:Net and the content of weights.pt`."""
    code = ", ".join(target for target in targets if ":" in target)
    files = ", ".join(target for target in targets if ":" not in target)
    return " and ".join(
        f"{what} {names}" for what, names in (("the code of", code), ("the content of", files)) if names
    )
