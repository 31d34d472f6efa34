"""What trials must have in common to be trained as lanes of one program, and what may differ.

Names that may differ are told by what they are: numbers that a step takes as numbers. All else (sizes, kinds, the data)
fixes the shape of the program.
"""

from __future__ import annotations

import json
from typing import Any

from tuner.config.schema import TrialConfig
from tuner.space.parameters import Params

FREE_SECTIONS = ("optimizer", "schedule")
"""On the CPU each lane updates its own weights: any rule, any learning rate."""
RULE = ("optimizer.kind", "optimizer.nesterov", "optimizer.amsgrad", "optimizer.centered", "optimizer.decay")
"""What lanes on a GPU share, where one rule updates all of them; besides, whether there is momentum."""
OWN_UPDATE = ("train.accumulate", "train.averaging")
"""What each lane does with its own gradients and weights; on a GPU one rule for all lanes does not."""
FREE = (
    "train.epochs",
    "train.grad_clip",
    "train.grad_clip_value",
    "train.early_stopping",
    *OWN_UPDATE,
    "model.dropout",
    "loss.label_smoothing",
)


def is_free(name: str, *, one_rule: bool = False) -> bool:
    """Whether a parameter of this dotted name may differ between the lanes of one program."""
    if one_rule and any(name == shared or name.startswith(shared + ".") for shared in (*RULE, *OWN_UPDATE)):
        return False
    section = name.partition(".")[0]
    return section in FREE_SECTIONS or any(name == free or name.startswith(free + ".") for free in FREE)


def fixed_params(params: Params, *, one_rule: bool = False) -> dict[str, Any]:
    """The params that every lane of this trial's program shares."""
    return {name: value for name, value in params.items() if not is_free(name, one_rule=one_rule)}


def lane_key(config: TrialConfig, *, one_rule: bool = False) -> str:
    """Equal for trials that can be lanes of one program; `one_rule` where one rule updates all of them.

    A rate of 0 counts as another shape than one above 0: the layer is not there.
    """
    if config.is_own_training:
        return config.model_dump_json()  # never lanes: nobody else knows its steps
    shape = config.model_dump(mode="json", exclude={"optimizer", "schedule", "objective", "seed"})
    train = shape["train"]
    own_update = {name: train.pop(name) for name in ("accumulate", "averaging")}
    for name in ("epochs", "grad_clip", "grad_clip_value", "early_stopping"):
        train.pop(name)
    if "label_smoothing" in shape["loss"]:
        shape["loss"]["label_smoothing"] = shape["loss"]["label_smoothing"] > 0
    if config.model.is_recordable and "dropout" in shape["model"]:
        shape["model"]["dropout"] = _pattern(shape["model"]["dropout"])
    if one_rule:
        options = config.optimizer.model_dump()
        flags = {name: value for name, value in options.items() if isinstance(value, bool) or name == "decay"}
        shape["optimizer"] = [options["kind"], flags, options.get("momentum", 0.0) > 0, own_update]
    return json.dumps(shape, sort_keys=True)


def _pattern(rates: float | list[float]) -> bool | list[bool]:
    return [rate > 0 for rate in rates] if isinstance(rates, list) else rates > 0
