"""Arrays in files: which array is what, what they become, and every way in which a file is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tuner.config.schema.arrays import ArrayData
from tuner.data.batches import eval_batches
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.errors import DataError, NotFoundError

N = 40
CLASSES = np.arange(N) % 3
NUMBERS = np.random.default_rng(0).normal(size=(N, 4))
Arrays = dict[str, Any]


def npz(folder: Path, arrays: Arrays) -> str:
    np.savez(folder / "data.npz", **arrays)
    return "data.npz"


def npy(folder: Path, arrays: Arrays) -> str:
    (folder / "arrays").mkdir()
    for name, array in arrays.items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    return "arrays"


def tensors(folder: Path, arrays: Arrays) -> str:
    torch.save({name: torch.as_tensor(array) for name, array in arrays.items()}, folder / "data.pt")
    return "data.pt"


def prepared(folder: Path, path: str, *, metric: str = "accuracy", **options: object) -> Prepared:
    kind = "tensors" if path.endswith(".pt") else "npz"
    data = ArrayData.model_validate({"kind": kind, "path": path, **options})
    return prepare(data, metric=metric, seed=1, base_dir=folder, cache_dir=folder / "cache")


def refusal(folder: Path, path: str, *, metric: str = "accuracy", **options: object) -> str:
    with pytest.raises((DataError, NotFoundError)) as caught:
        prepared(folder, path, metric=metric, **options)
    return str(caught.value).replace(str(folder.resolve()) + "/", "")


def inputs(data: Prepared) -> np.ndarray:
    return torch.cat([x for x, _ in eval_batches(data.train, data.preprocess, device="cpu")]).numpy()


@pytest.mark.parametrize("write", (npz, npy, tensors))
def test_every_form_of_file_gives_the_same_rows(write: Any, tmp_path: Path) -> None:
    data = prepared(tmp_path, write(tmp_path, {"x": NUMBERS, "y": CLASSES}))
    assert (data.info.task, data.info.labels, data.info.input_shape) == ("classification", ("0", "1", "2"), (4,))
    assert (data.info.n_train, data.info.n_val, data.info.n_test) == (32, 4, 4)
    assert inputs(data).mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-6)
    assert data.preprocess(NUMBERS).shape == (N, 4)


def test_parts_of_their_own_are_taken_as_they_are(tmp_path: Path) -> None:
    arrays = {"x_train": NUMBERS, "y_train": CLASSES, "x_val": NUMBERS[:6], "y_val": CLASSES[:6]}
    data = prepared(tmp_path, npz(tmp_path, {**arrays, "x_test": NUMBERS[:9], "y_test": CLASSES[:9]}))
    assert (data.info.n_train, data.info.n_val, data.info.n_test) == (N, 6, 9)
    assert isinstance(data.val, ArrayPart)
    assert np.array_equal(data.val.inputs, NUMBERS[:6].astype(np.float32))


def test_arrays_are_named_where_their_names_are_not_the_usual_ones(tmp_path: Path) -> None:
    path = npz(tmp_path, {"signals": NUMBERS, "kinds": CLASSES})
    assert refusal(tmp_path, path) == (
        "data.npz: no array for data.x; looked for x, X, x_train, X_train, inputs, data, images, features, and it has"
        " signals, kinds: name one in data.x"
    )
    assert refusal(tmp_path, path, x="signal", y="kinds") == (
        "data.npz: data.x: no array 'signal'; did you mean 'signals'?; it has signals, kinds"
    )
    assert prepared(tmp_path, path, x="signals", y="kinds").info.n_train == 32


def test_a_npy_file_of_inputs_has_its_targets_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "signals.npy", NUMBERS)
    np.save(tmp_path / "kinds.npy", CLASSES)
    assert prepared(tmp_path, "signals.npy", y="kinds.npy").info.input_shape == (4,)


@pytest.mark.parametrize(
    ("x", "options", "shape", "dtype"),
    (
        (np.zeros((N, 8, 8), np.uint8), {}, (1, 8, 8), "uint8"),
        (np.zeros((N, 8, 8, 3), np.uint8), {}, (3, 8, 8), "uint8"),
        (np.zeros((N, 3, 8, 8), np.uint8), {}, (3, 8, 8), "uint8"),
        (np.zeros((N, 8), np.uint8), {}, (8,), "float32"),
        (np.zeros((N, 8, 8)), {"inputs": "images"}, (1, 8, 8), "float32"),
        (np.zeros((N, 8), np.int32), {}, (8,), "int64"),
        (np.zeros((N, 8), np.int32), {"inputs": "numbers"}, (8,), "float32"),
        (-np.ones((N, 8), np.int32), {}, (8,), "float32"),
        (np.zeros((N, 20, 2)), {"layout": "steps_first"}, (20, 2), "float32"),
        (np.zeros(N), {}, (1,), "float32"),
    ),
)
def test_inputs_are_what_their_type_and_axes_say(
    x: np.ndarray, options: dict[str, object], shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    data = prepared(tmp_path, npz(tmp_path, {"x": x, "y": CLASSES}), **options)
    assert data.info.input_shape == shape
    assert data.preprocess.encoder.dtype == dtype
    assert data.info.layout == options.get("layout", "")


@pytest.mark.parametrize(
    ("y", "metric", "task", "labels", "first"),
    (
        (CLASSES + 5, "accuracy", "classification", ("5", "6", "7"), [0, 1, 2]),
        (np.array(["b", "a", "c", "a"] * 10), "accuracy", "classification", ("a", "b", "c"), [1, 0, 2]),
        (np.eye(3)[CLASSES], "accuracy", "classification", ("0", "1", "2"), [0, 1, 2]),
        (CLASSES.astype(float), "accuracy", "classification", ("0", "1", "2"), [0, 1, 2]),
        (CLASSES[:, None], "loss", "classification", ("0", "1", "2"), [0, 1, 2]),
        (CLASSES, "rmse", "regression", (), [[0.0], [1.0], [2.0]]),
        (NUMBERS[:, :2], "loss", "regression", (), NUMBERS[:3, :2].astype(np.float32).tolist()),
    ),
)
def test_targets_are_classes_or_quantities(
    y: np.ndarray, metric: str, task: str, labels: tuple[str, ...], first: list[object], tmp_path: Path
) -> None:
    arrays = {"x": NUMBERS, "y": y, "x_val": NUMBERS, "y_val": y}
    data = prepared(tmp_path, npz(tmp_path, arrays), metric=metric)
    assert (data.info.task, data.info.labels) == (task, labels)
    assert data.val.targets[:3].tolist() == first


TOKENS = np.arange(N * 6).reshape(N, 6) % 11


def test_tokens_know_their_vocabulary_and_their_padding(tmp_path: Path) -> None:
    tokens = TOKENS.copy()
    tokens[:, 3:] = 0
    data = prepared(tmp_path, npz(tmp_path, {"x": tokens, "y": CLASSES}), padding=0)
    assert (data.info.n_tokens, data.info.padding, data.info.input_dtype) == (11, 0, "int64")
    preprocess = Preprocess.from_json(data.preprocess.to_json())
    assert preprocess(tokens[:2]).tolist() == tokens[:2].tolist()
    with pytest.raises(DataError, match="tokens from 1 to 11; expected 0 to 10"):
        preprocess(tokens + 1)
    assert refusal(tmp_path, npz(tmp_path, {"x": NUMBERS, "y": CLASSES}), padding=0) == (
        "data.padding: is for tokens, and data.npz: 'x' has numbers; leave it out"
    )


def test_targets_of_every_position_are_for_language(tmp_path: Path) -> None:
    arrays = {"x": TOKENS, "y": np.roll(TOKENS, -1, axis=1)}
    data = prepared(tmp_path, npz(tmp_path, arrays), task="language", metric="loss")
    assert (data.info.task, data.info.n_targets) == ("language", 11)


def test_a_token_that_only_targets_have_can_be_told(tmp_path: Path) -> None:
    arrays = {"x": TOKENS, "y": TOKENS + 1}
    data = prepared(tmp_path, npz(tmp_path, arrays), task="language", metric="loss")
    assert (data.info.n_tokens, data.info.n_targets) == (11, 12)


def test_rows_of_zeros_and_ones_are_for_several_labels(tmp_path: Path) -> None:
    y = np.stack([CLASSES == 0, CLASSES < 2], axis=1)
    data = prepared(
        tmp_path, npz(tmp_path, {"x": NUMBERS, "y": y}), task="multilabel", labels=["a", "b"], metric="loss"
    )
    assert (data.info.task, data.info.labels, data.val.targets.dtype) == ("multilabel", ("a", "b"), torch.float32)
    message = refusal(tmp_path, npz(tmp_path, {"x": NUMBERS, "y": CLASSES}), task="multilabel", metric="loss")
    assert message.startswith("data.npz: 'y': row 0: one target a row; multilabel targets are")


def test_inputs_alone_are_enough_for_autoencoding(tmp_path: Path) -> None:
    data = prepared(tmp_path, npz(tmp_path, {"x": NUMBERS, "x_test": NUMBERS[:5]}), task="autoencoding", metric="loss")
    assert (data.info.task, data.info.n_targets, data.info.n_test) == ("autoencoding", 4, 5)


def test_inputs_of_one_number_need_no_axis_for_it(tmp_path: Path) -> None:
    x = NUMBERS[:, 0]
    data = prepared(tmp_path, npz(tmp_path, {"x": x, "y": CLASSES}))
    assert data.preprocess(x).shape == (N, 1)
    assert torch.equal(data.preprocess(torch.from_numpy(x)), data.preprocess(x[:, None]))
    assert torch.equal(data.preprocess(x.tolist()), data.preprocess(x))
    tokens = prepared(tmp_path, npz(tmp_path, {"x": np.arange(N), "y": CLASSES}), inputs="tokens")
    assert (tokens.info.input_shape, tokens.preprocess([3, 1]).tolist()) == ((1,), [[3], [1]])


def test_classes_can_be_given_names(tmp_path: Path) -> None:
    path = npz(tmp_path, {"x": NUMBERS, "y": CLASSES})
    assert prepared(tmp_path, path, labels=["ash", "elm", "oak"]).info.labels == ("ash", "elm", "oak")
    assert refusal(tmp_path, path, labels=["ash"]) == "data.labels: 1 names for 3 classes (0, 1, 2)"


def test_tensors_may_be_a_pair_of_half_precision(tmp_path: Path) -> None:
    x = torch.tensor(NUMBERS).to(torch.bfloat16).requires_grad_()
    torch.save((x, torch.tensor(CLASSES)), tmp_path / "data.pt")
    assert prepared(tmp_path, "data.pt").info.input_shape == (4,)


def _changed(place: tuple[int, ...], value: float) -> np.ndarray:
    changed = NUMBERS.copy()
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    (
        ({"x": NUMBERS}, {}, "data.npz: no array for data.y; looked for y, Y, y_train"),
        ({"x": NUMBERS, "y": CLASSES, "x_val": NUMBERS}, {}, "data.npz: no array for data.y_val; looked for y_val"),
        ({"x": NUMBERS, "y": CLASSES[:39]}, {}, "data.npz: 'x': 40 rows, but 'y' has 39; inputs and targets need"),
        ({"x": NUMBERS, "y": 3}, {}, "data.npz: 'x': 40 rows, but 'y' has a single value"),
        ({"x": NUMBERS[:0], "y": CLASSES[:0]}, {}, "data.npz: 'x': no rows"),
        ({"x": _changed((17, 2), np.nan), "y": CLASSES}, {}, "data.npz: 'x': row 17 at (2,): nan; expected finite"),
        (
            {"x": NUMBERS, "y": _changed((17, 2), np.inf)},
            {"metric": "rmse"},
            "data.npz: 'y': row 17: the target is inf",
        ),
        ({"x": NUMBERS, "y": NUMBERS[:, 0]}, {"task": "classification"}, "data.npz: 'y': row 0: 0.1257302"),
        ({"x": NUMBERS, "y": np.array(["a"] * N)}, {"metric": "rmse"}, "data.npz: 'y': row 0: 'a' is not a number"),
        (
            {"x": NUMBERS, "y": NUMBERS.reshape(N, 2, 2)},
            {},
            "data.npz: 'y': row 0: targets of shape (2, 2); expected one",
        ),
        ({"x": NUMBERS, "y": CLASSES * 1j}, {}, "data.npz: 'y': row 0: targets of type complex128"),
        ({"x": np.array(["a"] * N), "y": CLASSES}, {}, "data.npz: 'x': values of type <U1; expected numbers"),
        (
            {"x": NUMBERS, "y": CLASSES},
            {"inputs": "tokens"},
            "data.npz: 'x': values of type float64; tokens are integers",
        ),
        ({"x": NUMBERS, "y": CLASSES}, {"inputs": "images"}, "data.npz: 'x': rows of shape (4,); expected images"),
        (
            {"x": NUMBERS, "y": CLASSES, "x_test": NUMBERS[:, :3], "y_test": CLASSES},
            {},
            "data.npz: 'x_test': float64 rows of shape (3,); expected float64 (4,), as in 'x'",
        ),
        (
            {"x": NUMBERS, "y": CLASSES, "x_val": NUMBERS, "y_val": CLASSES + 1},
            {},
            "data.npz: 'y_val': row 2: no training row has the class '3'",
        ),
        ({"x": np.array([[1], "a"] * 20, dtype=object), "y": CLASSES}, {}, "data.npz: 'x': holds Python objects, and"),
    ),
)
def test_arrays_that_cannot_be_used_are_refused_with_the_place(
    arrays: Arrays, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, npz(tmp_path, arrays), **options).startswith(message)


def test_a_damaged_or_foreign_file_is_refused(tmp_path: Path) -> None:
    whole = (tmp_path / npz(tmp_path, {"x": NUMBERS, "y": CLASSES})).read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole.replace(b"x.npy", b"z.npy", 1)):
        (tmp_path / "data.npz").write_bytes(content)
        (tmp_path / "data.pt").write_bytes(content)
        assert refusal(tmp_path, "data.npz").startswith("data.npz: ")
        assert refusal(tmp_path, "data.pt").startswith("data.pt: cannot be read")
    (tmp_path / "short.npy").write_bytes(whole[:100])
    assert refusal(tmp_path, "short.npy", y="short").startswith("short.npy: cannot be read")
    assert refusal(tmp_path, "nowhere.npz").startswith("data.path nowhere.npz: no such file")


class Mine:
    """What weights_only refuses."""


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(3, 1), "y": Mine()}, tmp_path / "data.pt")
    assert "torch.save({'x': x, 'y': y}, path)" in refusal(tmp_path, "data.pt")
    torch.save({"x": torch.zeros(3, 1), "y": {"deep": 1}}, tmp_path / "data.pt")
    assert refusal(tmp_path, "data.pt") == "data.pt: 'y': dict; expected a tensor"
    torch.save({"x": torch.zeros(3, 1).to_sparse(), "y": torch.zeros(3)}, tmp_path / "data.pt")
    assert refusal(tmp_path, "data.pt").startswith("data.pt: 'x': a tensor of torch.sparse_coo")
    torch.save(3, tmp_path / "data.pt")
    assert refusal(tmp_path, "data.pt").startswith("data.pt: int; expected a dict of tensors")
