"""`tuner app`, a real process: over HTTP, and its page in a headless chromium of the machine."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import tuner
from tuner.execution.inline import InlineExecutor
from tuner.service.app import create_app
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

if TYPE_CHECKING:
    from playwright.sync_api import Page

SEARCH = "train: {epochs: 2, device: cpu}\nsearch: {trials: 1, workers: 1, lanes: 1}\nconfirm: off\n"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TUNER_")}
DEADLINE_S = 120.0


def exported(folder: Path, space: str) -> Path:
    """Search a space, one trial, and export it."""
    (folder / "space.yaml").write_text(space + SEARCH)
    storage = f"sqlite:///{folder / 'studies.db'}"
    search(SearchRequest(space=str(folder / "space.yaml"), storage=storage), executor=InlineExecutor())
    return Path(best(storage=storage, out=folder / "export").path)


def in_process(export: Path, **options: Any) -> TestClient:
    """A client of the application without a server."""
    return TestClient(create_app(tuner.load(export), **options), base_url="http://127.0.0.1")


@contextmanager
def served(export: Path, *arguments: str) -> Iterator[str]:
    """The address of the page while the application runs; it has to end well."""
    command = [sys.executable, "-m", "tuner", "app", str(export), "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[0]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, headers=names)  # noqa: S310  our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def predict(url: str, inputs: Any) -> tuple[int, Any]:
    return ask(f"{url}predict", json.dumps({"inputs": inputs}).encode(), content_type="application/json")


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("digits"), "data: {kind: digits}\nmodel: {kind: mlp, width: 16}\n")


@pytest.fixture(scope="module")
def url(digits: Path) -> Iterator[str]:
    with served(digits) as address:
        yield address


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    from sklearn.datasets import load_digits

    pixels: np.ndarray = load_digits().images[:5].astype(np.uint8)
    return pixels


@pytest.mark.slow
def test_arrays_files_and_base64_get_the_answers_of_the_loaded_model(
    url: str, digits: Path, images: np.ndarray
) -> None:
    expected = tuner.load(digits).predict_proba(images)
    status, body = predict(url, images.tolist())
    assert status == 200
    found = [list(answer["probabilities"].values()) for answer in body["predictions"]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [answer["label"] for answer in body["predictions"]] == [str(row.argmax()) for row in expected]

    picture = png(np.round(images[0] * (255 / 16)).astype(np.uint8))  # digits have 17 shades
    answers = [
        predict(url, [base64.b64encode(picture).decode()]),
        predict(url, "data:image/png;base64," + base64.b64encode(picture).decode()),
        ask(f"{url}predict", picture, content_type="image/png"),
        ask(f"{url}predict", form(picture), content_type="multipart/form-data; boundary=limit"),
    ]
    for status, body in answers:
        assert status == 200, body
        np.testing.assert_allclose(list(body["predictions"][0]["probabilities"].values()), expected[0], atol=1e-6)


def form(content: bytes) -> bytes:
    """The body of a form with a file, as browsers and curl send it."""
    head = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    )
    return head + content + b"\r\n--limit--\r\n"


@pytest.mark.slow
def test_the_model_says_what_it_is_and_what_it_takes(url: str) -> None:
    _, model = ask(f"{url}model")
    assert model["input"] == {"kind": "image", "channels": 1, "height": 8, "width": 8, "draws": True}
    assert model["labels"] == [str(digit) for digit in range(10)]
    assert model["limits"]["max_bytes"] == 10 * 1024 * 1024
    assert "test/accuracy" in model["metrics"]
    assert ask(f"{url}health") == (200, {"status": "ok"})
    _, document = ask(f"{url}openapi.json")
    assert set(document["paths"]) == {"/health", "/model", "/predict", "/generate"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status", "message"),
    (
        pytest.param(b"{", 400, "the body is no JSON", id="no JSON"),
        pytest.param(b"[1]", 400, "send an object", id="a list"),
        pytest.param(b"[" * 100_000, 400, "the body is no JSON", id="too deep"),
        pytest.param(b'{"input": []}', 400, 'no "inputs"', id="another name"),
        pytest.param(b'{"inputs": [[1, 2], [3]]}', 400, "lists of different lengths", id="ragged"),
        pytest.param(b'{"inputs": {}}', 400, "expected an array of numbers", id="an object"),
        pytest.param(b'{"inputs": "%%%"}', 400, "no base64", id="no base64"),
        pytest.param(b'{"inputs": [[1, 2], [3, 4]]}', 422, "expected (N, 1, 8, 8)", id="another shape"),
        pytest.param(b'{"inputs": "aGVsbG8="}', 422, "cannot be read as an image", id="no image"),
    ),
)
def test_a_wrong_body_is_told_what_is_wrong(url: str, body: bytes, status: int, message: str) -> None:
    code, answer = ask(f"{url}predict", body, content_type="application/json")
    assert code == status
    assert message in answer["error"]["message"]
    assert ask(f"{url}health")[0] == 200


@pytest.mark.slow
def test_a_large_upload_and_a_broken_or_huge_image_get_a_clear_error(url: str) -> None:
    code, answer = ask(f"{url}predict", bytes(30 * 1024 * 1024), content_type="image/png")
    assert code == 413
    assert answer["error"]["message"] == "larger than 10 MB; send less, or start with a higher --max-mb"
    code, answer = ask(f"{url}predict", b"\x89PNG\r\n\x1a\nnothing", content_type="image/png")
    assert code == 422
    assert (
        answer["error"]["message"]
        == "the body: cannot be read as an image (cannot identify image file); send a PNG or JPEG file"
    )
    code, answer = ask(f"{url}predict", png(np.zeros((8000, 8000), np.uint8)), content_type="image/png")
    assert code == 422
    assert "64 million pixels; expected at most 50" in answer["error"]["message"]
    assert ask(f"{url}health") == (200, {"status": "ok"})


@pytest.mark.slow
def test_another_host_and_an_unknown_path_are_refused(url: str) -> None:
    code, answer = ask(f"{url}model", host="example.org")
    assert code == 403
    assert "example.org" in answer["error"]["message"]
    code, answer = ask(f"{url}nothing")
    assert code == 404
    assert "/predict" in answer["error"]["message"]


@pytest.mark.slow
def test_others_need_the_token_and_the_address_has_it(digits: Path) -> None:
    with served(digits, "--host", "0.0.0.0") as address:  # noqa: S104  it needs its token
        base, _, token = address.partition("?token=")
        base = base.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert len(token) > 20
        code, answer = ask(f"{base}model")
        assert code == 401
        assert "Authorization: Bearer" in answer["error"]["message"]
        assert ask(f"{base}model", authorization="Bearer wrong")[0] == 401
        assert ask(f"{base}model", authorization=f"Bearer {token}")[0] == 200


@pytest.mark.slow
def test_a_table_is_filled_in_with_what_training_saw(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [[rng.integers(18, 80), rng.choice(["red", "blue"]), float(rng.normal())] for _ in range(120)]
    with (tmp_path / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "colour", "income"])
        writer.writerows(rows)
    export = exported(
        tmp_path,
        "data: {kind: csv, path: people.csv, target: income, task: regression}\nmodel: {kind: mlp, width: 8}\n",
    )
    client = in_process(export)
    columns = {column["name"]: column for column in client.get("/model").json()["input"]["columns"]}
    assert columns["colour"]["choices"] == ["blue", "red"]
    assert columns["age"]["kind"] == "number"
    row = {"age": 40, "colour": "red"}
    answer = client.post("/predict", json={"inputs": [row, {"age": None, "colour": "green"}]})
    assert answer.status_code == 200, answer.text
    expected = tuner.load(export).predict([row])[0, 0]
    assert answer.json()["predictions"][0]["values"]["income"] == pytest.approx(float(expected), rel=1e-6)
    answer = client.post("/predict", json={"inputs": [{"age": 40}]})
    assert answer.status_code == 422
    assert "no column 'colour'" in answer.json()["error"]["message"]


@pytest.mark.slow
def test_a_language_model_writes_on(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("the quick brown fox jumps over the lazy dog. " * 60)
    space = "data: {kind: characters, path: book.txt, context: 16}\nmodel: {kind: recurrent, width: 8}\n"
    client = in_process(exported(tmp_path, space))
    answer = client.post("/generate", json={"prompt": "the ", "n": 12})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["text"]) == 12
    answer = client.post("/generate", json={"prompt": "the ", "n": 10_000_000})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "n: 10000000; expected 1 to 2000"
    assert "next" in client.post("/predict", json={"inputs": ["the "]}).json()["predictions"][0]


def test_a_folder_without_an_export_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tuner", "app", "nothing"],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "error: nothing: no export here (no bundle.json); make one with `tuner best`\n"


# ---------------------------------------------------------------------------------------------------------- the page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Page]:
    """The page of the digits, which may ask nobody but its server, and may not complain."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
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
    with page.expect_response("**/predict"):
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=8)
        page.mouse.up()
    picture: str = page.evaluate("framed(document.getElementById('pad'), model.input).toDataURL()")
    return base64.b64decode(picture.partition(",")[2])


