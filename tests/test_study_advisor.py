"""Samplers and pruners: what Optuna itself would do, and the same again after a resume from studies.db."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import pruners, samplers

from tuner.config.spec import Spec, load
from tuner.control.controller import Controller, TrialState
from tuner.data.info import DataInfo
from tuner.seeding import derive_32
from tuner.space.parameters import Choices, Params, Scalar, Space
from tuner.study.advisor import StudyAdvisor
from tuner.study.samplers import build_pruner
from tuner.study.storage import open_optuna
from tuner.study.store import StudyStore
from tuner.training.events import Decision, EpochEnd

INFO = DataInfo(
    kind="digits",
    task="classification",
    input_shape=(1, 8, 8),
    n_targets=10,
    labels=(),
    n_train=8,
    n_val=1,
    n_test=1,
    fingerprint="f",
    in_memory=True,
)
BRANCHED = """
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.5, high: 0.99, when: {optimizer.kind: sgd}}
  model.depth: {low: 1, high: 3}
  model.width: {low: 16, high: 64, log: true, each: model.depth}
  model.dropout: {low: 0.0, high: 0.6, step: 0.05}
"""
FLAT = """
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.weight_decay: {low: 0.0, high: 0.5}
  model.dropout: {low: 0.0, high: 0.6, step: 0.05}
