"""A user's model whose items have several inputs: its forward gets them by name.

B batch, F values of one row.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from tuner.data.info import InputField
from tuner.data.named import unpacked
from tuner.errors import ConfigError, Place


def give_by_name(model: nn.Module, fields: Sequence[InputField], target: str) -> None:
    """Have `model(x_BF)` call forward with the inputs that the rows hold, by their names.

    A forward of one parameter that has none of these names gets a dict. A hook, not a module around the model: its
    class and its state_dict stay the user's. Raises ConfigError when forward does not take the names.
    """
    as_dict = _takes_a_dict(model, [field.name for field in fields], target)

    def unpack(_model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if len(args) != 1 or isinstance(args[0], dict):  # called by name, as by the user's own code
            return args, kwargs
        named = unpacked(args[0], fields)
        return ((named,), kwargs) if as_dict else ((), {**kwargs, **named})

    model.register_forward_pre_hook(unpack, with_kwargs=True)


def _takes_a_dict(model: nn.Module, names: Sequence[str], target: str) -> bool:
    signature = inspect.signature(model.forward)
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        parameters = list(signature.parameters.values())
        needed = [parameter for parameter in parameters if parameter.default is parameter.empty]
        if len(needed) == 1 and needed[0].name not in names and needed[0].kind <= needed[0].POSITIONAL_OR_KEYWORD:
            return True
        message = (
            f"{target!r}: forward{signature} cannot be called with the inputs of an item, {', '.join(names)}: {error};"
            " give it parameters of these names or one that takes a dict, or choose among the inputs in data.input_keys"
        )
        raise ConfigError.of([Place(path="model.target", message=message)]) from error
    return False
