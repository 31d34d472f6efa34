"""Exports: what is written is what was trained, what was changed is refused, and nothing old is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import accuracy_score, r2_score

import tuner
from tuner.config.schema import TrialConfig
from tuner.config.spec import load as load_space
from tuner.data.info import DataInfo
from tuner.data.parts import ArrayPart
from tuner.data.prepare import prepare
from tuner.data.splits import split_rows
from tuner.errors import NotFoundError, UsageError, VerificationError
from tuner.execution.inline import InlineExecutor
from tuner.export import card
from tuner.export.bundle import Bundle, replaced_folder, sha256_of, write_bundle
from tuner.export.code import with_code
from tuner.export.loaded import labels_of
from tuner.models.build import build_model
from tuner.paths import StudyPaths
from tuner.seeding import derive
from tuner.workflows.best import Export, best
from tuner.workflows.search import SearchRequest, search

DIGITS = """
version: 1
study: digits
seed: 3
objective: {metric: accuracy}
data: {kind: digits, batch_size: 128}
model: {kind: mlp, depth: 1, width: 16, norm: batch, dropout: 0.1}
optimizer: {kind: adam, lr: 0.01}
train: {epochs: 3, device: cpu}
space: {optimizer.lr: {low: 0.001, high: 0.05, log: true}}
search: {sampler: random, pruner: none, trials: 2, workers: 1}
confirm: off
"""

DIABETES = """
version: 1
study: diabetes
objective: {metric: r2}
data: {kind: diabetes, batch_size: 32}
model: {kind: mlp, depth: 1, width: 16}
optimizer: {kind: adam, lr: 0.03}
train: {epochs: 3, device: cpu}
space: {optimizer.lr: {low: 0.01, high: 0.1}}
search: {sampler: random, pruner: none, trials: 1, workers: 1}
confirm: off
"""

OWN = """
version: 1
study: own
objective: {metric: accuracy}
data: {kind: python, target: "code/mine.py:points", batch_size: 16}
model: {kind: python, target: "code/mine.py:Net", options: {hidden: 8}}
optimizer: {kind: adam, lr: 0.05}
train: {epochs: 3, device: cpu}
space: {model.options.hidden: {choices: [4, 8]}}
search: {sampler: random, pruner: none, trials: 1, workers: 1}
confirm: off
"""

MINE = """
import torch
from torch import nn

def points():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, generator=generator)
    return torch.utils.data.TensorDataset(x, (x[:, 0] > x[:, 1]).long())

class Net(nn.Sequential):
    def __init__(self, input_shape, n_classes, hidden):
        super().__init__(nn.Linear(input_shape[0], hidden), nn.Tanh(), nn.Linear(hidden, n_classes))
"""


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A study that was searched and exported, in a folder of its own."""

    folder: Path
    export: Export

    def copy_to(self, target: Path) -> Path:
        return shutil.copytree(self.export.path, target)

    def val_rows(self) -> np.ndarray:
        """Rows of the source that were validated on, as the split's own function gives them."""
        config, info = self.export.bundle.config, self.export.bundle.data
        n_rows = info.n_train + info.n_val + info.n_test
        targets = load_digits(return_X_y=True)[1] if info.kind == "digits" else None
        split = split_rows(np.arange(n_rows), targets, config.data.split, given={}, seed=derive(config.seed, "split"))
        return split.val


def finished(folder: Path, text: str) -> Finished:
    (folder / "space.yaml").write_text(text)
    storage = f"sqlite:///{folder / 'studies.db'}"
    search(SearchRequest(space=str(folder / "space.yaml"), storage=storage), executor=InlineExecutor())
    with inside(folder):
        found = best(storage=storage, out=folder / "export")
    return Finished(folder=folder, export=found)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    torch.set_num_threads(1)
    return finished(tmp_path_factory.mktemp("digits"), DIGITS)


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finished(tmp_path_factory.mktemp("diabetes"), DIABETES)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("own")
    (folder / "code").mkdir()
    (folder / "code" / "mine.py").write_text(MINE)
    return finished(folder, OWN)


# ------------------------------------------------------------------------------------------------------ what is written


def test_an_export_has_its_files_and_their_checksums(digits: Finished) -> None:
    folder = digits.export.path
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "bundle.json", "model.pt"]
    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["files"] == {name: sha256_of(folder / name) for name in ("README.md", "model.pt")}
    assert bundle["input"] == {"shape": [1, 8, 8], "dtype": "float32", "layout": "CHW"}
    assert bundle["labels"] == [str(digit) for digit in range(10)]
    assert (bundle["task"], bundle["metric"]) == ("classification", "val/accuracy")
    assert digits.export.files == ("bundle.json", "README.md", "model.pt")