"""
TPE = "{kind: tpe, n_startup_trials: 4}"
GP = "{kind: gp, n_startup_trials: 3}"
SAMPLERS = [
    ("auto", BRANCHED, 14),
    ("random", BRANCHED, 8),
    (TPE, BRANCHED, 14),
    (TPE, FLAT, 10),
    ("cmaes", FLAT, 16),
    ("cmaes", BRANCHED, 10),
    ("qmc", FLAT, 8),
    ("{kind: qmc, qmc_type: halton, scramble: false}", BRANCHED, 8),
    ("{kind: nsga2, population_size: 3}", BRANCHED, 14),
    ("{kind: nsga3, population_size: 3}", FLAT, 14),
    ("{kind: grid, points: 2}", BRANCHED, 12),
]
MAX_EPOCHS = 9


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Spec]:
    def read(space: str = FLAT, *, sampler: str = "random", pruner: str = "none", metric: str = "loss") -> Spec:
        file = tmp_path / "space.yaml"
        file.write_text(
            "study: s\nseed: 7\n"
            f"objective: {{metric: {metric}}}\n"
            "data: {kind: digits}\nmodel: {kind: mlp}\noptimizer: {kind: adamw}\n"
            f"train: {{epochs: {MAX_EPOCHS}}}\nspace:{space}"
            f"search: {{sampler: {sampler}, pruner: {pruner}}}\n"
        )
        return load(file)

    return read


def advisor_of(spec: Spec, *, seed: int | None = None, history: Any = ()) -> StudyAdvisor:
    return StudyAdvisor(
        name=spec.study,
        space=spec.space,
        search=spec.search,
        maximize=spec.maximize,
        seed=spec.seed if seed is None else seed,
        max_epochs=spec.max_epochs(),
        history=history,
    )


def loss(params: Params, epoch: int) -> float:
    """A stand-in for training: good around lr 0.01, sgd and little dropout, better with every epoch."""
    distance = abs(math.log10(float(params["optimizer.lr"] or 1)) + 2) + float(params["model.dropout"] or 0)
    return distance + (params.get("optimizer.kind") != "sgd") + 1 / epoch


ENDS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAILED)
"""How trials end, in turn."""


@dataclass
class Search:
    """Two workers, from the driver's seat: while a trial is asked for, the one before is still training."""

    spec: Spec
    url: str | None = None
    n_asked: int = 0
    running: list[tuple[int, Params]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store: StudyStore | None = None
        if self.url is not None:
            self.storage = open_optuna(self.url)
            self.store = StudyStore(self.storage, self.url, self.spec.study)
            self.store.create(self.spec, INFO, {}, {})
            self.store.history()
        self.advisor = advisor_of(self.spec)

    def resume(self) -> None:
        """Forget everything but what SQLite has; opening the file anew takes a tenth of a second, and adds nothing."""
        assert self.url is not None
        self.store = StudyStore(self.storage, self.url, self.spec.study)
        assert self.store.find() is not None
        self.advisor = advisor_of(self.spec, history=self.store.history())

    def ask(self) -> Params | None:
        params = self.advisor.suggest(self.n_asked)
        if params is not None:
            if self.store is not None:
                self.store.record_ask(self.advisor.record_of(self.n_asked), config="{}", seed=0)
            self.running.append((self.n_asked, params))
            self.train(*self.running[-1], epochs=(1, 2))
            self.n_asked += 1
        while len(self.running) > (params is not None):
            self.end(*self.running.pop(0))
        return params

    def train(self, trial: int, params: Params, epochs: tuple[int, ...]) -> None:
        for epoch in epochs:
            value = loss(params, epoch)
            if self.store is not None:
                self.store.record_epochs([epoch_end(trial, epoch, value)], "val/loss")
            self.advisor.report(trial, epoch, value)

    def end(self, trial: int, params: Params) -> None:
        self.train(trial, params, epochs=(3,))
        state = ENDS[trial % len(ENDS)]
        value = loss(params, 3) if state is TrialState.COMPLETE else None
        self.advisor.finish(trial, state, value)
        if self.store is not None:
            self.store.finish(trial, state, value=value, best_epoch=3 if value else 0)


def epoch_end(trial: int, epoch: int, value: float) -> EpochEnd:
    return EpochEnd(trial=trial, attempt=1, epoch=epoch, metrics={"val/loss": value}, seconds=1.0, checkpoint=None)


def params_of(search: Search, n_trials: int, resumed_before: tuple[int, ...] = ()) -> list[Params | None]:
    found = []
    for trial in range(n_trials):
        if trial in resumed_before:
            search.resume()
        found.append(search.ask())
    return found


# ------------------------------------------------------------------------------------------------------------- samplers


def holds(space: Space, params: Params) -> bool:
    """Whether params are present exactly where their conditions hold, and inside their domains."""
    expected = {parameter.name for parameter in space.parameters if parameter.is_active(params)}
    return set(params) == expected and all(is_inside(space, name, value) for name, value in params.items())


def is_inside(space: Space, name: str, value: Scalar) -> bool:
    domain = space[name].domain
    if isinstance(domain, Choices):
        return value in domain.labels
    assert isinstance(value, (int, float))
    if domain.step is not None:
        n_steps = (value - domain.low) / domain.step
        if abs(n_steps - round(n_steps)) > 1e-9:
            return False
    return domain.low <= value <= domain.high


@pytest.mark.parametrize(("sampler", "space", "n_trials"), SAMPLERS)
def test_params_are_in_their_domains_and_exist_where_their_conditions_hold(
    read: Callable[..., Spec], sampler: str, space: str, n_trials: int
) -> None:
    spec = read(space, sampler=sampler)
    found = params_of(Search(spec), n_trials)
    assert all(params is not None and holds(spec.space, params) for params in found)
    n_different = len({frozenset(params.items()) for params in found if params})
    assert n_different == n_trials or "nsga" in sampler  # a child may be equal to its parent


@pytest.mark.parametrize(("sampler", "space", "n_trials"), SAMPLERS)
def test_a_resumed_study_suggests_what_an_unbroken_one_does(
    read: Callable[..., Spec], tmp_path: Path, sampler: str, space: str, n_trials: int
) -> None:
    spec = read(space, sampler=sampler)
    unbroken = params_of(Search(spec), n_trials)
    resumed = params_of(Search(spec, f"sqlite:///{tmp_path}/s.db"), n_trials, resumed_before=tuple(range(1, n_trials)))
    assert resumed == unbroken


@pytest.mark.slow  # Optuna's GP imports torch
def test_a_resumed_gp_suggests_what_an_unbroken_one_does(read: Callable[..., Spec], tmp_path: Path) -> None:
    spec = read(FLAT, sampler=GP)
    unbroken = params_of(Search(spec), 7)
    assert all(params is not None and holds(spec.space, params) for params in unbroken)
    assert params_of(Search(spec, f"sqlite:///{tmp_path}/s.db"), 7, resumed_before=(1, 6)) == unbroken


def optuna_sampler(kind: str, seed: int, **options: Any) -> samplers.BaseSampler:
    if kind == "qmc":
        independent = samplers.RandomSampler(seed=seed)
        return samplers.QMCSampler(
            seed=derive_32(7, "sampler"), independent_sampler=independent, warn_independent_sampling=False, **options
        )
    classes: dict[str, Callable[..., samplers.BaseSampler]] = {
        "random": samplers.RandomSampler,
        "tpe": samplers.TPESampler,
        "cmaes": samplers.CmaEsSampler,
        "nsga2": samplers.NSGAIISampler,
        "nsga3": samplers.NSGAIIISampler,
    }
    return classes[kind](seed=seed, **options)


def suggest_branched(trial: optuna.Trial) -> dict[str, Scalar]:
    params: dict[str, Scalar] = {
        "optimizer.kind": trial.suggest_categorical("optimizer.kind", ["adamw", "sgd"]),
        "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True),
    }
    if params["optimizer.kind"] == "sgd":
        params["optimizer.momentum"] = trial.suggest_float("optimizer.momentum", 0.5, 0.99)
    depth = params["model.depth"] = trial.suggest_int("model.depth", 1, 3)
    for layer in range(depth):
        params[f"model.width.{layer}"] = trial.suggest_int(f"model.width.{layer}", 16, 64, log=True)
    params["model.dropout"] = trial.suggest_float("model.dropout", 0.0, 0.6, step=0.05)
    return params


def suggest_flat(trial: optuna.Trial) -> dict[str, Scalar]:
    return {
        "optimizer.lr": trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True),
        "optimizer.weight_decay": trial.suggest_float("optimizer.weight_decay", 0.0, 0.5),
        "model.dropout": trial.suggest_float("model.dropout", 0.0, 0.6, step=0.05),
    }


