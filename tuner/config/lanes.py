"""What trials must have in common to be trained as lanes of one program, and what may differ.

Names that may differ are told by what they are: numbers that a step takes as numbers. All else (sizes, kinds, the data)
fixes the shape of the program.
"""

from __future__ import annotations

import json
from typing import Any

from tuner.config.schema import LayeredModel, TrialConfig
from tuner.space.parameters import Params, Space

FREE_SECTIONS = ("optimizer", "schedule")
"""Each lane updates its own weights: any rule, any learning rate."""
FREE = ("train.epochs", "train.grad_clip", "train.early_stopping", "model.dropout", "loss.label_smoothing")


def is_free(name: str) -> bool:
    """Whether a parameter of this dotted name may differ between the lanes of one program."""
    section = name.partition(".")[0]
    return section in FREE_SECTIONS or any(name == free or name.startswith(free + ".") for free in FREE)


def fixed_params(params: Params) -> dict[str, Any]:
    """The params that every lane of this trial's program shares."""
    return {name: value for name, value in params.items() if not is_free(name)}


def has_fixed(space: Space) -> bool:
    """Whether a space varies anything that lanes have to share."""
    return any(not is_free(parameter.name) for parameter in space.parameters)


def lane_key(config: TrialConfig) -> str:
    """Equal for trials that can be lanes of one program.

    A rate of 0 counts as another shape than one above 0: the layer is not there.
    """
    shape = config.model_dump(mode="json", exclude={"optimizer", "schedule", "objective", "seed"})
    train = shape["train"]
    for name in ("epochs", "grad_clip", "early_stopping"):
        train.pop(name)
    if "label_smoothing" in shape["loss"]:
        shape["loss"]["label_smoothing"] = shape["loss"]["label_smoothing"] > 0
    if isinstance(config.model, LayeredModel):
        shape["model"]["dropout"] = _pattern(config.model.dropout)
    return json.dumps(shape, sort_keys=True)


def _pattern(rates: float | tuple[float, ...]) -> bool | list[bool]:
    return [rate > 0 for rate in rates] if isinstance(rates, tuple) else rates > 0
