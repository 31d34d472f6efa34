"""Augmentation: what it does to pixels, that it repeats itself, and what it leaves alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tuner.config.schema import Augment, ImageData, PythonData, SklearnData
from tuner.config.spec import load
from tuner.data.augment import Augmenter
from tuner.data.batches import train_batches
from tuner.data.feed import Feed
from tuner.data.image_operations import BINS, NAMES, Jitter, Operations, Warp
from tuner.data.info import DataInfo
from tuner.data.mixing import Mixing, mates_in
from tuner.data.prepare import Prepared, prepare
from tuner.errors import ConfigError

SHAPE = (3, 9, 12)
CPU = torch.device("cpu")


def info(shape: tuple[int, ...] = SHAPE, **changes: Any) -> DataInfo:
    plain = {"kind": "mine", "task": "classification", "input_shape": shape, "n_targets": 3, "labels": ("a", "b", "c")}
    return DataInfo(**{**plain, **changes}, n_train=0, n_val=0, n_test=0, fingerprint="", in_memory=True)


def augmenter(shape: tuple[int, ...] = SHAPE, **options: object) -> Augmenter:
    found = Augmenter.of(Augment.model_validate({"kind": "standard", **options}), info(shape))
    assert found is not None
    return found


def images(n: int = 5, dtype: torch.dtype = torch.uint8) -> Tensor:
    values = torch.randint(0, 256, (n, *SHAPE), generator=torch.Generator().manual_seed(1))
    return values.to(dtype)


def draws(
    down: int = 0, right: int = 0, flip: int = 0, rectangle: tuple[int, ...] = (0, 0, 0, 0), upside_down: int = 0
) -> Tensor:
    return torch.tensor([[down, right, flip, *rectangle, upside_down]], dtype=torch.int16)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("digits")
    return prepare(SklearnData(kind="digits"), metric="accuracy", seed=0, base_dir=folder, cache_dir=folder)


def feed(prepared: Prepared, **options: object) -> Feed:
    data = SklearnData.model_validate({"kind": "digits", "augment": options})
    return Feed.of(prepared, data, device=CPU, n_cores=1)


def epoch(prepared: Prepared, seed: int = 0, limit: int | None = None, **options: object) -> list[Tensor]:
    return [x for x, _ in feed(prepared, **options).train(epoch_seed=seed, limit=limit)]


def plain(prepared: Prepared, seed: int = 0) -> list[Tensor]:
    batches = train_batches(prepared.train, prepared.preprocess, batch_size=64, device="cpu", epoch_seed=seed)
    return [x for x, _ in batches]


@pytest.mark.parametrize("dtype", (torch.uint8, torch.float32))
@pytest.mark.parametrize(("down", "right"), ((2, 0), (0, -1), (-2, 3), (8, -8), (0, 0)))
def test_a_shift_moves_every_pixel_by_exactly_that_much(down: int, right: int, dtype: torch.dtype) -> None:
    before = images(1, dtype)
    after = augmenter(shift=8).move(before, draws(down, right))
    height, width = SHAPE[1:]
    for row in range(max(0, down), height + min(0, down)):
        for column in range(max(0, right), width + min(0, right)):
            assert torch.equal(after[0, :, row, column], before[0, :, row - down, column - right])


def test_what_comes_in_from_outside_repeats_the_edge() -> None:
    before = images(1)
    after = augmenter(shift=2).move(before, draws(down=2, right=-1))
    for row in range(3):
        assert torch.equal(after[:, :, row, :-1], before[:, :, 0, 1:])
    assert torch.equal(after[:, :, 4, -1], before[:, :, 2, -1])


def test_a_flip_turns_left_and_right_around() -> None:
    before = images(1)
    assert torch.equal(augmenter(shift=0).move(before, draws(flip=1)), before.flip(-1))
    upside_down = augmenter(shift=0, vertical_flip=True).move(before, draws(upside_down=1))
    assert torch.equal(upside_down, before.flip(-2))
    both = augmenter(shift=2).move(before, draws(down=1, right=2, flip=1))
    assert torch.equal(both, augmenter(shift=2).move(before.flip(-1), draws(down=1, right=2)))


def test_a_rectangle_is_set_to_the_mean_and_nothing_else() -> None:
    before = images(1, torch.float32) + 1.0
    after = augmenter().blank_(before.clone(), draws(rectangle=(2, 5, 1, 7)))
    assert (after[:, :, 2:5, 1:7] == 0).all()
    assert int((after != before).sum()) == 3 * 3 * 6


def test_draws_stay_within_their_limits_and_reach_them() -> None:
    drawn = augmenter(shift=2, erase=0.5, vertical_flip=True).draw(7, 4000)
    down, right, flip, top, bottom, left, edge, upside_down = drawn.moves.long().unbind(1)
    assert 0.45 < float(upside_down.float().mean()) < 0.55
    assert down.unique().tolist() == right.unique().tolist() == [-2, -1, 0, 1, 2]
    assert 0.45 < float(flip.float().mean()) < 0.55
    erased = bottom > top
    assert 0.45 < float(erased.float().mean()) < 0.55
    assert int(top.min()) >= 0
    assert int(bottom.max()) == SHAPE[1]
    assert int(left.min()) >= 0
    assert int(edge.max()) == SHAPE[2]
    share = ((bottom - top) * (edge - left))[erased] / (SHAPE[1] * SHAPE[2])
    assert 0.005 < float(share.min()) < 0.03
    assert 0.25 < float(share.max()) < 0.40


def test_none_is_the_identity(digits: Prepared) -> None:
    assert all(torch.equal(a, b) for a, b in zip(epoch(digits, kind="none"), plain(digits), strict=True))
    still = epoch(digits, kind="standard", shift=0, flip=False, erase=0.0)
    assert all(torch.equal(a, b) for a, b in zip(still, plain(digits), strict=True))


def test_light_only_shifts(digits: Prepared) -> None:
    assert Augmenter.of(Augment(kind="light", shift=1), info()) == Augmenter(
        height=9, width=12, shift=1, flip=False, erase=0.0
    )
    assert not all(torch.equal(a, b) for a, b in zip(epoch(digits, kind="light"), plain(digits), strict=True))


def test_an_epoch_repeats_itself_and_differs_from_the_next(digits: Prepared) -> None:
    one = epoch(digits, seed=4, kind="standard")
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(one, epoch(digits, seed=4, kind="standard"), strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    drawn = augmenter().draw(4, 10).moves
    assert torch.equal(augmenter().draw(4, 10).moves, drawn)
    assert not torch.equal(augmenter().draw(5, 10).moves, drawn)


def test_a_limited_epoch_begins_like_a_whole_one(digits: Prepared) -> None:
    whole, limited = epoch(digits, kind="standard"), epoch(digits, limit=2, kind="standard")
    assert all(torch.equal(a, b) for a, b in zip(limited, whole[:2], strict=True))


def test_the_validation_part_is_left_alone(digits: Prepared) -> None:
    plain_val = [x for x, _ in feed(digits, kind="none").val()]
    assert all(torch.equal(x, y) for (x, _), y in zip(feed(digits, kind="standard").val(), plain_val, strict=True))


def test_streamed_images_are_augmented_alike_whoever_reads_them(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def data():\n"
        "    g = torch.Generator().manual_seed(0)\n"
        "    return [(torch.randint(0, 256, (3, 9, 12), generator=g, dtype=torch.uint8), i % 2) for i in range(40)]\n"
    )

    def read(**options: object) -> list[Tensor]:
        section = {"kind": "python", "target": "mine.py:data", "augment": {"kind": "standard"}, **options}
        data = PythonData.model_validate({"batch_size": 8, **section})
        prepared = prepare(data, metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path / "cache")
        return [x for x, _ in Feed.of(prepared, data, device=CPU, n_cores=1).train(epoch_seed=3)]

    stored = read(in_memory=True)
    for streamed in (read(in_memory=False, num_workers=0), read(in_memory=False, num_workers=2)):
        assert all(torch.equal(a, b) for a, b in zip(streamed, stored, strict=True))


def test_what_is_no_image_is_refused_when_only_the_data_tells() -> None:
    with pytest.raises(ConfigError, match=r"augment.kind: light is for images .* shape 13 \(float32\); set it to none"):
        Augmenter.of(Augment(kind="light"), info((13,)))
    with pytest.raises(ConfigError, match=r"shape 3x4x4 \(int64\)"):
        Augmenter.of(Augment(kind="light"), info((3, 4, 4), input_dtype="int64"))
    with pytest.raises(ConfigError, match=r"augment.cutmix: cutmix is for images .* shape 13 \(float32\); set it to 0"):
        Augmenter.of(Augment(cutmix=1.0), info((13,)))
    with pytest.raises(ConfigError, match=r"augment.kind: full is for 8-bit images, grey or RGB; .* 3 channels of num"):
        Augmenter.of(Augment(kind="full"), info(), is_pixels=False)
    with pytest.raises(ConfigError, match=r"randaugment is for 8-bit images, grey or RGB; take standard .* 4 channels"):
        Augmenter.of(Augment(kind="randaugment"), info((4, 9, 12)))
    with pytest.raises(ConfigError, match=r"augment.shift: 8 pixels do not fit images of 8 by 8; at most 7"):
        Augmenter.of(Augment(kind="light", shift=8), info((1, 8, 8)))


@pytest.mark.parametrize(
    ("changes", "what"),
    (
        ({"task": "regression"}, "regression"),
        ({"input_dtype": "int64"}, "inputs of whole numbers"),
        ({"categories": (3, 4)}, "inputs of whole numbers, tokens or categories"),
    ),
)
def test_mixup_is_refused_where_nothing_can_be_mixed(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"augment.mixup: mixes rows of numbers .* and this is {what}.*; set it to 0"
    ):
        Augmenter.of(Augment(mixup=0.2), info((13,), **changes))


@pytest.mark.parametrize(
    "data", ("{kind: wine, augment: {kind: light}}", "{kind: csv, path: a.csv, target: y, augment: {kind: standard}}")
)
def test_tables_are_refused_with_their_place(tmp_path: Path, data: str) -> None:
    (tmp_path / "a.yaml").write_text(f"data: {data}\n")
    with pytest.raises(
        ConfigError, match=r"a.yaml:1:\d+: data.augment: (light|standard) is for images, and the rows of"
    ):
        load(tmp_path / "a.yaml")


def test_every_option_can_be_searched(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "data: {kind: fashion_mnist}\nspace:\n  data.augment.kind: [none, light, standard]\n"
        "  data.augment.shift: {low: 0, high: 4}\n  data.augment.flip: [true, false]\n"
        "  data.augment.erase: {low: 0.0, high: 0.5}\n"
        "  data.augment.mixup: {low: 0.0, high: 0.5}\n  data.augment.cutmix: [0.0, 1.0]\n"
        "  data.augment.vertical_flip: [true, false]\n  data.augment.rotate: {low: 0, high: 30}\n"
        "  data.augment.zoom: {low: 0.0, high: 0.3}\n  data.augment.brightness: {low: 0.0, high: 0.5}\n"
        "  data.augment.contrast: {low: 0.0, high: 0.5}\n  data.augment.saturation: {low: 0.0, high: 0.5}\n"
        "  data.augment.hue: {low: 0.0, high: 0.1}\n  data.augment.operations: {low: 1, high: 3}\n"
        "  data.augment.magnitude: {low: 3, high: 15}\n  data.resize: {low: 20, high: 32}\n"
        "  data.fit: [crop, pad]\n  data.channels: [1, 3]\n"
    )
    params = {"data.augment.kind": "light", "data.augment.shift": 3, "data.augment.flip": False}
    bound = load(tmp_path / "a.yaml").bind({**params, "data.augment.erase": 0.1, "data.resize": 24, "data.channels": 3})
    assert isinstance(bound.data, ImageData)
    assert bound.data.augment == Augment(kind="light", shift=3, flip=False, erase=0.1)
    assert (bound.data.resize, bound.data.channels) == (24, 3)


# ---------------------------------------------------------------------------------- randaugment, trivialaugment, full


def operations(channels: int, magnitude: int | None) -> tuple[Operations, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    shape = (40, channels, 9, 12)
    noise = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    noise[::3] = noise[::3] // 3 + 80  # without black and white, so that contrast can be stretched
    return Operations(height=9, width=12, count=1, magnitude=magnitude), noise


@pytest.mark.slow
@pytest.mark.parametrize("channels", (1, 3))
@pytest.mark.parametrize("magnitude", (12, None))
def test_every_operation_is_that_of_torchvision(channels: int, magnitude: int | None) -> None:
    from torchvision.transforms import InterpolationMode, v2

    ours, images = operations(channels, magnitude)
    theirs = v2.RandAugment() if magnitude is not None else v2.TrivialAugmentWide()
    assert set(theirs._AUGMENTATION_SPACE) == set(NAMES)
    table = ours._magnitudes()
    for code, name in enumerate(NAMES):
        magnitudes_of, is_signed = theirs._AUGMENTATION_SPACE[name]
        expected_magnitudes = magnitudes_of(BINS, 9, 12)
        if expected_magnitudes is not None:
            assert torch.equal(table[code], expected_magnitudes.float())
        for strength in (5, 12, 30):
            for sign in (1.0, -1.0) if is_signed else (1.0,):
                value = float(table[code, strength]) * sign
                drawn = torch.tensor([[code, value]]).repeat(len(images), 1)[:, None]
                got = ours(images, drawn)
                expected = theirs._apply_image_or_video_transform(
                    images, name, value, interpolation=InterpolationMode.NEAREST, fill={}
                )
                differences = (got.int() - expected.int()).abs()
                # Half-way between two pixels, and one level where a product is rounded another way.
                is_geometric = name.startswith(("Shear", "Translate", "Rotate"))
                allowed = 0.03 if is_geometric else 0.02
                assert float((differences > 0).float().mean()) <= allowed, (name, value)
                assert is_geometric or int(differences.max()) <= 1, (name, value)


def test_each_image_has_operations_of_its_own_whatever_else_is_in_the_batch() -> None:
    ours, images = operations(3, None)
    drawn = ours.draw(len(images), torch.Generator().manual_seed(0))
    assert len(drawn[:, 0, 0].unique()) > 8
    together = ours(images, drawn)
    alone = torch.cat([ours(images[row : row + 1], drawn[row : row + 1]) for row in range(len(images))])
    assert torch.equal(together, alone)
    assert together.dtype == torch.uint8


def test_magnitudes_have_either_sign_and_identity_leaves_an_image() -> None:
    ours, images = operations(3, 9)
    drawn = ours.draw(2000, torch.Generator().manual_seed(0))
    shears = drawn[drawn[..., 0] == NAMES.index("ShearX")][:, 1]
    assert 0.4 < float((shears < 0).float().mean()) < 0.6
    assert torch.allclose(shears.abs(), torch.tensor(0.3 * 9 / 30))
    assert (drawn[drawn[..., 0] == NAMES.index("Posterize")][:, 1] > 0).all()
    assert torch.equal(ours(images, torch.zeros(len(images), 1, 2)), images)


def test_a_quarter_turn_and_twice_the_size_are_exact() -> None:
    square = torch.rand(1, 2, 5, 5)
    warp = Warp(rotate=90.0, zoom=0.0)
    assert torch.allclose(warp(square, torch.tensor([[90.0, 1.0]])), square.rot90(1, (2, 3)), atol=1e-5)
    assert torch.allclose(warp(square, torch.tensor([[0.0, 1.0]])), square, atol=1e-6)
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    assert torch.allclose(warp(ramp, torch.tensor([[0.0, 2.0]]))[0, 0, 2], torch.tensor([1.0, 1.5, 2.0, 2.5, 3.0]))


def test_colours_change_by_their_factors() -> None:
    image = torch.tensor([200.0, 100.0, 40.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2).contiguous()
    luminance = 0.2989 * 200 + 0.587 * 100 + 0.114 * 40
    jitter = Jitter(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5)

    def changed(
        brightness: float = 1.0, contrast: float = 1.0, saturation: float = 1.0, angle: float = 0.0
    ) -> list[float]:
        drawn = torch.tensor([[brightness, contrast, saturation, angle]])
        return jitter(image, drawn)[0, :, 0, 0].tolist()

    assert changed() == pytest.approx([200, 100, 40], abs=1e-3)
    assert changed(brightness=0.5) == pytest.approx([100, 50, 20], abs=1e-3)
    assert changed(saturation=0.0) == pytest.approx([luminance] * 3, abs=1e-2)
    assert changed(contrast=0.0) == pytest.approx([luminance] * 3, abs=1e-2)
    assert changed(angle=2 * math.pi / 3) == pytest.approx([40, 200, 100], abs=1e-2)
    drawn = jitter.draw(500, torch.Generator().manual_seed(0))
    assert 0.5 <= float(drawn[:, :3].min()) < 0.51
    assert 1.49 < float(drawn[:, :3].max()) <= 1.5


@pytest.mark.parametrize("kind", ("full", "randaugment", "trivialaugment"))
def test_lanes_see_the_images_that_each_would_see_alone(digits: Prepared, kind: str) -> None:
    reader = feed(digits, kind=kind, mixup=0.4, cutmix=1.0)
    alone = [list(reader.train(epoch_seed=seed, limit=3)) for seed in (3, 8)]
    for number, (x_TB, y_TB) in enumerate(reader.train_lanes(epoch_seeds=(3, 8), limit=3)):
        for lane in range(2):
            assert torch.equal(x_TB[lane], alone[lane][number][0])
            assert torch.equal(y_TB[lane], alone[lane][number][1])


# ------------------------------------------------------------------------------------------------- mixup and cutmix


def mixed(mixing: Mixing, n_rows: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = torch.arange(float(n_rows)).view(-1, 1, 1, 1).expand(n_rows, 2, 8, 10).contiguous()
    drawn = mixing.draw(5, n_rows)
    mixed_x, mixed_y = mixing(x, torch.arange(n_rows) % 3, drawn, torch.arange(n_rows) + mates_in(n_rows, n_rows))
    return x, drawn, mixed_x, mixed_y


def test_mixup_mixes_rows_and_labels_by_one_share() -> None:
    x, drawn, mixed_x, mixed_y = mixed(Mixing(mixup=0.5, cutmix=0.0, height=8, width=10, n_classes=3))
    for row in range(6):
        share, other = drawn[row, 0], (row - 1) % 6
        assert torch.allclose(mixed_x[row], share * x[row] + (1 - share) * x[other], atol=1e-6)
        expected = torch.zeros(3)
        expected[row % 3] += share
        expected[other % 3] += 1 - share
        assert torch.allclose(mixed_y[row], expected, atol=1e-6)


def test_cutmix_puts_a_rectangle_in_and_labels_follow_its_area() -> None:
    x, drawn, mixed_x, mixed_y = mixed(Mixing(mixup=0.0, cutmix=1.0, height=8, width=10, n_classes=3))
    for row in range(6):
        other = x[(row - 1) % 6]
        is_other = mixed_x[row] == other
        assert ((mixed_x[row] == x[row]) | is_other).all()
        share = 1 - float(is_other[0].float().mean())
        assert float(drawn[row, 0]) == pytest.approx(share, abs=1e-6)
        assert float(mixed_y[row, row % 3]) == pytest.approx(share, abs=1e-6)
        top, bottom, left, right = drawn[row, 1:].int().tolist()
        assert int(is_other[0].sum()) == (bottom - top) * (right - left)


def test_targets_of_several_labels_are_mixed_as_they_are() -> None:
    found = Augmenter.of(Augment(mixup=0.5), info((13,), task="multilabel"))
    assert found is not None
    assert found.mixing is not None
    drawn = found.draw(5, 4).mixes
    assert drawn is not None
    y = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    _, mixed_y = found.mixing(torch.zeros(4, 13), y, drawn, torch.tensor([3, 0, 1, 2]))
    assert torch.allclose(mixed_y, drawn[:, :1] * y + (1 - drawn[:, :1]) * y[[3, 0, 1, 2]], atol=1e-6)


def test_with_both_half_of_the_rows_are_cut() -> None:
    drawn = Mixing(mixup=1.0, cutmix=1.0, height=32, width=32, n_classes=3).draw(0, 4000)
    is_cut = drawn[:, 2] > drawn[:, 1]
    assert 0.44 < float(is_cut.float().mean()) < 0.54  # some rectangles are empty
    assert 0.45 < float(drawn[:, 0].mean()) < 0.60


def test_every_row_is_mixed_with_one_of_its_own_batch() -> None:
    away = mates_in(10, 4)
    assert (torch.arange(10) + away).tolist() == [3, 0, 1, 2, 7, 4, 5, 6, 9, 8]


def test_rows_of_numbers_are_mixed_up_too(tmp_path: Path) -> None:
    data = SklearnData.model_validate({"kind": "wine", "augment": {"mixup": 0.3}, "batch_size": 16})
    prepared = prepare(data, metric="accuracy", seed=0, base_dir=tmp_path, cache_dir=tmp_path)
    x, y = next(iter(Feed.of(prepared, data, device=CPU, n_cores=1).train(epoch_seed=0)))
    assert (x.shape, y.shape) == ((16, 13), (16, 3))
    assert np.allclose(y.sum(dim=1), 1.0)
    assert float(((y > 0) & (y < 1)).float().mean()) > 0.2
