"""Real searches on real terminals: what is on the screen while they run, and what is left when they have ended."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

TUNER = [sys.executable, "-m", "tuner"]
# What runs tests in a process a core sets COLUMNS, which a program believes more than its terminal.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("TUNER_") and name not in ("NO_COLOR", "COLUMNS", "LINES")
}
DEADLINE_S = 120.0
SPACE = """
study: shown
objective: {metric: accuracy}
data: {kind: digits, batch_size: 64}
model: {kind: mlp, depth: 1, width: 8}
optimizer: {kind: adamw, lr: 1e-2}
train: {epochs: 20}
space:
  optimizer.lr: {low: 1e-3, high: 1e-1, log: true}
  model.width: {low: 8, high: 16}
search: {sampler: random, pruner: {kind: asha, min_epochs: 2, eta: 3}, trials: 500, workers: 1, lanes: 1, threads: 1}
confirm: off
"""


class Terminal:
    """A process on a terminal of its own, whose screen is kept as a terminal would."""

    def __init__(self, *arguments: str, folder: Path, columns: int, rows: int) -> None:
        self._end, theirs = pty.openpty()
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.process = subprocess.Popen(
            [*TUNER, *arguments],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**ENVIRONMENT, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)

    def read(self, until: Callable[[list[str]], bool] = lambda _lines: False) -> list[str]:
        """The screen as soon as it is so, or when the process has closed the terminal."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if until(self.lines):
                return self.lines
            if not select.select([self._end], [], [], 1.0)[0]:
                continue
            try:
                part = os.read(self._end, 65536)
            except OSError:  # Linux: the other end is closed
                part = b""
            if not part:
                return self.lines
            self.written += part
            self._stream.feed(part)
        raise AssertionError(f"it never came to that: {self.lines}")

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def close(self) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.read()
        os.close(self._end)
        return self.process.wait(timeout=DEADLINE_S)


def has(*marks: str) -> Callable[[list[str]], bool]:
    return lambda lines: all(any(mark in line for line in lines) for mark in marks)


@pytest.mark.slow
def test_a_search_and_those_who_watch_it_show_the_same_screen(tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(SPACE)
    search = Terminal("search", "--space", "shown.yaml", folder=tmp_path, columns=80, rows=40)
    own = search.read(has("best 0.", "running", "worker", "rung", " saved", " MB ", " to 0."))
    watcher = Terminal("status", "--watch", folder=tmp_path, columns=160, rows=40)
    pipe = subprocess.Popen(
        [*TUNER, "status", "--watch", "--json"], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert pipe.stdout is not None
    assert json.loads(pipe.stdout.readline())["study"] == "shown"
    watched = watcher.read(has("best 0.", "running", "worker", "rung", " saved", " MB ", " to 0."))
    _examine(own, 80)
    _examine(watched, 160)
    assert any("model.width=" in line for line in watched)  # params, where there is room for them
    os.killpg(search.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    left = search.read()
    assert search.close() == 130
    _assert_clean(search, left)
    ended = watcher.read()
    assert watcher.close() == 0
    assert ended[0] == "shown: maximize val/accuracy"  # `tuner status`, once nobody runs it any more
    assert watcher.written.count(b"\x1b[?25l") == watcher.written.count(b"\x1b[?25h") == 1
    *_, last = pipe.communicate(timeout=DEADLINE_S)[0].splitlines()
    assert json.loads(last)["trials"]["running"] == 0
    assert pipe.returncode == 0


def _examine(lines: list[str], columns: int) -> None:
    """The parts of the screen, each where it belongs and none of them cut."""
    top = next(index for index, line in enumerate(lines) if line.startswith("shown  maximize val/accuracy"))
    assert lines[top].endswith("searching")
    assert len(lines[top]) == columns
    assert re.match(r"[━─]+ +\d+/500 trials +\d", lines[top + 1])
    counts = r" *\d+ complete +\d+ pruned +\d+ paused +0 failed +1 running"
    assert re.match(counts, lines[top + 2])
    assert "saved" in lines[top + 2]
    assert re.match(r"best 0\.\d+ +trial \d+ +[▁▂▃▄▅▆▇█]+ +0\.\d+ to 0\.\d+$", lines[top + 3])
    assert re.match(r"  optimizer\.lr 0\.\d+ +model\.width \d+$", lines[top + 4])
    header = next(index for index in range(top, len(lines)) if lines[index].split()[:1] == ["trial"])
    assert lines[header].split()[:5] == ["trial", "rung", "epoch", "val/accuracy", "curve"]
    assert re.match(r" +\d+ +(\d+|-) +\d+/20 +(0\.\d+|-|1)", lines[header + 1])
    workers = next(index for index in range(header, len(lines)) if lines[index].split()[:1] == ["worker"])
    assert re.match(r" +1 +cpu +\d+ MB +1 +\d+", lines[workers + 1])


def _assert_clean(search: Terminal, left: list[str]) -> None:
    """After Ctrl-C there are the lines that stay and the summary, and the cursor is back."""
    assert any("interrupted: trials pause at the end of their epoch" in line for line in left)
    assert any(line.startswith("interrupted, nothing is lost: the same command goes on") for line in left)
    assert not any("━" in line or "worker" in line.split()[:1] for line in left)
    assert search.written.count(b"\x1b[?25l") == search.written.count(b"\x1b[?25h") == 1
    assert not search.screen.cursor.hidden


@pytest.mark.slow
def test_in_a_pipe_a_watcher_prints_whole_lines_until_the_search_has_ended(tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(SPACE)
    short = ("--trials", "6", "--set", "train.epochs=6")
    run = [*TUNER, "search", "--space", "shown.yaml", *short]
    subprocess.run(run, cwd=tmp_path, capture_output=True, check=True, env=ENVIRONMENT)
    watch = [*TUNER, "status", "--watch"]
    done = subprocess.run(watch, cwd=tmp_path, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    first, second, *_ = done.stdout.splitlines()
    assert re.match(r"\d.* s: shown not running, 6/6 trials: \d complete, \d pruned; best 0\.\d+ \(trial \d\)$", first)
    assert second == "shown: maximize val/accuracy"
    assert "\x1b" not in done.stdout + done.stderr
