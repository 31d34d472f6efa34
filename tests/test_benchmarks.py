"""The benchmarks' own parts: JSON, the table and the pictures made of it; and that the scripts still run."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tuner.config.schema import ImageData
from tuner.config.spec import load
from tuner.data.sources import SOURCES
from tuner.errors import NotFoundError
from tuner.study.queries import StudyReader

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
HEADER = {
    "machine": "Some CPU",
    "cores": 2,
    "load": 0.1,
    "versions": {"Python": "3.11.7", "tuner": "0.1.0", "torch": "2.15.0", "optuna": "5.0.0", "numpy": "2.4.6"},
    "command": "python benchmarks/some.py",
}
LOOP_ROW = {"n": 3, "tuner": 9e4, "bare": 9.1e4, "per_sample": 1e4, "sgemm": 2e5}
ROWS: dict[str, list[dict[str, Any]]] = {
    "search": [
        {"side": "tuner", "trials": 100, "wall_s": 11.0},
        {"side": "script", "trials": 100, "wall_s": 250.0},
        {"side": "ray", "trials": 40, "wall_s": 400.0},
    ],
    "training_loop": [
        {"model": "mlp", "batch_size": 32, "products": 1.5e5, **LOOP_ROW},
        {"model": "mlp", "batch_size": 64, "products": 1.5e5, **LOOP_ROW},
        {"model": "cnn", "batch_size": 64, "products": None, **LOOP_ROW},
    ],
    "driver": [{"trials": n, "ask_ms": n / 100} for n in (100, 1000, 5000)] + [{"events_per_s": 900.0}],
    "lanes": [{"model": "mlp", "lanes": k, "speedup": k**0.5} for k in (1, 2, 4)],
    "scaling": [{"workers": k, "epochs_per_s": 0.8 * k} for k in (1, 2)],
    "memory": [{"workers": k, "rss_mb": 500.0 + 300 * k} for k in (1, 2)],
}


def fashion_is_here() -> bool:
    try:
        SOURCES["fashion_mnist"].files(ImageData(kind="fashion_mnist", download=False), Path.cwd())
    except NotFoundError:
        return False
    return True


needs_fashion = pytest.mark.skipif(not fashion_is_here(), reason="Fashion-MNIST is not on this disk")


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmarks are no package: they import one another from their folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def made_up(*names: str, summary: dict[str, float] | None = None) -> dict[str, Any]:
    result = import_module("_machine").Result
    return {name: result(benchmark=name, header=HEADER, rows=ROWS[name], summary=summary or {}) for name in names}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


# ---------------------------------------------------------------------------------------------------------- the figures


def test_saved_figures_are_read_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = import_module("_machine")
    out = tmp_path / "new" / "some.json"
    arguments = ["benchmarks/some.py", "--pairs", "2", "--out", str(out), "--python", "/opt/other/bin/python"]
    monkeypatch.setattr(sys, "argv", arguments)
    parser = argparse.ArgumentParser()
    machine.out_option(parser)
    options, _ = parser.parse_known_args()
    saved = machine.save(options.out, rows=[{"workers": 2, "seconds": 1.5}], summary={"ratio": 1.9})
    assert machine.load(out) == saved
    assert saved.benchmark == "some"
    assert saved.rows == [{"workers": 2, "seconds": 1.5}]
    assert saved.header["command"] == "python benchmarks/some.py --pairs 2 --python python"
    assert machine.header().splitlines()[-1].endswith(saved.header["command"])


def test_nothing_is_saved_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/some.py"])
    assert import_module("_machine").save(None, rows=[]) is None


@pytest.mark.parametrize(
    ("relation", "target", "value", "is_met"),
    (
        (">=", 15, 15.0, True),
        (">=", 15, 14.9, False),
        ("<=", 10, 10.0, True),
        ("<", 5, 5.0, False),
        (">=", None, 1.0, None),
    ),
)
def test_a_claim_is_judged_by_its_relation(relation: str, target: float, value: float, is_met: bool | None) -> None:
    claim = import_module("_claims").Claim(text="", benchmark="", key="", relation=relation, target=target)
    assert claim.is_met(value) is is_met


def test_the_table_has_every_claim_measured_or_not() -> None:
    claims = import_module("_claims")
    table = claims.table(made_up("search", summary={"wall_ratio": 22.73, "retrained_difference": -0.01}))
    assert len(table.splitlines()) == 2 + len(claims.CLAIMS)
    assert "| at least 15 times | 22.7 times | met | `python benchmarks/some.py` |" in table
    assert "| at least -0.005 | -0.0100 | **missed** |" in table
    assert "| at most 400 MB | *not measured yet* | | `python benchmarks/memory.py` |" in table


def test_search_and_training_loop_give_every_figure_that_is_claimed() -> None:
    search, training_loop = import_module("search"), import_module("training_loop")
    best = search.Config(widths=(64,), dropouts=(0.2,), optimizer="adam", lr=1e-3)
    common = {"seed": 0, "trials": 40, "complete": 20, "pruned": 20, "value": 0.8, "best": best}
    runs = [search.Run(side=side, wall_s=s, cpu_s=s, **common) for side, s in (("tuner", 10.0), ("script", 200.0))]
    runs.append(search.Run(side="ray", wall_s=400.0, cpu_s=100.0, **common))
    found = search.summarize(runs, [[0.82, 0.84], [0.83, 0.83], [0.8, 0.8]])
    assert found["wall_ratio"] == 20.0
    assert found["ray_wall_ratio"] == 40.0
    assert found["retrained_difference"] == pytest.approx(0.0)
    ratios = {"to_per_sample": 9.0, "to_bare": 1.0, "to_products": 0.6, "to_sgemm": 0.5}
    rows = [{"width": case.width, "batch_size": case.batch_size, **ratios} for case in training_loop.CASES]
    given = {"search": found, "training_loop": training_loop.summarize(rows)}
    claimed = [claim for claim in import_module("_claims").CLAIMS if claim.benchmark in given]
    assert len(claimed) == 10
    assert [claim for claim in claimed if claim.key not in given[claim.benchmark]] == []


# --------------------------------------------------------------------------------------------------------- the pictures


def test_the_pictures_are_the_same_every_time_and_those_without_figures_are_left_out(tmp_path: Path) -> None:
    plots = import_module("plots")
    assert plots.draw({}, tmp_path / "none") == []
    first = plots.draw(made_up(*ROWS), tmp_path / "first")
    second = plots.draw(made_up(*ROWS), tmp_path / "second")
    assert [path.stem for path in first] == ["search", "training-loop", "driver", "lanes", "scaling", "memory"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.stem for path in plots.draw(made_up("memory"), tmp_path / "one")] == ["memory"]


def test_the_page_gets_its_figures_and_the_pictures_that_there_are() -> None:
    plots = import_module("plots")
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    results = made_up("search", summary={"wall_ratio": 22.73})
    written = plots.with_figures(page, results)
    assert "22.7 times" in written
    assert re.findall(r"\]\((images/[^)]*)\)", written) == ["images/search.svg"]
    assert written.count("*Not measured yet.*") == len(plots.PLOTS) - 1
    assert plots.with_figures(written, results) == written
    assert plots.with_figures(written, {}) == plots.with_figures(page, {})


def test_the_page_shows_the_results_that_are_kept() -> None:
    plots, machine = import_module("plots"), import_module("_machine")
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    results = {path.stem: machine.load(path) for path in sorted((BENCHMARKS / "results").glob("*.json"))}
    assert plots.with_figures(page, results) == page, "run `python benchmarks/plots.py`"
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page) if "://" not in link]
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


# ---------------------------------------------------------------------------------------------------------- the scripts


def test_all_keeps_what_a_benchmark_prints_and_leaves_the_results_of_one_that_fails(tmp_path: Path) -> None:
    folder, results = tmp_path / "benchmarks", tmp_path / "benchmarks" / "results"
    results.mkdir(parents=True)
    for name in ("_all.py", "_machine.py", "_claims.py", "plots.py"):
        shutil.copy(BENCHMARKS / name, folder / name)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "speed.md", tmp_path / "docs" / "speed.md")
    (folder / "memory.py").write_text(
        "import argparse\nfrom _machine import out_option, save\n"
        "parser = argparse.ArgumentParser()\nparser.add_argument('--mb', type=float)\nout_option(parser)\n"
        "options = parser.parse_args()\nprint('measured')\n"
        "save(options.out, rows=[{'workers': 1, 'rss_mb': options.mb}], summary={'further_worker_mb': options.mb})\n",
        encoding="utf-8",
    )
    (folder / "driver.py").write_text("raise SystemExit('cannot')\n", encoding="utf-8")
    (results / "driver.txt").write_text("old", encoding="utf-8")
    done = run("benchmarks/_all.py", "--", "--mb", "321", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "failed: driver")
    assert (results / "driver.txt").read_text(encoding="utf-8") == "old"
    assert (results / "memory.txt").read_text(encoding="utf-8") == "measured\n"
    kept = json.loads((results / "memory.json").read_text(encoding="utf-8"))
    assert kept["header"]["command"] == "python benchmarks/memory.py --mb 321"
    assert "| 321 MB | met |" in (tmp_path / "docs" / "speed.md").read_text(encoding="utf-8")
    assert (tmp_path / "docs" / "images" / "memory.svg").exists()


def test_the_script_and_the_space_file_search_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    script = import_module("handwritten")
    study = optuna.create_study()
    study.enqueue_trial({"n_layers": 3})
    trial = study.ask()
    script.make_optimizer(trial, script.make_model(trial))
    names = {"n_layers": "model.depth", "optimizer": "optimizer.kind", "lr": "optimizer.lr"}
    names |= {f"{kind}_{i}": f"model.{kind}.{i}" for kind in ("width", "dropout") for i in range(3)}
    spec = load(BENCHMARKS / "peers" / "search.yaml")
    theirs = {names[name]: _plain(domain) for name, domain in trial.distributions.items()}
    assert theirs == {parameter.name: _plain(parameter.domain) for parameter in spec.space.parameters}
    train = spec.base.train
    ours = (train.epochs, train.batches_per_epoch, spec.base.data.batch_size, spec.base.data.split.val)
    assert ours == (script.EPOCHS, script.TRAIN_BATCHES, script.BATCH_SIZE, script.VALID_BATCHES * script.BATCH_SIZE)


def _plain(domain: Any) -> tuple[object, ...]:
    """An Optuna distribution, or a domain of ours."""
    values = getattr(domain, "choices", getattr(domain, "values", None))
    if values is not None:
        return tuple(value.lower() for value in values)
    return (domain.low, domain.high, domain.log, domain.step)


def test_the_operations_of_a_step_are_those_that_torch_counts() -> None:
    training_loop = import_module("training_loop")
    for case in training_loop.CASES:
        network, x = case.network(), torch.rand(8, 1, 28, 28)
        with FlopCounterMode(display=False) as counter:
            network(x).sum().backward()
        assert training_loop.flops(case) * 8 == counter.get_total_flops(), case.name


def test_the_products_of_a_step_are_its_operations() -> None:
    training_loop = import_module("training_loop")
    case = next(case for case in training_loop.CASES if case.width)
    products = training_loop.Products(case)
    with FlopCounterMode(display=False) as counter:
        products.rate(0.0)
    assert training_loop.flops(case) * case.batch_size == counter.get_total_flops()


def test_simulated_workers_train_each_epoch_of_a_trial_once(tmp_path: Path) -> None:
    driver, studies = import_module("driver"), import_module("_studies")
    spec = studies.spec_of(workers=2, trials=12)
    executor = studies.SleepingExecutor(epoch_s=0.0, last_epoch_of=lambda job: job.config.train.epochs)
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    driver.Session(url, spec, driver.StudyPaths.of(url, spec.study), executor, driver.SilentReporter()).run()
    reader = StudyReader.open(url)
    trials = reader.trials(reader.own_study(None))
    assert executor.n_epochs == sum(trial.epochs for trial in trials)
    assert executor.n_trials > len(trials), "paused trials went on"


def test_the_study_of_the_driver_benchmark_is_opened_again(tmp_path: Path) -> None:
    driver, studies = import_module("driver"), import_module("_studies")
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    studies.fill(url, 40, n_epochs=3, n_open=8)
    driver._reopen(url)


@pytest.mark.slow
@needs_fashion
def test_the_search_benchmark_runs(tmp_path: Path) -> None:
    out = tmp_path / "search.json"
    options = ("--trials", "1", "--retrain-seeds", "1", "--out", str(out))
    done = run(str(BENCHMARKS / "search.py"), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["side"], row["trials"], row["complete"]) for row in found["rows"]] == [
        ("tuner", 1, 1),
        ("script", 1, 1),
    ]
    assert all(row["cpu_s"] > 1.0 for row in found["rows"])
    assert all(len(row["retrained"]) == 1 for row in found["rows"])


@pytest.mark.slow
@needs_fashion
def test_the_training_loop_benchmark_runs(tmp_path: Path) -> None:
    out = tmp_path / "training_loop.json"
    done = run(str(BENCHMARKS / "training_loop.py"), "--quick", "--out", str(out), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 11
    assert all(row["tuner"] > 0 and row["bare"] > 0 and row["per_sample"] > 0 for row in rows)
