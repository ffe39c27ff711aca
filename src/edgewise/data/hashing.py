"""Random numbers that depend on what they are for, not on when they are drawn.

A generator hands out numbers in turn, so one user more or one row less changes every later draw.
Here a number is a hash of its keys (seed, user, row): each user's draw stands alone, any part of
the work can be done in any order, and a whole table is drawn at once.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from edgewise.data.dataset import Vocabulary

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def id_keys(vocabulary: Vocabulary) -> np.ndarray:
    """One key an id, from its spelling alone, ``uint64[len(vocabulary)]``."""
    digests = (blake2b(raw.encode(), digest_size=8).digest() for raw in vocabulary.ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def keyed_bits(*keys: int | np.ndarray) -> np.ndarray:
    """64 random bits for each combination of keys.

    Args:
        *keys: integers or integer arrays that broadcast together; their order matters.

    Returns:
        ``uint64`` of the broadcast shape, at least one-dimensional.
    """
    bits = np.zeros(1, dtype=np.uint64)
    for key in keys:
        bits = _scramble((bits ^ np.asarray(key).astype(np.uint64)) + _GOLDEN)
    return bits


def keyed_uniform(*keys: int | np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) for each combination of keys, ``float64`` of the broadcast shape."""
    return (keyed_bits(*keys) >> np.uint64(11)) * 2.0**-53


def _scramble(bits: np.ndarray) -> np.ndarray:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
