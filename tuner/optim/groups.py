"""Which parameters share a learning rate and a weight decay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from tuner.config.schema import Optimizer
from tuner.config.schema.optimizers import Muon, OptimizerSection
from tuner.errors import ConfigError, Place

MATRIX_NDIM = 2
NORMS = (
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.modules.batchnorm._NormBase,  # noqa: SLF001 - the base of batch and instance norms has no public name
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters that are trained alike."""

    params: list[nn.Parameter] = field(default_factory=list)
    lr_scale: float = 1.0
    """Factor of the optimizer's learning rate."""
    decays: bool = True
    """Whether weight decay shrinks them."""
    by_adamw: bool = False
    """Whether Muon leaves them to AdamW."""


def one_group(parameters: Iterable[nn.Parameter]) -> list[Group]:
    """All that are trained (`requires_grad`), alike."""
    return _checked([Group(params=[parameter for parameter in parameters if parameter.requires_grad])])


def groups_of(model: nn.Module, config: Optimizer, lr_scales: Mapping[str, float]) -> list[Group]:
    """The parameters that are trained (`requires_grad`), in groups.

    `lr_scales` are factors of the learning rate by the prefix of a parameter's name; the longest prefix counts, and
    the empty one is that of all. ConfigError when there is nothing to train.
    """
    undecayed = _undecayed(model) if isinstance(config, OptimizerSection) and config.decay == "weights" else set()
    by_adamw = _left_to_adamw(model) if isinstance(config, Muon) else set()
    groups: dict[tuple[float, bool, bool], Group] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (_scale(name, lr_scales), id(parameter) not in undecayed, id(parameter) in by_adamw)
            if key not in groups:
                groups[key] = Group(lr_scale=key[0], decays=key[1], by_adamw=key[2])
            groups[key].params.append(parameter)
    return _checked(list(groups.values()))


def _checked(groups: list[Group]) -> list[Group]:
    if any(group.params for group in groups):
        return groups
    message = "the model has no parameters to train; give it a layer, or set requires_grad on its parameters"
    raise ConfigError.of([Place(path="model", message=message)])


def _scale(name: str, lr_scales: Mapping[str, float]) -> float:
    prefixes = [prefix for prefix in lr_scales if not prefix or f"{name}.".startswith(f"{prefix.removesuffix('.')}.")]
    return lr_scales[max(prefixes, key=len)] if prefixes else 1.0


def _undecayed(model: nn.Module) -> set[int]:
    """Vectors, biases, of which a mixture of layers has several in one matrix, and all that normalisation learns."""
    others = {
        id(parameter)
        for name, parameter in model.named_parameters()
        if parameter.ndim < MATRIX_NDIM or "bias" in _own_name(name)
    }
    of_norms = [module.parameters(recurse=False) for module in model.modules() if isinstance(module, NORMS)]
    return others | {id(parameter) for parameters in of_norms for parameter in parameters}


def _left_to_adamw(model: nn.Module) -> set[int]:
    """All but the weights of layers that are matrices, without the last one, which is the output layer's.

    As Jordan et al. 2024 (kellerjordan.github.io/posts/muon) do, who besides flatten filters, which torch's Muon
    does not take. Embeddings are rows to look up, and so are positions and the like, which models have as bare
    parameters: what a layer multiplies with is called weight.
    """
    embeddings = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag))
        for parameter in module.parameters(recurse=False)
    }
    matrices = [
        id(parameter)
        for name, parameter in model.named_parameters()
        if parameter.ndim == MATRIX_NDIM and "weight" in _own_name(name) and id(parameter) not in embeddings
    ]
    return {id(parameter) for parameter in model.parameters()} - set(matrices[:-1])


def _own_name(name: str) -> str:
    """Without those of the modules that hold it: `in_proj_bias` of `blocks.0.attention.in_proj_bias`."""
    return name.rpartition(".")[2]