def test_the_reevaluated_value_is_the_stored_one_to_the_last_digit(digits: Finished, diabetes: Finished) -> None:
    for study in (digits, diabetes):
        assert study.export.reevaluated == study.export.bundle.value
        assert study.export.bundle.metrics[study.export.bundle.metric] == study.export.bundle.value


def test_the_weights_load_into_the_model_built_from_bundle_json_alone(digits: Finished) -> None:
    plain = json.loads((digits.export.path / "bundle.json").read_text())
    model = build_model(
        TrialConfig.model_validate_json(json.dumps(plain["config"])).model,
        info=DataInfo.from_json(plain["data"]),
        n_outputs=plain["n_outputs"],
        base_dir=digits.export.path,
        seed=0,
    )
    weights = torch.load(digits.export.path / "model.pt", weights_only=True)
    model.load_state_dict(weights)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in weights.items())


def test_a_bundle_that_was_read_is_the_one_that_was_written(digits: Finished, tmp_path: Path) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    bundle = Bundle.read(folder)
    assert bundle == digits.export.bundle
    write_bundle(folder, bundle)
    assert (folder / "bundle.json").read_bytes() == (digits.export.path / "bundle.json").read_bytes()


def test_the_card_shows_the_metrics_the_params_and_how_to_load_it(digits: Finished) -> None:
    bundle = digits.export.bundle
    text = (digits.export.path / "README.md").read_text()
    assert text.startswith(f"# digits, trial {bundle.trial}\n")
    sizes = " x ".join(map(str, bundle.data.input_shape))
    assert f"the network sees {sizes} numbers of each input." in text
    val, test = bundle.metrics["val/accuracy"], bundle.metrics["test/accuracy"]
    assert f"| accuracy | {val:.4f} | {test:.4f} |" in text
    assert f"| `optimizer.lr` | {bundle.params['optimizer.lr']} |" in text
    assert f'model = tuner.load("digits-{bundle.trial}")' in text
    assert "the test part had no say in the choice." in text


def test_the_card_says_what_is_known_and_leaves_room_for_what_only_a_person_knows(digits: Finished) -> None:
    text = (digits.export.path / "README.md").read_text()
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Intended use", "Metrics", "Data", "Training", "Limits", "Use", "Licence", "Made with"),
    ]
    assert "A `mlp` of 1,226 parameters for classification on `digits`" in text
    assert "It takes grey images of 8 by 8 pixels and gives one of 10 classes, with a probability for each." in text
    assert "Split at random, with the same share of classes in each part (seed 3)" in text
    assert "optimizer `adam`, batches of 128, at most 3 epochs without early stopping" in text
    assert "Only 180 rows of the test part stand behind them" in text
    assert "Probabilities were not calibrated" in text
    assert text.count("_To be filled in before it is published: ") == 3
    assert f"tuner {digits.export.bundle.versions['tuner']}, torch " in text


def test_the_card_of_a_study_without_a_test_part_does_not_speak_of_one(digits: Finished) -> None:
    bundle = digits.export.bundle
    text = card.render(replace(bundle, data=replace(bundle.data, n_test=0), metrics={"val/accuracy": 0.5}))
    assert "| accuracy | 0.5000 |  |" in text
    assert "there is no test part." in text
    assert "no say" not in text


# --------------------------------------------------------------------------------------------------------- what is read


def test_a_loaded_classifier_scores_on_raw_inputs_what_training_recorded(digits: Finished) -> None:
    images, labels = load_digits().images, load_digits().target
    rows = digits.val_rows()
    model = tuner.load(digits.export.path)
    raw = images[rows].astype(np.uint8)[:, None]
    predicted = model.predict(raw)
    assert accuracy_score(labels[rows], predicted) == digits.export.bundle.value
    probabilities = model.predict_proba(raw)
    assert probabilities.shape == (len(rows), 10)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
    assert model.labels == tuple(range(10))
    assert np.array_equal(np.array(model.labels)[probabilities.argmax(axis=1)], predicted)
    assert not model.module.training


def test_a_loaded_regression_scores_on_raw_inputs_what_training_recorded(diabetes: Finished) -> None:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    rows = diabetes.val_rows()
    model = tuner.load(diabetes.export.path)
    predictions = model.predict(x[rows])
    assert predictions.shape == (len(rows), 1)
    assert r2_score(y[rows].astype(np.float32), predictions.astype(np.float64)) == diabetes.export.bundle.value
    assert model.labels == ()


def test_probabilities_are_those_of_the_evaluation_to_the_bit(digits: Finished) -> None:
    config = digits.export.bundle.config
    stored = prepare(
        config.data,
        metric="accuracy",
        seed=config.seed,
        base_dir=digits.folder,
        cache_dir=StudyPaths.of(f"sqlite:///{digits.folder / 'studies.db'}", "digits").data,
    )
    model = tuner.load(digits.export.path)
    assert isinstance(stored.val, ArrayPart)
    raw = load_digits().images[digits.val_rows()].astype(np.uint8)[:, None]
    assert np.array_equal(model.preprocess.encoder.encode(raw), stored.val.inputs.numpy())


