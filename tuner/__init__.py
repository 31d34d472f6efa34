"""Hyperparameter search for PyTorch that loses nothing.

study = tuner.search("mlp.yaml", trials=20)
export = tuner.best(study)
model = tuner.load(export)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuner.api import Study, best, load, search
    from tuner.workflows.deciding import Controller

__all__ = ["Controller", "Study", "best", "load", "search"]


def __getattr__(name: str) -> Any:
    # `import tuner` must cost nothing: torch and Optuna are loaded when they are used.
    if name not in __all__:
        raise AttributeError(f"module 'tuner' has no attribute {name!r}")
    from tuner import api
    from tuner.workflows import deciding

    return deciding.Controller if name == "Controller" else getattr(api, name)
