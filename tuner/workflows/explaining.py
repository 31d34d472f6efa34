"""What a search decided by itself, and why: worked out again from what is stored."""

from __future__ import annotations

from tuner.config.spec import Spec
from tuner.study.queries import StudyReader


def explain(storage: str, name: str | None) -> list[str]:
    """Lines about the schedule of a study; none where it has nothing to say."""
    reader = StudyReader.open(storage)
    study = reader.study(name)
    if not study.uid:
        return []
    spec = Spec.from_json(reader.header(study)["spec"])
    if spec.search.pruner.kind != "asha":
        return []
    from tuner.control.asha import build_schedule  # numpy

    schedule = build_schedule(
        spec.search.pruner, max_epochs=spec.max_epochs(), maximize=spec.maximize, signs=study.signs
    )
    assert schedule is not None
    curves, vectors = reader.curves(study), reader.vectors(study)
    for trial in reader.trials(study):
        of_several = vectors.get(trial.number, {})
        curve = curves.get(trial.number, {}) or {epoch: vector[study.lead] for epoch, vector in of_several.items()}
        schedule.recall(trial.number, spec.epochs_of(trial.params), curve, trial.state, trial.reason, of_several)
    return schedule.explain()
