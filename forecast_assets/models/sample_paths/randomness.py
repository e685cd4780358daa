"""Random numbers by name and place: the same whatever is drawn before, beside or after them.

What belongs here: streams of random numbers, and normal scores made of them. What does not: what they are drawn for.

A stream has a key; its k-th number is a hash of key and k (SplitMix64: Steele, Lea & Flood 2014,
doi:10.1145/2660193.2660195), so that no number needs another, and any part of a stream can be had alone.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast_assets.core.arrays import Floats

Keys = npt.NDArray[np.uint64]

_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
_BITS: Final = np.uint64(11)
# Half of the distance between two numbers of 53 bits is added, so that none is 0.
_UNIT, _HALF = 2.0**-53, 2.0**-54


def keys_of(names: Iterable[Sequence[str]], seed: int) -> Keys:
    """[n] key of the stream of each name, the same on any machine.

    Args:
        names: Whatever tells streams apart, in parts; where one part ends and the next begins counts too.
        seed: Other numbers for another seed.

    Example:
        >>> len(set(keys_of([("a", "b"), ("ab", ""), ("a", "b")], 1).tolist()))
        2
    """
    salt = seed.to_bytes(8, "little")
    hashes = (hashlib.blake2b(json.dumps(name).encode(), digest_size=8, key=salt).digest() for name in names)
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def uniforms(keys: Keys, first: int, count: int) -> Floats:
    """[n, count] numbers in (0, 1) of n streams, from their number ``first`` on."""
    mixed = keys[:, None] + np.arange(first + 1, first + count + 1, dtype=np.uint64) * _GAMMA
    shifted = np.empty_like(mixed)
    for shift, factor in zip(_SHIFTS, (_FIRST, _SECOND), strict=False):
        mixed ^= np.right_shift(mixed, shift, out=shifted)
        mixed *= factor
    mixed ^= np.right_shift(mixed, _SHIFTS[2], out=shifted)
    mixed >>= _BITS
    # Numbers of 53 bits are the same with a sign, and processors turn those into floats in one step.
    found = mixed.view(np.int64) * _UNIT
    found += _HALF
    return np.asarray(found)


def normals(keys: Keys, first: int, count: int) -> Floats:
    """[n, count] independent standard normal numbers of n streams, from their number ``first`` on."""
    from scipy.special import ndtri

    return np.asarray(ndtri(uniforms(keys, first, count)))


def even_normals(keys: Keys, first: int, count: int) -> Floats:
    """[n, count] normal numbers that are evenly spread: the scores of equal slices, in the order of a stream.

    A factor that few nodes have is drawn so, since nothing averages out what chance makes of its few hundred numbers.
    """
    from scipy.special import ndtri

    out = np.empty((len(keys), count))
    # Two of a few hundred numbers of 53 bits are equal about once in 1e11 draws: any way to sort gives the same order.
    order = uniforms(keys, first, count).argsort(axis=1)
    np.put_along_axis(out, order, ndtri((np.arange(count) + 0.5) / count)[None], axis=1)
    return out
