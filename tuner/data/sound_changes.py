"""Random changes of training sounds, a batch at a time: shift, loudness, noise, and stretches that are blanked.

What is drawn for a row of an epoch depends on the epoch's seed and the row's place in its order alone. Noise is cut out
of one long piece of it, so that a row gets the same wherever, and with whichever others, it is made.

N rows of an epoch, B rows of a batch, F bands (or channels of samples), T steps in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from tuner import seeding
from tuner.config.schema.audio import Perturb
from tuner.data.sounds import SoundEncoder

BANK = 2**18
POWER_OF_DB = math.log(10.0) / 10.0
AMPLITUDE_OF_DB = math.log(10.0) / 20.0


def _bank() -> Tensor:
    return torch.randn(BANK, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SoundChanges:
    """What is done to the training sounds of a trial."""

    perturb: Perturb
    encoder: SoundEncoder
    bank: Tensor = field(default_factory=_bank, repr=False)

    @classmethod
    def of(cls, perturb: Perturb, encoder: SoundEncoder) -> Self | None:
        """None when nothing is to be done."""
        return None if perturb == Perturb() else cls(perturb=perturb, encoder=encoder)

    def draw(self, epoch_seed: int, n_rows: int) -> Tensor:
        """float32 [N, 7]: shift and loudness from -1 to 1; where noise begins; lengths and places of blanks."""
        generator = torch.Generator().manual_seed(seeding.derive(epoch_seed, "sound"))
        signed_N2 = torch.rand(n_rows, 2, generator=generator) * 2.0 - 1.0
        begins_N1 = torch.randint(BANK, (n_rows, 1), generator=generator).float()
        return torch.cat([signed_N2, begins_N1, torch.rand(n_rows, 4, generator=generator)], dim=1)

    def before(self, stored: Tensor, draws_B7: Tensor) -> Tensor:
        """Shift and loudness, of rows that are not scaled yet."""
        if self.perturb.shift:
            stored = self._by_time(stored, lambda x_BFT: _rolled(x_BFT, draws_B7[:, 0] * self.perturb.shift))
        if self.perturb.gain:
            stored = self._by_time(stored, lambda x_BFT: self._louder(x_BFT, draws_B7[:, 1] * self.perturb.gain))
        return stored

    def after(self, x: Tensor, draws_B7: Tensor) -> Tensor:
        """Noise and blanks, of scaled rows, whose mean is 0."""
        if self.perturb.noise:
            places = draws_B7[:, 2].long()[:, None] + torch.arange(x[0].numel(), device=x.device)
            x = x + self.perturb.noise * self.bank.to(x.device)[places % BANK].view_as(x)
        for share, axis, column in ((self.perturb.mask_time, -1, 3), (self.perturb.mask_bands, -2, 5)):
            if share:
                lengths, begins = draws_B7[:, column] * share, draws_B7[:, column + 1]
                x = self._by_time(x, _blank(axis, lengths, begins))
        return x

    def _by_time(self, x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Change [B, F, T], whatever the axes of a row are."""
        if self.encoder.axes == "steps_first":
            return change(x.swapaxes(1, 2)).swapaxes(1, 2).contiguous()
        return change(x.flatten(1, -2)).view_as(x)

    def _louder(self, x_BFT: Tensor, decibels_B: Tensor) -> Tensor:
        """Samples are multiplied; to logarithms of power, and to the first mfcc, a sum of them, it is added."""
        if self.encoder.features == "waveform":
            return x_BFT * torch.exp(decibels_B * AMPLITUDE_OF_DB)[:, None, None]
        added_B11 = (decibels_B * POWER_OF_DB)[:, None, None]
        if self.encoder.features != "mfcc":
            return x_BFT + added_B11
        is_first_F = torch.arange(x_BFT.shape[1], device=x_BFT.device) % self.encoder.n_mfcc == 0
        return x_BFT + added_B11 * math.sqrt(self.encoder.n_mels) * is_first_F[:, None]


def _rolled(x_BFT: Tensor, shares_B: Tensor) -> Tensor:
    """What is shifted out at one end comes in at the other."""
    n_steps = x_BFT.shape[2]
    steps_B1 = (shares_B * n_steps).round().long()[:, None]
    places_BT = (torch.arange(n_steps, device=x_BFT.device) - steps_B1) % n_steps
    return x_BFT.gather(2, places_BT[:, None].expand_as(x_BFT))


def _blank(axis: int, lengths_B: Tensor, begins_B: Tensor) -> Callable[[Tensor], Tensor]:
    """0 over a stretch of one axis, as in Park et al. 2019 (arXiv 1904.08779)."""

    def change(x_BFT: Tensor) -> Tensor:
        size = x_BFT.shape[axis]
        lengths_B1 = (lengths_B * size).round()[:, None]
        begins_B1 = (begins_B[:, None] * (size - lengths_B1 + 1)).floor()
        places = torch.arange(size, device=x_BFT.device)
        kept = ((places < begins_B1) | (places >= begins_B1 + lengths_B1)).to(x_BFT.dtype)
        return x_BFT * (kept[:, None] if axis == -1 else kept[:, :, None])

    return change
