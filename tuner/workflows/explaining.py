"""What a search decided by itself, and why: worked out again from what is stored."""

from __future__ import annotations

from tuner.config.schema import AutoSampler as AutoSection
from tuner.config.spec import Spec
from tuner.control.controller import INFEASIBLE, TrialState
from tuner.study.curves import curves_of
from tuner.study.queries import StudyReader

_OVER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


def explain(storage: str, name: str | None) -> list[str]:
    """Lines about the sampler and the schedule of a study; none where they have nothing to say."""
    reader = StudyReader.open(storage)
    study = reader.study(name)
    if not study.uid:
        return []
    from tuner.control.asha import build_schedule  # numpy
    from tuner.control.auto import AutoSampler
    from tuner.control.defaults import pruner_of
    from tuner.control.levels import levels_of

    spec = Spec.from_json(reader.header(study)["spec"])
    pruner = pruner_of(spec.search, max_epochs=spec.max_epochs())
    schedule = build_schedule(pruner, max_epochs=spec.max_epochs(), maximize=spec.maximize, signs=study.signs)
    sampler = None
    if isinstance(spec.search.sampler, AutoSection):
        levels = levels_of(pruner, max_epochs=spec.max_epochs())
        sampler = AutoSampler(
            spec.space, seed=spec.seed, maximize=spec.maximize, signs=study.signs, level_epochs=levels
        )
    curves, vectors = curves_of(reader, study), reader.vectors(study)
    for trial in reader.trials(study):
        of_several = vectors.get(trial.number, {})
        curve = curves.get(trial.number, {}) or {epoch: vector[study.lead] for epoch, vector in of_several.items()}
        if schedule is not None:
            schedule.recall(trial.number, spec.epochs_of(trial.params), curve, trial.state, trial.reason, of_several)
            if trial.reason == INFEASIBLE:
                schedule.refuse(trial.number)
        if sampler is not None:
            sampler.recall(trial.number, trial.params, curve, trial.reason, of_several)
            if trial.state in _OVER:
                values = tuple(trial.values.values()) if trial.values else ()
                broken = {"": 1.0} if trial.reason == INFEASIBLE else {}
                sampler.finish(trial.number, trial.state, trial.value, values, broken)
    lines = [] if sampler is None else [f"sampler auto: {sampler.explain()}"]
    return [*lines, *(schedule.explain() if schedule is not None else ())]
