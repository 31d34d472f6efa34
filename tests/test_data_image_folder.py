"""Folders of images and torchvision's data sets: how they are laid out, made alike and streamed; what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tuner.config.schema.images import ImageFolderData, TorchvisionData
from tuner.data.batches import eval_batches
from tuner.data.feed import Feed
from tuner.data.parts import ArrayPart, StreamPart
from tuner.data.prepare import Prepared, prepare
from tuner.errors import DataError, NotFoundError


def pixels(number: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def write_class(folder: Path, n_images: int, *, start: int = 0, suffix: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + n_images):
        Image.fromarray(pixels(number)).save(folder / f"{number:03}.{suffix}")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten images of 6 by 6."""
    write_class(tmp_path / "photos" / "cat", 10)
    write_class(tmp_path / "photos" / "dog", 10, start=10)
    return tmp_path / "photos"


def load(folder: Path, metric: str = "accuracy", **options: object) -> Prepared:
    data = ImageFolderData.model_validate({"path": folder.name, **options})
    base_dir = folder.parent
    return prepare(data, metric=metric, seed=1, base_dir=base_dir, cache_dir=base_dir / "cache")


def test_a_folder_of_class_folders_is_split(photos: Path) -> None:
    (photos / "cat" / "notes.txt").write_text("no image")
    (photos / ".ipynb_checkpoints").mkdir()
    info = load(photos).info
    assert (info.labels, info.input_shape, info.in_memory) == (("cat", "dog"), (3, 6, 6), True)
    assert (info.n_train, info.n_val, info.n_test) == (16, 2, 2)


def test_parts_of_its_own_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, n_images in (("train", 6), ("valid", 2), ("test", 3)):
        for label in ("cat", "dog"):
            write_class(tmp_path / "photos" / part / label / "more", n_images, start=40 * (label == "dog"))
    prepared = load(tmp_path / "photos")
    assert (prepared.info.n_train, prepared.info.n_val, prepared.info.n_test) == (12, 4, 6)
    test = prepared.open_test()
    assert isinstance(test, ArrayPart)
    assert test.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(test.inputs[4].numpy(), np.moveaxis(pixels(41), -1, 0))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_class(tmp_path / "photos" / "train", 10)
    write_class(tmp_path / "photos" / "car", 10)
    assert load(tmp_path / "photos").info.labels == ("car", "train")


def test_classes_are_chosen_before_anything_is_read(photos: Path) -> None:
    write_class(photos / "bird", 10, start=20)
    (photos / "dog" / "broken.png").write_bytes(b"no image")
    assert load(photos, classes=["cat", "bird"]).info.labels == ("cat", "bird")
    with pytest.raises(DataError, match=r"data.classes: no folder 'cats' in .*photos; did you mean 'cat'\?"):
        load(photos, classes=["cats", "bird"])


@pytest.mark.parametrize("suffix", ("png", "jpg", "bmp", "webp", "gif", "tiff", "ppm"))
def test_every_usual_format_is_read(photos: Path, suffix: str) -> None:
    write_class(photos / "cat", 1, start=90, suffix=suffix)
    prepared = load(photos, split={"val": 1, "test": 0, "stratify": False})
    assert prepared.info.n_train == 20


def test_images_of_other_sizes_depths_and_colours_are_made_alike(photos: Path) -> None:
    Image.fromarray(pixels(1, 12, 30)).save(photos / "cat" / "wide.jpg")
    Image.fromarray(pixels(2)[..., 0]).save(photos / "cat" / "grey.png")
    deep = (pixels(3)[..., 0].astype(np.uint16) << 8) + 7
    Image.fromarray(deep).save(photos / "cat" / "deep.png")
    Image.fromarray(pixels(4)).convert("P").save(photos / "dog" / "palette.png", transparency=0)
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side
    Image.fromarray(pixels(5, 6, 9)).save(photos / "dog" / "turned.png", exif=turned)
    for fit in ("crop", "pad", "stretch"):
        info = load(photos, resize=[4, 8], fit=fit).info
        assert info.input_shape == (3, 4, 8)
    assert load(photos, resize=4, channels=1).info.input_shape == (1, 4, 4)


def test_crop_cuts_the_middle_out_and_pad_adds_black(photos: Path) -> None:
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 200  # the middle third
    encode = {fit: load(photos, resize=4, fit=fit).preprocess.encoder.encode for fit in ("crop", "pad", "stretch")}
    assert (encode["crop"](Image.fromarray(wide)) == 200).all()
    padded = encode["pad"](Image.fromarray(wide))[0, 0]
    assert padded[[0, 3]].max() == 0
    assert padded[1:3].max() > 100
    assert 0 < encode["stretch"](Image.fromarray(wide))[0, 0, 0, 1] < 200


