"""Pictures of pages in headless Chromium: the report, optuna-dashboard, the web app."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

TUNER = [sys.executable, "-m", "tuner"]
STUDY = "shown"
SIZE = {"width": 1280, "height": 760}


def photograph(folder: Path, images: Path) -> None:
    """Search, export and report in `folder`, and take the pictures; a word on stderr where there is no browser."""
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        sys.stderr.write("no chromium here: the pictures of pages are left out\n")
        return
    from playwright.sync_api import sync_playwright

    _run(folder, "search", "--space", "mlp.yaml", "--study", STUDY, "--trials", "60")
    _run(folder, "best", "--study", STUDY, "--out", "export")
    _run(folder, "report", "--study", STUDY, "--out", "report.html")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        with (
            _served(folder, "app", "export", "--port", "0") as app,
            _served(folder, "dashboard", "--port", "0") as board,
        ):
            for name, url, prepare in (
                ("report", (folder / "report.html").as_uri(), _nothing),
                ("app", app, _draw_a_zero),
                ("dashboard", board, _open_first_study),
            ):
                page = browser.new_page(viewport=SIZE, color_scheme="light")
                page.goto(url, wait_until="networkidle")
                prepare(page)
                page.screenshot(path=images / f"screen-{name}.png")
                page.close()
        browser.close()


def _nothing(_page: Page) -> None:
    """It is ready as it is."""


def _draw_a_zero(page: Page) -> None:
    page.set_viewport_size({**SIZE, "height": 810})
    box = page.locator("#pad").bounding_box()
    assert box is not None
    x, y, width, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"], box["height"]
    angles = [math.tau * step / 40 for step in range(41)]
    around = [(x + 0.24 * width * math.sin(angle), y - 0.38 * height * math.cos(angle)) for angle in angles]
    page.mouse.move(*around[0])
    page.mouse.down()
    for point in around[1:]:
        page.mouse.move(*point)
    page.mouse.up()
    page.wait_for_selector("#label")


def _open_first_study(page: Page) -> None:
    page.get_by_text(STUDY).first.click()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(3000)


def _run(folder: Path, *arguments: str) -> None:
    subprocess.run([*TUNER, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - tuner itself


@contextmanager
def _served(folder: Path, *arguments: str) -> Iterator[str]:
    """The address that a command serves, as it prints it."""
    process = subprocess.Popen([*TUNER, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            sys.exit(f"tuner {' '.join(arguments)} printed no address")
        yield found[0]
    finally:
        process.terminate()
        process.wait()
