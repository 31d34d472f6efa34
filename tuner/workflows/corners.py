"""Every kind and the ends of a space, trained for a moment: what `tuner check` says beside what is in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.config.lanes import is_free
from tuner.config.spec import Spec
from tuner.control.draws import corners, distinct
from tuner.control.rehearsal import Range
from tuner.errors import ConfigError
from tuner.execution.processes import ProcessExecutor
from tuner.execution.protocol import Executor, Probed
from tuner.paths import DEFAULT_STORAGE, StudyPaths
from tuner.space.parameters import Params
from tuner.workflows.placing import Earlier, place
from tuner.workflows.points import Kind, at_ends, kinds_of, near_base
from tuner.workflows.probing import Probing

MOST_POINTS = 60
TOTAL_S = 12.0
"""After which no further point is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """What cannot be trained: a point of the space, or a kind at all points that have it."""

    what: str
    problem: str
    is_kind: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a few steps at points of the space came to."""

    n_points: int
    n_left: int
    """Points for which there was no time."""
    n_params: Range | None
    memory_bytes: Range | None
    """Of one worker."""
    unusable: tuple[Unusable, ...]

    def to_json(self) -> dict[str, Any]:
        ranges = {"n_params": self.n_params, "memory_bytes": self.memory_bytes}
        return {
            "points": self.n_points,
            **{name: found and found.to_json() for name, found in ranges.items()},
            "unusable": [{"what": item.what, "problem": item.problem} for item in self.unusable],
        }


def try_out(spec: Spec, storage: str = DEFAULT_STORAGE, executor: Executor | None = None) -> Tried:
    """Read the data as a search would, and train for a moment with every kind and at the ends of the space.

    The decoded data is kept for the search. Raises what a search raises before its first trial, and ConfigError when no
    point can be trained.
    """
    executor = executor or ProcessExecutor()
    executor.start()
    try:
        paths = StudyPaths.of(storage, spec.study)
        placement, _, _ = place(spec, paths, executor, Earlier())
        points = [] if spec.base.is_own_training else _points(spec)  # an epoch of own code can take any time
        problems = _misfits(spec, points)
        probing = Probing(spec=spec, paths=paths, executor=executor, placement=placement)
        fitting = [params for number, params in enumerate(points) if number not in problems]
        found = probing.measured(fitting, budget_s=0.0, total_s=TOTAL_S)
    finally:
        executor.close()
    numbers = {id(params): number for number, params in enumerate(points)}
    problems |= {numbers[id(point.params)]: point.probed.problem for point in found}
    good = [point.probed for point in found if not point.probed.problem]
    if problems and not good:
        raise ConfigError(f"{spec.file}: nothing that the space has can be trained, such as: {problems[min(problems)]}")
    return _tried(good, tuple(_unusable(kinds_of(spec), points, problems)), n_points=len(points), n_tried=len(problems))


def _tried(good: Sequence[Probed], unusable: tuple[Unusable, ...], *, n_points: int, n_tried: int) -> Tried:
    return Tried(
        n_points=n_tried,
        n_left=n_points - n_tried,
        n_params=_span([item.n_params for item in good]),
        memory_bytes=_span([item.memory_bytes for item in good if item.memory_bytes is not None]),
        unusable=unusable,
    )


def _points(spec: Spec) -> list[Params]:
    """Near the base config and at both ends with each kind, then where single parameters end."""
    if not spec.space.parameters:
        return [{}]
    kinds = kinds_of(spec)
    near = [point for kind in kinds if (point := near_base(spec, kind)) is not None]
    extreme = [point for kind in kinds for point in at_ends(spec, kind)]
    single = corners(spec.space, lambda name: not is_free(name))
    return distinct(iter([*near, *extreme, *single]), MOST_POINTS)


def _misfits(spec: Spec, points: Sequence[Params]) -> dict[int, str]:
    """What is wrong with points whose values do not go together, by their numbers."""
    found = {}
    for number, params in enumerate(points):
        try:
            spec.bind(params)
        except ConfigError as error:
            found[number] = str(error)
    return found


def _unusable(kinds: Sequence[Kind], points: Sequence[Params], problems: Mapping[int, str]) -> Iterator[Unusable]:
    """Kinds that fail wherever they were tried, and the other points that fail."""
    wrong: dict[Kind, str] = {}
    for kind in kinds:
        said = [problem for number, problem in problems.items() if kind.is_in(points[number])]
        if said and all(said):
            wrong[kind] = said[0]
    yield from (Unusable(what=str(kind), problem=problem, is_kind=True) for kind, problem in wrong.items())
    for number, problem in sorted(problems.items()):
        if problem and not any(kind.is_in(points[number]) for kind in wrong):
            what = " ".join(f"{name}={value}" for name, value in points[number].items())
            yield Unusable(what=what, problem=problem, is_kind=False)


def _span(values: Sequence[float]) -> Range | None:
    return Range(low=float(min(values)), high=float(max(values))) if values else None