def optuna_params(
    suggest: Callable[[optuna.Trial], dict[str, Scalar]], n_trials: int, kind: str, **options: Any
) -> list[dict[str, Scalar]]:
    """What plain Optuna suggests in the same situation: the oracle."""
    study = optuna.create_study(direction="minimize")
    running: list[tuple[optuna.Trial, dict[str, Scalar]]] = []
    found = []
    for number in range(n_trials):
        study.sampler = optuna_sampler(kind, derive_32(7, "sampler", number), **options)
        trial = study.ask()
        found.append(suggest(trial))
        running.append((trial, found[-1]))
        if len(running) > 1:
            end_in_optuna(study, *running.pop(0))
    return found


def end_in_optuna(study: optuna.Study, trial: optuna.Trial, params: dict[str, Scalar]) -> None:
    for epoch in (1, 2, 3):
        trial.report(loss(params, epoch), epoch)
    state = ENDS[trial.number % len(ENDS)]
    if state is TrialState.COMPLETE:
        study.tell(trial, loss(params, 3))
    else:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED if state is TrialState.PRUNED else FAIL)


FAIL = optuna.trial.TrialState.FAIL


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("sampler", "space", "suggest", "n_trials", "kind", "options"),
    (
        ("random", BRANCHED, suggest_branched, 5, "random", {}),
        (TPE, BRANCHED, suggest_branched, 12, "tpe", {"n_startup_trials": 4, "group": True}),
        (TPE, FLAT, suggest_flat, 12, "tpe", {"n_startup_trials": 4, "group": False}),
        ("cmaes", FLAT, suggest_flat, 14, "cmaes", {"n_startup_trials": 1}),
        ("qmc", FLAT, suggest_flat, 6, "qmc", {"qmc_type": "sobol", "scramble": True}),
        ("{kind: nsga2, population_size: 3}", BRANCHED, suggest_branched, 12, "nsga2", {"population_size": 3}),
        ("{kind: nsga3, population_size: 3}", FLAT, suggest_flat, 12, "nsga3", {"population_size": 3}),
    ),
)
def test_params_are_those_of_optuna(
    read: Callable[..., Spec],
    sampler: str,
    space: str,
    suggest: Callable[[optuna.Trial], dict[str, Scalar]],
    n_trials: int,
    kind: str,
    options: dict[str, Any],
) -> None:
    found = params_of(Search(read(space, sampler=sampler)), n_trials)
    assert found == optuna_params(suggest, n_trials, kind, **options)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_without_groups_tpe_would_suggest_something_else_in_a_conditional_space(read: Callable[..., Spec]) -> None:
    found = params_of(Search(read(BRANCHED, sampler=TPE)), 12)
    assert found != optuna_params(suggest_branched, 12, "tpe", n_startup_trials=4, group=False)


