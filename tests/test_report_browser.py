"""A report in a real browser: no request, no error, nothing cut and nothing overlapping, at any width and on paper."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from tuner.execution.inline import InlineExecutor
from tuner.workflows import best as best_workflow
from tuner.workflows.report import report
from tuner.workflows.search import SearchRequest, search

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (320, 390, 1280)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
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


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser, report_file: Path) -> Iterator[Page]:
    """The report at the width of a desk."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(report_file.as_uri())
    yield page
    page.close()


def test_a_report_asks_for_nothing_but_itself_and_runs_without_an_error(browser: Browser, report_file: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(report_file.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [report_file.as_uri()]
    assert complaints == []
    assert page.locator("svg").count() > 8
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_overlaps(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    opened.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert opened.evaluate(PROBLEMS) == []


def test_on_paper_it_is_dark_on_white_and_nothing_is_cut(opened: Page) -> None:
    opened.set_viewport_size({"width": 690, "height": 800})
    paper = "getComputedStyle(document.body).backgroundColor"
    opened.emulate_media(color_scheme="dark")
    assert opened.evaluate(paper) == "rgb(18, 22, 28)"
    opened.emulate_media(color_scheme="dark", media="print")
    assert opened.evaluate(paper) == "rgb(255, 255, 255)"
    assert opened.evaluate(PROBLEMS) == []


def test_a_trial_stands_out_in_every_figure_and_is_described(opened: Page) -> None:
    opened.click(".lead .trial")
    number = opened.get_attribute(".lead .trial", "data-t")
    assert opened.locator("svg:has(.hi)").count() >= 6
    assert opened.locator("#tip b").inner_text().startswith(f"trial {number}: ")
    opened.keyboard.press("Escape")
    assert opened.locator(".hi").count() == 0


def test_a_drag_along_an_axis_keeps_the_lines_that_cross_it_there(opened: Page) -> None:
    opened.evaluate("document.getElementById('parallel').scrollIntoView({behavior: 'instant'})")
    box = opened.locator(".parallel svg").bounding_box()
    found = re.search(r"M(\d+)", opened.locator(".parallel .axis").first.get_attribute("d") or "")
    assert box is not None
    assert found is not None
    x = box["x"] + int(found[1]) / 10000 * box["width"]
    opened.mouse.move(x, box["y"] + 0.05 * box["height"])
    opened.mouse.down()
    opened.mouse.move(x, box["y"] + 0.5 * box["height"])
    opened.mouse.up()
    lines, off = opened.locator(".parallel [data-t]").count(), opened.locator(".parallel .off")
    assert 0 < off.count() < lines
    opened.locator(".parallel .axisname").first.click()
    assert off.count() == 0