def test_more_rows_than_a_batch_are_predicted_as_one_by_one(digits: Finished) -> None:
    model = tuner.load(digits.export.path)
    raw = load_digits().images[:600].astype(np.uint8)[:, None]
    assert np.array_equal(model.predict(raw), np.concatenate([model.predict(raw[i : i + 1]) for i in range(600)]))


# ----------------------------------------------------------------------------------------------------- what was changed


@pytest.mark.parametrize("name", ("model.pt", "README.md"))
def test_a_changed_byte_in_a_file_is_refused(digits: Finished, tmp_path: Path, name: str) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(VerificationError) as caught:
        tuner.load(folder)
    assert str(caught.value) == f"{folder / name}: missing or changed since it was exported; export it again"


def test_a_missing_file_is_refused(digits: Finished, tmp_path: Path) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    (folder / "model.pt").unlink()
    with pytest.raises(VerificationError, match=r"model\.pt: missing or changed"):
        tuner.load(folder)


def test_weights_that_the_bundle_does_not_vouch_for_are_refused(digits: Finished, tmp_path: Path) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    plain = json.loads((folder / "bundle.json").read_text())
    del plain["files"]["model.pt"]
    (folder / "bundle.json").write_text(json.dumps(plain))
    with pytest.raises(VerificationError, match=r"model\.pt: missing or changed"):
        tuner.load(folder)


@pytest.mark.parametrize(
    "text", ("", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "files": 3}', '{"format": 1, "config": {}}')
)
def test_a_damaged_bundle_is_refused_with_a_message(digits: Finished, tmp_path: Path, text: str) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    (folder / "bundle.json").write_text(text)
    with pytest.raises(VerificationError, match=r"bundle\.json: changed since it was exported \(.+\); export it again"):
        tuner.load(folder)


def test_a_bundle_of_another_format_is_refused(digits: Finished, tmp_path: Path) -> None:
    folder = digits.copy_to(tmp_path / "copy")
    plain = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**plain, "format": 99}))
    with pytest.raises(VerificationError, match=r"bundle\.json: format 99, this tuner reads 1"):
        tuner.load(folder)


def test_a_folder_without_an_export_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no export here \(no bundle\.json\); make one with `tuner best`"):
        tuner.load(tmp_path / "nowhere")


# ------------------------------------------------------------------------------------------------------ the user's code


def test_the_users_code_is_not_run_unless_it_is_allowed(own: Finished, tmp_path: Path) -> None:
    folder = own.copy_to(tmp_path / "copy")
    with pytest.raises(UsageError) as caught:
        tuner.load(folder)
    assert str(caught.value) == (
        f"{folder}: this model needs code to be run (data/mine.py:points, model/mine.py:Net); "
        "if you trust it, load it with tuner.load(path, allow_code=True)"
    )


def test_the_copied_code_is_used_when_the_original_is_gone(own: Finished, tmp_path: Path) -> None:
    folder = own.copy_to(tmp_path / "elsewhere")
    original = own.folder / "code"
    original.rename(own.folder / "code away")
    try:
        model = tuner.load(folder, allow_code=True)
    finally:
        (own.folder / "code away").rename(original)
    assert Path(sys.modules[type(model.module).__module__].__file__ or "") == folder / "code" / "model" / "mine.py"
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(0))
    hits = model.predict(x.numpy()) == (x[:, 0] > x[:, 1]).long().numpy()
    assert hits.mean() > 0.6


def test_changed_code_is_refused_before_it_is_imported(own: Finished, tmp_path: Path) -> None:
    folder = own.copy_to(tmp_path / "copy")
    proof = tmp_path / "proof"
    (folder / "code" / "model" / "mine.py").write_text(f"open({str(proof)!r}, 'w').close()\n{MINE}")
    with pytest.raises(VerificationError, match=r"mine\.py: missing or changed"):
        tuner.load(folder, allow_code=True)
    assert not proof.exists()


def test_code_is_copied_under_its_name_alone_wherever_it_came_from(own: Finished) -> None:
    bundle = own.export.bundle
    copies = sorted(path.relative_to(own.export.path).as_posix() for path in own.export.path.rglob("*.py"))
    assert copies == ["code/data/mine.py", "code/model/mine.py"]
    assert bundle.config.model.model_dump()["target"] == "model/mine.py:Net"
    targets = ("data/mine.py:points", "model/mine.py:Net")
    assert bundle.code == dict.fromkeys(targets, sha256_of(own.folder / "code" / "mine.py"))


