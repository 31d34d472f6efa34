"""What a search decided by itself, and why: worked out again from what is stored."""

from __future__ import annotations

from tuner.config.spec import Spec
from tuner.study.curves import curves_of
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

    schedule = build_schedule(spec.search.pruner, max_epochs=spec.max_epochs(), maximize=spec.maximize)
    assert schedule is not None
    curves = curves_of(reader, study)
    for trial in reader.trials(study):
        curve = curves.get(trial.number, {})
        schedule.recall(trial.number, spec.epochs_of(trial.params), curve, trial.state, trial.reason)
    return schedule.explain()