@pytest.mark.parametrize("sampler", ("auto", "random", TPE, "cmaes", "qmc", "{kind: nsga2, population_size: 3}"))
def test_the_same_seed_repeats_a_study_and_another_does_not(read: Callable[..., Spec], sampler: str) -> None:
    spec = read(FLAT, sampler=sampler)

    def first(seed: int) -> Params | None:
        return advisor_of(spec, seed=seed).suggest(0)

    assert first(1) == first(1)
    assert first(1) != first(2)


HASHING = """
import importlib.util, json, sys
where = importlib.util.spec_from_file_location("advisor_test", sys.argv[1])
module = sys.modules["advisor_test"] = importlib.util.module_from_spec(where)
where.loader.exec_module(module)
for line in sys.stdin:
    print(json.dumps(module.params_of(module.Search(module.Spec.from_json(json.loads(line))), 10)))
"""


def test_params_do_not_depend_on_how_a_process_hashes_text(read: Callable[..., Spec]) -> None:
    specs = [read(space, sampler=sampler) for sampler, space, _ in SAMPLERS]
    documents = "\n".join(json.dumps(spec.to_json()) for spec in specs)
    command = [sys.executable, "-c", HASHING, __file__]
    processes = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    first, second = (process.communicate(documents)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(first.splitlines()) == len(specs)
    assert first == second


FIXED = {"optimizer.kind": "sgd", "model.depth": 2, "model.width.0": 40, "model.width.1": 20}


@pytest.mark.parametrize("sampler", ("auto", "random", TPE, "cmaes", "qmc", "{kind: nsga2, population_size: 3}"))
def test_fixed_params_are_taken_over_and_the_others_are_suggested(read: Callable[..., Spec], sampler: str) -> None:
    spec = read(BRANCHED, sampler=sampler)
    search = Search(spec)
    for _ in range(12):
        search.ask()
    params = search.advisor.suggest(12, FIXED)
    assert params is not None
    assert {name: params[name] for name in FIXED} == FIXED
    assert holds(spec.space, params)
    assert search.advisor.record_of(12).params == params
    after = search.advisor.suggest(13)
    assert after is not None
    assert {name: after.get(name) for name in FIXED} != FIXED


def test_a_grid_goes_on_with_its_next_combination_whatever_is_fixed(read: Callable[..., Spec]) -> None:
    spec = read(BRANCHED, sampler="{kind: grid, points: 2}")
    found = [advisor_of(spec).suggest(0, fixed) for fixed in (None, FIXED)]
    assert found[0] == found[1]


@pytest.mark.parametrize("pruner", ("auto", "none", "median", "percentile", "asha"))
def test_our_own_sampler_and_rules_need_no_optuna(read: Callable[..., Spec], pruner: str) -> None:
    assert advisor_of(read(BRANCHED, sampler="auto", pruner=pruner))._mirror is None
    assert advisor_of(read(BRANCHED, sampler=TPE, pruner=pruner))._mirror is not None
    assert advisor_of(read(BRANCHED, sampler="auto", pruner="hyperband"))._mirror is not None


def test_a_record_has_what_the_mirror_has(read: Callable[..., Spec]) -> None:
    spec = read(BRANCHED, sampler="{kind: nsga2, population_size: 3}")
    advisor = advisor_of(spec)
    params = advisor.suggest(0)
    record = advisor.record_of(0)
    assert record.params == params
    assert set(record.distributions) == set(record.params)
    assert record.system_attrs == {"NSGAIISampler:generation": 0}


# -------------------------------------------------------------------------------------------------------------- pruners

PRUNERS: dict[str, tuple[str, Callable[[], pruners.BasePruner]]] = {
    "auto": ("auto", lambda: pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)),
    "none": ("none", pruners.NopPruner),
    "median": (
        "{kind: median, n_startup_trials: 2, n_warmup_epochs: 2, interval_epochs: 2}",
        lambda: pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2, interval_steps=2),
    ),
    "percentile": (
        "{kind: percentile, percentile: 60, n_startup_trials: 3, n_min_trials: 2}",
        lambda: pruners.PercentilePruner(60.0, n_startup_trials=3, n_warmup_steps=1, n_min_trials=2),
    ),
    "successive_halving": (
        "{kind: successive_halving, min_epochs: 1, eta: 2}",
        lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
    ),
    "hyperband": (
        "{kind: hyperband, eta: 2}",
        lambda: pruners.HyperbandPruner(min_resource=1, max_resource=MAX_EPOCHS, reduction_factor=2),
    ),
    "patient": ("{kind: patient, patience: 2}", lambda: pruners.PatientPruner(None, patience=2)),
    "patient over median": (
        "{kind: patient, patience: 1, wrapped: {kind: median, n_startup_trials: 2}}",
        lambda: pruners.PatientPruner(pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1), patience=1),
    ),
    "threshold": (
        "{kind: threshold, lower: 0.1, upper: 0.9, n_warmup_epochs: 1}",
        lambda: pruners.ThresholdPruner(lower=0.1, upper=0.9, n_warmup_steps=1),
    ),
    "wilcoxon": ("wilcoxon", lambda: pruners.WilcoxonPruner(p_threshold=0.1, n_startup_steps=2)),
}
OPTUNAS = ("successive_halving", "hyperband", "patient", "patient over median", "threshold", "wilcoxon")
"""Those that our own rules do not cover."""
N_CURVES = 24


