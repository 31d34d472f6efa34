"""A checked space file, and the config of each trial that it describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.config import differences, edits, own
from tuner.config.averages import check_averages
from tuner.config.bind import PerLayer, UnplaceableError, decode, section_data
from tuner.config.bounds import check_bounds
from tuner.config.comparable import check_targets_in_inputs, check_windows
from tuner.config.compile import Compiled, compile_space
from tuner.config.constraints import read_constraints
from tuner.config.expressions import Constraint
from tuner.config.files import find_file, shown
from tuner.config.goals import Goals
from tuner.config.messages import Problems
from tuner.config.objectives import check_loss, check_search, read_objectives
from tuner.config.recorded import Recorded, read_metrics
from tuner.config.schema import DEFAULT_KINDS, Confirm, Objective, Search, Section, TrialConfig
from tuner.config.schema.trackers import TrackerSection
from tuner.config.searching import (
    check_grid,
    check_root,
    read_confirm,
    read_search,
    read_seed,
    read_study,
    task_of,
)
from tuner.config.sections import KINDS, TRIAL_SECTIONS, Fault, class_of, kind_in, read_section, validate
from tuner.config.tracking import read_trackers
from tuner.errors import ConfigError, Place
from tuner.space.document import Located, Mark, located, read
from tuner.space.parameters import Choices, Params, Space

__all__ = ["Spec", "find_file", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A checked space file: the base config, what is varied, and how it is searched."""

    study: str
    seed: int
    base: TrialConfig
    space: Space
    per_layer: tuple[PerLayer, ...]
    """The lists of layers that `each:` asks for."""
    objectives: tuple[Objective, ...]
    """In the order of the file; each with its direction, always."""
    constraints: tuple[Constraint, ...]
    recorded: Recorded
    """The metrics that the file names beside them."""
    search: Search
    confirm: Confirm | None
    trackers: tuple[TrackerSection, ...]
    """Who is told what the search does; they change no trial."""
    base_dir: Path
    """The folder of the space file, which relative paths in it are relative to."""
    file: str
    """The space file as messages name it."""
    document: dict[str, Any]
    """The file's data after all edits; plain, and enough to build an equal Spec. The order of `space` matters."""

    @property
    def goals(self) -> Goals:
        return Goals(objectives=self.objectives, constraints=self.constraints, recorded=self.recorded)

    @property
    def objective(self) -> Objective:
        """The one objective; of several the one that tells a trial's best epoch."""
        return self.goals.lead

    @property
    def maximize(self) -> bool:
        return self.objective.direction == "maximize"

    def bind(self, params: Params) -> TrialConfig:
        """The config of the trial with these params; without any, the base config.

        Parameters that are left out keep the base config's value. Raises ConfigError when the values do not go
        together, or are not of this space.
        """
        values = decode(self.space, self.per_layer, params)
        sections: dict[str, Section] = {}
        places: list[Place] = []
        for name in (name for name in TRIAL_SECTIONS if getattr(self.base, name) is not None):
            found = _bound(name, self.document.get(name) or {}, values)
            if isinstance(found, Section):
                sections[name] = found
            else:
                places.extend(_place(name, fault) for fault in found)
        if places:
            raise ConfigError.of(places)
        return _trial_config(self.seed, self.objective, sections)

    def on_fold(self, config: TrialConfig, turn: int) -> TrialConfig:
        """The config with the fold that validates it, where there are folds: they take turns."""
        if "data" not in config.model_fields_set:  # own training code has left it out
            return config
        split = config.data.split
        if split.folds is None:
            return config
        data = config.data.model_copy(update={"split": split.model_copy(update={"fold": turn % split.folds})})
        return config.model_copy(update={"data": data})

    def on_cut(self, config: TrialConfig, cut: int) -> TrialConfig:
        """The config with another validation part: the `cut`th after the search's own. Some splits know only one."""
        if "data" not in config.model_fields_set or config.data.is_settled:
            return config
        split = config.data.split.model_copy(update={"cut": config.data.split.cut + cut})
        return config.model_copy(update={"data": config.data.model_copy(update={"split": split})})

    def choices_of(self, name: str) -> tuple[str, ...]:
        """The values that a parameter of the space chooses among; () when it does not vary."""
        domains = (parameter.domain for parameter in self.space.parameters if parameter.name == name)
        return tuple(str(value) for domain in domains if isinstance(domain, Choices) for value in domain.values)

    def max_epochs(self) -> int:
        """The most epochs that a trial of this space can be asked to train."""
        for parameter in self.space.parameters:
            if parameter.name == "train.epochs":
                domain = parameter.domain
                most = max(domain.values) if isinstance(domain, Choices) else domain.high
                return int(max(most, self.base.train.epochs) if parameter.conditions else most)
        return self.base.train.epochs

    def epochs_of(self, params: Params) -> int:
        """The epochs that the trial with these params is asked to train."""
        return int(params.get("train.epochs", self.base.train.epochs) or 1)

    def confirm_epochs(self, n_trials: int | None = None) -> int:
        """The most epochs that confirming takes, after a search of so many trials; early stopping makes them fewer."""
        if self.confirm is None:
            return 0
        top = self.confirm.top if n_trials is None else min(self.confirm.top, n_trials)
        return top * self.confirm.seeds * self.max_epochs()

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` builds an equal Spec."""
        return {"file": self.file, "base_dir": str(self.base_dir), "document": self.document}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        """The Spec that `to_json` was made from. Raises ConfigError when this version does not accept it any more."""
        file = str(data["file"])
        root = located(data["document"], Mark(file=file))
        return _check(root, file, Path(data["base_dir"]), frozenset(), Problems())

    def differences(self, other: Spec) -> list[str]:
        """What changes trials between this and another spec: `optimizer.lr: 0.001 -> {low: 0.0001, high: 0.1}`.

        The study's name, `search`, `confirm`, `trackers`, `train.device` and `train.epoch_timeout` change no trial.
        """
        return differences.between(self.document, self.base, self.goals, other.document, other.base, other.goals)


def load(path: Path, sets: Sequence[str | edits.Given] = (), overrides: Mapping[str, Any] | None = None) -> Spec:
    """Read and check a space file.

    `sets` are KEY=VALUE texts of `--set`; `overrides` are values by dotted path, such as {"search.trials": 20}; the
    last one wins.
    Raises ConfigError with every problem at once, NotFoundError when there is no such file.
    """
    file = shown(path)
    root, found = read(path, file)
    problems = Problems(found)
    changes = [*edits.read_sets(sets, problems), *edits.read_overrides(overrides or {})]
    root, released = edits.apply(root, changes, problems)
    return _check(root, file, path.absolute().parent, released, problems)


def _check(root: Located, file: str, base_dir: Path, released: frozenset[str], problems: Problems) -> Spec:
    check_root(root, problems)
    study, seed = read_study(root, file, problems), read_seed(root, problems)
    needed = [name for name in TRIAL_SECTIONS if name not in own.sections_left_out(root)]
    sections = {name: read_section(name, root.items.get(name), root, problems) for name in needed}
    recorded = read_metrics(root, task_of(sections.get("data")), problems)
    objectives = read_objectives(root, sections.get("data"), recorded.own, problems)
    search = read_search(root, problems)
    own.check(root, needed, problems)
    compiled = _compile(root, sections, released, problems)
    if not problems:
        check_averages(root, sections.get("train"), compiled.space, problems)
    check_windows(root, sections.get("data"), compiled.space, problems)
    check_targets_in_inputs(root, sections.get("data"), compiled.space, problems)
    confirm = read_confirm(root, compiled.space, problems, n_objectives=len(objectives or ()) or 1)
    if search is not None:
        check_grid(root, search, compiled.space, problems)
        check_search(root, objectives or (), search, problems)
    check_loss(root, objectives or (), compiled.space, task_of(sections.get("data")), problems)
    trackers = read_trackers(root, problems)
    constraints = read_constraints(root, sections, compiled, objectives or (), recorded.own, problems)
    problems.raise_if_any()
    assert objectives is not None
    assert search is not None
    lead = Goals(objectives=objectives).lead
    return Spec(
        study=study,
        seed=seed,
        base=_trial_config(seed, lead, {name: section for name, section in sections.items() if section}),
        space=compiled.space,
        per_layer=compiled.per_layer,
        objectives=objectives,
        constraints=constraints,
        recorded=recorded,
        search=search,
        confirm=confirm,
        trackers=trackers,
        base_dir=base_dir,
        file=file,
        document={**edits.without(root, compiled.dropped).plain(), "study": study},
    )


def _compile(
    root: Located, sections: Mapping[str, Section | None], released: frozenset[str], problems: Problems
) -> Compiled:
    base = {name: _plain_mapping(root.items.get(name)) for name in TRIAL_SECTIONS}
    kinds = {name: _base_kind(name, root.items.get(name)) for name in TRIAL_SECTIONS if name in KINDS}
    compiled = compile_space(root, sections, kinds, released, problems)
    check_bounds(compiled, base, problems)
    return compiled


def _plain_mapping(node: Located | None) -> dict[str, Any]:
    return {key: item.plain() for key, item in node.items.items()} if node else {}


def _base_kind(name: str, node: Located | None) -> str | None:
    """The kind that the base config has, also where the rest of the section is wrong; None when the kind is."""
    if node is not None and node.value is not None and not isinstance(node.value, dict):
        return None
    kind = node.items.get("kind") if node else None
    value = kind.value if kind else DEFAULT_KINDS.get(name)
    return value if isinstance(value, str) and value in KINDS[name] else None


def _bound(name: str, base: Mapping[str, Any], values: Mapping[str, Any]) -> Section | list[Fault]:
    try:
        data = section_data(name, base, values)
    except UnplaceableError as error:
        return [error.fault]
    return validate(class_of(name, kind_in(name, data)), data)


def _place(section: str, fault: Fault) -> Place:
    return Place(path=".".join((section, *fault.path)), message=fault.message)


def _trial_config(seed: int, objective: Objective, sections: Mapping[str, Section]) -> TrialConfig:
    return TrialConfig.model_validate({"seed": seed, "objective": objective, **sections})
