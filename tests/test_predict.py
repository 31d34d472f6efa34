"""`tuner predict` and the formats of an export: the numbers are those of training, without its data."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from PIL import Image

import tuner
from tuner.cli.predict import command
from tuner.data.batches import eval_batches
from tuner.data.parts import ArrayPart
from tuner.data.prepare import prepare
from tuner.errors import DataError, MissingError, NotFoundError, TunerError, UsageError, VerificationError
from tuner.execution.inline import InlineExecutor
from tuner.export.formats import FORMATS
from tuner.optim.losses import build_loss
from tuner.training.evaluate import predict
from tuner.workflows.best import best
from tuner.workflows.search import SearchRequest, search

FILES = ("model.safetensors", "model.onnx", "model.pt2")
SEARCH = "search: {sampler: random, pruner: none, trials: 1, workers: 1, lanes: 1, threads: 1}\nconfirm: off\n"

IMAGES = f"""
version: 1
study: shades
objective: {{metric: accuracy}}
data: {{kind: image_folder, path: shades, resize: 12, batch_size: 16}}
model: {{kind: convnet, depth: 2, width: 8, norm: batch}}
optimizer: {{kind: adam, lr: 0.01}}
train: {{epochs: 2, device: cpu}}
space: {{optimizer.lr: {{low: 0.005, high: 0.02}}}}
{SEARCH}"""

TABLE = f"""
version: 1
study: people
objective: {{metric: accuracy}}
data:
  kind: csv
  path: people.csv
  target: income
  categorical: [zone]
  missing_values: ["?"]
  delimiter: ";"
  decimal: ","
  batch_size: 32
model: {{kind: mlp, depth: 1, width: 16}}
optimizer: {{kind: adam, lr: 0.01}}
train: {{epochs: 3, device: cpu}}
space: {{optimizer.lr: {{low: 0.005, high: 0.02}}}}
{SEARCH}"""

TEXTS = f"""
version: 1
study: moods
objective: {{metric: accuracy}}
data: {{kind: text, path: moods.csv, target: mood, tokenizer: {{kind: bpe}}, max_length: 40, batch_size: 16}}
model: {{kind: recurrent, cell: gru, width: 8}}
optimizer: {{kind: adam, lr: 0.02}}
train: {{epochs: 2, device: cpu}}
space: {{optimizer.lr: {{low: 0.005, high: 0.02}}}}
{SEARCH}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An export, and the rows of its validation part with what the evaluation made of them."""

    folder: Path
    export: Path
    rows: np.ndarray
    """Rows of the source that were validated on."""
    scores: np.ndarray


def finished(folder: Path, text: str) -> Finished:
    """Search and export, then evaluate the exported weights on the stored validation rows as training does."""
    torch.set_num_threads(1)
    (folder / "space.yaml").write_text(text)
    storage = f"sqlite:///{folder / 'studies.db'}"
    search(SearchRequest(space=str(folder / "space.yaml"), storage=storage), executor=InlineExecutor())
    export = best(storage=storage, out=folder / "export", formats=list(FORMATS)).path
    model = tuner.load(export)
    config = model.bundle.config
    stored = prepare(
        config.data, metric="accuracy", seed=config.seed, base_dir=folder, cache_dir=folder / "runs" / "again"
    )
    assert isinstance(stored.val, ArrayPart)
    assert stored.info.fingerprint == model.bundle.data.fingerprint
    rows = np.load(next((folder / "runs" / "again").glob("*/val_rows.npy")))
    return Finished(folder=folder, export=export, rows=rows, scores=evaluated(model, stored))


def evaluated(model: Any, stored: Any) -> np.ndarray:
    loss = build_loss(model.bundle.config.loss, stored.info)
    return predict(model.module, eval_batches(stored.val, stored.preprocess, device="cpu"), loss, stored.info).scores


# ------------------------------------------------------------------------------------------------------------- the data


def write_shades(folder: Path) -> list[Path]:
    """Images of two classes and several sizes; their paths in the order of the source."""
    rng = np.random.default_rng(0)
    paths = []
    for label, low in (("dark", 0), ("light", 90)):
        (folder / label).mkdir(parents=True)
        for number in range(30):
            size = (20 + number % 5, 16 + number % 3, 3)
            pixels = rng.integers(low, low + 160, size=size, dtype=np.uint8)
            paths.append(folder / label / f"{number:02}.png")
            Image.fromarray(pixels).save(paths[-1])
    return paths


def write_people(path: Path) -> list[dict[str, str]]:
    """A mixed table: numbers with a comma and gaps, categories with codes that look like numbers, marks of missing."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(200):
        age = f"{rng.uniform(18, 80):.2f}".replace(".", ",")
        zone = ("01", "02", "A3", "10")[int(rng.integers(4))]
        rows.append(
            {
                "age": "" if number % 11 == 0 else age,
                "zone": "?" if number % 13 == 0 else zone,
                "member": ("True", "False")[int(rng.integers(2))],
                "hours": str(int(rng.integers(1, 60))),
                "income": "high" if zone in ("01", "A3") or number % 7 == 0 else "low",
            }
        )
    write_table(path, rows)
    return rows


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def write_moods(path: Path) -> list[str]:
    rng = np.random.default_rng(2)
    words = {"good": ("warm", "lovely", "fine"), "bad": ("dull", "cold", "lazy")}
    texts = []
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "mood"))
        for number in range(120):
            mood = ("good", "bad")[number % 2]
            length = 1 + int(rng.integers(20))
            texts.append(" ".join(rng.choice([*words[mood], "a", "film", "with", "actors"], size=length)))
            writer.writerow((texts[-1], mood))
    return texts


