"""Batches: their order, their sizes, alone and stacked for several lanes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tuner.config.schema import Augment, SklearnData
from tuner.data import batches as module
from tuner.data.augment import Augmenter
from tuner.data.batches import eval_batches, evaluation_batch_size, n_batches, stacked_batches, train_batches
from tuner.data.parts import ArrayPart
from tuner.data.prepare import Prepared, prepare

N_TRAIN = 1437


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("digits")
    return prepare(SklearnData(kind="digits"), metric="accuracy", seed=0, base_dir=folder, cache_dir=folder)


def epoch(
    prepared: Prepared, *, seed: int = 0, size: int = 64, drop_last: bool = False, limit: int | None = None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(
        train_batches(
            prepared.train,
            prepared.preprocess,
            batch_size=size,
            device="cpu",
            epoch_seed=seed,
            drop_last=drop_last,
            limit=limit,
        )
    )


def test_an_epoch_has_every_row_once(digits: Prepared) -> None:
    assert isinstance(digits.train, ArrayPart)
    got = torch.cat([x for x, _ in epoch(digits)]).flatten(1)
    expected = torch.cat([x for x, _ in eval_batches(digits.train, digits.preprocess, device="cpu")]).flatten(1)
    assert torch.equal(got.double().sum(1).sort().values, expected.double().sum(1).sort().values)


def test_the_order_depends_on_the_epochs_seed_alone(digits: Prepared) -> None:
    one = epoch(digits, seed=1)
    torch.manual_seed(99)
    again = epoch(digits, seed=1)
    assert all(torch.equal(a, b) for x, y in zip(one, again, strict=True) for a, b in zip(x, y, strict=True))
    assert not torch.equal(one[0][1], epoch(digits, seed=2)[0][1])


def test_the_batch_size_does_not_change_the_order(digits: Prepared) -> None:
    assert torch.equal(
        torch.cat([y for _, y in epoch(digits, size=64)]), torch.cat([y for _, y in epoch(digits, size=50)])
    )


def test_inputs_and_targets_stay_together(digits: Prepared) -> None:
    assert isinstance(digits.train, ArrayPart)
    lookup = {row.numpy().tobytes(): int(y) for row, y in zip(digits.train.inputs, digits.train.targets, strict=True)}
    scaling = digits.preprocess.scaling
    assert scaling is not None
    for x, y in epoch(digits)[:3]:
        pixels = (x.double() * scaling.std[0] + scaling.mean[0]).round().to(torch.uint8)
        assert [lookup[row.numpy().tobytes()] for row in pixels] == y.tolist()


@pytest.mark.parametrize(
    ("options", "sizes"),
    (
        ({"size": 500}, [500, 500, 437]),
        ({"size": 500, "drop_last": True}, [500, 500]),
        ({"size": 500, "limit": 1}, [500]),
        ({"size": 500, "limit": 9}, [500, 500, 437]),
        ({"size": 2000}, [1437]),
        ({"size": 2000, "drop_last": True}, []),
        ({"size": 479}, [479, 479, 479]),
        ({"size": 479, "drop_last": True}, [479, 479, 479]),
    ),
)
def test_batches_have_the_announced_number_and_sizes(
    digits: Prepared, options: dict[str, int], sizes: list[int]
) -> None:
    assert [len(y) for _, y in epoch(digits, **options)] == sizes  # type: ignore[arg-type]
    arguments = {"batch_size": options["size"], "drop_last": bool(options.get("drop_last"))}
    assert n_batches(N_TRAIN, limit=options.get("limit"), **arguments) == len(sizes)  # type: ignore[arg-type]


def test_the_first_batches_of_a_limited_epoch_are_those_of_the_whole_one(digits: Prepared) -> None:
    whole, limited = epoch(digits, seed=3), epoch(digits, seed=3, limit=2)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(limited, whole[:2], strict=True))


def test_evaluation_has_a_fixed_order_and_size(digits: Prepared) -> None:
    batches = list(eval_batches(digits.train, digits.preprocess, device="cpu"))
    assert [len(y) for _, y in batches] == [256] * 5 + [157]
    assert torch.equal(torch.cat([y for _, y in batches]), digits.train.targets)
    assert len(list(eval_batches(digits.train, digits.preprocess, device="cpu", limit=2))) == 2


@pytest.mark.parametrize(
    ("shape", "size"), (((1, 28, 28), 256), ((3, 32, 32), 256), ((3, 224, 224), 8), ((3, 2000, 2000), 1), ((4,), 256))
)
def test_large_inputs_are_evaluated_in_smaller_batches(shape: tuple[int, ...], size: int) -> None:
    assert evaluation_batch_size(shape) == size


def test_inputs_are_float32_and_labels_int64(digits: Prepared) -> None:
    x, y = epoch(digits)[0]
    assert (x.dtype, x.shape, y.dtype, y.shape) == (torch.float32, (64, 1, 8, 8), torch.int64, (64,))


@pytest.mark.parametrize("options", ({}, {"drop_last": True}, {"limit": 3}))
@pytest.mark.parametrize("kind", ("none", "standard"))
def test_stacked_batches_are_those_of_each_lane(digits: Prepared, kind: str, options: dict[str, Any]) -> None:
    seeds = (3, 1, 2)
    section = Augment.model_validate({"kind": kind})
    shared = {"batch_size": 100, "device": "cpu", "augmenter": Augmenter.of(section, digits.info), **options}
    stacked = list(stacked_batches(digits.train, digits.preprocess, epoch_seeds=seeds, **shared))
    alone = [list(train_batches(digits.train, digits.preprocess, epoch_seed=seed, **shared)) for seed in seeds]
    assert [len(y[0]) for _, y in stacked] == [len(y) for _, y in alone[0]]
    for number, (x, y) in enumerate(stacked):
        assert torch.equal(x, torch.stack([lane[number][0] for lane in alone]))
        assert torch.equal(y, torch.stack([lane[number][1] for lane in alone]))


def test_the_data_is_indexed_once_for_all_lanes(digits: Prepared) -> None:
    def calls(n_lanes: int) -> int:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            list(
                stacked_batches(
                    digits.train, digits.preprocess, epoch_seeds=range(n_lanes), batch_size=479, device="cpu"
                )
            )
        return sum(event.count for event in profile.key_averages() if event.key == "aten::index_select")

    assert calls(1) == calls(5) == 2 * 3


def test_batches_that_share_a_block_have_the_values_of_single_ones(
    digits: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = epoch(digits, size=100)
    monkeypatch.setattr(module._Reader, "_batches_at_once", lambda reader, plan: 4)
    assert [len(y) for _, y in epoch(digits, size=100)] == [len(y) for _, y in single]
    for (x, y), (x_single, y_single) in zip(epoch(digits, size=100), single, strict=True):
        assert torch.equal(x, x_single)
        assert torch.equal(y, y_single)


@pytest.mark.parametrize("kind", ("full", "randaugment"))
def test_rows_of_a_shared_block_are_mixed_within_their_lane_and_batch(
    digits: Prepared, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    augmenter = Augmenter.of(Augment.model_validate({"kind": kind, "mixup": 0.5, "cutmix": 1.0}), digits.info)

    def epoch_of_lanes() -> list[tuple[torch.Tensor, torch.Tensor]]:
        options = {"batch_size": 100, "device": "cpu", "augmenter": augmenter}
        return list(stacked_batches(digits.train, digits.preprocess, epoch_seeds=(3, 1), **options))

    single = epoch_of_lanes()
    monkeypatch.setattr(module._Reader, "_batches_at_once", lambda reader, plan: 4)
    for (x, y), (x_single, y_single) in zip(epoch_of_lanes(), single, strict=True):
        assert torch.equal(x, x_single)
        assert torch.equal(y, y_single)


def test_a_loader_does_not_draw_from_the_generator_that_dropout_uses(digits: Prepared) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch(digits)
    list(eval_batches(digits.val, digits.preprocess, device="cpu"))
    assert torch.equal(torch.get_rng_state(), before)


def test_prediction_gives_the_bits_of_training(digits: Prepared) -> None:
    assert isinstance(digits.val, ArrayPart)
    trained = torch.cat([x for x, _ in eval_batches(digits.val, digits.preprocess, device="cpu")])
    stored = digits.val.inputs.numpy()
    assert torch.equal(digits.preprocess(stored), trained)
    assert torch.equal(digits.preprocess(stored[:, 0].astype(float)), trained)  # as load_digits().images has them
    assert torch.equal(digits.preprocess(stored.reshape(-1, 64)), trained)  # as load_digits().data has them
    assert torch.equal(digits.preprocess(stored[5]), trained[5:6])


def test_channels_last_changes_the_layout_and_not_the_values(digits: Prepared) -> None:
    plain, _ = next(eval_batches(digits.val, digits.preprocess, device="cpu"))
    last, _ = next(eval_batches(digits.val, digits.preprocess, device="cpu", channels_last=True))
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
def test_rows_stay_on_the_gpu_and_give_the_values_of_the_cpu(digits: Prepared) -> None:
    assert isinstance(digits.train, ArrayPart)
    device = torch.device("cuda")
    resident = digits.train.on(device)
    assert resident.inputs.is_cuda
    assert digits.train.on(device) is resident
    batches = train_batches(digits.train, digits.preprocess, batch_size=64, device="cuda", epoch_seed=0)
    for (x, y), (x_cpu, y_cpu) in zip(batches, epoch(digits), strict=True):
        assert torch.equal(x.cpu(), x_cpu)
        assert torch.equal(y.cpu(), y_cpu)