@pytest.mark.slow
@needs_chromium
def test_a_drawn_digit_gets_the_class_that_the_model_says(page: Page, digits: Path) -> None:
    picture = Image.open(io.BytesIO(draw_a_one(page))).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
    pixels = np.round(np.asarray(picture) * (16 / 255)).astype(np.uint8)
    probabilities = tuner.load(digits).predict_proba(pixels)[0]
    page.wait_for_selector("#label")
    assert page.text_content("#label") == str(probabilities.argmax())
    assert page.locator(".bar .share").first.text_content() == f"{100 * probabilities.max():.1f} %"
    assert page.locator(".bar").count() == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@needs_chromium
def test_a_large_and_a_broken_file_are_told_and_the_page_goes_on(page: Page, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(30 * 1024 * 1024))
    (tmp_path / "broken.png").write_bytes(PNG + b"nothing")
    page.set_input_files("#file", str(tmp_path / "large.png"))
    page.wait_for_selector("#error:not([hidden])")
    assert page.text_content("#error") == "large.png: 30.0 MB; expected at most 10.0 MB"
    with page.expect_response("**/predict"):
        page.set_input_files("#file", str(tmp_path / "broken.png"))
    page.get_by_text("broken.png: cannot be read as an image (cannot identify image file); send a PNG").wait_for()
    draw_a_one(page)
    page.wait_for_selector("#label")
    assert page.locator("#error").is_hidden()