def curves() -> list[list[float]]:
    """Learning curves in (0, 1), some of them shorter, as after early stopping."""
    rng = random.Random(5)
    found = []
    for trial in range(N_CURVES):
        level = rng.random()
        n_epochs = MAX_EPOCHS if trial % 4 else rng.randint(3, MAX_EPOCHS)
        found.append([min(0.999, max(0.001, level + rng.uniform(-0.2, 0.2))) for _ in range(n_epochs)])
    return found


@pytest.mark.parametrize("pruner", ("auto", "hyperband"))
def test_behind_any_pruner_a_resumed_auto_study_suggests_what_an_unbroken_one_does(
    read: Callable[..., Spec], tmp_path: Path, pruner: str
) -> None:
    spec = read(BRANCHED, sampler="auto", pruner=pruner)
    unbroken = params_of(Search(spec), 20)
    resumed = params_of(Search(spec, f"sqlite:///{tmp_path}/s.db"), 20, resumed_before=(3, 12, 19))
    assert resumed == unbroken


def decisions_of(spec: Spec, url: str | None = None, resumed_before: tuple[int, ...] = ()) -> list[list[bool]]:
    """Whether each epoch of each curve was told to stop; trials train one after the other."""
    search = Search(spec, url)
    found: list[list[bool]] = []
    for trial, curve in enumerate(curves()):
        found.append([])
        if trial in resumed_before:
            search.resume()
        controller = controller_of(search, next_trial=trial)
        assert controller.ask() is not None
        if search.store is not None:
            search.store.record_ask(search.advisor.record_of(trial), config="{}", seed=0)
        state = TrialState.COMPLETE
        for epoch, value in enumerate(curve, start=1):
            if search.store is not None:
                search.store.record_epochs([epoch_end(trial, epoch, value)], "val/loss")
            if (trial, epoch) in {(t, 2) for t in resumed_before}:  # recorded, not judged, killed
                search.resume()
                controller = controller_of(search, next_trial=trial + 1)
                controller.reopen(trial, {}, curve[:epoch])
                decision = controller.judge(trial)
            else:
                decision = controller.report(trial, epoch, value)
            found[-1].append(decision is Decision.STOP)
            if decision is Decision.STOP:
                state = TrialState.PRUNED
                break
        best_epoch, _ = controller.best_epoch(trial)
        told = controller.finish(trial, state)
        if search.store is not None:
            search.store.finish(trial, state, value=told, best_epoch=best_epoch)
    return found


def controller_of(search: Search, next_trial: int) -> Controller:
    return Controller(
        advisor=search.advisor,
        maximize=search.spec.maximize,
        n_trials=None,
        epochs_of=lambda _params: MAX_EPOCHS,
        next_trial=next_trial,
    )


