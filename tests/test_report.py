"""Reports of real searches: every kind of study, complete or not, has one, and none of them opens the test part."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from tuner.cli.main import cli as commands
from tuner.config.spec import load
from tuner.errors import NotFoundError, NoTrialError, StorageError, TunerError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.report.blocks import Table
from tuner.report.clock import Clock, bars_of, epochs_in_time
from tuner.report.edges import edges_of
from tuner.report.listing import as_yaml
from tuner.report.progress import course_of
from tuner.report.work import balance_of
from tuner.study.history import SessionRow
from tuner.workflows import best as best_workflow
from tuner.workflows import confirm as confirm_workflow
from tuner.workflows.best import best
from tuner.workflows.facts import read_facts
from tuner.workflows.report import Report, report
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"
SPACE = """
study: small
seed: 3
objective: {metric: accuracy}
data: {kind: python, target: "mine.py:parts", batch_size: 16}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 6, device: cpu}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}
  model.width: {low: 4, high: 12}
search: {sampler: random, pruner: {kind: asha, min_epochs: 1, eta: 2}, trials: 12, workers: 1, lanes: 1}
confirm: {top: 2, seeds: 2}
"""
MINE = """
import torch
from pathlib import Path
from torch.utils.data import Dataset

class Points(Dataset):
    def __init__(self, n, seed, touched=None):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 4, generator=generator)
        self.y = (self.x.sum(1) > 0).long() + (self.x[:, 0] > 1).long()
        self.touched = touched

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        if self.touched:
            self.touched.write_text("yes")
        return self.x[index], int(self.y[index])

def parts():
    return {
        "train": Points(80, 0),
        "val": Points(60, 1),
        "test": Points(20, 2, touched=Path(__file__).with_name("touched.txt")),
    }
"""
OWN = """
study: own
objective: {metric: error, direction: minimize}
train: {kind: python, target: "code.py:run", epochs: 4, options: {lr: 0.1}}
space: {train.options.lr: {low: 1e-3, high: 1.0, log: true}}
search: {sampler: random, trials: 4, workers: 1, pruner: none}
confirm: off
"""
OWN_CODE = """
def run(config, state):
    for epoch in range(1 + (state or 0), config["epochs"] + 1):
        yield {"error": config["lr"] / epoch}, epoch
"""


def run(folder: Path, space: str, *sets: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(MINE)
    (folder / "code.py").write_text(OWN_CODE)
    (folder / "space.yaml").write_text(space)
    with contextlib.chdir(folder):
        torch.set_num_threads(1)
        search(SearchRequest(space="space.yaml", sets=sets), None, InlineExecutor())


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a process takes seconds."""
    monkeypatch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
    monkeypatch.setattr(confirm_workflow, "ProcessExecutor", InlineExecutor)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    run(folder, SPACE)
    return folder


