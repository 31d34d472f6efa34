"""Users' own objects: `package.module:Name` or `file.py:Name`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from tuner.errors import ConfigError


def target_file(target: str, base_dir: Path) -> Path | None:
    """The file that a `file.py:Name` target names (relative to `base_dir`, then the working directory), else None."""
    location, _, _ = target.rpartition(":")
    return find_path(location, base_dir, shown=target) if location.endswith(".py") else None


def find_path(name: str, base_dir: Path, *, shown: str = "") -> Path:
    """A file or folder, relative to `base_dir`, then to the working directory; ConfigError when it is not there."""
    for folder in (base_dir, Path.cwd()):
        path = (folder / name).resolve()
        if path.exists():
            return path
    raise ConfigError(f"{shown or name}: no such file; looked in {base_dir} and {Path.cwd()}")


def load_target(target: str, base_dir: Path) -> Any:
    """Import what `target` names.

    Raises ConfigError when the form is wrong, or the file, module or name is not there. Errors that the user's own code
    raises while it is imported are passed on unchanged.
    """
    location, separator, name = target.rpartition(":")
    if not separator or not location or not name:
        raise ConfigError(f"{target!r}: expected 'package.module:Name' or 'file.py:Name'")
    path = target_file(target, base_dir)
    module = _import_file(path) if path else _import_module(location, base_dir)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{target!r}: {location} has no {part!r}")
        found = getattr(found, part)
    return found


def _import_file(path: Path) -> Any:
    # One module a process, file and content; its name pickles the same in DataLoader workers.
    content = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()
    name = f"tuner_user_{path.stem}_{content[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _prepend(str(path.parent))  # so that the file can import its neighbours
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str, base_dir: Path) -> Any:
    for folder in (str(Path.cwd()), str(base_dir)):
        _prepend(folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(f"{name}: no such module; looked in {base_dir}, {Path.cwd()} and the packages") from error
        raise


def _prepend(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