LOADS = """
import sys
from pathlib import Path
from tuner.registry import load_target
print(load_target(sys.argv[1], Path("code")).width)
"""


def test_modules_that_a_copied_file_imports_come_along(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "own" / "blocks").mkdir(parents=True)
    (work / "own" / "net.py").write_text(
        "import shared, json\nfrom blocks.wide import WIDTH\nclass Net: width = WIDTH\n"
    )
    (work / "own" / "blocks" / "__init__.py").write_text("")
    (work / "own" / "blocks" / "wide.py").write_text("from . import sizes\nWIDTH = sizes.LARGE\n")
    (work / "own" / "blocks" / "sizes.py").write_text("LARGE = 512\n")
    (work / "own" / "unused.py").write_text("")
    (tmp_path / "linked.py").write_text("")
    (work / "shared.py").symlink_to(tmp_path / "linked.py")
    (work / "space.yaml").write_text("data: {kind: digits}\nmodel: {kind: python, target: 'own/net.py:Net'}\n")
    with inside(work):
        config = with_code(load_space(Path("space.yaml")).base, work, tmp_path)
    copies = sorted(path.relative_to(tmp_path / "code").as_posix() for path in (tmp_path / "code").rglob("*.py"))
    modules = ("blocks/__init__.py", "blocks/sizes.py", "blocks/wide.py", "net.py", "shared.py")
    assert copies == [f"model/{module}" for module in modules]
    shutil.rmtree(work)
    target = config.model.model_dump()["target"]
    done = subprocess.run(
        [sys.executable, "-c", LOADS, target], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (target, done.stdout) == ("model/net.py:Net", "512\n")


# --------------------------------------------------------------------------------------------------- replacing a folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_export_replaces_the_old_one_as_a_whole(digits: Finished, tmp_path: Path) -> None:
    target = digits.copy_to(tmp_path / "target")
    (target / "model.onnx").touch()
    with replaced_folder(target) as temporary:
        (temporary / "bundle.json").write_text("new")
    assert contents(tmp_path) == {"target/bundle.json": b"new"}


def test_a_failed_export_leaves_the_old_one_whole_and_nothing_beside_it(digits: Finished, tmp_path: Path) -> None:
    target = digits.copy_to(tmp_path / "target")
    before = contents(tmp_path)

    def export() -> None:
        with replaced_folder(target) as temporary:
            (temporary / "model.pt").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        export()
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_an_export_that_cannot_be_moved_into_place_puts_the_old_one_back(digits: Finished, tmp_path: Path) -> None:
    target = digits.copy_to(tmp_path / "target")
    before = contents(tmp_path)

    def export() -> None:
        with replaced_folder(target) as temporary:
            shutil.rmtree(temporary)  # so that there is nothing to move

    with pytest.raises(FileNotFoundError):
        export()
    assert contents(tmp_path) == before


def test_an_export_killed_in_the_middle_leaves_the_old_one_whole(digits: Finished, tmp_path: Path) -> None:
    target = digits.copy_to(tmp_path / "target")
    before = contents(target)
    code = f"""
    import os, signal
    from pathlib import Path
    from tuner.export.bundle import replaced_folder
    with replaced_folder(Path({str(target)!r})) as temporary:
        (temporary / "model.pt").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(target) == before
    assert Bundle.read(target) == digits.export.bundle


def test_a_folder_that_is_no_export_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").write_text("years of work")
    for place in (target, target / "chapter.tex", target / ".." / "thesis"):
        with pytest.raises(UsageError, match="exists and is no export; it would be replaced as a whole"):
            replaced_folder(place).__enter__()
    assert contents(tmp_path) == {"thesis/chapter.tex": b"years of work"}


def test_an_empty_folder_can_become_an_export(tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir()
    with replaced_folder(target) as temporary:
        (temporary / "bundle.json").touch()
    assert [path.name for path in target.iterdir()] == ["bundle.json"]


@pytest.mark.parametrize("name", ("../outside", "a/b", "/absolute", ".."))
def test_a_study_cannot_be_named_after_a_path_outside(tmp_path: Path, name: str) -> None:
    (tmp_path / "space.yaml").write_text(DIGITS.replace("study: digits", f"study: {name}"))
    storage = f"sqlite:///{tmp_path / 'inner' / 'studies.db'}"
    with pytest.raises(tuner.errors.ConfigError, match="study"):
        search(SearchRequest(space=str(tmp_path / "space.yaml"), storage=storage), executor=InlineExecutor())
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


def test_classes_are_numbers_only_where_all_are_written_as_such() -> None:
    assert labels_of(("-1", "0", "10")) == (-1, 0, 10)
    assert labels_of(("00", "01", "10")) == ("00", "01", "10")
    assert labels_of(("1", "two")) == ("1", "two")
    assert labels_of(("False", "True")) == (False, True)
    assert labels_of(()) == ()
