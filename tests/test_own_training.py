"""Own training code, `train: {kind: python}`: searched, interrupted, killed, resumed, judged and exported."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tuner
from tuner.config.schema import TrialConfig
from tuner.config.spec import load
from tuner.errors import ChangedError, ConfigError, SearchFailedError, TunerError, UsageError
from tuner.execution.inline import InlineExecutor
from tuner.execution.runner import Runner
from tuner.study.queries import StudyReader
from tuner.training.events import Decision, Outcome, TrialEnd
from tuner.training.job import TrainJob
from tuner.training.own_state import Packed, UnstorableError
from tuner.workflows.best import best
from tuner.workflows.check import check
from tuner.workflows.progress import EpochEnded, Note, Progress
from tuner.workflows.result import Ended, SearchResult
from tuner.workflows.search import SearchRequest, search

STORAGE = "sqlite:///studies.db"

CODE = """
import random
import numpy as np
import torch

def run(config, state):
    net = torch.nn.Linear(4, 1)
    memory = np.random.rand(3)
    if state:
        net.load_state_dict(state["model"])
        memory = state["memory"]
    dropout = torch.nn.Dropout(0.5)
    first = state["epoch"] + 1 if state else 1
    try:
        for epoch in range(first, config["epochs"] + 1):
            x = dropout(torch.randn(8, 4))
            loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for tensor in net.parameters():
                    tensor -= config["lr"] * tensor.grad
            memory = memory + np.random.rand(3) + random.random()
            print("epoch", epoch)
            error = (net.weight.detach() - 1).square().mean() + 1e-3 * memory[0]
            yield {"error": error, "train/loss": loss.item()}, {
                "model": net.state_dict(), "memory": memory, "epoch": epoch, "share": np.float32(0.25)}
    finally:
        print("closed")
"""

SPACE = """
study: own
seed: 3
objective: {metric: error, direction: minimize}
train: {kind: python, target: "mine.py:run", epochs: 5, options: {lr: 0.1}}
space:
  train.options.lr: {low: 1e-3, high: 0.5, log: true}
search: {sampler: {kind: tpe, n_startup_trials: 3}, pruner: {kind: median, n_startup_trials: 2}, trials: 6, workers: 1}
confirm: off
"""


class Recorder:
    def __init__(self, act: Callable[[Progress], None] = lambda _: None) -> None:
        self.shown: list[Progress] = []
        self._act = act

    def show(self, progress: Progress) -> None:
        self.shown.append(progress)
        self._act(progress)

    @property
    def notes(self) -> list[str]:
        return [shown.message for shown in self.shown if isinstance(shown, Note)]


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write()


def write(code: str = CODE, space: str = SPACE) -> None:
    Path("mine.py").write_text(code)
    Path("own.yaml").write_text(space)


def run(*sets: str, recorder: Recorder | None = None) -> SearchResult:
    return search(SearchRequest(space="own.yaml", sets=sets), recorder or Recorder(), InlineExecutor())


def one(code: str, *sets: str) -> dict[str, Any]:
    """The only trial of a search with this code, which may fail."""
    write(code)
    with contextlib.suppress(SearchFailedError):
        run("space=null", "search.pruner=none", "search.trials=1", *sets)
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study(None), 0)
    return {**detail.row.to_json(), "message": detail.message, "curve": [row.metrics for row in detail.curve]}


def alone(
    code: str, *, pauses: tuple[int, ...] = (), epochs: int = 5, **extra: object
) -> tuple[list[dict[str, float]], TrialEnd]:
    """The metrics of the epochs of a job that is paused after some of them, and its end; without any study."""
    write(code)
    train = {"kind": "python", "target": "mine.py:run", "epochs": epochs, "options": {"lr": 0.1}, **extra}
    config = TrialConfig.model_validate({"objective": {"metric": "error"}, "train": train})
    job = TrainJob(
        trial=0,
        attempt=1,
        seed=5,
        config=config,
        metric="val/error",
        maximize=False,
        checkpoints=(),
        folder=Path("0"),
        base_dir=Path.cwd(),
        threads=1,
        device="cpu",
    )
    curve: list[dict[str, float]] = []
    while True:
        attempt = Runner(lambda: False).run(job)
        try:
            epoch = next(attempt)
            while True:
                curve.append(epoch.metrics)
                assert epoch.epoch == len(curve)
                if epoch.checkpoint:
                    known = [item for item in job.checkpoints if item.epoch in epoch.kept]
                    job = replace(job, checkpoints=(epoch.checkpoint, *known))
                epoch = attempt.send(Decision.PAUSE if epoch.epoch in pauses else Decision.CONTINUE)
        except StopIteration as stop:
            if stop.value.outcome is not Outcome.PAUSED:
                return curve, stop.value


def trials() -> list[dict[str, Any]]:
    reader = StudyReader.open(STORAGE)
    return [trial.to_json() for trial in reader.trials(reader.study(None))]


def without_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def kept_states() -> dict[str, Any]:
    """What is stored of every trial whose state is kept, by file."""
    found = {}
    for path in sorted(Path("runs/own").glob("*/epoch-*.pt")):
        own = torch.load(path, weights_only=True)["own"]
        found[str(path)] = {
            "model": own["state"]["model"]["weight"].tolist(),
            "memory": own["state"]["memory"].tolist(),
        }
    return found


def outcome() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return without_time(trials()), kept_states()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The trials and the states of the same search, never interrupted."""
    with contextlib.chdir(tmp_path_factory.mktemp("unbroken")):
        write()
        torch.set_num_threads(1)
        run()
        return outcome()


