"""Trackers: what the space file may say, what real searches tell them, and that none of them changes a trial."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.cli.main import cli
from tuner.config.schema.trackers import JsonlTracker, PythonTracker, TensorboardTracker
from tuner.config.spec import Spec, load
from tuner.errors import ConfigError, MissingError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.study.curves import epochs_of
from tuner.study.queries import StudyReader
from tuner.study.rows import TrialRow
from tuner.trackers.base import EpochEnded, StudyBegan, Tracker, TrialEnded
from tuner.trackers.channel import Channel, close_all
from tuner.trackers.kinds import build
from tuner.workflows.progress import Note, Progress
from tuner.workflows.result import SearchResult
from tuner.workflows.search import SearchRequest, search
from tuner.workflows.sync import sync

STORAGE = "sqlite:///studies.db"
SPACE = """
study: told
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 6, grad_clip: null}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  train.grad_clip: [null, 1.0]
search: {sampler: random, pruner: {kind: asha, min_epochs: 2, eta: 3}, trials: 5, workers: 1, lanes: 1, threads: 1}
confirm: {top: 1, seeds: 1}
"""
OWN = '''
import threading
import time


class Keeping:
    """Keeps the names of its calls in a file; it has no use for epochs."""

    def __init__(self, path):
        self.path = path

    def _write(self, text):
        with open(self.path, "a") as file:
            file.write(text + "\\n")

    def study(self, began):
        self._write(f"study {began.study}")

    def trial(self, began):
        self._write(f"trial {began.trial}")

    def end(self, ended):
        self._write(f"end {ended.trial} {ended.state}")

    def close(self):
        self._write("close")


class Raising(Keeping):
    def epoch(self, ended):
        raise ValueError("the server said no\\nand more")


class Hanging:
    def epoch(self, ended):
        threading.Event().wait()


class Exiting:
    def study(self, began):
        raise SystemExit("goodbye")
'''


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    monkeypatch.setattr("tuner.trackers.channel.CLOSE_S", 60.0)  # packages take their time to be imported
    Path("told.yaml").write_text(SPACE)
    Path("own.py").write_text(OWN)


class Listener:
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def show(self, progress: Progress) -> None:
        if isinstance(progress, Note):
            self.notes.append(progress.message)


def run(*sets: str) -> SearchResult:
    """A search all of whose trackers work."""
    listener = Listener()
    result = search(SearchRequest(space="told.yaml", sets=sets), listener, InlineExecutor())
    assert [note for note in listener.notes if note.startswith("tracker")] == []
    return result


def trials() -> list[TrialRow]:
    reader = StudyReader.open(STORAGE)
    return reader.trials(reader.study("told"))


def results(found: list[TrialRow]) -> list[tuple[Any, ...]]:
    return [(item.number, item.state, item.value, dict(item.params), item.epochs) for item in found]


def stored_epochs() -> list[tuple[int, int, dict[str, float]]]:
    reader = StudyReader.open(STORAGE)
    rows = epochs_of(reader, reader.study("told"))
    return [(trial, epoch, dict(metrics)) for trial, epoch, _, metrics in rows]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ the space file


def spec(*sets: str) -> Spec:
    return load(Path("told.yaml"), sets=sets)


def test_a_name_a_mapping_or_a_list_of_both() -> None:
    assert spec().trackers == ()
    assert spec("trackers=off").trackers == ()
    assert spec("trackers=jsonl").trackers == (JsonlTracker(),)
    assert spec("trackers=[jsonl, 'own.py:Keeping']").trackers == (
        JsonlTracker(),
        PythonTracker(target="own.py:Keeping"),
    )
    both = "trackers=[jsonl, {kind: tensorboard, folder: logs}, {kind: python, target: 'own.py:Keeping'}]"
    found = spec(both, "trackers.1.folder=other").trackers
    assert found == (JsonlTracker(), TensorboardTracker(folder="other"), PythonTracker(target="own.py:Keeping"))
    again = Spec.from_json(json.loads(json.dumps(spec(both).to_json())))
    assert again.trackers[0] == JsonlTracker()
    assert spec().differences(spec(both)) == []  # they change no trial: a study goes on with others


def test_what_is_wrong_is_said_with_its_line_all_at_once() -> None:
    Path("told.yaml").write_text(
        SPACE
        + """\