@pytest.fixture
def _in_searched(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(searched)


@pytest.fixture
def small(searched: Path, tmp_path: Path) -> Iterator[Report]:
    """The report of the small search; written elsewhere."""
    with contextlib.chdir(searched):
        yield report(out=tmp_path / "report.html")


def sections_of(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', page)


@pytest.mark.usefixtures("_in_searched")
def test_the_report_has_all_sections_in_the_order_of_a_reader(small: Report) -> None:
    assert sections_of(small.text) == [
        *("verdict", "progress", "curves", "importance", "parallel", "slices", "work", "quality", "cost"),
        *("trials", "space", "environment", "again"),
    ]
    assert small.path is not None
    assert small.path.read_text(encoding="utf-8") == small.text


@pytest.mark.usefixtures("_in_searched")
def test_the_verdict_is_that_of_the_fresh_seeds(small: Report) -> None:
    confirmed = small.facts.standing.confirmed
    assert confirmed is not None
    assert small.verdict.startswith(f"Trial {confirmed.winner.trial} wins. Trained again on 2 fresh seeds")
    assert f"the {confirmed.winner.search_value:.5g} that the search saw" in small.verdict
    assert "always answering" in small.text


@pytest.mark.usefixtures("_in_searched")
def test_a_report_never_opens_the_test_part_and_shows_the_score_that_best_kept(searched: Path) -> None:
    touched = searched / "touched.txt"
    touched.unlink(missing_ok=True)
    before = report(out=Path("-"))
    assert not touched.exists()
    assert before.facts.test is None
    assert "exports the weights, and scores them once on the test part" in before.text
    export = best()
    touched.unlink()
    after = report(out=Path("-"))
    assert not touched.exists()
    assert after.facts.test is not None
    assert after.facts.test.metrics["test/accuracy"] == export.bundle.metrics["test/accuracy"]


@pytest.mark.usefixtures("_in_searched")
def test_what_is_evaluated_again_is_what_the_exported_weights_say_of_the_validation_part() -> None:
    facts = read_facts(STORAGE, None)
    export = best()
    assert facts.examined.details == export.bundle.details["val"]
    bins = facts.examined.found["reliability"]["bins"]
    assert sum(item["n"] for item in bins) == facts.data.n_val == 60
    metrics = export.bundle.metrics.items()
    known = {name: value for name, value in metrics if name.startswith("val/") and value is not None}
    assert facts.examined.metrics == known
    matrix = facts.examined.details["confusion"]
    right = sum(matrix[index][index] for index in range(3)) / 60
    assert right == pytest.approx(export.bundle.metrics["val/accuracy"])
    most = max(map(sum, matrix)) / 60
    assert facts.examined.found["baseline"]["metrics"]["val/accuracy"] <= most


@pytest.mark.usefixtures("_in_searched")
def test_markdown_has_the_same_facts() -> None:
    found = report(out=Path("-"), kind="md")
    assert found.text.startswith("# small\n")
    titles = re.findall(r"^## (.*)$", found.text, re.MULTILINE)
    assert titles[0] == "Verdict"
    assert titles[-1] == "To do it again"
    assert "| parameter | importance |" in found.text
    assert "```yaml" in found.text
    assert found.verdict in found.text


@pytest.mark.usefixtures("_in_searched")
def test_the_space_of_the_report_starts_the_same_study(tmp_path: Path) -> None:
    facts = read_facts(STORAGE, None, evaluates=False)
    (tmp_path / "again.yaml").write_text(as_yaml(facts.spec.document))
    (tmp_path / "mine.py").write_text(MINE)
    assert facts.spec.differences(load(tmp_path / "again.yaml")) == []
    assert yaml.safe_load(as_yaml(facts.spec.document))["study"] == "small"


@pytest.mark.usefixtures("_in_searched")
def test_the_best_so_far_ends_with_the_best_and_counts_every_epoch() -> None:
    facts = read_facts(STORAGE, None, evaluates=False)
    course = course_of(facts)
    assert course.n_epochs == sum(trial.epochs for trial in facts.trials) == len(epochs_in_time(facts))
    assert course.finished[-1].value == facts.ranked[0].value
    values = [step.value for step in course.finished]
    assert values == sorted(values)
    assert len(course.ends) == len(facts.ranked)


@pytest.mark.usefixtures("_in_searched")
def test_what_stopping_saved_is_what_stopped_trials_were_not_given() -> None:
    facts = read_facts(STORAGE, None, evaluates=False)
    balance = balance_of(facts, bars_of(facts))
    stopped = [trial for trial in facts.trials if trial.state.value == "pruned"]
    assert balance.n_stopped == len(stopped) > 0
    assert balance.epochs_saved == sum(6 - trial.epochs for trial in stopped)
    assert balance.saved > 0.0
    assert balance.n_faults == 0


def test_pauses_between_sessions_take_no_time() -> None:
    def session(number: int, start: float, seconds: float) -> SessionRow:
        return SessionRow(session=number, host="here", started_at=start, seconds=seconds, machine={})

    clock = Clock((session(1, 100.0, 10.0), session(2, 500.0, 20.0)))
    assert [clock.at(moment) for moment in (100.0, 105.0, 110.0, 300.0, 505.0, 520.0)] == [
        0.0,
        5.0,
        10.0,
        10.0,
        15.0,
        30.0,
    ]
    assert clock.breaks() == [10.0]


# ------------------------------------------------------------------------------------------------- all kinds of studies


def sets_of(**values: Any) -> list[str]:
    return [f"{name.replace('__', '.')}={json.dumps(value)}" for name, value in values.items()]


def test_a_single_trial_has_a_report(tmp_path: Path) -> None:
    run(tmp_path, SPACE, *sets_of(search__trials=1, search__pruner="none"), "confirm=off")
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    assert "Trial 0 is the best so far" in found.verdict
    assert "Too few trials" in found.text
    assert "It <strong>is the default configuration</strong>" in found.text or "was not tried" in found.text


def test_a_study_all_of_whose_trials_were_stopped_has_a_report(tmp_path: Path) -> None:
    pruner = "search.pruner={kind: threshold, lower: 2.0, n_warmup_epochs: 0}"
    run(tmp_path, SPACE, pruner, *sets_of(search__trials=4), "confirm=off")
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
        text = report(out=Path("-"), kind="md").text
    assert found.verdict.startswith("**No trial is complete**: there is no winner yet. The best that was seen is")
    assert "curves" in sections_of(found.text)
    assert "There is no winner to look at yet." not in text


def test_several_objectives_have_their_front(tmp_path: Path) -> None:
    space = SPACE.replace("{metric: accuracy}", "[{metric: accuracy}, {metric: params}]").replace(
        "{kind: asha, min_epochs: 1, eta: 2}", "none"
    )
    run(
        tmp_path,
        space.replace("confirm: {top: 2, seeds: 2}", "confirm: off"),
        *sets_of(search__trials=8, train__epochs=2),
    )
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    front = [trial.number for trial in found.facts.trials if trial.is_on_front]
    assert sections_of(found.text)[2] == "front"
    assert found.verdict.startswith(f"**{len(front)} trial")
    (blocks,) = (section.blocks for section in found.page.sections if section.key == "front")
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert len(table.rows) == len(front)


def test_own_training_code_has_a_report_without_a_look_at_its_model(tmp_path: Path) -> None:
    run(tmp_path, OWN)
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    assert "Your own training code measured it" in found.text
    assert "val/error" in found.verdict


def test_trials_that_were_taken_over_cost_nothing_in_the_new_study(tmp_path: Path) -> None:
    run(tmp_path, OWN)
    with contextlib.chdir(tmp_path):
        request = SearchRequest(space="space.yaml", sets=("study=next", "search.trials=1"), source="own")
        search(request, None, InlineExecutor())
        facts = read_facts(STORAGE, "next", evaluates=False)
        assert "4 trials were taken over from own, and cost nothing here." in report(study="next", out=Path("-")).text
    assert facts.taken == {0, 1, 2, 3}
    assert {bar.course.trial for bar in bars_of(facts)} == {4}
    assert balance_of(facts, bars_of(facts)).epochs_trained == 4


def test_an_attempt_whose_worker_hung_is_a_fault_like_one_that_was_killed(tmp_path: Path) -> None:
    run(tmp_path, OWN)
    engine = create_engine(f"sqlite:///{tmp_path / 'studies.db'}")
    with engine.begin() as connection:
        connection.execute(text("update tuner_attempts set outcome = 'hung' where trial = 1"))
        connection.execute(text("update tuner_attempts set outcome = 'killed' where trial = 2"))
    with contextlib.chdir(tmp_path):
        facts = read_facts(STORAGE, None, evaluates=False)
    assert balance_of(facts, bars_of(facts)).n_faults == 2


def test_a_regression_has_residuals_and_a_baseline(tmp_path: Path) -> None:
    space = SPACE.replace('{kind: python, target: "mine.py:parts", batch_size: 16}', "{kind: diabetes, batch_size: 64}")
    space = space.replace("{metric: accuracy}", "{metric: rmse}").replace("confirm: {top: 2, seeds: 2}", "confirm: off")
    run(tmp_path, space, *sets_of(search__trials=2, search__pruner="none"))
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    (residuals,) = found.facts.examined.found["residuals"]
    assert sum(residuals["counts"]) == found.facts.data.n_val
    guess = found.facts.examined.found["baseline"]["metrics"]
    assert guess["val/r2"] == pytest.approx(0.0, abs=0.2)
    assert "Residuals" in found.text
    assert "always answering the mean of the training rows comes to val/rmse" in found.text


def test_weights_that_are_gone_leave_a_report_that_says_so(tmp_path: Path) -> None:
    run(tmp_path, SPACE, *sets_of(search__trials=2, search__pruner="none", train__epochs=2), "confirm=off")
    for path in tmp_path.glob("runs/small/*/*.pt"):
        path.unlink()
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    assert "Its weights could not be evaluated again" in found.text
    assert "quality" in sections_of(found.text)


def test_a_search_that_was_interrupted_has_a_report(tmp_path: Path) -> None:
    run(tmp_path, SPACE, *sets_of(search__trials=3, search__pruner="none", train__epochs=2), "confirm=off")
    engine = create_engine(f"sqlite:///{tmp_path / 'studies.db'}")
    with engine.begin() as connection:  # as a driver leaves it that was killed
        connection.execute(text("update trials set state = 'RUNNING', datetime_complete = null where number = 2"))
        connection.execute(text("delete from trial_values where trial_id = 3"))
        connection.execute(text("update tuner_trials set state = 'running' where trial = 2"))
        connection.execute(text("update tuner_attempts set outcome = '', seconds = 0 where trial = 2"))
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    assert "The search is not over: 1 trial to go on with" in found.text


# --------------------------------------------------------------------------------------------------------------- edges


def edge_space(low: float, high: float) -> str:
    return f"""
study: edge
objective: {{metric: error, direction: minimize}}
train: {{kind: python, target: "code.py:run", epochs: 1, options: {{lr: {high}}}}}
space: {{train.options.lr: {{low: {low}, high: {high}}}}}
search: {{sampler: {{kind: grid, points: 15}}, trials: 15, workers: 1, pruner: none}}
confirm: off
"""


def test_the_best_at_the_edge_of_a_range_asks_for_a_wider_one(tmp_path: Path) -> None:
    run(tmp_path, edge_space(0.5, 4.0))
    with contextlib.chdir(tmp_path):
        found = report(out=Path("-"))
    (edge,) = edges_of(found.facts)
    assert (edge.name, edge.side, edge.value) == ("train.options.lr", "low", 0.5)
    assert "the best is at the edge of the range: widen it" in found.text


# -------------------------------------------------------------------------------------------------------------- errors


def test_what_cannot_be_reported_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="no database here"):
        report()
    assert list(tmp_path.iterdir()) == []
    run(tmp_path, SPACE, *sets_of(search__trials=1, search__pruner="none", train__epochs=1), "confirm=off")
    with pytest.raises(NotFoundError, match="no study 'other' here; there are: small"):
        report(study="other")
    with pytest.raises(UsageError, match=r"expected a name that ends in \.html or \.md"):
        report(out=Path("report.pdf"))
    with pytest.raises(UsageError, match="its ending says md, --format says html"):
        report(out=Path("report.md"), kind="html")
    with pytest.raises(UsageError, match="is a folder; name a file"):
        report(out=tmp_path, kind="html", evaluates=False)
    engine = create_engine(f"sqlite:///{tmp_path / 'studies.db'}")
    with engine.begin() as connection:
        for table in ("trials", "tuner_trials"):
            connection.execute(text(f"delete from {table}"))  # noqa: S608  two names
    with pytest.raises(NoTrialError, match="study 'small' has no trial yet: there is nothing to report"):
        report()


def test_a_study_of_another_tool_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(study_name="theirs", storage=STORAGE)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(StorageError, match="was not made by tuner"):
        report()


# --------------------------------------------------------------------------------------------------------- command line


@pytest.mark.usefixtures("_in_searched")
def test_the_command_writes_a_file_and_says_the_verdict(tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(commands, ["report", "--out", str(tmp_path / "page.html"), "--no-evaluate"])
    assert done.exit_code == 0, done.output
    assert "wins. Trained again on 2 fresh seeds" in done.stdout
    assert str(tmp_path / "page.html") in done.stdout
    done = runner.invoke(commands, ["report", "--out", "-", "--format", "md", "--no-evaluate"])
    assert done.stdout.startswith("# small\n")
    done = runner.invoke(commands, ["report", "--out", str(tmp_path / "b.md"), "--json", "--no-evaluate"])
    found = json.loads(done.stdout)
    assert found["path"] == str(tmp_path / "b.md")
    assert found["bytes"] == (tmp_path / "b.md").stat().st_size


@pytest.mark.usefixtures("_in_searched")
def test_an_unknown_study_ends_with_its_exit_code() -> None:
    done = CliRunner().invoke(commands, ["report", "--study", "nothing"])
    assert isinstance(done.exception, TunerError)
    assert done.exception.exit_code == 3
