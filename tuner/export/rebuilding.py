"""What an autoencoder gives back, with the axes of what it was given.

N rows, C channels, H W pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

IMAGES_NDIM = 4


def as_given(rows: np.ndarray, source: Any) -> np.ndarray:
    """Rebuilt inputs [N, *input shape] in the layout of an array or tensor that they are of; else as they are.

    Grey images without an axis of channels, flat ones, those with their channels last, single ones.
    """
    if not isinstance(source, (np.ndarray, torch.Tensor)):
        return rows
    given = tuple(source.shape)
    is_first = given in (rows.shape, rows.shape[1:])
    if rows.ndim == IMAGES_NDIM and not is_first:
        last_NHWC = np.moveaxis(rows, 1, -1)
        rows = last_NHWC if given in (last_NHWC.shape, last_NHWC.shape[1:]) else rows
    return rows.reshape(given) if np.prod(given) == rows.size else rows