# ------------------------------------------------------------------------------------------------------------ searched


def test_own_code_is_searched_pruned_and_logged(unbroken: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    result = run()
    rows, states = outcome()
    assert (rows, states) == unbroken
    assert result.status.counts["complete"] + result.status.counts["pruned"] == 6
    assert result.status.counts["pruned"] > 0
    pruned = next(row for row in rows if row["state"] == "pruned")
    assert pruned["epochs"] < 5
    assert Path(f"runs/own/{pruned['number']}/log.txt").exists()
    best_trial = min((row for row in rows if row["state"] == "complete"), key=lambda row: row["value"])
    assert result.status.best is not None
    assert result.status.best.number == best_trial["number"]


def test_the_code_gets_the_bound_config_with_its_options_by_name() -> None:
    code = (
        "import json\n"
        "def run(config, state):\n"
        "    with open('config.json', 'w') as file:\n"
        "        json.dump(config, file)\n"
        "    yield {'error': 0.5}, None\n"
    )
    one(code, "train.epochs=1", "optimizer={kind: sgd, lr: 0.5}")
    config = json.loads(Path("config.json").read_text())
    assert config["lr"] == config["options"]["lr"] == config["train"]["options"]["lr"] == 0.1
    assert config["optimizer"]["momentum"] == 0.0
    assert (config["epochs"], config["trial"], config["device"]) == (1, 0, "cpu")
    assert Path(config["folder"]).samefile("runs/own/0")
    assert 0 <= config["seed"] < 2**32
    assert not {"data", "model", "loss", "schedule"} & set(config)


def test_a_section_that_is_there_can_vary() -> None:
    write(CODE.replace('config["lr"]', 'config["optimizer"]["lr"]'))
    sets = ("space={optimizer.lr: {low: 0.01, high: 0.1}}", "optimizer={kind: sgd}", "search.trials=2")
    result = run(*sets)
    assert result.status.best is not None
    assert set(result.status.best.params) == {"optimizer.lr"}


def test_a_function_of_scikit_learn_without_torch_goes_on_from_its_arrays() -> None:
    code = """
import pickle
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import SGDClassifier

def run(config, state):
    x, y = load_iris(return_X_y=True)
    model = pickle.loads(state["model"]) if state else SGDClassifier(random_state=config["seed"])
    for epoch in range(state["epoch"] if state else 0, config["epochs"]):
        model.partial_fit(x, y, classes=[0, 1, 2])
        yield {"error": 1 - model.score(x, y)}, {"model": pickle.dumps(model), "coef": model.coef_, "epoch": epoch + 1}
"""
    straight, _ = alone(code, epochs=3)
    assert alone(code, epochs=3, pauses=(1, 2))[0] == straight
    assert 0 <= straight[-1]["val/error"] < 0.7


def test_prepared_data_is_given_to_code_that_takes_it_without_the_test_part() -> None:
    code = """
import torch
def run(config, state, data):
    x, y = data.train.tensors
    assert not hasattr(data, "test")
    assert x.shape == (105, 4) and len(data.val) == 30 and y.dtype == torch.int64
    assert abs(float(x.mean())) < 1e-4
    x.zero_()
    yield {"error": len(data.val) / data.info.n_train}, None
"""
    found = one(code, "data={kind: iris, split: {val: 0.2, test: 0.1}}", "train.epochs=1")
    assert (found["message"], found["value"]) == ("", 30 / 105)


def test_data_that_the_code_does_not_take_is_noted() -> None:
    recorder = Recorder()
    run("data={kind: iris}", "search.trials=1", recorder=recorder)
    assert [
        note for note in recorder.notes if note.startswith("data: is not prepared, since mine.py:run does not take")
    ]


# --------------------------------------------------------------------------------------------------------- interrupted


def test_interrupted_after_every_epoch_it_gives_the_same_bits(
    unbroken: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded):
            os.kill(os.getpid(), signal.SIGINT)

    for _ in range(60):
        result = run(recorder=Recorder(interrupt))
        if result.ended is Ended.BUDGET:
            break
    assert outcome() == unbroken


CHILD = """
import os
from tuner import faults
from tuner.execution.inline import InlineExecutor
from tuner.workflows.search import SearchRequest, search
os.chdir({folder!r})
faults.arm({fault!r})
search(SearchRequest(space="own.yaml"), None, InlineExecutor())
"""


def _killed_in_child(fault: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tuner.execution.preload", "tuner.workflows.session"])
    child = context.Process(target=exec, args=(CHILD.format(folder=str(Path.cwd()), fault=fault),))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_again_and_again_it_gives_the_same_bits(
    unbroken: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    for point in ("checkpoint_written", "epoch_recorded"):
        _killed_in_child(f"{point}:kill@2")
    run()
    assert outcome() == unbroken


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_is_taken(
    unbroken: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    _killed_in_child("epoch_recorded:kill@3")
    path = Path("runs/own/0/epoch-00003.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run()
    assert "its checksum is not the recorded one" in Path("runs/own/0/log.txt").read_text()
    assert outcome() == unbroken


def test_a_state_of_none_repeats_the_epochs_and_reports_none_twice() -> None:
    code = (
        "import random\n"
        "def run(config, state):\n"
        "    assert state is None\n"
        "    total = 0.0\n"
        "    while True:\n"
        "        total += random.random()\n"
        "        yield {'error': total}, None\n"
    )
    straight, _ = alone(code)
    paused, end = alone(code, pauses=(2, 3))
    assert (paused, end.outcome) == (straight, Outcome.COMPLETED)
    assert "the state of epoch 3 is None: repeating the epochs before it" in Path("0/log.txt").read_text()


def test_code_that_returns_while_it_repeats_epochs_is_told_so() -> None:
    code = (
        "import os\n"
        "def run(config, state):\n"
        "    for epoch in range(4 if os.path.exists('0/epoch-00005.pt') else 9):\n"
        "        yield {'error': 1.0}, None\n"
    )
    _, end = alone(code, pauses=(5,), epochs=9)
    assert end.message == "mine.py:run: it returned after 4 epochs, where it had trained 5"


TUNER = [sys.executable, "-m", "tuner", "search", "--space", "own.yaml", "--json"]
DEADLINE_S = 120.0


def _search_until(epochs: int) -> tuple[int, list[dict[str, Any]]]:
    """The command line, killed with all of its workers when it has shown so many epochs; its exit code and events."""
    with subprocess.Popen(
        TUNER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        shown: list[dict[str, Any]] = []
        for line in process.stdout:
            shown.append(json.loads(line))
            if sum(event["event"] == "epoch" for event in shown) == epochs:
                os.killpg(process.pid, signal.SIGKILL)
        return process.wait(timeout=DEADLINE_S), shown


@pytest.mark.slow
def test_a_search_that_was_killed_with_its_workers_goes_on_to_the_same_bits(
    unbroken: tuple[list[dict[str, Any]], dict[str, Any]],
) -> None:
    assert _search_until(3)[0] == -signal.SIGKILL
    code, shown = _search_until(10**9)
    assert code == 0
    assert shown[-1]["event"] == "done"
    assert outcome() == unbroken
    log = Path("runs/own/0/log.txt").read_text()
    assert "epoch 5\n" in log
    assert "closed\n" in log


@pytest.mark.parametrize(
    "read",
    (
        "state['x'] + 0 * state['x']",
        "dict(state)['x']",
        "{**state}['x']",
        "[value for value in state.values()][0]",
        "state.get('x')",
        "state.pop('x')",
        "__import__('copy').deepcopy(state)['x']",
    ),
)
def test_however_the_state_is_read_what_was_drawn_before_does_not_count(read: str) -> None:
    code = (
        "import random\n"
        "def run(config, state):\n"
        "    total = random.random()\n"
        "    if state:\n"
        f"        total = {read}\n"
        "    while True:\n"
        "        total += random.random()\n"
        "        yield {'error': total}, {**(state or {}), 'x': total}\n"
    )
    straight, _ = alone(code)
    assert alone(code, pauses=(1, 3))[0] == straight


ASHA = SPACE.replace("{kind: tpe, n_startup_trials: 3}", "random").replace(
    "{kind: median, n_startup_trials: 2}", "{kind: asha, min_epochs: 1, eta: 2}"
)


def test_a_trial_that_is_promoted_has_the_bits_of_one_that_never_paused() -> None:
    write(space=ASHA)
    run("search.pruner=none")
    straight = outcome()
    for name in ("studies.db", "runs"):
        Path(name).rename(f"before-{name}")
    run()
    rows, states = outcome()
    promoted = [row for row in rows if row["state"] == "complete"]
    assert 0 < len(promoted) < len(rows)
    assert all(row == straight[0][row["number"]] for row in promoted)
    kept = {
        file: state for file, state in states.items() if int(file.split("/")[2]) in {row["number"] for row in promoted}
    }
    assert kept
    assert all(state == straight[1].get(file, state) for file, state in kept.items())
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study(None), promoted[0]["number"])
    assert detail.attempts[0].outcome == Outcome.PAUSED
    log = Path(f"runs/own/{promoted[0]['number']}/log.txt").read_text()
    assert "resumed after epoch 1" in log


@pytest.mark.slow
@pytest.mark.parametrize("fault", ("paused:kill@2", "epoch_recorded:kill@8"))
def test_killed_while_pausing_or_promoting_it_gives_the_same_bits(fault: str) -> None:
    write(space=ASHA)
    run()
    straight = outcome()
    for name in ("studies.db", "runs"):
        Path(name).rename(f"before-{name}")
    _killed_in_child(fault)
    run()
    assert outcome() == straight


# ------------------------------------------------------------------------------------------------- what it may not do

YIELDS = "def run(config, state):\n    for epoch in range(9):\n        yield {}\n"


@pytest.mark.parametrize(
    ("yielded", "message"),
    (
        ("0.5", "expected yield (metrics, state), got a float"),
        ("{'error': 0.5}", "expected yield (metrics, state), got a dict"),
        ("(1, 2, 3)", "expected yield (metrics, state), got a tuple of 3"),
        ("0.5, None", "expected yield (metrics, state) with metrics by name, got a float for them"),
        ("{'loss': 1}, None", "the metrics have no 'error', which the space file wants; they are loss"),
        ("{}, None", "the metrics have no 'error', which the space file wants; they are none"),
        ("{'error': '0.5'}, None", "the metric 'error' must be a number, got a str"),
        ("{'error': [0.5]}, None", "the metric 'error' must be a number, got a list"),
        ("{'error': __import__('torch').ones(2)}, None", "must be a number, got a Tensor of shape (2,)"),
        ("{1: 0.5}, None", "the name of a metric must be text, got 1"),
        ("{'error': 1}, {'net': object()}", "state['net']: a object would not load again; a state may hold tensors"),
        ("{'error': 1}, [{'f': lambda: 1}]", "state[0]['f']: a function would not load again"),
    ),
)
def test_what_is_wrong_with_a_yield_is_said_with_its_line(yielded: str, message: str) -> None:
    curve, end = alone(YIELDS.format(yielded))
    assert (curve, end.outcome) == ([], Outcome.CRASHED)
    assert end.message.startswith("mine.py:run: ")
    assert message in end.message
    assert end.message.endswith("mine.py:3")
    assert "Traceback" not in Path("0/log.txt").read_text()


def test_a_wrong_yield_of_an_inner_generator_is_said_with_its_own_line() -> None:
    _, end = alone("def run(config, state):\n    yield from inner()\ndef inner():\n    yield 3\n")
    assert end.message.endswith("mine.py:4")


@pytest.mark.parametrize(
    ("body", "message"),
    (
        ("    return 0.5\n", "it must yield (metrics, state) after every epoch; calling it gave a float"),
        ("    return\n    yield\n", "it returned without a single yield; yield (metrics, state) after every epoch"),
    ),
)
def test_code_without_a_yield_is_told_so(body: str, message: str) -> None:
    _, end = alone("def run(config, state):\n" + body)
    assert (end.outcome, end.message) == (Outcome.CRASHED, f"mine.py:run: {message}")


def test_an_exception_is_a_crash_with_its_traceback_in_the_log() -> None:
    found = one("def run(config, state):\n    yield {'error': 1.0}, None\n    raise ValueError('no more')\n")
    assert (found["state"], found["reason"], found["epochs"]) == ("failed", "crashed", 1)
    assert found["message"].startswith("ValueError: no more, in ")
    assert found["message"].endswith("mine.py:3")
    assert Path("runs/own/0/log.txt").read_text().count("Traceback") == 3


def test_out_of_memory_and_nan_are_told_apart_from_crashes() -> None:
    curve, end = alone("def run(config, state):\n    yield {'error': float('inf'), 'loss': 1}, None\n")
    assert (str(curve[0]["val/error"]), end.outcome) == ("nan", Outcome.DIVERGED)
    assert alone("def run(config, state):\n    raise MemoryError\n    yield\n")[1].outcome is Outcome.OOM


def test_a_metric_beside_the_objective_may_be_nan() -> None:
    found = one("def run(config, state):\n    yield {'error': 1, 'auc': float('nan')}, None\n")
    assert (found["state"], found["curve"]) == ("complete", [{"val/error": 1.0, "val/auc": None}])


@pytest.mark.parametrize(
    ("n", "outcome"), ((3, Outcome.EARLY_STOPPED), (5, Outcome.COMPLETED), (99, Outcome.COMPLETED))
)
def test_code_may_return_early_and_is_closed_where_it_would_go_on(
    n: int, outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "def run(config, state):\n"
        "    try:\n"
        f"        for epoch in range({n}):\n"
        "            yield {'error': 1 / (epoch + 1)}, epoch\n"
        "    finally:\n"
        "        print('closed')\n"
    )
    curve, end = alone(code)
    assert (len(curve), end.outcome) == (min(n, 5), outcome)
    assert capsys.readouterr().out == "closed\n"


def test_early_stopping_follows_the_objective() -> None:
    code = "def run(config, state):\n    while True:\n        yield {'error': 1.0}, None\n"
    curve, end = alone(code, epochs=50, early_stopping={"patience": 2})
    assert (len(curve), end.outcome) == (3, Outcome.EARLY_STOPPED)


def test_a_finally_that_raises_changes_no_outcome() -> None:
    code = (
        "def run(config, state):\n"
        "    try:\n"
        "        while True:\n"
        "            yield {'error': 1.0}, None\n"
        "    finally:\n"
        "        raise RuntimeError('the door is stuck')\n"
    )
    assert alone(code)[1].outcome is Outcome.COMPLETED
    assert "closing mine.py:run raised RuntimeError: the door is stuck" in Path("0/log.txt").read_text()


def test_a_timeout_ends_it_after_its_epoch() -> None:
    code = (
        "import time\n"
        "def run(config, state):\n"
        "    for epoch in range(10**9):\n"
        "        time.sleep(0.01)\n"
        "        yield {'error': 1.0}, epoch\n"
    )
    found = one(code, "train.epochs=1000000", "search.timeout=0.3")
    assert (found["state"], found["reason"]) == ("pruned", "timeout")


# ------------------------------------------------------------------------------------------------ before anything runs


@pytest.mark.parametrize(
    ("code", "message"),
    (
        ("run = 3\n", "'mine.py:run' must be a function run(config, state), got a int"),
        ("def other(): pass\n", "'mine.py:run': mine.py has no 'run'"),
        (
            "def run(config): yield\n",
            "'mine.py:run' must take (config, state), or (config, state, data); its signature is",
        ),
        ("def run(config, state, data): yield\n", "'mine.py:run' takes data, but the file has no data section"),
        ("import nowhere_at_all\n", "importing it raised ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ),
)
def test_code_that_cannot_be_called_is_refused_before_anything_runs(code: str, message: str) -> None:
    write(code)
    with pytest.raises(ConfigError) as caught:
        run()
    assert message in str(caught.value)
    assert not Path("studies.db").exists()


def test_a_file_that_is_not_there_is_refused_by_check_and_search() -> None:
    Path("mine.py").unlink()
    for act in (run, lambda: check("own.yaml")):
        with pytest.raises(ConfigError, match=r"mine\.py:run: no such file; looked in"):
            act()


def test_changed_code_is_refused() -> None:
    run("search.trials=1")
    write(CODE + "\n# another version\n")
    with pytest.raises(ChangedError, match=r"the code of mine\.py:run changed"):
        run("search.trials=2")


def problems(text: str) -> list[str]:
    Path("own.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Path("own.yaml"))
    return str(caught.value).splitlines()


def test_all_problems_of_a_file_are_listed_with_their_places() -> None:
    text = (
        "objective: {metric: err}\n"
        "train:\n"
        "  kind: python\n"
        "  target: mine.py:run\n"
        "  precision: bf16\n"
        "  options: {epochs: 3, model: resnet}\n"
        "model: {kind: mlp}\n"
        "space:\n"
        "  optimizer.lr: {low: 0.1, high: 1.0}\n"
        "  train.options.seed: [1, 2]\n"
        "  train.kind: [python, standard]\n"
        "search: {lanes: 4}\n"
    )
    found = problems(text)
    assert found[0] == (
        "own.yaml:1:1: objective.direction: missing; which way err is better only your code knows: "
        "add direction: maximize, or minimize"
    )
    taken = "is taken: config"
    for line in (
        (
            "own.yaml:5:3: train.precision: unknown key; available: epochs, early_stopping, device, epoch_timeout, "
            "kind, target, options"
        ),
        f"own.yaml:6:13: train.options.epochs: 'epochs' {taken}['epochs'] is train.epochs; choose another name",
        f"own.yaml:6:24: train.options.model: 'model' {taken}['model'] is the section model; choose another name",
        f"own.yaml:10:3: space.train.options.seed: 'seed' {taken}['seed'] is the trial's own seed; choose another name",
        "own.yaml:12:17: search.lanes: own training code trains one trial at a time; leave lanes out",
    ):
        assert line in found
    (left_out,) = (line for line in found if line.startswith("own.yaml:9:3: space.optimizer.lr: there is no section"))
    assert left_out.endswith("name it train.options.lr, or add the section")
    assert any(line.startswith("own.yaml:11:3: space.train.kind: cannot be varied: train.kind says") for line in found)


def test_a_missing_objective_is_said_where_the_code_is_named() -> None:
    (found,) = problems("train: {kind: python, target: mine.py:run}\n")
    assert found == (
        "own.yaml:1:15: objective.metric: missing; own training code has its own metrics: "
        "add objective: {metric: NAME, direction: maximize}"
    )


def test_the_standard_loop_still_needs_its_data() -> None:
    (found,) = problems("train: {epochs: 3}\n")
    assert "data: missing" in found
    with pytest.raises(ValueError, match="data, model, loss, optimizer, schedule: missing"):
        TrialConfig.model_validate({"objective": {"metric": "loss"}, "train": {"epochs": 3}})


def test_several_objectives_and_constraints_name_what_the_code_yields() -> None:
    code = (
        "def run(config, state):\n"
        "    for epoch in range(9):\n"
        "        yield {'error': 1 / config['lr'], 'size': config['lr'], 'params': 7}, epoch\n"
    )
    write(code)
    sets = (
        "objective=[{metric: error, direction: minimize}, {metric: size, direction: minimize}]",
        'constraints=["size <= 0.3", "params <= 8", "epoch_seconds < 99"]',
        "space.train.options.lr=[0.1, 0.2, 0.4]",
        "search={sampler: grid, pruner: median, workers: 1}",
    )
    run(*sets)
    by_lr = {row["params"]["train.options.lr"]: row for row in trials()}
    assert {lr: row["reason"] for lr, row in by_lr.items()} == {0.1: "", 0.2: "", 0.4: "infeasible"}
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study(None), by_lr[0.1]["number"])
    assert set(detail.curve[0].metrics) == {"val/error", "val/size", "params", "epoch_seconds"}
    write(code.replace("'size'", "'weight'"))
    with pytest.raises(SearchFailedError, match="the metrics have no 'size', which the space file wants"):
        run(*sets, "study=other")


# -------------------------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(
    "value",
    (
        None,
        3,
        {"a": [1, (2.5, "text")], "b": b"bytes", "c": {1: True}},
        {
            "w": np.arange(6, dtype=np.float64).reshape(2, 3).T,
            "n": np.int64(3),
            "f": [np.float32(0.1)],
            "u": np.uint64(2**63),
        },
        OrderedDict(a=np.ones(2, dtype=bool), b=3),
        np.random.default_rng(3).bit_generator.state,
        np.random.RandomState(3).get_state(),
    ),
)
def test_a_state_comes_back_as_it_was(value: object) -> None:
    packed = Packed.of(value)
    torch.save(packed.to_plain(), "state.pt")
    back = Packed.from_plain(torch.load("state.pt", weights_only=True)).unpacked()
    np.testing.assert_equal(back, value)
    assert type(back) is type(value)
    if isinstance(value, dict) and "w" in value:
        assert (back["w"].strides, type(back["n"]), type(back["f"][0])) == (value["w"].strides, np.int64, np.float32)


def test_a_state_that_holds_itself_is_refused() -> None:
    state: dict[str, Any] = {}
    state["again"] = state
    with pytest.raises(UnstorableError, match="nested too deeply, or holds itself"):
        Packed.of(state)
    with pytest.raises(UnstorableError, match=r"state\['t'\]: a NumPy array of <U1 would not load again"):
        Packed.of({"t": np.array(["a"])})


# -------------------------------------------------------------------------------------------------------------- export


def test_the_best_state_is_exported_with_its_code_and_loads_without_any() -> None:
    run("search.trials=3")
    export = best(out=Path("export"))
    assert export.reevaluated is None
    shown = export.to_json()
    assert (shown["reevaluated"], shown["test"]) == (None, {})
    assert set(shown["files"]) == {"bundle.json", "README.md", "code/train/mine.py", "model.pt", "state.pt"}
    state = torch.load("export/state.pt", weights_only=True)
    model = torch.load("export/model.pt", weights_only=True)
    assert state["epoch"] == export.bundle.epoch
    assert torch.equal(state["model"]["weight"], model["weight"])
    assert export.bundle.metrics["val/error"] == export.bundle.value
    assert (export.bundle.config.data, export.bundle.config.model) == (None, None)
    assert "tuner's own loop" not in Path("export/README.md").read_text()
    with pytest.raises(UsageError, match="its model was built by your own training code"):
        tuner.load("export", allow_code=True)


def test_a_damaged_state_is_not_exported() -> None:
    run("search.trials=1", "confirm=off")
    (path,) = Path("runs/own/0").glob("epoch-*.pt")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TunerError, match="its checksum is not the recorded one"):
        best()
    assert not Path("exports/own-0").exists()


def test_code_without_a_state_is_exported_without_one() -> None:
    one("def run(config, state):\n    yield {'error': 1.0, 'test/error': 2.0}, None\n")
    export = best(out=Path("export"))
    assert set(export.files) == {"bundle.json", "README.md", "code/train/mine.py"}
    assert export.to_json()["test"] == {"error": 2.0}


# --------------------------------------------------------------------------------------------- resumed like all others


def test_the_attempts_of_a_resumed_trial_are_told() -> None:
    def interrupt(progress: Progress) -> None:
        if isinstance(progress, EpochEnded) and progress.epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    run("search.trials=1", recorder=Recorder(interrupt))
    run("search.trials=1")
    reader = StudyReader.open(STORAGE)
    detail = reader.trial(reader.study(None), 0)
    assert [attempt.outcome for attempt in detail.attempts] == [Outcome.PAUSED, Outcome.COMPLETED]
    assert [row.epoch for row in detail.curve] == [1, 2, 3, 4, 5]