def test_sizes_that_differ_need_resize(photos: Path) -> None:
    Image.fromarray(pixels(1, 8, 7)).save(photos / "dog" / "other.png")
    with pytest.raises(DataError, match=r"dog/other.png: 8 by 7 pixels, but .*cat/000.png has 6 by 6; set data.resize"):
        load(photos)


def _broken(photos: Path) -> None:
    for name in ("cat/003.png", "dog/012.png"):
        content = (photos / name).read_bytes()
        (photos / name).write_bytes(content[: len(content) // 2])


def _empty(photos: Path) -> None:
    (photos / "bird").mkdir()
    (photos / "bird" / "notes.txt").write_text("")


def _one_class(photos: Path) -> None:
    (photos / "dog").rename(photos / "cat" / "more")


def _flat(photos: Path) -> None:
    for label in ("cat", "dog"):
        for path in (photos / label).iterdir():
            path.rename(photos / f"{label}{path.name}")
        (photos / label).rmdir()


def _extra_test_class(photos: Path) -> None:
    for label in ("cat", "dog"):
        write_class(photos / "train" / label, 5)
    write_class(photos / "test" / "zebra", 2)


@pytest.mark.parametrize(
    ("damage", "message"),
    (
        (
            _broken,
            r"cat/003.png: cannot be read as an image \(.*\); replace the file or remove it\n.*dog/012.png: cannot",
        ),
        (_empty, r"photos/bird: no images in it \(.png, .*\); add some, or remove the folder"),
        (_one_class, r"photos: only one class \(cat\); classification needs at least two folders"),
        (_flat, r"photos: no folders in it; expected one a class, such as .*photos/cat"),
        (
            _extra_test_class,
            r"test/zebra: the training part has no class 'zebra'; .*; remove the folder, or add images",
        ),
    ),
)
def test_what_is_wrong_with_a_folder_is_said_with_its_place(
    photos: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(photos)
    with pytest.raises(DataError, match=message):
        load(photos)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"data.path nowhere: no such folder in"):
        load(tmp_path / "nowhere")


def test_autoencoding_needs_no_classes(photos: Path) -> None:
    _flat(photos)
    prepared = load(photos, "mse", task="autoencoding")
    assert (prepared.info.n_train + prepared.info.n_val + prepared.info.n_test, prepared.info.n_targets) == (20, 108)
    data = ImageFolderData.model_validate({"path": "photos", "task": "autoencoding", "augment": {"kind": "full"}})
    x, y = next(iter(Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1).train(epoch_seed=3)))
    assert torch.equal(y, x.flatten(1))


def test_streamed_images_are_those_that_would_be_stored(photos: Path) -> None:
    Image.fromarray(pixels(1, 12, 9)).save(photos / "cat" / "large.jpg")

    def batches(**options: object) -> list[torch.Tensor]:
        section = {"path": "photos", "resize": 5, "batch_size": 4, "augment": {"kind": "full", "mixup": 0.3}, **options}
        data = ImageFolderData.model_validate(section)
        prepared = load(photos, **section)
        assert isinstance(prepared.train, ArrayPart if prepared.info.in_memory else StreamPart)
        feed = Feed.of(prepared, data, device=torch.device("cpu"), n_cores=1)
        test = prepared.open_test()
        assert test is not None
        return [
            *(x for x, _ in feed.train(epoch_seed=3)),
            *(x for x, _ in eval_batches(test, prepared.preprocess, device="cpu")),
        ]

    stored = batches()
    for streamed in (batches(in_memory=False, num_workers=0), batches(in_memory=False, num_workers=2)):
        assert all(torch.equal(a, b) for a, b in zip(streamed, stored, strict=True))


def test_a_broken_image_is_named_where_images_are_streamed(photos: Path) -> None:
    _broken(photos)
    with pytest.raises(DataError, match=r"cat/003.png: cannot be read"):
        load(photos, in_memory=False)


def test_predictions_take_paths_and_images_of_any_size(photos: Path) -> None:
    preprocess = load(photos, resize=5).preprocess
    paths = sorted((photos / "cat").iterdir())
    images = [Image.open(path) for path in paths]
    expected = preprocess(paths)
    assert expected.shape == (10, 3, 5, 5)
    assert torch.equal(preprocess(images), expected)
    assert torch.equal(preprocess([str(path) for path in paths]), expected)
    assert torch.equal(preprocess(paths[0]), expected[:1])
    assert torch.equal(preprocess(images[0]), expected[:1])
    assert torch.equal(preprocess(np.stack([pixels(number) for number in range(10)])), expected)
    assert torch.equal(preprocess(pixels(0)), expected[:1])
    assert preprocess([pixels(0, 9, 7)[..., 0], pixels(0, 50, 40)]).shape == (2, 3, 5, 5)
    with pytest.raises(DataError, match=r"input: row 1: nowhere.png: no such file"):
        preprocess([paths[0], "nowhere.png"])


# ------------------------------------------------------------------------------------------------------- torchvision


def torchvision(tmp_path: Path, **options: object) -> Prepared:
    section = {"name": "EuroSAT", "root": "files", "download": False, **options}
    data = TorchvisionData.model_validate(section)
    return prepare(data, metric="accuracy", seed=1, base_dir=tmp_path, cache_dir=tmp_path / "cache")


@pytest.fixture
def satellites(tmp_path: Path) -> Path:
    """A few images in the layout of torchvision's EuroSAT, which has no parts."""
    for label in ("Forest", "River", "Sea"):
        write_class(tmp_path / "files" / "eurosat" / "2750" / label, 8, suffix="jpg")
    return tmp_path


@pytest.fixture
def signs(tmp_path: Path) -> Path:
    """A few images in the layout of torchvision's GTSRB, whose parts are splits and whose sizes differ."""
    folder = tmp_path / "files" / "gtsrb"
    for label in range(2):
        write_class(folder / "GTSRB" / "Training" / f"{label:05}", 6, start=label, suffix="ppm")
    tests = folder / "GTSRB" / "Final_Test" / "Images"
    tests.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(pixels(number, 9, 8)).save(tests / f"{number:05}.ppm")
    rows = "".join(f"{number:05}.ppm;8;9;1;1;7;8;{number % 2}\n" for number in range(3))
    (folder / "GT-final_test.csv").write_text("Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n" + rows)
    return tmp_path


def test_a_data_set_of_torchvision_is_read_by_its_name(satellites: Path) -> None:
    info = torchvision(satellites).info
    assert (info.labels, info.input_shape) == (("Forest", "River", "Sea"), (3, 6, 6))
    assert info.n_train + info.n_val + info.n_test == 24
    chosen = torchvision(satellites, classes=["Sea", "Forest"]).info
    assert chosen.labels == ("Sea", "Forest")
    assert chosen.n_train + chosen.n_val + chosen.n_test == 16


def test_its_splits_become_parts_and_its_sizes_are_made_alike(signs: Path) -> None:
    prepared = torchvision(signs, name="GTSRB", resize=8)
    assert (prepared.info.n_train + prepared.info.n_val, prepared.info.n_test) == (12, 3)
    streamed = torchvision(signs, name="GTSRB", resize=8, in_memory=False)
    parts = prepared.open_test(), streamed.open_test()
    assert isinstance(parts[0], ArrayPart)
    assert isinstance(parts[1], StreamPart)
    assert torch.equal(parts[1].read([0, 1, 2])[0], parts[0].inputs)
    with pytest.raises(DataError, match=r"GTSRB: test item 0: 9 by 8 pixels, .* 6 by 6; set data.resize"):
        torchvision(signs, name="GTSRB")


def test_what_torchvision_cannot_give_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"torchvision.datasets has no 'EuroSat'; did you mean 'EuroSAT'\?"):
        torchvision(tmp_path, name="EuroSat")
    with pytest.raises(DataError, match=r"torchvision.datasets has no 'FakeData'"):
        torchvision(tmp_path, name="FakeData")
    with pytest.raises(DataError, match=r"CocoDetection cannot be made from .*annFile.*with kind: python"):
        torchvision(tmp_path, name="CocoDetection")
    with pytest.raises(NotFoundError, match=r"EuroSAT: not found and data.download is false; looked in\n .*files"):
        torchvision(tmp_path)
    with pytest.raises(DataError, match=r"data.options.partition: EuroSAT takes no such option; available: root, "):
        torchvision(tmp_path, options={"partition": 3})


def test_targets_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "VOCdevkit" / "VOC2012"
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    (folder / "Annotations").mkdir()
    for part in ("train", "val"):
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("one\n")
    Image.fromarray(pixels(1)).save(folder / "JPEGImages" / "one.jpg")
    (folder / "Annotations" / "one.xml").write_text("<annotation><folder>x</folder></annotation>")
    with pytest.raises(DataError, match=r"VOCDetection: item 0: the target is {.*expected the number of a class"):
        torchvision(tmp_path, name="VOCDetection", options={"image_set": "train"})
