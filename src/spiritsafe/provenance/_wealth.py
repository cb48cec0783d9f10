"""The sequential form of a sign test: what a gambler would own who bet on each coin before seeing it.

Under the null each sign is even whatever came before, so that the wealth is a martingale that starts at 1. Stop whenever
you like: P(wealth ever reaches 1/a) <= a (Ville 1939; Shafer 2021; Ramdas et al., "Game-theoretic statistics and safe
anytime-valid inference", 2023).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

BETS: Final = np.geomspace(0.01, 1.5, 14)
"""Log-odds per standard deviation that the gambler tries, a share of his money on each."""
BOUND: Final = 4.0
"""Standard deviations from which on a larger difference does not raise the bet."""
RIDGE: Final = 1.0
"""Weight of "no slope" in the fit, in pairs: so that the first pairs are not fitted away."""


def wealth(difference: ArrayLike, served_first: ArrayLike, nuisance: ArrayLike | None = None) -> Floats:
    """Natural log of the wealth after each pair, float64 (n,); ``exp`` of any entry is an e-value.

    difference: float (n,), first minus second, in committed order. served_first: bool (n,). nuisance: float (n, k),
    differences, first minus second, of what has nothing to do with the coins; each is fitted as pairs come in. A bet uses
    the pair itself and those before it, but of the coins only those before it: entries do not change when pairs are added.
    """
    y = np.asarray(difference, np.float64)
    sign = np.where(np.asarray(served_first, np.bool_), 1.0, -1.0)
    if not y.size:
        return np.zeros(0)
    if nuisance is not None:
        y = _residuals(y, np.asarray(nuisance, np.float64))
    spread = np.sqrt(np.cumsum(y**2) / np.arange(1, y.size + 1))
    z = np.clip(np.divide(y, spread, out=np.zeros_like(y), where=spread > 0), -BOUND, BOUND)
    # A bet at log-odds b pays exp(b s) / cosh(b): its mean over an even sign s is 1.
    bet = np.multiply.outer(BETS, z)
    money = np.cumsum(bet * sign - np.logaddexp(bet, -bet) + np.log(2.0), axis=1)
    most = money.max(axis=0)
    return most + np.log(np.exp(money - most).mean(axis=0))


def _residuals(y: Floats, x: Floats) -> Floats:
    """What least squares through zero over the pairs so far leaves of each: the same if a pair changes sides."""
    scale = np.sqrt(np.cumsum(x**2, axis=0) / np.arange(1, len(x) + 1)[:, None])
    x = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
    inner = np.cumsum(x[:, :, None] * x[:, None, :], axis=0) + RIDGE * np.eye(x.shape[1])
    outer = np.cumsum(x * y[:, None], axis=0)
    slope = np.linalg.solve(inner, outer[:, :, None])[:, :, 0]
    return y - (slope * x).sum(axis=1)
