"""Networks of other people: a head and a stem for the data at hand, weights from a file, and what of them is trained.

Shapes: B batch, C channels, H W.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuner.config.schema.model_kinds.pretrained import Pretrained
from tuner.errors import ConfigError, Place
from tuner.registry import find_path

Weights = dict[str, Tensor]
RGB = 3
SHOWN = 3
"""Names that a message lists."""


def last_layer(model: nn.Module) -> str:
    """The name of the layer that gives the outputs: the last linear one, or the last convolution where none is."""
    linear: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    convolutions: list[str] = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    names = linear or convolutions
    if not names:
        raise _error("kind", "the network has no linear layer that could be made for the data; give model.head")
    return names[-1]


def set_outputs(model: nn.Module, name: str, n_outputs: int) -> None:
    """Replace a linear layer or convolution by one with so many outputs, unless it has them."""
    layer = model.get_submodule(name)
    if isinstance(layer, nn.Linear):
        if layer.out_features != n_outputs:
            _replace(model, name, nn.Linear(layer.in_features, n_outputs, bias=layer.bias is not None))
    elif isinstance(layer, nn.Conv2d):
        if layer.out_channels != n_outputs:
            _replace(model, name, _like(layer, layer.in_channels, n_outputs))
    else:
        message = f"{name} is a {type(layer).__name__}; expected a linear layer or a convolution"
        raise _error("head", message)


def set_channels(model: nn.Module, n_channels: int) -> str | None:
    """Let the first convolution take so many channels; its name, None where there is no convolution."""
    found = next(((name, part) for name, part in model.named_modules() if isinstance(part, nn.Conv2d)), None)
    if found is None:
        return None
    name: str = found[0]
    layer = found[1]
    if layer.in_channels != n_channels:
        _replace(model, name, _like(layer, n_channels, layer.out_channels))
    return name


def _like(layer: nn.Conv2d, n_in: int, n_out: int) -> nn.Conv2d:
    options: dict[str, Any] = {
        name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    return nn.Conv2d(n_in, n_out, bias=layer.bias is not None, **options)


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


# -------------------------------------------------------------------------------------------------------------- weights


def read_weights(name: str, base_dir: Path) -> Weights:
    """The state_dict in a file; ConfigError when there is none, or what is in it is none."""
    path = find_path(name, base_dir)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        message = (
            f"{name}: holds more than tensors; save the state_dict of your model, torch.save(model.state_dict(), f)"
        )
        raise _error("weights", message) from error
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _error("weights", f"{name}: no file of weights ({_first_line(error)})") from error
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise _error("weights", f"{name}: expected a state_dict, names and tensors; got {type(content).__name__}")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def begin_with(model: nn.Module, given: Weights, *, source: str, head: str, stem: str | None) -> None:
    """Load weights; those of the head only where their shapes fit, and those of the stem for other channels too.

    Raises ConfigError when the weights are of another network.
    """
    own = model.state_dict()
    weights = {name: tensor for name, tensor in given.items() if not name.startswith(("aux", "AuxLogits."))}
    if stem is not None:
        weights = _for_channels(weights, f"{stem}.weight", own)
    for name in [name for name in own if name == head or name.startswith(head + ".")]:
        if name not in weights or weights[name].shape != own[name].shape:
            weights[name] = own[name]
    missing = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    unknown = [name for name in weights if name not in own and not _is_of(head, name)]
    other = [name for name in own if name in weights and weights[name].shape != own[name].shape]
    for what, names in (("has no", missing), ("has besides", unknown)):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise _error("weights", f"{source}: is of another network: it {what} {', '.join(names[:SHOWN])}{more}")
    if other:
        name = other[0]
        shapes = f"{name} is {tuple(weights[name].shape)} there and {tuple(own[name].shape)} here"
        remedy = "; it is for images of another size: set data.resize to that" if "pos_embed" in name else ""
        raise _error("weights", f"{source}: is of another network: {shapes}{remedy}")
    model.load_state_dict({name: tensor for name, tensor in weights.items() if name in own}, strict=False)


def _is_of(head: str, name: str) -> bool:
    return name.startswith(head.partition(".")[0] + ".")


def _for_channels(weights: Weights, name: str, own: Weights) -> Weights:
    """Weights of a stem for another number of channels, each with the same share of the sum over them.

    So a grey image gives what it would give as three equal channels.
    """
    if name not in weights or name not in own or weights[name].shape[1] == own[name].shape[1]:
        return weights
    total = weights[name].sum(dim=1, keepdim=True)
    n_channels = own[name].shape[1]
    return {**weights, name: (total / n_channels).expand(-1, n_channels, *total.shape[2:]).clone()}


# --------------------------------------------------------------------------------------------------------------- freeze


class StillNorm(nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the base of all of them
    """Batch normalisation of frozen layers: it stays with the statistics that it came with."""

    def train(self, mode: bool = True) -> StillNorm:  # noqa: ARG002, FBT002 - torch's signature
        return super().train(False)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        """Any dimensions."""


def freeze(model: nn.Module, config: Pretrained, head: str) -> None:
    """Let parts of a network keep their weights, and the statistics of their norms; `head` is its last part."""
    backbone = [param for name, param in model.named_parameters() if name != head and not name.startswith(head + ".")]
    count = {"none": 0, "half": len(backbone) // 2, "backbone": len(backbone)}[config.freeze]
    for param in backbone[:count]:
        param.requires_grad_(False)
    for name, module in list(_frozen_norms(model)):
        _replace(model, name, _still(module))


def _frozen_norms(model: nn.Module) -> Iterator[tuple[str, nn.modules.batchnorm._BatchNorm]]:
    for name, module in model.named_modules():
        is_norm = isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine  # noqa: SLF001
        if is_norm and not any(param.requires_grad for param in module.parameters()):
            yield name, module


def _still(module: nn.modules.batchnorm._BatchNorm) -> StillNorm:
    still = StillNorm(module.num_features, module.eps, module.momentum, track_running_stats=module.track_running_stats)
    still.load_state_dict(module.state_dict())
    return still.requires_grad_(False).eval()


def _error(option: str, message: str) -> ConfigError:
    return ConfigError.of([Place(path=f"model.{option}", message=message)])
