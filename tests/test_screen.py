"""The live screen: what it shows of a state, how the state follows from events, and that the database says the same."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tuner.control.controller import TrialState
from tuner.execution.inline import InlineExecutor
from tuner.execution.memory import held_bytes
from tuner.screen.draw import as_html, draw
from tuner.screen.follow import Follower
from tuner.screen.lines import Line
from tuner.screen.live import LiveScreen
from tuner.screen.sentences import Sentences, is_lasting
from tuner.screen.sparkline import sparkline
from tuner.screen.state import (
    Best,
    Candidate,
    Confirming,
    Counts,
    Failure,
    Phase,
    RunningTrial,
    SearchState,
    Wanted,
    Work,
    Worker,
)
from tuner.screen.stored import StoredSearch
from tuner.screen.view import Size, view
from tuner.screen.watch import sentence
from tuner.workflows.progress import (
    ConfirmStarted,
    ConfirmStep,
    EpochEnded,
    Note,
    Progress,
    StudyStarted,
    TrialFinished,
    TrialStarted,
)
from tuner.workflows.search import SearchRequest, search

GOLDEN = Path(__file__).parent / "golden"
"""`TUNER_GOLDEN=write pytest tests/test_screen.py` writes them anew; look at what changed."""
STORAGE = "sqlite:///studies.db"

PARAMS = {
    "optimizer.kind": "adamw",
    "optimizer.lr": 0.0031622776,
    "optimizer.weight_decay": 1e-05,
    "data.batch_size": 128,
    "model.depth": 3,
    "model.width.0": 512,
    "model.width.1": 64,
    "model.width.2": 32,
    "model.dropout": 0.25,
    "train.epochs": 30,
}


def running(trial: int, epoch: int, *, goal: int = 9, last: int = 30, worker: int = 1) -> RunningTrial:
    curve = tuple(0.9 - 0.4 / (n + 1) for n in range(epoch))
    return RunningTrial(
        trial=trial,
        worker=worker,
        goal=goal,
        epoch=epoch,
        last_epoch=last,
        metrics={"val/accuracy": curve[-1], "val/loss": 0.2, "params": 24_810.0} if curve else {},
        curve=curve,
        params={**PARAMS, "model.depth": 2},
    )


SEARCHING = SearchState(
    study="fashion-mlp",
    phase=Phase.SEARCHING,
    wanted=(Wanted(name="val/accuracy", direction="maximize"),),
    work=Work(n_done=34, n_total=60, elapsed_s=724.0, limit_s=1800.0, under_way=0.8),
    counts=Counts(complete=8, pruned=3, failed=1, paused=22, running=3),
    saved_s=75.0,
    paused=dict.fromkeys(range(22), 11.0),
    best=Best(trial=17, value=0.98329, params=PARAMS),
    history=(0.71, 0.71, 0.83, 0.9, 0.9, 0.95, 0.97, 0.98329),
    running=(running(35, 5), running(36, 1, goal=3), running(37, 0, goal=30, worker=2)),
    workers=(
        Worker(worker=1, device="cpu", memory_bytes=212_400_000, trials=(35, 36)),
        Worker(worker=2, device="cuda:0", memory_bytes=None, trials=(37,)),
    ),
    failure=Failure(
        trial=12, reason="crashed", message="ValueError: expected 4 channels, got 3, in block 2 of the network"
    ),
)
CONFIRMING = replace(
    SEARCHING,
    phase=Phase.CONFIRMING,
    counts=Counts(complete=14, pruned=45, failed=1),
    paused={},
    running=(
        replace(running(17, 20, goal=30), repeat=2, curve=tuple(0.9 + n / 300 for n in range(20))),
        replace(running(9, 3, goal=12, last=12), repeat=1, worker=2),
    ),
    confirming=Confirming(
        seeds=3,
        work=Work(n_done=4, n_total=9, elapsed_s=42.0, under_way=0.9),
        candidates=(
            Candidate(trial=17, search_value=0.98329, values={1: 0.98111}),
            Candidate(trial=4, search_value=0.9805, values={1: 0.97911, 2: None}),
            Candidate(trial=9, search_value=None, values={}),
        ),
    ),
    failure=Failure(trial=4, repeat=2, reason="killed", message="the worker process was killed by SIGKILL"),
)
SEVERAL = replace(
    SEARCHING,
    study="several",
    wanted=tuple(
        Wanted(name=name, direction=direction)
        for name, direction in (("val/accuracy", "maximize"), ("val/loss", "minimize"), ("params", "minimize"))
    ),
    work=Work(n_done=34, n_total=None, elapsed_s=724.0, limit_s=1800.0),
    n_front=4,
    best=Best(
        trial=17, value=0.98, params=PARAMS, values={"val/accuracy": 0.98, "val/loss": 0.061, "params": 24_810.0}
    ),
    history=(),
    failure=None,
)
IDLE = replace(SEARCHING, phase=Phase.IDLE, running=(), workers=(), best=None, history=(), stopped="why it ended")
STATES = {"searching": SEARCHING, "confirming": CONFIRMING, "several": SEVERAL, "idle": IDLE}


def plain(line: Line) -> str:
    return "".join(part.text for part in line).rstrip()


def recorded(state: SearchState, width: int, height: int, **options: object) -> Console:
    """A console that has shown a state."""
    given = {"force_terminal": True, "color_system": "standard", **options}
    console = Console(record=True, file=io.StringIO(), width=width, height=height, **given)  # type: ignore[arg-type]
    console.print(draw(view(state, Size(width=width, height=height)), console))
    return console


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize(("width", "height"), ((80, 24), (200, 50)))
def test_the_screen_is_what_it_was(name: str, width: int, height: int) -> None:
    text = recorded(STATES[name], width, height).export_text(clear=False)
    shown = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("TUNER_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(STATES)),
    width=st.integers(min_value=20, max_value=240),
    height=st.integers(min_value=10, max_value=60),
    n_running=st.integers(min_value=0, max_value=40),
    text=st.text(max_size=200),
)
def test_no_line_is_wider_and_no_screen_higher_than_its_terminal(
    name: str, width: int, height: int, n_running: int, text: str
) -> None:
    state = STATES[name]
    trials = tuple(replace(running(n, n % 7), worker=n) for n in range(n_running))
    workers = tuple(Worker(worker=n, device="cuda:10", memory_bytes=3 * 10**9, trials=(n, n + 1)) for n in range(9))
    failure = Failure(trial=10**6, repeat=2, reason="crashed", message=text)
    best = state.best and replace(state.best, params={**PARAMS, "model.kind": text, f"model.{text}": 1.0})
    state = replace(state, study=f"s{text}", running=trials, workers=workers, failure=failure, best=best)
    lines = [plain(line) for line in view(state, Size(width=width, height=height))]
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    least = 18 + 3 * (state.confirming is not None)  # what is never left out
    assert len(lines) <= max(height, least)


def test_columns_do_not_move_while_numbers_change() -> None:
    later = replace(
        SEARCHING,
        work=replace(SEARCHING.work, n_done=59, elapsed_s=1650.5),
        counts=Counts(complete=11, pruned=11, failed=11, paused=26, running=1),
        running=(running(59, 29, goal=30), running(60, 10, goal=27), running(61, 1, goal=3)),
    )
    sizes = Size(width=100, height=40)
    before, after = ([plain(line) for line in view(state, sizes)] for state in (SEARCHING, later))
    for mark in ("trials  ", " complete", " pruned", " running", "val/accuracy", "device"):
        assert [line.find(mark) for line in before if mark in line] == [
            line.find(mark) for line in after if mark in line
        ]


def test_what_there_is_no_room_for_is_counted() -> None:
    many = replace(SEARCHING, running=tuple(running(n, 1) for n in range(30)))
    lines = [plain(line) for line in view(many, Size(width=80, height=30))]
    shown = sum(line.split()[:1] == [str(n)] for n in range(30) for line in lines if "/30" in line)
    assert f"and {30 - shown} more trials" in lines
    low = [plain(line) for line in view(SEARCHING, Size(width=80, height=20))]
    assert "  all of them: tuner show 17 --study fashion-mlp" in low
    wide = [plain(line) for line in view(SEARCHING, Size(width=200, height=50))]
    assert any("optimizer.kind=adamw optimizer.lr=0.003162" in line for line in wide)
    assert any(line.endswith("+5") for line in wide)  # whole params, and how many there are besides


def test_without_colours_a_bar_still_shows_how_far_it_is() -> None:
    console = recorded(SEARCHING, 80, 24, no_color=True)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert re.search(r"\x1b\[[0-9;]*3\d[;m]", written) is None
    assert "━─" in re.sub(r"\x1b\[[0-9;]*m", "", written)
    coloured = recorded(SEARCHING, 80, 24).file
    assert isinstance(coloured, io.StringIO)
    assert "\x1b[32m━" in coloured.getvalue()


def test_a_terminal_without_blocks_gets_characters_that_it_has() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    console = Console(file=Ascii(), width=80, force_terminal=True)
    state = replace(SEARCHING, study="grün")
    text = draw(view(state, Size(width=80, height=24)), console).plain
    assert text.isascii()
    assert text.startswith("gr?n  maximize val/accuracy")
    assert "===" in text
    assert "_" in text


def test_a_sparkline_has_the_lowest_at_the_bottom_and_the_last_of_each_share() -> None:
    assert sparkline([1.0, 2.0, 3.0, 8.0], 10) == "▁▂▃█"
    assert sparkline(range(100), 4) == "▁▃▆█"
    assert sparkline([0.5], 4) == "▄"
    assert sparkline([0.5, float("nan"), float("inf"), 0.5], 4) == "▄▄"
    assert sparkline([], 4) == ""
    assert sparkline([1000.0, 10.0, 1.0, 0.1], 4) == "█▅▃▁"  # by the logarithm


def test_what_is_left_follows_from_what_is_done_and_from_the_timeout() -> None:
    half = Work(n_done=10, n_total=20, elapsed_s=100.0)
    assert half.left_s == pytest.approx(100.0)
    assert replace(half, under_way=2.5).left_s == pytest.approx(60.0)
    assert replace(half, n_free=5).left_s == pytest.approx(200.0)  # taken over: they took no time here
    assert replace(half, limit_s=130.0).left_s == pytest.approx(30.0)
    assert replace(half, limit_s=90.0).left_s == 0.0
    assert replace(half, n_total=None).left_s is None
    assert replace(half, n_done=0, under_way=0.5).left_s is None


def test_lines_above_the_screen_break_between_words() -> None:
    console = Console(file=io.StringIO(), width=60, height=30, force_terminal=True, color_system=None)
    with LiveScreen(console, follower()) as screen:
        screen.show(Note(message="a note of some length that says what a person should know now"))
    assert isinstance(console.file, io.StringIO)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    assert "a note of some length that says what a person should know" in shown
    assert "\nnow\n" in shown


def test_html_escapes_what_users_write() -> None:
    state = replace(SEARCHING, study="<script>alert(1)</script>")
    shown = as_html(view(state, Size(width=100, height=30)))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert 'style="font-weight: bold"' in shown


# -------------------------------------------------------------------------------------------------------------- events

STARTED = StudyStarted(
    study="s",
    metric="val/loss",
    maximize=False,
    n_trials=10,
    timeout_s=None,
    n_finished=0,
    seconds_before=0.0,
    workers=2,
    threads=1,
    devices=("cpu",),
    storage=STORAGE,
    best_trial=None,
    best_value=None,
)


def start(trial: int, *, first: int = 1, last: int = 9, goal: int = 3, worker: int = 1) -> TrialStarted:
    return TrialStarted(
        trial=trial,
        attempt=1,
        params={"lr": trial / 10},
        first_epoch=first,
        last_epoch=last,
        goal=goal,
        worker=worker,
        pid=os.getpid(),
        device="cpu",
    )


def epoch(trial: int, number: int, value: float) -> EpochEnded:
    metrics = {"val/loss": value}
    return EpochEnded(trial=trial, epoch=number, last_epoch=9, value=value, seconds=2.0, metrics=metrics)


def finish(trial: int, state: TrialState, **fields: object) -> TrialFinished:
    given: dict[str, object] = {"value": None, "epochs": 3, "seconds": 6.0, "reason": "", "message": ""}
    given |= {"is_best": False, "params": {"lr": trial / 10}}
    return TrialFinished(trial=trial, state=state, **{**given, **fields})  # type: ignore[arg-type]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def follower(*events: Progress, clock: Clock | None = None) -> Follower:
    found = Follower(lambda _study: SearchState(), clock=clock or Clock())
    for event in events:
        found.show(event)
    return found


def test_before_the_first_event_it_is_loading() -> None:
    state = follower(Note(message="threads change")).state()
    assert state.phase is Phase.LOADING
    assert plain(view(state, Size(width=80, height=24))[0]) == "loading torch and the data ..."


def test_running_trials_have_their_rung_epoch_curve_and_worker() -> None:
    state = follower(STARTED, start(0), start(1, worker=2), start(2, worker=2), epoch(0, 1, 0.9), epoch(0, 2, 0.5))
    trials, workers = state.state().running, state.state().workers
    assert [(item.trial, item.goal, item.epoch, item.curve) for item in trials][:2] == [
        (0, 3, 2, (0.9, 0.5)),
        (1, 3, 0, ()),
    ]
    assert [(item.worker, item.device, item.trials) for item in workers] == [(1, "cpu", (0,)), (2, "cpu", (1, 2))]
    own = held_bytes(os.getpid())
    assert own is not None
    assert workers[0].memory_bytes == pytest.approx(own, rel=0.2)
    assert held_bytes(0) is None


def test_pruned_and_paused_trials_save_the_epochs_that_they_did_not_train() -> None:
    found = follower(STARTED, start(0), *(epoch(0, n, 0.5) for n in (1, 2, 3)), finish(0, TrialState.PAUSED))
    assert found.state().paused == {0: 12.0}  # 6 epochs of 2 s
    found.show(start(0, first=4, goal=9))
    assert found.state().paused == {}
    found.show(epoch(0, 4, 0.4))
    found.show(finish(0, TrialState.PRUNED, reason="pruned"))
    state = found.state()
    assert (state.saved_s, state.counts.pruned) == (10.0, 1)
    assert [len(item.curve) for item in follower(STARTED, start(0), epoch(0, 1, 0.5)).state().running] == [1]


def test_a_trial_that_is_tried_again_goes_on_with_its_curve_from_its_checkpoint() -> None:
    found = follower(STARTED, start(0, goal=9), epoch(0, 1, 0.9), epoch(0, 2, 0.5))
    found.show(start(0, first=2, goal=9, worker=2))
    (again,) = found.state().running
    assert (again.epoch, again.worker, again.curve) == (1, 2, (0.9, 0.5))
    found.show(epoch(0, 2, 0.5))
    found.show(epoch(0, 3, 0.4))
    assert found.state().running[0].curve == (0.9, 0.5, 0.4)


def test_the_best_so_far_is_followed_and_a_failure_is_kept() -> None:
    events = [
        finish(0, TrialState.COMPLETE, value=0.5, is_best=True),
        finish(1, TrialState.COMPLETE, value=0.7),
        finish(2, TrialState.FAILED, reason="crashed", message="ValueError: x\nat line 3"),
        finish(3, TrialState.COMPLETE, value=0.2, is_best=True),
        finish(4, TrialState.PRUNED, reason="oom", message="CUDA out of memory"),
    ]
    state = follower(STARTED, *events[:4]).state()
    assert state.history == (0.5, 0.5, 0.2)
    assert state.best == Best(trial=3, value=0.2, params={"lr": 0.3})
    assert state.failure == Failure(trial=2, reason="crashed", message="ValueError: x")
    assert (state.counts.complete, state.counts.failed, state.work.n_done) == (3, 1, 4)
    later = follower(STARTED, *events).state().failure
    assert later is not None
    assert (later.trial, later.reason) == (4, "oom")


def test_elapsed_time_counts_from_the_start_and_goes_on_where_earlier_sessions_ended() -> None:
    clock = Clock()
    found = follower(replace(STARTED, seconds_before=50.0, timeout_s=100.0), clock=clock)
    clock.now = 20.0
    work = found.state().work
    assert (work.elapsed_s, work.left_s) == (70.0, 30.0)


def test_a_front_is_counted_and_its_newest_trial_shown() -> None:
    values = {"val/loss": 0.3, "params": 100.0}
    started = replace(STARTED, objectives=("val/loss", "params"), directions=("minimize", "minimize"), n_front=0)
    event = finish(0, TrialState.COMPLETE, value=0.3, is_best=True, values=values, n_front=1)
    state = follower(started, event).state()
    assert (state.n_front, state.history) == (1, ())
    assert state.best is not None
    assert state.best.values == values
    lines = [plain(line) for line in view(state, Size(width=80, height=24))]
    assert "1 trial on the front  trial 0  val/loss 0.3  params 100" in lines


def test_confirming_is_a_phase_of_its_own() -> None:
    started = ConfirmStarted(study="s", metric="val/loss", trials=(3, 5), seeds=2, n_runs=4, n_finished=0)
    found = follower(STARTED, finish(3, TrialState.COMPLETE, value=0.2, is_best=True), started)
    for repeat, step in (
        (1, start(3, goal=9)),
        (2, start(3, goal=9, worker=2)),
        (1, epoch(3, 1, 0.4)),
        (1, finish(3, TrialState.COMPLETE, value=0.25)),
        (2, finish(3, TrialState.FAILED, reason="crashed", message="boom")),
        (1, start(5, goal=9)),
        (1, epoch(5, 1, 0.6)),
    ):
        found.show(ConfirmStep(repeat=repeat, seeds=2, step=step))
    state = found.state()
    assert state.phase is Phase.CONFIRMING
    assert state.confirming is not None
    assert [dict(item.values) for item in state.confirming.candidates] == [{1: 0.25, 2: None}, {}]
    assert state.confirming.work.n_done == 2
    assert [(item.trial, item.repeat) for item in state.running] == [(5, 1)]
    assert state.failure == Failure(trial=3, repeat=2, reason="crashed", message="boom")
    lines = [plain(line) for line in view(state, Size(width=80, height=30))]
    assert any(line.endswith("confirming") for line in lines)
    assert any(line.split() == ["3", "-", "-", "0.25", "failed"] for line in lines)
    assert "  see tuner logs 3 --run 2 --study s" in lines


def test_lines_that_stay_beside_the_screen_are_bests_failures_and_notes() -> None:
    sentences = Sentences()
    events: list[Progress] = [
        STARTED,
        Note(message="a note"),
        start(0),
        epoch(0, 1, 0.5),
        finish(0, TrialState.COMPLETE, value=0.5, is_best=True),
        finish(1, TrialState.COMPLETE, value=0.9),
        finish(2, TrialState.FAILED, reason="crashed", message="boom\nmore"),
    ]
    kept = [sentences.of(event) for event in events if is_lasting(event)]
    assert [line.partition(":")[0] for line in kept] == [
        "searching s for val/loss",
        "a note",
        "trial 0/10",
        "trial 2/10",
    ]
    assert kept[-1] == "trial 2/10: failed (crashed) after 3 epochs, 6.0 s: boom"


# -------------------------------------------------------------------------------------------------------------- stored

SPACE = """
study: small
seed: 3
objective: {metric: accuracy}
data: {kind: iris, batch_size: 16, split: {val: 0.3, test: 0.2}}
model: {kind: mlp, depth: 1, width: 8, dropout: 0.1}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 9}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  train.epochs: {low: 5, high: 9}
search: {sampler: random, pruner: {kind: asha, min_epochs: 1, eta: 3}, trials: 9, workers: 1, lanes: 1, threads: 1}
confirm: {top: 2, seeds: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    (tmp_path / "small.yaml").write_text(SPACE)
    return tmp_path


class Both:
    """Compares, at the end of every epoch, what the events say with what the database says."""

    def __init__(self) -> None:
        self.follower = Follower(lambda study: StoredSearch.open(STORAGE, study).state())
        self.pairs: list[tuple[SearchState, SearchState]] = []

    def show(self, progress: Progress) -> None:
        self.follower.show(progress)
        step = progress.step if isinstance(progress, ConfirmStep) else progress
        if isinstance(step, EpochEnded):
            self.pairs.append((self.follower.state(), StoredSearch.open(STORAGE, None).state()))


def test_the_database_says_what_the_events_say(folder: Path) -> None:
    both = Both()
    search(SearchRequest(space="small.yaml"), both, InlineExecutor())
    assert {ours.phase for ours, _ in both.pairs} == {Phase.SEARCHING, Phase.CONFIRMING}
    for ours, theirs in both.pairs:
        assert ours.phase is theirs.phase
        assert ours.counts == theirs.counts
        assert ours.history == theirs.history
        assert ours.best == theirs.best
        assert ours.wanted == theirs.wanted
        assert ours.running == theirs.running
        assert [item.trials for item in ours.workers] == [item.trials for item in theirs.workers]
        assert ours.paused == pytest.approx(theirs.paused)
        assert ours.saved_s == pytest.approx(theirs.saved_s)
        assert ours.work.n_total == theirs.work.n_total
        assert ours.work.n_done == theirs.work.n_done
        assert ours.work.under_way == pytest.approx(theirs.work.under_way)
        if ours.confirming is not None:
            assert theirs.confirming is not None
            assert ours.confirming.candidates == theirs.confirming.candidates
            assert ours.confirming.work.n_done == theirs.confirming.work.n_done
    last = StoredSearch.open(STORAGE, "small").state()
    assert last.phase is Phase.IDLE
    assert last.running == ()
    assert sentence(last) == "small not running, 4/4 runs on fresh seeds"


SEVERAL_SETS = ("objective=[{metric: accuracy}, {metric: params}]", "confirm=off", "search.trials=4")


def test_of_several_objectives_both_say_how_large_the_front_is(folder: Path) -> None:
    both = Both()
    search(SearchRequest(space="small.yaml", sets=SEVERAL_SETS), both, InlineExecutor())
    for ours, theirs in both.pairs:
        assert ours.wanted == theirs.wanted
        assert ours.n_front == theirs.n_front
        assert ours.counts == theirs.counts
        assert ours.history == theirs.history == ()
    last = StoredSearch.open(STORAGE, "small").state()
    assert last.best is not None
    assert list(last.best.values) == ["val/accuracy", "params"]
    assert sentence(last).startswith("small not running, 4/4 trials: ")


def test_a_search_that_goes_on_shows_what_was_there_before(folder: Path) -> None:
    search(SearchRequest(space="small.yaml", sets=("search.trials=4", "confirm=off")), None, InlineExecutor())
    before = StoredSearch.open(STORAGE, "small").state()
    both = Both()
    search(SearchRequest(space="small.yaml", sets=("search.trials=5", "confirm=off")), both, InlineExecutor())
    ours = both.pairs[0][0]
    assert ours.history[: len(before.history)] == before.history
    assert ours.counts.complete == before.counts.complete > 0
    assert ours.saved_s == pytest.approx(before.saved_s)
    assert ours.work.elapsed_s >= before.work.elapsed_s > 0.0
