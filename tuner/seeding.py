"""The one source of randomness: every seed is derived from the study's seed and a purpose.

Deriving instead of drawing means that an epoch can be repeated, resumed or moved to another process
without any generator state: the seed of (study, trial, "shuffle", epoch 7) is always the same number.
"""

from __future__ import annotations

import hashlib

MAX_SEED = 2**63


def derive(seed: int, *keys: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on `seed` and every key, and on nothing else.

    Keys are told apart by type, order and content (SHA-256), so that ("a", 1) and ("a1",) differ.
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in (seed, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % MAX_SEED


def derive_32(seed: int, *keys: int | str) -> int:
    """Like `derive`, in [0, 2**32), for libraries that take no larger seed (NumPy's RandomState, Optuna)."""
    return derive(seed, *keys) % 2**32
