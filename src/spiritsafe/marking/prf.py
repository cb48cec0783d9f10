"""The keyed pseudorandom numbers behind a mark: one 64-bit seed for a context of tokens, one uniform for each token.

The seed is SipHash-2-4 (Aumasson & Bernstein 2012) of the context under the campaign's 128-bit key: without the key no
seed can be told from noise, and knowing seeds of some contexts says nothing of others. A token's uniform is a fixed
public bijection of seed and token, which costs a few nanoseconds, so that a whole vocabulary can be drawn at each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: SplitMix64's constants (Steele, Lea & Flood 2014): the mixer of seed and token is its output function.
STEP, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_STEP, _MIX_1, _MIX_2 = np.uint64(STEP), np.uint64(MIX_1), np.uint64(MIX_2)
_IV = np.array([0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573], np.uint64)
_S13, _S16, _S17, _S21, _S32 = (np.uint64(one) for one in (13, 16, 17, 21, 32))
_S27, _S30, _S31, _S11, _64 = (np.uint64(one) for one in (27, 30, 31, 11, 64))
_SCALE = 2.0**-53
_HALF = 2.0**-54


@njit(inline="always")
def _rotated(x, by):  # type: ignore[no-untyped-def]
    return (x << by) | (x >> (_64 - by))


@njit(inline="always")
def _round(a, b, c, d):  # type: ignore[no-untyped-def]
    a += b
    b = _rotated(b, _S13) ^ a
    a = _rotated(a, _S32)
    c += d
    d = _rotated(d, _S16) ^ c
    a += d
    d = _rotated(d, _S21) ^ a
    c += b
    b = _rotated(b, _S17) ^ c
    c = _rotated(c, _S32)
    return a, b, c, d


@njit(cache=True, nogil=True)
def _seed(key, context):  # type: ignore[no-untyped-def]
    """SipHash-2-4 of the context's tokens as little-endian 64-bit words."""
    k0, k1 = key[0], key[1]
    a, b, c, d = k0 ^ _IV[0], k1 ^ _IV[1], k0 ^ _IV[2], k1 ^ _IV[3]
    for token in context:
        word = np.uint64(token)
        d ^= word
        a, b, c, d = _round(a, b, c, d)
        a, b, c, d = _round(a, b, c, d)
        a ^= word
    # The last block of a message of whole words holds its length in bytes, modulo 256, in the top byte.
    word = np.uint64((context.size * 8) & 255) << np.uint64(56)
    d ^= word
    a, b, c, d = _round(a, b, c, d)
    a, b, c, d = _round(a, b, c, d)
    a ^= word
    c ^= np.uint64(255)
    for _ in range(4):
        a, b, c, d = _round(a, b, c, d)
    return a ^ b ^ c ^ d


@njit(inline="always")
def _uniform(seed, token):  # type: ignore[no-untyped-def]
    z = seed + np.uint64(token + 1) * _STEP
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z ^= z >> _S31
    return np.float64(z >> _S11) * _SCALE + _HALF


@njit(cache=True, nogil=True)
def seeds(key: NDArray[np.uint64], contexts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Seed uint64 (n,) of each context.

    key: uint64 (2,); contexts: int64 (n, width), token ids.
    """
    found = np.empty(contexts.shape[0], np.uint64)
    for i in range(contexts.shape[0]):
        found[i] = _seed(key, contexts[i])
    return found


@njit(cache=True, nogil=True)
def uniforms(seeds: NDArray[np.uint64], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Uniforms float64 (n,) in (0, 1) of one token in each seeded context: uint64 (n,), int64 (n,)."""
    found = np.empty(tokens.size, np.float64)
    for i in range(tokens.size):
        found[i] = _uniform(seeds[i], tokens[i])
    return found


@njit(cache=True, nogil=True)
def vocabulary(seed: np.uint64, size: int) -> NDArray[np.float64]:
    """Uniforms float64 (size,) in (0, 1) of every token of a vocabulary in one seeded context."""
    found = np.empty(size, np.float64)
    for token in range(size):
        found[token] = _uniform(seed, token)
    return found
