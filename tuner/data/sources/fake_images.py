"""Images of noise with a faint pattern a class: something to train on where there is nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuner import seeding
from tuner.config.schema.images import FakeImages
from tuner.data.decoded import Decoded, Request
from tuner.data.sources.image_rows import LabelledImages
from tuner.data.targets import resolve_task


def files(data: FakeImages, base_dir: Path) -> tuple[Path, ...]:  # noqa: ARG001 - the interface of all sources
    return ()


def read(data: FakeImages, request: Request) -> Decoded:
    task = resolve_task(data.kind, own="classification", wanted=request.task)
    # Raw words of PCG64, a stream that NumPy never changes: a study's data must stay the same in other versions.
    words = np.random.PCG64(seeding.derive(request.seed, "fake"))
    n_values = int(np.prod(data.image_size))
    targets = np.arange(data.size) % data.num_classes
    patterns = _bytes(words, data.num_classes * n_values).reshape(data.num_classes, -1)
    noise = _bytes(words, data.size * n_values).reshape(data.size, -1)
    share = round(data.signal * 256)
    mixed: npt.NDArray[np.uint16] = noise * np.uint16(256 - share) + patterns[targets] * np.uint16(share)
    images = mixed >> 8
    labelled = LabelledImages(
        images=images.astype(np.uint8).reshape(data.size, *data.image_size),
        targets=targets,
        labels=tuple(str(number) for number in range(data.num_classes)),
        n_train=data.size,
        name="fake image {}".format,
    )
    return labelled.decoded(data, task)


def _bytes(words: np.random.PCG64, count: int) -> npt.NDArray[np.uint16]:
    return words.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count].astype(np.uint16)