def optuna_decisions(pruner: Callable[[], pruners.BasePruner], *, maximize: bool) -> list[list[bool]]:
    """The same curves in a plain Optuna loop: the oracle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "WilcoxonPruner finds steps")
        study = optuna.create_study(
            study_name="s",
            direction="maximize" if maximize else "minimize",
            pruner=pruner(),
            sampler=samplers.RandomSampler(0),
        )
        return optuna_loop(study, maximize=maximize)


def optuna_loop(study: optuna.Study, *, maximize: bool) -> list[list[bool]]:
    found: list[list[bool]] = []
    for curve in curves():
        trial = study.ask()
        trial.suggest_float("optimizer.lr", 1e-4, 1e-1, log=True)
        found.append([])
        for epoch, value in enumerate(curve, start=1):
            trial.report(value, epoch)
            stop = bool(trial.should_prune()) and epoch < MAX_EPOCHS
            found[-1].append(stop)
            if stop:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, max(curve) if maximize else min(curve))
    return found


@pytest.mark.parametrize("metric", ("loss", "accuracy"))
@pytest.mark.parametrize("name", PRUNERS)
def test_decisions_are_those_of_optuna(read: Callable[..., Spec], name: str, metric: str) -> None:
    text, oracle = PRUNERS[name]
    spec = read(pruner=text, metric=metric)
    expected = optuna_decisions(oracle, maximize=metric == "accuracy")
    assert decisions_of(spec) == expected
    assert any(any(stops) for stops in expected) is (name != "none")
    assert not all(any(stops) for stops in expected)


@pytest.mark.parametrize("name", ("auto", "successive_halving", "hyperband", "patient over median", "wilcoxon"))
def test_a_resumed_study_decides_what_an_unbroken_one_does(
    read: Callable[..., Spec], tmp_path: Path, name: str
) -> None:
    spec = read(pruner=PRUNERS[name][0])
    resumed = decisions_of(spec, f"sqlite:///{tmp_path}/s.db", resumed_before=(1, 9, 10, 17))
    assert resumed == decisions_of(spec)


@pytest.mark.parametrize("sampler", (TPE, "qmc"))
def test_behind_hyperband_a_resumed_study_suggests_what_an_unbroken_one_does(
    read: Callable[..., Spec], tmp_path: Path, sampler: str
) -> None:
    spec = read(sampler=sampler, pruner="{kind: hyperband, eta: 2}")
    found = []
    for url, resumed_before in ((None, ()), (f"sqlite:///{tmp_path}/s.db", (12, 18))):
        search = Search(spec, url)
        params = []
        for trial in range(22):
            if trial in resumed_before:
                search.resume()
            params.append(search.ask())
            for number, _ in search.running:
                search.advisor.should_stop(number)
        found.append(params)
    assert found[0] == found[1]


def test_a_best_trial_that_was_stopped_early_is_no_reason_to_warn(read: Callable[..., Spec]) -> None:
    controller = controller_of(Search(read(pruner="wilcoxon")), next_trial=0)
    for value, n_epochs in ((0.1, 3), (0.2, 6)):
        job = controller.ask()
        assert job is not None
        decisions = [controller.report(job.trial, epoch, value) for epoch in range(1, n_epochs + 1)]
        controller.finish(job.trial, TrialState.COMPLETE)
    assert decisions == [Decision.CONTINUE] * 6  # Optuna would warn at epochs 4, 5 and 6: an error here


def resources(pruner: pruners.BasePruner) -> Iterator[Any]:
    for name, value in vars(pruner).items():
        if isinstance(value, pruners.BasePruner):
            yield from resources(value)
        elif name.endswith(("_resource", "_factor", "_steps", "_trials", "_rate", "_patience")):
            yield value


@pytest.mark.parametrize("name", OPTUNAS)
def test_every_resource_of_a_pruner_is_an_integer(read: Callable[..., Spec], name: str) -> None:
    spec = read(pruner=PRUNERS[name][0])
    found = list(resources(build_pruner(spec.search.pruner, max_epochs=MAX_EPOCHS)))
    assert {type(value) for value in found} == {int}


def test_hyperband_goes_up_to_the_most_epochs_that_the_space_allows(read: Callable[..., Spec]) -> None:
    spec = read("\n  train.epochs: {low: 2, high: 27}\n", pruner="hyperband")
    pruner = build_pruner(spec.search.pruner, max_epochs=spec.max_epochs())
    assert vars(pruner)["_max_resource"] == 27


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf))
@pytest.mark.parametrize("metric", ("loss", "accuracy"))
def test_what_is_not_finite_stops_the_trial_and_never_reaches_optuna(
    read: Callable[..., Spec], metric: str, value: float
) -> None:
    search = Search(read(pruner="median", metric=metric))
    assert search.advisor._mirror is not None
    mirror = search.advisor._mirror._study
    controller = controller_of(search, next_trial=0)
    controller.ask()
    controller.report(0, 1, 0.5)
    assert controller.report(0, 2, value) is Decision.STOP
    assert mirror.trials[0].intermediate_values == {1: 0.5}
    assert controller.best_epoch(0) == (1, 0.5)
    assert controller.finish(0, TrialState.PRUNED) is None
    assert mirror.trials[0].value == 0.5
