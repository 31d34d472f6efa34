"""MNIST-like files and CIFAR-10: where they are found, how they are read, and what is said when they are not there."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from tuner.config.schema import DATA_KINDS, SklearnData, Split
from tuner.config.schema.images import FakeImages
from tuner.data.batches import eval_batches
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare
from tuner.data.preprocess import Preprocess
from tuner.data.sources import cifar, classic_images, image_sets
from tuner.errors import DataError, NotFoundError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def _no_files_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(classic_images, "DEBIAN_ROOT", tmp_path / "debian")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def images(n: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(n, 5, 5), dtype=np.uint8)


def labels(n: int) -> np.ndarray:
    return (np.arange(n) % 10).astype(np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, *, n_train: int = 60, n_test: int = 20, zipped: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", n_train), ("t10k", n_test)):
        for what, array in (("images-idx3", images(n, seed=n)), ("labels-idx1", labels(n))):
            name, content = f"{part}-{what}-ubyte", idx_bytes(array)
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def load(tmp_path: Path, *, kind: str = "fashion_mnist", metric: str = "accuracy", **options: object) -> Prepared:
    data = DATA_KINDS[kind].model_validate({"kind": kind, "download": False, **options})
    return prepare(data, metric=metric, seed=1, base_dir=tmp_path, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("zipped", (False, True))
def test_idx_files_are_read_plain_and_gzipped(tmp_path: Path, zipped: bool) -> None:
    write_idx(tmp_path / "files", zipped=zipped)
    prepared = load(tmp_path, root="files")
    assert (prepared.info.input_shape, prepared.info.n_targets) == ((1, 5, 5), 10)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (54, 6, 20)
    assert prepared.info.labels[0] == "T-shirt/top"
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    assert np.array_equal(test.inputs[:, 0].numpy(), images(20, seed=20))
    assert test.targets.tolist() == labels(20).tolist()


@pytest.mark.parametrize(
    ("kind", "folder", "root"),
    (
        ("mnist", "files/MNIST/raw", "files"),
        ("fashion_mnist", "files/FashionMNIST/raw", "files"),
        ("mnist", "work/data/MNIST/raw", None),
        ("mnist", "work/data", None),
        ("fashion_mnist", "home/.cache/tuner/data/FashionMNIST/raw", None),
        ("fashion_mnist", "debian/fashion-mnist", None),
    ),
)
def test_files_are_found_in_the_usual_places(tmp_path: Path, kind: str, folder: str, root: str | None) -> None:
    write_idx(tmp_path / folder)
    assert load(tmp_path, kind=kind, root=root).info.n_train == 54


def test_files_that_are_not_there_are_reported_with_the_places_and_the_remedy(tmp_path: Path) -> None:
    (write_idx(tmp_path / "files") / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(NotFoundError) as caught:
        load(tmp_path, root="files")
    message = str(caught.value)
    assert f"{tmp_path / 'files'} (lacks t10k-labels-idx1-ubyte)" in message
    assert f"{tmp_path / 'files' / 'FashionMNIST' / 'raw'}\n" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "name it with data.root" in message


@pytest.mark.slow
def test_a_download_without_a_network_is_reported_and_not_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(NotFoundError, match=r"not found and it could not be downloaded \(.+\); looked in"):
        load(tmp_path, kind="mnist", download=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    (
        (lambda content: content[:-7], r"train-images-idx3-ubyte: 1493 bytes of values; expected 1500 for 60 x 5 x 5"),
        (lambda content: content + b"x", r"train-images-idx3-ubyte: more than 1500 bytes of values; expected 1500"),
        (lambda content: content[:9], r"starts with 00 00 08 03; an IDX file of bytes with 3 axes"),
        (lambda content: b"<!DOCTYPE html>" + content, r"starts with 3c 21 44 4f; an IDX file"),
        (lambda content: content[:4] + b"\xff" * 12 + content[16:], r"claims 4294967295 x 4294967295"),
    ),
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    path = write_idx(tmp_path / "files") / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        load(tmp_path, root="files")


@pytest.mark.parametrize("keep", (slice(0, -20), slice(5, None)))
def test_a_damaged_gzip_file_is_refused(tmp_path: Path, keep: slice) -> None:
    path = write_idx(tmp_path / "files", zipped=True) / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[keep])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: damaged gzip file .* get the file again"):
        load(tmp_path, root="files")


def test_labels_and_images_of_different_number_are_refused(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "files")
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels(59)))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: 59 labels; expected 60"):
        load(tmp_path, root="files")


def test_a_label_out_of_range_is_refused_with_its_row(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "files")
    wrong = labels(60)
    wrong[17] = 10
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(wrong))
    with pytest.raises(DataError, match=r"training image 17: label 10; expected whole numbers from 0 to 9"):
        load(tmp_path, root="files")


def test_pixels_are_scaled_per_channel_by_the_training_part(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    prepared = load(tmp_path, root="files")
    assert isinstance(prepared.train, ArrayPart)
    assert prepared.train.inputs.dtype == torch.uint8
    pixels = prepared.train.inputs.double()
    scaling = prepared.preprocess.scaling
    assert scaling is not None
    assert scaling.mean == pytest.approx([pixels.mean().item()], rel=1e-12)
    assert scaling.std == pytest.approx([pixels.std(correction=0).item()], rel=1e-12)
    x = torch.cat([x for x, _ in eval_batches(prepared.train, prepared.preprocess, device="cpu")])
    assert torch.allclose(x.double(), (pixels - pixels.mean()) / pixels.std(correction=0), atol=1e-5)


def test_without_normalisation_pixels_lie_between_zero_and_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    prepared = load(tmp_path, root="files", normalize=False)
    x, _ = next(eval_batches(prepared.train, prepared.preprocess, device="cpu"))
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)


def test_an_explicit_test_size_is_ignored_where_there_is_an_official_test_set(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    assert load(tmp_path, root="files", split=Split(test=0.5)).info.n_test == 20


def test_a_regression_metric_does_not_fit_an_image_data_set(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    with pytest.raises(DataError, match=r"its targets are for classification, but .* asks for regression"):
        load(tmp_path, root="files", metric="rmse")


def write_cifar(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(cifar.TRAIN_FILES + cifar.TEST_FILES):
        values = np.random.default_rng(number).integers(0, 256, size=(20, 3072), dtype=np.uint8)
        content = {b"data": values, b"labels": [row % 10 for row in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def test_cifar10_is_read_from_torchvisions_layout(tmp_path: Path) -> None:
    write_cifar(tmp_path / "files" / cifar.FOLDER)
    prepared = load(tmp_path, kind="cifar10", root="files")
    assert prepared.info.input_shape == (3, 32, 32)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (90, 10, 20)
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    expected = np.random.default_rng(5).integers(0, 256, size=(20, 3072), dtype=np.uint8).reshape(-1, 3, 32, 32)
    assert np.array_equal(test.inputs.numpy(), expected)


def test_cifar100_takes_its_fine_labels(tmp_path: Path) -> None:
    folder = tmp_path / "files" / cifar.FOLDER_100
    folder.mkdir(parents=True)
    for name, n_rows in (("train", 400), ("test", 100)):
        values = np.random.default_rng(n_rows).integers(0, 256, size=(n_rows, 3072), dtype=np.uint8)
        fine = [row % 100 for row in range(n_rows)]
        content = {b"data": values, b"fine_labels": fine, b"coarse_labels": [0] * n_rows}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    prepared = load(tmp_path, kind="cifar100", root="files")
    assert prepared.info.labels[:2] == ("apple", "aquarium_fish")
    assert len(set(prepared.info.labels)) == 100
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (360, 40, 100)
    test = prepared.open_test()
    assert test is not None
    assert test.targets.tolist() == list(range(100))


def write_svhn(folder: Path, n_train: int = 60, n_test: int = 20) -> Path:
    folder.mkdir(parents=True)
    for part, n_rows in (("train", n_train), ("test", n_test)):
        values = np.random.default_rng(n_rows).integers(0, 256, size=(32, 32, 3, n_rows), dtype=np.uint8)
        digits = np.where(labels(n_rows) == 0, 10, labels(n_rows))[:, None]
        savemat(folder / f"{part}_32x32.mat", {"X": values, "y": digits})
    return folder


def test_svhn_is_read_and_its_ten_is_a_zero(tmp_path: Path) -> None:
    write_svhn(tmp_path / "files")
    prepared = load(tmp_path, kind="svhn", root="files")
    assert (prepared.info.input_shape, prepared.info.labels) == ((3, 32, 32), tuple("0123456789"))
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    assert test.targets.tolist() == labels(20).tolist()
    expected = np.random.default_rng(20).integers(0, 256, size=(32, 32, 3, 20), dtype=np.uint8)
    assert np.array_equal(test.inputs[7, 1].numpy(), expected[:, :, 1, 7])


def test_a_short_matlab_file_is_refused(tmp_path: Path) -> None:
    path = write_svhn(tmp_path / "files") / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"train_32x32.mat: cannot be read as a Matlab file .* get the file again"):
        load(tmp_path, kind="svhn", root="files")


def test_kmnist_has_kana_and_qmnist_takes_the_first_column_of_its_labels(tmp_path: Path) -> None:
    write_idx(tmp_path / "files" / "KMNIST" / "raw")
    assert load(tmp_path, kind="kmnist", root="files").info.labels[:3] == ("o", "ki", "su")
    folder = tmp_path / "files" / "QMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, n_rows in (("train", 60), ("test", 20)):
        table = np.full((n_rows, 8), 70_000, dtype=">i4")
        table[:, 0] = labels(n_rows)
        header = bytes((0, 0, 12, 2)) + struct.pack(">2I", n_rows, 8)
        (folder / f"qmnist-{part}-labels-idx2-int.gz").write_bytes(gzip.compress(header + table.tobytes()))
        (folder / f"qmnist-{part}-images-idx3-ubyte").write_bytes(idx_bytes(images(n_rows)))
    test = load(tmp_path, kind="qmnist", root="files").open_test()
    assert test is not None
    assert test.targets.tolist() == labels(20).tolist()


@pytest.mark.parametrize(("subset", "first", "n_classes"), (("letters", 1, 26), ("balanced", 0, 47), ("digits", 0, 10)))
def test_emnists_subsets_have_their_classes(tmp_path: Path, subset: str, first: int, n_classes: int) -> None:
    folder = tmp_path / "files" / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, n_rows in (("train", 4 * n_classes), ("test", n_classes)):
        name = f"emnist-{subset}-{part}"
        numbers = (np.arange(n_rows) % n_classes + first).astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(images(n_rows)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx_bytes(numbers))
    prepared = load(tmp_path, kind="emnist", root="files", subset=subset)
    assert prepared.info.n_targets == n_classes
    test = prepared.open_test()
    assert test is not None
    assert test.targets.tolist() == list(range(n_classes))


@pytest.mark.parametrize("kind", ("mnist", "fashion_mnist", "kmnist", "qmnist", "cifar10", "cifar100", "svhn"))
def test_classes_and_folders_are_those_of_torchvision(kind: str) -> None:
    from torchvision import datasets

    ours = image_sets.IMAGE_SETS[kind]
    theirs = getattr(datasets, ours.torchvision_class)
    if hasattr(theirs, "classes"):
        assert [name.split(" - ")[0] for name in theirs.classes] == list(ours.labels)
    if hasattr(theirs, "base_folder"):
        assert theirs.base_folder == ours.folder
        assert tuple(name for name, _ in theirs.train_list) == ours.train_files
    assert image_sets.EMNIST_SETS["balanced"].labels == tuple(datasets.EMNIST.classes_split_dict["balanced"])


def test_chosen_classes_are_numbered_in_their_order(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    prepared = load(tmp_path, root="files", classes=["Coat", "Trouser"])
    assert prepared.info.labels == ("Coat", "Trouser")
    assert (prepared.info.n_train + prepared.info.n_val, prepared.info.n_test) == (12, 4)
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    assert test.targets.tolist() == [1, 0, 1, 0]
    assert np.array_equal(test.inputs[:, 0].numpy(), images(20, seed=20)[[1, 4, 11, 14]])
    assert load(tmp_path, kind="mnist", root="files", classes=[7, 3]).info.labels == ("7", "3")


@pytest.mark.parametrize(
    ("classes", "message"),
    (
        (["Coat", "Trousers"], r"data.classes: no class 'Trousers'; did you mean 'Trouser'\?"),
        (["Coat", "Bag", "Coat"], "data.classes: 'Coat' is named twice"),
        (["Coat"], r"only one class \(Coat\) in 6 rows"),
    ),
)
def test_wrong_classes_are_refused(tmp_path: Path, classes: list[str], message: str) -> None:
    write_idx(tmp_path / "files")
    with pytest.raises(DataError, match=message):
        load(tmp_path, root="files", classes=classes)


def test_images_are_resized_and_coloured_and_an_export_does_the_same(tmp_path: Path) -> None:
    write_idx(tmp_path / "files")
    prepared = load(tmp_path, root="files", resize=[8, 6], channels=3, fit="stretch")
    assert prepared.info.input_shape == (3, 8, 6)
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    raw = images(20, seed=20)
    expected = Image.fromarray(raw[3]).resize((6, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(test.inputs[3].numpy(), np.stack([np.asarray(expected)] * 3))
    again = Preprocess.from_json(json.loads(json.dumps(prepared.preprocess.to_json())))
    stored = torch.cat([x for x, _ in eval_batches(test, prepared.preprocess, device="cpu")])
    for source in (raw, [Image.fromarray(image) for image in raw], torch.from_numpy(raw[:, None])):
        assert torch.equal(again(source), stored)


def test_a_model_of_small_grey_images_takes_a_photograph(tmp_path: Path) -> None:
    preprocess = load(tmp_path, root=write_idx(tmp_path / "files").name).preprocess
    photograph = Image.fromarray(np.full((40, 30, 3), 200, dtype=np.uint8))
    photograph.save(tmp_path / "photograph.jpg", quality=100)
    x = preprocess(tmp_path / "photograph.jpg")
    assert x.shape == (1, 1, 5, 5)
    assert torch.equal(preprocess(photograph), x)


def test_a_tensor_of_three_or_four_sheets_is_several_grey_images_or_one_in_colour(tmp_path: Path) -> None:
    preprocess = load(tmp_path, root=write_idx(tmp_path / "files").name).preprocess
    for n in (3, 4):
        with pytest.raises(
            DataError, match=rf"is {n} grey images, or one of {n} channels; give them as \({n}, 1, 9, 9\)"
        ):
            preprocess(torch.zeros(n, 9, 9, dtype=torch.uint8))
        assert preprocess(torch.zeros(n, 1, 9, 9, dtype=torch.uint8)).shape == (n, 1, 5, 5)
        assert preprocess(torch.zeros(1, n, 9, 9, dtype=torch.uint8)).shape == (1, 1, 5, 5)
        assert preprocess(torch.zeros(n, 5, 5, dtype=torch.uint8)).shape == (n, 1, 5, 5)
        assert preprocess(np.zeros((n, 9, 9), dtype=np.uint8)).shape == (n, 1, 5, 5)
    assert preprocess(torch.zeros(5, 9, 9, dtype=torch.uint8)).shape == (5, 1, 5, 5)


def test_a_fake_data_set_needs_no_files_and_can_be_learned(tmp_path: Path) -> None:
    def fake(seed: int = 1, **options: object) -> Prepared:
        data = FakeImages.model_validate({"image_size": [1, 4, 4], "size": 300, "num_classes": 3, **options})
        return prepare(data, metric="accuracy", seed=seed, base_dir=tmp_path, cache_dir=tmp_path / f"cache-{seed}")

    prepared = fake(signal=0.5)
    assert (prepared.info.input_shape, prepared.info.n_targets) == ((1, 4, 4), 3)
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (240, 30, 30)
    assert fake(signal=0.5).info.fingerprint == prepared.info.fingerprint
    assert fake(seed=2, signal=0.5).info.fingerprint != prepared.info.fingerprint
    (x, y), (val_x, val_y) = (
        next(eval_batches(part, prepared.preprocess, device="cpu")) for part in (prepared.train, prepared.val)
    )
    means = torch.stack([x[y == label].mean(dim=0) for label in range(3)])
    nearest = (val_x[:, None] - means[None]).flatten(2).norm(dim=2).argmin(dim=1)
    assert (nearest == val_y).float().mean() > 0.8


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "files" / cifar.FOLDER)

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    (folder / "data_batch_3").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(DataError, match=r"data_batch_3: cannot be read as a CIFAR batch .*no part of an array"):
        load(tmp_path, kind="cifar10", root="files")
    assert not (tmp_path / "ran").exists()


def test_a_short_cifar10_batch_is_refused(tmp_path: Path) -> None:
    path = write_cifar(tmp_path / "files" / cifar.FOLDER) / "test_batch"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="test_batch: cannot be read as a CIFAR batch"):
        load(tmp_path, kind="cifar10", root="files")


@pytest.mark.parametrize(
    ("kind", "metric", "shape", "n_targets"),
    (
        ("digits", "accuracy", (1, 8, 8), 10),
        ("iris", "accuracy", (4,), 3),
        ("wine", "f1_macro", (13,), 3),
        ("breast_cancer", "roc_auc", (30,), 2),
        ("diabetes", "r2", (10,), 1),
    ),
)
def test_scikit_learns_sets_need_no_files(
    tmp_path: Path, kind: str, metric: str, shape: tuple[int, ...], n_targets: int
) -> None:
    data = SklearnData.model_validate({"kind": kind})
    prepared = prepare(data, metric=metric, seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache")
    assert (prepared.info.input_shape, prepared.info.n_targets) == (shape, n_targets)
    assert prepared.info.task == ("regression" if kind == "diabetes" else "classification")
    x = torch.cat([x for x, _ in eval_batches(prepared.train, prepared.preprocess, device="cpu")])
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, abs=0.01)


def test_classification_metrics_do_not_fit_diabetes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"diabetes: its targets are for regression, .* such as mse"):
        prepare(
            SklearnData(kind="diabetes"), metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache"
        )


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist_has_the_published_sizes(tmp_path: Path) -> None:
    prepared = load(tmp_path, root=str(DEBIAN))
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (54_000, 6_000, 10_000)
    assert torch.bincount(prepared.val.targets).tolist() == [600] * 10
    scaling = prepared.preprocess.scaling
    assert scaling is not None
    assert scaling.mean[0] / 255 == pytest.approx(0.286, abs=1e-3)  # published for the 60 000 images
    assert scaling.std[0] / 255 == pytest.approx(0.353, abs=1e-3)
