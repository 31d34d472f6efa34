"""What all sources of images do with their options: classes are chosen, sizes and channels made alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tuner.config.messages import suggestion
from tuner.config.schema.images import ImageSection
from tuner.data.decoded import ArrayRows, Decoded, Task
from tuner.data.encoders import ImageEncoder
from tuner.data.fitting import Shape, fitted
from tuner.data.scaling import Array
from tuner.data.splits import Indices
from tuner.errors import DataError


def encoder_for(data: ImageSection, shape: Shape) -> ImageEncoder:
    """The encoder of images of this shape after the options; what is predicted later may have any size."""
    channels, height, width = shape
    if data.resize is not None:
        height, width = (data.resize, data.resize) if isinstance(data.resize, int) else data.resize
    channels = data.channels or channels
    return ImageEncoder(shape=(channels, height, width), fit=data.fit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The rows whose classes were chosen, and their labels in the order of `data.classes`."""

    rows: Indices
    targets: Array
    labels: tuple[str, ...]

    @classmethod
    def of(cls, data: ImageSection, targets: Array, labels: tuple[str, ...]) -> Self:
        """DataError when a class is not there, or named twice."""
        if not data.classes:
            return cls(rows=np.arange(len(targets)), targets=targets, labels=labels)
        names = [str(name) for name in data.classes]
        for name in names:
            if name not in labels:
                raise DataError(f"data.classes: no class {name!r}{suggestion(name, labels)}")
            if names.count(name) > 1:
                raise DataError(f"data.classes: {name!r} is named twice")
        new_number = np.full(len(labels), -1)
        new_number[[labels.index(name) for name in names]] = np.arange(len(names))
        rows = np.flatnonzero(new_number[targets] >= 0)
        return cls(rows=rows, targets=new_number[targets[rows]], labels=tuple(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """A whole data set in memory: images uint8 [N, C, H, W], of which the last ones are the test part, if there is one.

    `name` tells a row in messages.
    """

    images: Array
    targets: Array
    labels: tuple[str, ...]
    n_train: int
    name: Callable[[int], str]

    @classmethod
    def of_parts(
        cls,
        train: tuple[Array, Array],
        test: tuple[Array, Array],
        *,
        labels: tuple[str, ...],
        name: Callable[[int], str],
    ) -> Self:
        return cls(
            images=np.concatenate([train[0], test[0]]),
            targets=np.concatenate([train[1], test[1]]),
            labels=labels,
            n_train=len(train[1]),
            name=name,
        )

    def decoded(self, data: ImageSection, task: Task) -> Decoded:
        chosen = Chosen.of(data, self.targets, self.labels)
        encoder = encoder_for(data, self.images.shape[1:])
        images = self.images if len(chosen.rows) == len(self.images) else self.images[chosen.rows]
        return Decoded(
            task=task,
            labels=chosen.labels,
            rows=ArrayRows(array=_all_fitted(images, encoder), encoder=encoder),
            targets=chosen.targets,
            given=given_test(chosen.rows, self.n_train),
            row_name=lambda row: self.name(int(chosen.rows[row])),
        )


def given_test(rows: Sequence[int] | Indices, n_train: int) -> dict[str, Indices]:
    test = np.flatnonzero(np.asarray(rows) >= n_train)
    return {"test": test} if len(test) else {}


def _all_fitted(images: Array, encoder: ImageEncoder) -> Array:
    """An image at a time: 60 000 of 28 by 28 take some seconds, once."""
    if encoder.fit is None or images.shape[1:] == encoder.shape:
        return images
    rows = np.empty((len(images), *encoder.shape), dtype=np.uint8)
    for number, image in enumerate(images):
        rows[number] = fitted(image if len(image) > 1 else image[0], encoder.shape, encoder.fit)
    return rows
