"""How much of a space can be trained, as far as that can be told without data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuner.config.spec import Spec
from tuner.errors import ConfigError
from tuner.workflows.points import Fit, fit_of

N_DRAWN = 300
"""Random trials that are looked at: the share is then right to some 3 per cent."""
N_BEFORE_SEARCH = 100
"""The same before a search, while the first worker loads torch: 40 ms (`mlp.yaml`, a busy 2-core x86 server)."""
WORTH_SAYING = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasible:
    """Of random trials, how many are refused before they train; which constraints need a model to be judged."""

    fit: Fit
    judged: tuple[str, ...]
    later: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people; nothing where nothing is refused and nothing is asked for."""
        found = []
        if self.judged or self.later:
            parts = [f"{len(self.judged) + len(self.later)} constraints"]
            if self.judged:
                share = self.fit.n_broken / self.fit.n_drawn
                parts.append(f"{share:.0%} of {self.fit.n_drawn} random trials break one by params")
            if self.later:
                parts.append(f"judged by the search: {', '.join(self.later)}")
            found.append(f"{parts[0]}; {'; '.join(parts[1:])}")
        if self.fit.n_misfits:
            which = f"{self.fit.n_misfits / self.fit.n_drawn:.0%} of {self.fit.n_drawn} random trials"
            found.append(f"{which} have values that do not go together: {self.fit.example}")
        return found

    def to_json(self) -> dict[str, Any]:
        constraints = [*self.judged, *self.later]
        is_known = bool(self.judged or self.fit.n_misfits)
        share = self.fit.share if is_known else None
        return {
            **({"constraints": constraints} if constraints else {}),
            **({"infeasible_share": share} if constraints or is_known else {}),
        }


def share_of_feasible(spec: Spec) -> Feasible:
    """Draw random trials of the space and judge what needs no model."""
    judged = tuple(item.text for item in spec.constraints if all("." in name.name for name in item.names))
    later = tuple(item.text for item in spec.constraints if item.text not in judged)
    return Feasible(fit=fit_of(spec, N_DRAWN), judged=judged, later=later)


def refuse_misfits(spec: Spec) -> str:
    """What to say of a space where some values do not go together; ConfigError where no drawn ones do."""
    fit = fit_of(spec, N_BEFORE_SEARCH)
    if fit.n_misfits and fit.n_misfits == fit.n_drawn:
        raise ConfigError(f"{spec.file}: space: none of {fit.n_drawn} random trials can be trained: {fit.example}")
    if not fit.n_misfits or fit.n_misfits < WORTH_SAYING * fit.n_drawn:
        return ""
    share = fit.n_misfits / fit.n_drawn
    return f"about {share:.0%} of the space has values that do not go together, and is not trained: {fit.example}"
