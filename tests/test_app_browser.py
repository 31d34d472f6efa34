"""The page of `tuner app` in a real browser: a headless chromium of the machine."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from test_app import exported, served

import tuner

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")]
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("digits"), "data: {kind: digits}\nmodel: {kind: mlp, width: 32}\n")


@pytest.fixture
def page(export: Path) -> Iterator[Page]:
    """The page of the digits, which may ask nobody but its server, and may not complain."""
    with served(export) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        thrown: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("pageerror", lambda error: thrown.append(str(error)))
        opened.goto(url)
        opened.wait_for_selector("#pad")
        yield opened
        assert not thrown
        assert all(one.startswith((url, "blob:")) for one in asked), asked
        browser.close()


def draw_a_one(page: Page) -> bytes:
    """Draw a stroke from top to bottom; returns the picture that the page sent."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    with page.expect_request("**/predict") as asked:
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=8)
        page.mouse.up()
    body = asked.value.post_data_buffer
    assert body is not None
    return body[body.index(PNG) : body.index(PNG_END) + len(PNG_END)]


def test_a_drawn_digit_gets_the_class_that_the_model_says(page: Page, export: Path) -> None:
    picture = Image.open(io.BytesIO(draw_a_one(page))).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
    pixels = np.round(np.asarray(picture) * (16 / 255)).astype(np.uint8)
    probabilities = tuner.load(export).predict_proba(pixels)[0]
    page.wait_for_selector("#label")
    assert page.text_content("#label") == str(probabilities.argmax())
    assert page.locator(".bar .share").first.text_content() == f"{100 * probabilities.max():.1f} %"
    assert page.locator(".bar").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_large_and_a_broken_file_are_told_and_the_page_goes_on(page: Page, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(30 * 1024 * 1024))
    (tmp_path / "broken.png").write_bytes(PNG + b"nothing")
    page.set_input_files("#file", str(tmp_path / "large.png"))
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "large.png: 30.0 MB; expected at most 10.0 MB"
    with page.expect_response("**/predict"):
        page.set_input_files("#file", str(tmp_path / "broken.png"))
    page.get_by_text("broken.png: cannot be read as an image; send a PNG or JPEG file").wait_for()
    draw_a_one(page)
    page.wait_for_selector("#label")
    assert page.locator("#error").is_hidden()
