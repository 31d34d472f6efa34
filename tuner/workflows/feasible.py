"""How much of a space its constraints leave, as far as that can be told without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuner.config.spec import Spec
from tuner.errors import ConfigError
from tuner.space.parameters import Params

N_DRAWN = 300
"""Random trials that are looked at: the share is then right to some 3 per cent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasible:
    """Of random trials, how many break a constraint; which constraints need a model to be judged."""

    n_drawn: int
    n_infeasible: int
    judged: tuple[str, ...]
    later: tuple[str, ...]

    def __str__(self) -> str:
        parts = []
        if self.judged:
            parts.append(f"{self.n_infeasible / self.n_drawn:.0%} of {self.n_drawn} random trials break one by params")
        if self.later:
            parts.append(f"judged by the search: {', '.join(self.later)}")
        return f"{len(self.judged) + len(self.later)} constraints; " + "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        if not self.judged and not self.later:
            return {}
        share = self.n_infeasible / self.n_drawn if self.judged else None
        return {"constraints": [*self.judged, *self.later], "infeasible_share": share}


def share_of_feasible(spec: Spec) -> Feasible:
    """Draw random trials of the space and judge what needs no model."""
    judged = tuple(item.text for item in spec.constraints if all("." in name.name for name in item.names))
    later = tuple(item.text for item in spec.constraints if item.text not in judged)
    n_infeasible = 0
    if judged:
        from tuner.control.parzen import ParzenSampler  # NumPy

        for number in range(N_DRAWN):
            sampler = ParzenSampler(spec.space, seed=spec.seed, maximize=True)  # a new one knows nothing: it is random
            n_infeasible += _is_infeasible(spec, sampler.suggest(number))
    return Feasible(n_drawn=N_DRAWN, n_infeasible=n_infeasible, judged=judged, later=later)


def _is_infeasible(spec: Spec, params: Params) -> bool:
    try:
        return bool(spec.goals.broken(spec.bind(params), {}))
    except ConfigError:  # a combination that the trials would be refused with
        return True
