"""What `auto` stands for."""

from __future__ import annotations

from tuner.config import schema

_LEARN_FROM_COMPLETE_TRIALS = (
    schema.TpeSampler,
    schema.GpSampler,
    schema.CmaEsSampler,
    schema.Nsga2Sampler,
    schema.Nsga3Sampler,
)
"""Optuna's samplers that make little of trials that did not end: behind a halving rule TPE stagnates."""


def pruner_of(search: schema.Search, *, max_epochs: int) -> schema.Pruner:
    """The pruner of a search: that of `auto` is asha, and the median rule for samplers that need complete trials."""
    if not isinstance(search.pruner, schema.AutoPruner):
        return search.pruner
    if isinstance(search.sampler, _LEARN_FROM_COMPLETE_TRIALS):
        return schema.MedianPruner(n_warmup_epochs=max(1, max_epochs // 10))
    return schema.AshaPruner()
