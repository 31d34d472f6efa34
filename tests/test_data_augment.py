"""Augmentation: what it does to pixels, that it repeats itself, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tuner.config.schema import Augment, ImageData, PythonData, SklearnData
from tuner.config.spec import load
from tuner.data.augment import Augmenter
from tuner.data.batches import train_batches
from tuner.data.feed import Feed
from tuner.data.prepare import Prepared, prepare
from tuner.errors import ConfigError

SHAPE = (3, 9, 12)
CPU = torch.device("cpu")


def augmenter(**options: object) -> Augmenter:
    found = Augmenter.of(Augment.model_validate({"kind": "standard", **options}), SHAPE)
    assert found is not None
    return found


def images(n: int = 5, dtype: torch.dtype = torch.uint8) -> Tensor:
    values = torch.randint(0, 256, (n, *SHAPE), generator=torch.Generator().manual_seed(1))
    return values.to(dtype)


def draws(down: int = 0, right: int = 0, flip: int = 0, rectangle: tuple[int, ...] = (0, 0, 0, 0)) -> Tensor:
    return torch.tensor([[down, right, flip, *rectangle]], dtype=torch.int16)


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
    both = augmenter(shift=2).move(before, draws(down=1, right=2, flip=1))
    assert torch.equal(both, augmenter(shift=2).move(before.flip(-1), draws(down=1, right=2)))


def test_a_rectangle_is_set_to_the_mean_and_nothing_else() -> None:
    before = images(1, torch.float32) + 1.0
    after = augmenter().blank_(before.clone(), draws(rectangle=(2, 5, 1, 7)))
    assert (after[:, :, 2:5, 1:7] == 0).all()
    assert int((after != before).sum()) == 3 * 3 * 6


def test_draws_stay_within_their_limits_and_reach_them() -> None:
    drawn = augmenter(shift=2, erase=0.5).draw(7, 4000)
    down, right, flip, top, bottom, left, edge = drawn.long().unbind(1)
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
    assert Augmenter.of(Augment(kind="light", shift=1), SHAPE) == Augmenter(
        height=9, width=12, shift=1, flip=False, erase=0.0
    )
    assert not all(torch.equal(a, b) for a, b in zip(epoch(digits, kind="light"), plain(digits), strict=True))


def test_an_epoch_repeats_itself_and_differs_from_the_next(digits: Prepared) -> None:
    one = epoch(digits, seed=4, kind="standard")
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(one, epoch(digits, seed=4, kind="standard"), strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    drawn = augmenter().draw(4, 10)
    assert torch.equal(augmenter().draw(4, 10), drawn)
    assert not torch.equal(augmenter().draw(5, 10), drawn)


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
        Augmenter.of(Augment(kind="light"), (13,))
    with pytest.raises(ConfigError, match=r"shape 3x4x4 \(int64\)"):
        Augmenter.of(Augment(kind="light"), (3, 4, 4), "int64")
    with pytest.raises(ConfigError, match=r"augment.shift: 8 pixels do not fit images of 8 by 8; at most 7"):
        Augmenter.of(Augment(kind="light", shift=8), (1, 8, 8))


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
    )
    params = {"data.augment.kind": "light", "data.augment.shift": 3, "data.augment.flip": False}
    bound = load(tmp_path / "a.yaml").bind({**params, "data.augment.erase": 0.1})
    assert isinstance(bound.data, ImageData)
    assert bound.data.augment == Augment(kind="light", shift=3, flip=False, erase=0.1)