trackers:
  - tensorbord
  - {kind: mlflow, url: x}
  - jsonl
  - {kind: jsonl, path: a.jsonl}
  - {kind: python, target: own.py}
  - 3
"""
    )
    with pytest.raises(ConfigError) as caught:
        spec()
    first = SPACE.count("\n") + 2
    assert [place.line for place in caught.value.where] == [first + n for n in (0, 1, 3, 4, 5)]
    said = str(caught.value)
    assert "unknown tracker 'tensorbord'; did you mean 'tensorboard'?" in said
    assert "trackers.1.url" in said
    assert "jsonl is there already; give it all of its options once" in said
    assert "expected file.py:Class, got 'own.py'" in said
    assert "expected a kind such as tensorboard, or a mapping; got 3" in said
    with pytest.raises(ConfigError, match="says who is told of trials"):
        spec("space.trackers=[jsonl, mlflow]")


# ------------------------------------------------------------------------------------------------- what they are told


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_jsonl_has_every_event_of_a_search_and_of_its_confirmation() -> None:
    run("trackers=jsonl")
    events = lines("runs/told/events.jsonl")
    assert events[0]["event"] == "study"
    assert events[0]["objectives"] == {"val/accuracy": "maximize"}
    assert events[0]["space"]["data"]["kind"] == "iris"
    epochs = [(item["trial"], item["epoch"], item["metrics"]) for item in events if item["event"] == "epoch"]
    seeds = [item["seed"] for item in events if item["event"] == "epoch"]
    assert sorted(item[:2] for item, seed in zip(epochs, seeds, strict=True) if not seed) == [
        item[:2] for item in stored_epochs()
    ]
    assert [item for item in stored_epochs() if item not in epochs] == []
    ends = {item["trial"]: item["state"] for item in events if item["event"] == "end" and not item["seed"]}
    assert ends == {trial.number: trial.state.value for trial in trials()}
    (confirmed,) = (item for item in events if item["event"] == "end" and item["seed"])
    assert confirmed["state"] == "complete"
    begun = [item for item in events if item["event"] == "trial" and item["first_epoch"] > 1]
    assert begun  # promoted at a rung


def test_sync_sends_what_a_tracker_would_have_heard() -> None:
    run("trackers={kind: jsonl, path: live.jsonl}")
    synced = sync("jsonl", storage=STORAGE, sets=("path=later.jsonl",))
    live, later = lines("live.jsonl"), lines("later.jsonl")

    def of(events: list[dict[str, Any]], kind: str, *names: str) -> list[str]:
        return sorted({json.dumps([item[name] for name in names]) for item in events if item["event"] == kind})

    assert of(later, "epoch", "trial", "seed", "epoch", "metrics") == of(
        live, "epoch", "trial", "seed", "epoch", "metrics"
    )
    assert of(later, "trial", "trial", "seed", "params") == of(live, "trial", "trial", "seed", "params")
    over = [item for item in live if item.get("state") != "paused"]
    assert of(later, "end", "trial", "seed", "state", "value", "epochs") == of(
        over, "end", "trial", "seed", "state", "value", "epochs"
    )
    assert synced.n_trials == 6
    assert synced.n_epochs == len(of(live, "epoch", "trial", "seed", "epoch"))
    with pytest.raises(UsageError, match="did you mean 'jsonl'"):
        sync("jsonll", storage=STORAGE)
    with pytest.raises(ConfigError, match="unknown key"):
        sync("jsonl", storage=STORAGE, sets=("paths=x",))
    with pytest.raises(MissingError, match=r"tracker own.py:Raising failed: ValueError: the server said no"):
        sync("own.py:Raising", storage=STORAGE, sets=("options={path: calls.txt}",))


def test_tensorboard_reads_scalars_and_hyperparameters_of_every_trial() -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run("trackers={kind: tensorboard, folder: boards}")
    for trial in trials():
        read = accumulator.EventAccumulator(f"boards/told/{trial.number}").Reload()
        stored = {epoch: metrics for number, epoch, metrics in stored_epochs() if number == trial.number}
        for name in ("train/loss", "val/accuracy", "val/loss"):
            found = {item.step: item.value for item in read.Scalars(name)}
            assert found == pytest.approx({epoch: metrics[name] for epoch, metrics in stored.items()})
        assert _hyperparameters(read) == {**trial.params, "train.grad_clip": trial.params["train.grad_clip"] or "none"}
    confirmed = [path.name for path in Path("boards/told").iterdir() if "-" in path.name]
    assert len(confirmed) == 1


def _hyperparameters(read: Any) -> dict[str, Any]:
    from tensorboard.plugins.hparams import metadata

    content = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    info = metadata.parse_session_start_info_plugin_data(content)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def test_an_own_class_needs_only_the_methods_that_it_wants() -> None:
    run("trackers={kind: python, target: 'own.py:Keeping', options: {path: calls.txt}}", "confirm=off")
    calls = Path("calls.txt").read_text().splitlines()
    assert calls[0] == "study told"
    assert calls[-1] == "close"
    assert [call for call in calls if call.startswith("end") and "paused" not in call] == [
        f"end {trial.number} {trial.state.value}" for trial in sorted(trials(), key=lambda it: calls.index(_end(it)))
    ]


def _end(trial: TrialRow) -> str:
    return f"end {trial.number} {trial.state.value}"


# ------------------------------------------------------------------------------------------------------ what they break


BROKEN = {
    "{kind: python, target: 'own.py:Raising', options: {path: calls.txt}}": (
        "tracker own.py:Raising failed: ValueError: the server said no; nothing else waits for it, and "
        "`tuner sync own.py:Raising` sends the study later"
    ),
    "{kind: python, target: 'own.py:Hanging'}": "tracker own.py:Hanging did not finish in time",
    "{kind: python, target: 'nowhere:Tracker'}": "tracker nowhere:Tracker failed: nowhere: no such module",
}


@pytest.mark.slow
def test_a_tracker_that_raises_hangs_or_is_absent_changes_no_trial_and_is_named_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run("confirm=off")
    expected, n_epochs = results(trials()), len(stored_epochs())
    monkeypatch.setattr("tuner.trackers.channel.CLOSE_S", 2.0)
    for number, (section, said) in enumerate(BROKEN.items()):
        listener = Listener()
        storage = f"sqlite:///broken-{number}.db"
        sets = (f"trackers=[{section}, jsonl]", "confirm=off")
        search(SearchRequest(space="told.yaml", sets=sets, storage=storage), listener, InlineExecutor())
        reader = StudyReader.open(storage)
        assert results(reader.trials(reader.study("told"))) == expected
        assert [note.startswith(said) for note in listener.notes if note.startswith("tracker")] == [True], section
        events = lines(f"broken-{number}-runs/told/events.jsonl")  # the others are told all the same
        assert sum(event["event"] == "epoch" for event in events) == n_epochs


@pytest.mark.parametrize(
    ("section", "said"),
    (
        (PythonTracker(target="own.py:Exiting"), "failed: SystemExit: goodbye"),
        (PythonTracker(target="own.py:Absent"), "failed: 'own.py:Absent': own.py has no 'Absent'"),
        (PythonTracker(target="own.py:Keeping", options={"wrong": 1}), "failed: TypeError"),
    ),
)
def test_whatever_goes_wrong_in_a_tracker_is_told_in_a_line(section: PythonTracker, said: str) -> None:
    channel = Channel("own", lambda: build(section, Path.cwd()))
    channel.start()
    channel.put(StudyBegan(study="s", uid="u", objectives={}, document={}, folder=Path.cwd()))
    close_all([channel])
    assert channel.trouble().startswith(f"tracker own {said}")
    assert channel.trouble() == ""


class Slow(Tracker):
    """Takes events when it is allowed to."""

    def __init__(self, gate: Any) -> None:
        self.gate = gate
        self.epochs: list[int] = []
        self.n_flushes = 0

    def epoch(self, ended: EpochEnded) -> None:
        self.gate.wait()
        self.epochs.append(ended.epoch)

    def flush(self) -> None:
        self.n_flushes += 1


def _epoch(number: int) -> EpochEnded:
    return EpochEnded(trial=0, epoch=number, seconds=1.0, metrics={"val/loss": 1.0})


def test_a_tracker_that_is_too_slow_loses_the_rest_and_is_told_so_once() -> None:
    gate = threading.Event()
    tracker = Slow(gate)
    channel = Channel("slow", lambda: tracker, size=10)
    channel.start()
    for number in range(50):
        channel.put(_epoch(number))
    assert channel.trouble().startswith("tracker slow is 10 events behind; nothing else waits for it")
    assert channel.trouble() == ""
    gate.set()
    close_all([channel])
    assert tracker.epochs == list(range(len(tracker.epochs)))
    assert len(tracker.epochs) <= 11
    assert channel.trouble() == ""


def test_between_bursts_of_events_a_tracker_is_flushed() -> None:
    gate = threading.Event()
    gate.set()
    tracker = Slow(gate)
    channel = Channel("quick", lambda: tracker)
    channel.start()
    channel.put(_epoch(1))
    close_all([channel])
    assert tracker.epochs == [1]
    assert channel.trouble() == ""


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    listener = Listener()
    sets = ("trackers=mlflow", "search.trials=1", "confirm=off")
    search(SearchRequest(space="told.yaml", sets=sets), listener, InlineExecutor())
    (said,) = (note for note in listener.notes if note.startswith("tracker"))
    assert said.startswith("tracker mlflow failed: the package mlflow is not installed: pip install 'tuner[mlflow]'")


# ----------------------------------------------------------------------------------------------------- MLflow and W&B


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_a_run_for_the_study_and_one_inside_for_each_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    run("trackers={kind: mlflow, uri: 'sqlite:///mlflow.db'}", "confirm=off")
    client = mlflow.tracking.MlflowClient(tracking_uri="sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("told")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    (parent,) = (item for item in found if "mlflow.parentRunId" not in item.data.tags)
    children = {item.data.tags["tuner.trial"]: item for item in found if item is not parent}
    assert {item.data.tags["mlflow.parentRunId"] for item in children.values()} == {parent.info.run_id}
    for trial in trials():
        child = children[str(trial.number)]
        assert child.data.params == {name: str(value) for name, value in trial.params.items()}
        assert child.info.status == "FINISHED"
        history = client.get_metric_history(child.info.run_id, "val/accuracy")
        stored = {
            epoch: metrics["val/accuracy"] for number, epoch, metrics in stored_epochs() if number == trial.number
        }
        assert {item.step: item.value for item in history} == pytest.approx(stored)
    best = max((trial for trial in trials() if trial.value is not None), key=lambda trial: trial.value or 0.0)
    assert parent.data.metrics["best/val/accuracy"] == pytest.approx(best.value)
    n_before = len(found)
    sync("mlflow", storage=STORAGE)  # the same runs, found by their tags
    assert len(client.search_runs([experiment.experiment_id])) == n_before
    assert len(client.get_metric_history(children["0"].info.run_id, "val/accuracy")) == trials()[0].epochs


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_a_trial_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    run("trackers={kind: wandb, mode: offline}", "confirm=off", "search.trials=2", "search.pruner=none")
    folders = sorted(Path("wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert all(re.search(r"-[01]$", folder.name) for folder in folders)
    assert all(next(folder.glob("run-*.wandb")).stat().st_size > 0 for folder in folders)


def test_the_command_says_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    run("confirm=off", "search.trials=2")
    cli.main(["sync", "jsonl", "--set", "path=x.jsonl"], standalone_mode=False)
    assert re.match(r"sent told to jsonl: 2 trials, \d+ epochs\n", capsys.readouterr().out)
    assert isinstance(lines("x.jsonl")[0], dict)
    assert TrialEnded(trial=3, repeat=2, state="complete").name == "3-2"
