"""A report in a real browser: no request, no error, nothing cut and nothing overlapping, at any width and on paper."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import torch

from tuner.execution.inline import InlineExecutor
from tuner.workflows import best as best_workflow
from tuner.workflows.report import report
from tuner.workflows.search import SearchRequest, search

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe")  # fmt: skip
DEADLINE_S = 60.0
WIDTHS = (320, 390, 1280)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt install chromium"),
]

SPACE = """
study: small
objective: {metric: accuracy}
data: {kind: digits, batch_size: 64}
model: {kind: mlp, depth: 1, width: 16}
train: {epochs: 4, device: cpu}
space:
  optimizer.kind: [adamw, sgd]
  optimizer.lr: {low: 1e-4, high: 1e-1, log: true}
  optimizer.momentum: {low: 0.0, high: 0.9, when: {optimizer.kind: sgd}}
  model.width: {low: 4, high: 32, log: true}
search: {sampler: random, pruner: {kind: asha, min_epochs: 1, eta: 2}, trials: 14, workers: 1, lanes: 1}
confirm: off
"""

# Chromium reads commands from descriptor 3 and answers on 4.
BECOME = """
import os, sys
pair = [os.dup(int(number)) for number in sys.argv[1:3]]
pair = [os.dup2(descriptor, 90 + index) for index, descriptor in enumerate(pair)]
for index, descriptor in enumerate(pair):
    os.dup2(descriptor, 3 + index)
os.execv(sys.argv[3], sys.argv[3:])
"""

PROBLEMS = """
(() => {
  const problems = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) problems.push(`the page is ${wide} wide`);
  for (const plot of document.querySelectorAll(".plot")) {
    const groups = [".xaxis span", ".yaxis span", ".axisname", ".label.name"];
    for (const group of groups) {
      const boxes = [...plot.querySelectorAll(group)].map((child) => child.getBoundingClientRect());
      boxes.sort((a, b) => a.left - b.left || a.top - b.top);
      for (let i = 1; i < boxes.length; i++) {
        const [a, b] = [boxes[i - 1], boxes[i]];
        if (a.right > b.left + 1 && a.left < b.right - 1 && a.bottom > b.top + 1 && a.top < b.bottom - 1) {
          problems.push(`labels overlap: ${group} of ${plot.querySelector("svg").getAttribute("aria-label")}`);
          break;
        }
      }
    }
  }
  for (const element of document.querySelectorAll("p, h1, h2, h3, dd, dt, figcaption, .legend, .xtitle, .ytitle")) {
    if (element.closest("details:not([open])")) continue;
    const box = element.getBoundingClientRect();
    const text = element.textContent.slice(0, 60);
    if (element.scrollWidth > element.clientWidth + 1) problems.push(`cut: ${text}`);
    if (!element.closest(".scroll") && box.right > innerWidth + 1) problems.push(`outside: ${text}`);
  }
  return problems;
})()
"""


class Browser:
    """Chromium over a pipe, by the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", BECOME, str(to_read), str(to_write), *command],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._buffer = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        atexit.register(self._process.kill)

    def __enter__(self) -> Self:
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._last:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
            self.events.append(found)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while b"\0" not in self._buffer:
            assert time.monotonic() < deadline, "chromium does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "chromium ended"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def open(self, path: Path) -> None:
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not self.of("Page.loadEventFired"):
            self.events.append(self._next())

    def of(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event.get("method") == method]

    def run(self, code: str) -> Any:
        done = self.call("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def resize(self, width: int, height: int = 800) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(best_workflow, "ProcessExecutor", InlineExecutor)
        torch.set_num_threads(1)
        Path("space.yaml").write_text(SPACE)
        search(SearchRequest(space="space.yaml"), None, InlineExecutor())
        found = report(out=Path("page.html"))
        assert found.path is not None
        return found.path.resolve()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_a_report_asks_for_nothing_but_itself_and_runs_without_an_error(browser: Browser, page: Path) -> None:
    browser.resize(1280)
    browser.open(page)
    asked = [event["request"]["url"] for event in browser.of("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert browser.of("Runtime.exceptionThrown") == []
    assert browser.of("Log.entryAdded") == []
    assert browser.run("document.querySelectorAll('svg').length") > 8


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_overlaps(browser: Browser, page: Path, width: int) -> None:
    browser.resize(width)
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert browser.run(PROBLEMS) == []


def test_on_paper_it_is_dark_on_white_and_nothing_is_cut(browser: Browser, page: Path) -> None:
    browser.resize(720)
    browser.open(page)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    paper = "getComputedStyle(document.body).backgroundColor"
    try:
        browser.call("Emulation.setEmulatedMedia", media="screen", features=dark)
        assert browser.run(paper) == "rgb(18, 22, 28)"
        browser.call("Emulation.setEmulatedMedia", media="print", features=dark)
        assert browser.run(paper) == "rgb(255, 255, 255)"
        assert browser.run(PROBLEMS) == []
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[])


def test_a_trial_stands_out_in_every_figure_and_is_described(browser: Browser, page: Path) -> None:
    browser.resize(1280)
    browser.open(page)
    browser.run("document.querySelector('.lead .trial').click()")
    number = browser.run("document.querySelector('.lead .trial').dataset.t")
    figures = "[...document.querySelectorAll('svg')].filter((svg) => svg.querySelector('.hi')).length"
    assert browser.run(figures) >= 6
    assert browser.run("document.getElementById('tip').textContent").startswith(f"trial {number}: ")
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert browser.run("document.querySelectorAll('.hi').length") == 0


def test_a_drag_along_an_axis_keeps_the_lines_that_cross_it_there(browser: Browser, page: Path) -> None:
    browser.resize(1280)
    browser.open(page)
    browser.run("document.getElementById('parallel').scrollIntoView({behavior: 'instant'})")
    place = browser.run(
        "(() => { const box = document.querySelector('.parallel svg').getBoundingClientRect();"
        " const x = Number(document.querySelector('.parallel .axis').getAttribute('d').match(/M(\\d+)/)[1]);"
        " return [box.left + x / 10000 * box.width, box.top, box.height]; })()"
    )
    x, top, height = place
    begin, end = (top + share * height for share in (0.05, 0.5))
    for kind, y, buttons in (("mousePressed", begin, 1), ("mouseMoved", end, 1), ("mouseReleased", end, 0)):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)
    off = "document.querySelectorAll('.parallel .off').length"
    lines = browser.run("document.querySelectorAll('.parallel [data-t]').length")
    assert 0 < browser.run(off) < lines
    browser.run("document.querySelector('.parallel .axisname').click()")
    assert browser.run(off) == 0
