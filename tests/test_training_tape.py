"""A recorded step is the step: the same bits, the same random numbers, and nothing that it does not hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tuner.models.layers import ChannelDropout, Dropout
from tuner.training.program import single_program
from tuner.training.tape import Tape, TapeError, record, untouched


def networks() -> dict[str, nn.Module]:
    return {
        "dropout": nn.Sequential(nn.Linear(6, 8), nn.ReLU(), Dropout(0.3), nn.Linear(8, 3)),
        "torch's dropout": nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.5), nn.Linear(8, 3)),
        "batch norm": nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 3)),
        "layer norm": nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)),
    }


class Lesson:
    """A network, its parameters, and batches of five rows."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.model = networks()[name]
        self.params = list(self.model.parameters())
        self.persistent = [*self.params, *self.model.buffers()]

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(5, 6, generator=generator), torch.randint(0, 3, (5,), generator=generator)

    def step(self, x: Tensor, y: Tensor) -> list[Tensor | None]:
        loss = functional.cross_entropy(self.model(x), y)
        return [loss.detach(), *torch.autograd.grad(loss, self.params)]

    def recorded(self) -> Tape:
        x, y = self.batch(0)
        with untouched(list(self.model.buffers())):
            tape, _ = record(lambda: self.step(x, y), persistent=self.persistent, changing=[x, y])
        return tape

    def state(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensor in self.persistent]


def same(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> bool:
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", networks())
def test_a_replay_has_the_bits_of_the_step_for_other_batches_and_weights(name: str) -> None:
    eager, taped = Lesson(name), Lesson(name)
    program = single_program(taped.recorded(), [tensor.detach() for tensor in taped.persistent])
    for number in range(1, 4):
        torch.manual_seed(number)
        expected = eager.step(*eager.batch(number))
        torch.manual_seed(number)
        with torch.inference_mode():
            got = program(*taped.batch(number))
        assert same(expected, got)
        assert same(eager.state(), taped.state())
        for lesson, results in ((eager, expected), (taped, got)):
            with torch.no_grad():
                for param, grad in zip(lesson.params, results[1:], strict=True):
                    param.sub_(grad, alpha=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", networks())
def test_recording_counts_for_nothing(name: str) -> None:
    lesson = Lesson(name)
    before, generator = lesson.state(), torch.get_rng_state()
    lesson.recorded()
    assert same(before, lesson.state())
    assert torch.equal(generator, torch.get_rng_state())


def test_a_step_that_reads_a_value_back_is_refused() -> None:
    lesson = Lesson("layer norm")
    x, _ = lesson.batch(0)

    def step() -> list[Tensor | None]:
        return [x * float(x.sum())]

    with pytest.raises(TapeError, match="reads a value back"):
        record(step, persistent=[], changing=[x])


def test_a_tensor_from_outside_is_refused() -> None:
    x, other = torch.ones(3), torch.ones(3)
    with pytest.raises(TapeError, match="outside the step"):
        record(lambda: [x + other], persistent=[], changing=[x])


@pytest.mark.parametrize("rate", (0.1, 0.5, 0.93))
def test_dropout_leaves_out_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    layer = Dropout(rate)
    x = layer(torch.ones(700, 1001))
    assert float((x == 0).double().mean()) == pytest.approx(rate, abs=0.003)
    assert float(x.mean()) == pytest.approx(1.0, abs=0.02)
    assert torch.equal(layer.eval()(torch.ones(3)), torch.ones(3))
    again = Dropout(rate)
    torch.manual_seed(0)
    assert torch.equal(x, again(torch.ones(700, 1001)))


def test_dropout_of_channels_leaves_out_whole_ones() -> None:
    torch.manual_seed(0)
    x = ChannelDropout(0.4)(torch.ones(100, 50, 2, 2))
    assert all(len(channel.unique()) == 1 for row in x for channel in row)
    assert float((x[:, :, 0, 0] == 0).double().mean()) == pytest.approx(0.4, abs=0.02)
