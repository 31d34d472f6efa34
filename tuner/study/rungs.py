"""What SuccessiveHalving and Hyperband note on a trial at each rung, worked out again from the trial's curve.

Optuna keeps these notes as system attributes of the trial, and compares a trial with the notes of the others. They are
not stored, which would cost one more commit a rung: the note of a rung is the value of one epoch of the same trial, so
that the curve holds it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner


def takes_notes(pruner: BasePruner) -> bool:
    """Whether a pruner's decisions depend on what it noted before."""
    return isinstance(pruner, (SuccessiveHalvingPruner, HyperbandPruner))


def notes_of(pruner: BasePruner, *, study_name: str, trial: int, curve: Mapping[int, float]) -> dict[str, Any]:
    """The attributes that `pruner` leaves on a trial of this number that it judged after every epoch of `curve`.

    Nothing that the notes depend on is missing in a study of one trial: which rung comes next is up to the trial's own
    notes, and Hyperband's bracket up to the names.
    """
    storage = optuna.storages.InMemoryStorage()
    alone = optuna.create_study(
        storage=storage, study_name=study_name, pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    trial_id = storage.create_new_trial(alone._study_id)  # noqa: SLF001
    for epoch, value in sorted(curve.items()):
        storage.set_trial_intermediate_value(trial_id, epoch, value)
        judged = storage.get_trial(trial_id)
        judged.number = trial
        pruner.prune(alone, judged)
    return storage.get_trial(trial_id).system_attrs