@pytest.fixture(scope="module")
def shades(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("shades")
    write_shades(folder / "shades")
    return finished(folder, IMAGES)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("people")
    write_people(folder / "people.csv")
    return finished(folder, TABLE)


@pytest.fixture(scope="module")
def moods(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("moods")
    write_moods(folder / "moods.csv")
    return finished(folder, TEXTS)


EVERY_FORMAT = """
import json, sys
from tuner.cli.predict import command
for export, inputs in json.loads(sys.argv[1]).items():
    for name in ("", "model.safetensors", "model.onnx", "model.pt2"):
        out = f"{export}/{name or 'folder'}.csv"
        command.main([f"{export}/model/{name}", *inputs, "--out", out], standalone_mode=False)
"""


@pytest.fixture(scope="module")
def elsewhere(
    shades: Finished, people: Finished, moods: Finished, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """What each format says of the validation rows, in a process that has copies of the exports alone."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name, study in (("shades", shades), ("people", people), ("moods", moods)):
        shutil.copytree(study.export, folder / name / "model")
    images = write_shades(folder / "images")
    rows = write_people(folder / "all.csv")
    write_table(folder / "new.csv", [{k: v for k, v in rows[row].items() if k != "income"} for row in people.rows])
    texts = write_moods(folder / "moods.csv")
    (folder / "new.txt").write_text("\n" + "\n\n".join(texts[row] for row in moods.rows))
    inputs = {
        "shades": [str(images[row].relative_to(folder)) for row in shades.rows],
        "people": ["new.csv"],
        "moods": ["-"],
    }
    with (folder / "new.txt").open() as stdin:
        done = subprocess.run(
            [sys.executable, "-c", EVERY_FORMAT, json.dumps(inputs)],
            cwd=folder,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return {
        study: {name: (folder / study / f"{name}.csv").read_text() for name in ("folder", *FILES)} for study in inputs
    }


def assert_same_scores(found: dict[str, str], scores: np.ndarray) -> None:
    for name, text in found.items():
        assert np.abs(probabilities_of(text) - scores).max() < 1e-5, name


def predicted(*arguments: object, cwd: Path) -> str:
    """What the command prints, without a process of its own."""
    with contextlib.chdir(cwd):
        given = list(map(str, arguments))
        return CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False).output


def refused(*arguments: object, cwd: Path, error: type[TunerError] = DataError) -> str:
    """The message of a prediction that is refused, of which nothing was printed."""
    with contextlib.chdir(cwd):
        done = CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)
    assert type(done.exception) is error
    assert done.output == ""
    return str(done.exception)


def columns_of(text: str) -> dict[str, list[str]]:
    rows = list(csv.DictReader(text.splitlines()))
    return {name: [row[name] for row in rows] for name in rows[0]}


def probabilities_of(text: str) -> np.ndarray:
    columns = columns_of(text)
    return np.array([columns[name] for name in columns if name.startswith("probability_")], dtype=float).T


# ------------------------------------------------------------------------------------ the numbers are those of training


def test_image_files_are_predicted_by_every_format_as_the_evaluation_did(
    shades: Finished, elsewhere: dict[str, dict[str, str]]
) -> None:
    assert_same_scores(elsewhere["shades"], shades.scores)
    columns = columns_of(elsewhere["shades"]["folder"])
    assert columns["input"][0].startswith("images/")
    assert columns["prediction"] == [("dark", "light")[row] for row in shades.scores.argmax(axis=1)]


def test_a_table_is_predicted_by_every_format_as_the_evaluation_did(
    people: Finished, elsewhere: dict[str, dict[str, str]]
) -> None:
    assert_same_scores(elsewhere["people"], people.scores)
    columns = columns_of(elsewhere["people"]["folder"])
    assert columns["input"] == [f"new.csv:{line}" for line in range(2, len(people.rows) + 2)]


def test_texts_of_the_standard_input_are_predicted_by_every_format_as_the_evaluation_did(
    moods: Finished, elsewhere: dict[str, dict[str, str]]
) -> None:
    assert_same_scores(elsewhere["moods"], moods.scores)
    columns = columns_of(elsewhere["moods"]["folder"])
    assert columns["input"] == [f"/dev/stdin:{2 * number + 2}" for number in range(len(moods.rows))]
    assert set(columns) == {"input", "prediction", "probability_bad", "probability_good"}


def test_texts_in_a_column_are_predicted_as_the_evaluation_did(moods: Finished, tmp_path: Path) -> None:
    write_moods(tmp_path / "all.csv")
    every = predicted(moods.export, "all.csv", cwd=tmp_path)
    assert np.abs(probabilities_of(every)[moods.rows] - moods.scores).max() < 1e-5


def test_categories_mean_what_they_meant_in_training_however_few_there_are(people: Finished, tmp_path: Path) -> None:
    """With only numbers left in its column pandas would read 1 where training had 01."""
    rows = write_people(tmp_path / "all.csv")
    chosen = [number for number, row in enumerate(people.rows) if rows[row]["zone"] in ("01", "02")]
    write_table(tmp_path / "new.csv", [rows[people.rows[number]] for number in chosen])
    out = predicted(people.export, "new.csv", cwd=tmp_path)
    assert len(chosen) > 3
    assert np.abs(probabilities_of(out) - people.scores[chosen]).max() < 1e-5


def test_a_loaded_model_takes_the_path_of_a_table(people: Finished, tmp_path: Path) -> None:
    write_people(tmp_path / "all.csv")
    model = tuner.load(people.export)
    scores = model.predict_proba(tmp_path / "all.csv")
    assert np.abs(scores[people.rows] - people.scores).max() < 1e-5
    assert set(model.predict(str(tmp_path / "all.csv"))) == {"low", "high"}
    with pytest.raises(NotFoundError, match=r"gone\.csv"):
        model.predict(tmp_path / "gone.csv")


def test_arrays_are_predicted_in_pieces_as_at_once(shades: Finished, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, size=(600, 14, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", x=images, other=np.zeros(3))
    predicted(shades.export, "images.npz", "--out", "found.npz", cwd=tmp_path)
    model = tuner.load(shades.export)
    with np.load(tmp_path / "found.npz") as found:
        assert np.array_equal(found["scores"], model.predict_proba(images))
        assert np.array_equal(found["predictions"], model.predict(images))
        assert found["labels"].tolist() == ["dark", "light"]
        assert found["inputs"][599] == "images.npz: 'x': row 599"


def test_json_has_an_object_a_row(moods: Finished, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("a warm film\na cold film\n")
    found = json.loads(predicted(moods.export, "new.txt", "--json", cwd=tmp_path))
    assert [item["input"] for item in found] == ["new.txt:1", "new.txt:2"]
    assert [set(item["probabilities"]) for item in found] == [{"good", "bad"}] * 2
    assert all(item["prediction"] == max(item["probabilities"], key=item["probabilities"].get) for item in found)
    summary = json.loads(predicted(moods.export, "new.txt", "--out", "out.jsonl", "--json", cwd=tmp_path))
    assert summary == {"path": "out.jsonl", "rows": 2, "task": "classification", "study": "moods", "trial": 0}
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == found


# ------------------------------------------------------------------------------------------------------ what is refused


def test_broken_images_are_named_all_at_once_and_nothing_is_written(shades: Finished, tmp_path: Path) -> None:
    paths = write_shades(tmp_path / "new")
    paths[3].write_bytes(b"no image")
    paths[5].write_bytes(b"")
    (tmp_path / "found.csv").write_text("what was there before")
    message = refused(shades.export, "new", "--out", "found.csv", cwd=tmp_path)
    assert message.splitlines() == [
        "new/dark/03.png: cannot be read as an image (cannot identify image file)",
        "new/dark/05.png: cannot be read as an image (cannot identify image file)",
    ]
    assert (tmp_path / "found.csv").read_text() == "what was there before"


def test_an_image_that_is_cut_off_is_named_with_its_place(shades: Finished, tmp_path: Path) -> None:
    paths = write_shades(tmp_path / "new")
    paths[7].write_bytes(paths[7].read_bytes()[:-200])
    assert refused(shades.export, "new", cwd=tmp_path).startswith("new/dark/07.png: cannot be read as an image (")


def test_missing_columns_are_named_all_at_once(people: Finished, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("age;hours\n1,5;3\n")
    assert refused(people.export, "new.csv", cwd=tmp_path) == (
        "new.csv: no columns 'zone', 'member', which the model was trained on; it has age, hours"
    )
    (tmp_path / "new.csv").write_text("age;zone;member;hour\n1,5;01;True;3\n")
    assert refused(people.export, "new.csv", cwd=tmp_path) == (
        "new.csv: no column 'hours', which the model was trained on; did you mean 'hour'?"
    )


def test_a_text_where_a_number_belongs_is_named_with_its_line(people: Finished, tmp_path: Path) -> None:
    lines = ["age;zone;member;hours", *["1,5;01;True;3"] * 300, "1,5;02;True;many"]
    (tmp_path / "new.csv").write_text("\n".join(lines))
    assert refused(people.export, "new.csv", cwd=tmp_path) == "new.csv:302: column 'hours': 'many' is not a number"


def test_files_of_another_kind_are_refused_with_what_the_model_takes(
    shades: Finished, people: Finished, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").touch()
    (tmp_path / "cat.png").touch()
    assert refused(shades.export, "new.csv", cwd=tmp_path) == (
        "new.csv: a table; this model takes images: files such as .png and .jpg, folders of them, or arrays (.npz,"
        " .npy, .pt)"
    )
    assert refused(people.export, "cat.png", cwd=tmp_path) == (
        "cat.png: an image; this model takes tables: .csv, .tsv or .parquet, or arrays (.npz, .npy, .pt)"
    )
    assert refused(people.export, ".", cwd=tmp_path).startswith(".: a folder; this model takes tables")


def test_what_is_not_there_and_where_predictions_cannot_go_is_said(people: Finished, tmp_path: Path) -> None:
    assert refused(people.export, "a.csv", "b.csv", cwd=tmp_path, error=NotFoundError) == (
        "a.csv, b.csv: no such file or folder"
    )
    assert "make one with `tuner best`" in refused("nowhere", "a.csv", cwd=tmp_path, error=NotFoundError)
    (tmp_path / "a.csv").write_text("age;zone;member;hours\n1;01;True;3\n")
    itself = refused(people.export, "a.csv", "--out", "a.csv", cwd=tmp_path, error=UsageError)
    assert itself == "--out a.csv: is one of the inputs; write to another file"
    assert refused(people.export, "a.csv", "--out", "a.xls", cwd=tmp_path, error=UsageError) == (
        "--out a.xls: unknown format '.xls'; available: .csv, .tsv, .json, .jsonl, .npz"
    )


# ---------------------------------------------------------------------------------------------------------- the formats


@pytest.mark.parametrize("name", FILES)
def test_a_format_alone_has_the_labels_the_preprocessing_and_the_input_specification(
    people: Finished, moods: Finished, tmp_path: Path, name: str
) -> None:
    for study, axes in ((people, ["batch", 10]), (moods, ["batch", "length"])):
        alone = shutil.copy(study.export / name, tmp_path / name)
        about = metadata_of(Path(alone))
        whole = json.loads((study.export / "bundle.json").read_text())
        assert about["labels"] == whole["labels"]
        assert about["preprocess"] == whole["preprocess"]
        assert about["input"] == whole["input"] | ({"name": "input", "axes": axes} if name != FILES[0] else {})
        assert about["metrics"] == whole["metrics"]
        model = tuner.load(alone)
        assert model.labels == tuple(whole["labels"])
        assert model.preprocess == tuner.load(study.export).preprocess


def metadata_of(path: Path) -> dict[str, Any]:
    """As those read it who have the format's own library alone."""
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, "pt") as file:
            texts = dict(file.metadata())
        assert texts.pop("format") == "pt"
        return {name: json.loads(text) for name, text in texts.items()}
    if path.suffix == ".onnx":
        return {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    extra = {"bundle.json": ""}
    torch.export.load(path, extra_files=extra)
    return dict(json.loads(extra["bundle.json"]))


@pytest.mark.parametrize("name", FILES)
def test_a_format_gives_the_outputs_of_the_module_for_any_number_of_rows(shades: Finished, name: str) -> None:
    model, read = tuner.load(shades.export), tuner.load(shades.export / name)
    images = np.random.default_rng(0).integers(0, 255, size=(5, 12, 12, 3), dtype=np.uint8)
    assert not read.module.training
    for n_rows in (1, 2, 5):
        x_B = model.preprocess(images[:n_rows])
        torch.testing.assert_close(read.module(x_B), model.module(x_B), rtol=1e-5, atol=1e-5)
        assert np.abs(read.predict_proba(images[:n_rows]) - model.predict_proba(images[:n_rows])).max() < 1e-5
        assert np.array_equal(read.predict(images[:n_rows]), model.predict(images[:n_rows]))


def test_the_bundle_says_how_far_each_format_is_from_the_weights(shades: Finished) -> None:
    bundle = tuner.load(shades.export).bundle
    assert {name: found["file"] for name, found in bundle.formats.items()} == {
        name: form.file for name, form in FORMATS.items()
    }
    assert all(found["rows"] == len(shades.rows) and found["difference"] < 1e-5 for found in bundle.formats.values())
    assert set(FILES) < set(bundle.files)
    card = (shades.export / "README.md").read_text()
    assert "`model.onnx` is the whole model, for any runtime of ONNX (on 6 rows of the validation part within " in card


def test_no_format_tells_where_it_was_trained(shades: Finished) -> None:
    for name in FILES:
        content = (shades.export / name).read_bytes()
        assert b"site-packages" not in content
        assert str(Path(tuner.__file__).parent).encode() not in content


@pytest.mark.parametrize("name", ("model.pt", *FILES))
def test_a_changed_format_is_refused_inside_its_export(shades: Finished, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(shades.export, tmp_path / "export")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(VerificationError, match=r"changed since it was exported; export it again"):
        tuner.load(folder / name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_damaged_or_of_others_is_refused_with_a_message(
    shades: Finished, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes((shades.export / name).read_bytes()[:-1000])
    with pytest.raises(VerificationError, match=rf"{name}: cannot be read as .+; export it again"):
        tuner.load(path)
    path.write_bytes(b"something else")
    with pytest.raises(VerificationError, match=rf"{name}: cannot be read as"):
        tuner.load(path)
    if name == "model.safetensors":
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
        with pytest.raises(UsageError, match="not exported by tuner"):
            tuner.load(path)


def test_weights_without_their_bundle_say_what_is_missing(shades: Finished, tmp_path: Path) -> None:
    alone = shutil.copy(shades.export / "model.pt", tmp_path / "model.pt")
    with pytest.raises(NotFoundError, match=r"weights alone: what they belong to is in the bundle\.json"):
        tuner.load(alone)
    (tmp_path / "model.h5").touch()
    with pytest.raises(UsageError, match=r"model\.h5: no model; expected the folder of an export"):
        tuner.load(tmp_path / "model.h5")


def test_a_graph_that_could_run_code_is_refused_before_it_is_read(shades: Finished, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    buffer = io.BytesIO()
    torch.save(Evil(proof), buffer)
    evil = {
        "data/sample_inputs/model.pt": lambda _: buffer.getvalue(),
        "model_weights_config.json": lambda old: old.replace(b'"use_pickle": false', b'"use_pickle": true', 1),
        "models/model.json": lambda old: old.replace(b"torch.ops.aten.relu.default", b"torch.hub.load", 1),
    }
    for record, change in evil.items():
        path = tmp_path / "model.pt2"
        changed = rewritten(shades.export / "model.pt2", path, record, change)
        assert changed
        with pytest.raises(UsageError, match=r"could run code; if you trust the file, load it with .*allow_code=True"):
            tuner.load(path)
        assert not proof.exists()


def test_a_graph_with_a_damaged_record_is_refused(shades: Finished, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    for change in (lambda old: old[: len(old) // 2], lambda _: b'{"config": 3}'):
        assert rewritten(shades.export / "model.pt2", path, "model_weights_config.json", change)
        with pytest.raises(VerificationError, match=r"model_weights_config\.json cannot be read .*; export it again"):
            tuner.load(path)


@dataclass
class Evil:
    proof: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


def rewritten(source: Path, target: Path, record: str, change: Any) -> bool:
    """A copy of an archive in which one record is another."""
    is_other = False
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            other = change(content) if name.endswith(record) else content
            is_other |= other != content
            new.writestr(name, other)
    return is_other


# ---------------------------------------------------------------------------------------------- what cannot be exported

OWN = f"""
version: 1
study: own
objective: {{metric: accuracy}}
data: {{kind: digits, batch_size: 256}}
model: {{kind: python, target: "mine.py:Branches", options: {{hidden: 8}}}}
optimizer: {{kind: adam, lr: 0.01}}
train: {{epochs: 1, device: cpu}}
space: {{model.options.hidden: [4, 8]}}
{SEARCH}"""

MINE = """
from torch import nn

class Branches(nn.Module):
    def __init__(self, input_shape, n_classes, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Linear(hidden, n_classes))

    def forward(self, x):
        return self.layers(x if x.sum() > 0 else x + 1.0)
"""


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a search of a model that no graph can hold."""
    folder = tmp_path_factory.mktemp("branches")
    (folder / "mine.py").write_text(MINE)
    (folder / "space.yaml").write_text(OWN)
    search(
        SearchRequest(space=str(folder / "space.yaml"), storage=f"sqlite:///{folder / 'studies.db'}"),
        executor=InlineExecutor(),
    )
    return folder


def test_a_model_that_a_format_cannot_hold_is_exported_in_the_others(branches: Path, tmp_path: Path) -> None:
    arguments = ["best", "--format", "safetensors,onnx,pt2", "--out", str(tmp_path / "export")]
    done = subprocess.run(
        [sys.executable, "-m", "tuner", *arguments], cwd=branches, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    of_onnx, of_pt2, rest = done.stderr.splitlines()
    assert of_onnx.startswith("error: model.onnx: ")
    assert of_onnx.endswith(f"; {FORMATS['onnx'].remedy}")
    assert of_pt2.startswith("model.pt2: ")
    assert of_pt2.endswith(f"; {FORMATS['pt2'].remedy}")
    files = ["bundle.json", "README.md", "code/model/mine.py", "model.pt", "model.safetensors"]
    assert rest == f"all else is in {tmp_path / 'export'}: {', '.join(files)}"
    found = sorted(path.relative_to(tmp_path / "export").as_posix() for path in (tmp_path / "export").rglob("*.*"))
    assert found == sorted(files)
    images = np.zeros((2, 1, 8, 8), dtype=np.uint8)
    read = tuner.load(tmp_path / "export" / "model.safetensors", allow_code=True)
    expected = tuner.load(tmp_path / "export", allow_code=True)
    assert np.array_equal(read.predict_proba(images), expected.predict_proba(images))
    with pytest.raises(UsageError, match="this model needs code to be run"):
        tuner.load(tmp_path / "export" / "model.safetensors")


def test_a_missing_package_is_named_with_its_extra_before_anything_is_done(
    branches: Path, shades: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as Python has it where an import is to fail
    message = 'format onnx needs onnxruntime, which is not installed: pip install "tuner[onnx]"'
    with pytest.raises(MissingError) as caught:
        best(storage=f"sqlite:///{branches / 'studies.db'}", out=tmp_path / "export", formats=["pt", "onnx"])
    assert (str(caught.value), caught.value.exit_code) == (message, 5)
    with pytest.raises(MissingError) as caught:
        tuner.load(shades.export / "model.onnx")
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_does_not_exist_is_refused(branches: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--format onx: unknown format; did you mean 'onnx'\?"):
        best(storage=f"sqlite:///{branches / 'studies.db'}", out=tmp_path / "export", formats=["onx"])
