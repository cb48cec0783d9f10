"""How much is won by joining: the closed form for Gaussian evidence, against which simulations and the bench are held.

A lab that sees z ~ N(0, 1) under the null and N(m, 1) else, and bets on the right m, has e = exp(m z - m^2 / 2), whose logarithm
is N(m^2 / 2, m^2) under the alternative. Over n labs the logarithm of the product is N(n m^2 / 2, n m^2).
"""

from __future__ import annotations

from math import erf, log, sqrt


def alone(shift: float, *, log_bar: float) -> float:
    """Chance that one lab with a shift of ``shift`` standard deviations reaches the bar (natural log of an e-value)."""
    return together(shift, 1, log_bar=log_bar)


def together(shift: float, labs: int, *, log_bar: float) -> float:
    """Chance that the product of ``labs`` independent e-values reaches the bar: each is short of it where m^2 / 2 is."""
    if shift <= 0 or labs < 1:
        return float(log_bar <= 0)
    mean, deviation = labs * shift**2 / 2, shift * sqrt(labs)
    return (1 + erf((mean - log_bar) / (deviation * sqrt(2)))) / 2


def needed(labs: int, *, hypotheses: int, fdr: float, power: float = 0.8) -> float:
    """The shift at each of ``labs`` labs with which the product reaches the bar of a single rejection at ``power``."""
    log_bar = log(hypotheses / fdr)
    low, high = 0.0, 2 * sqrt(2 * log_bar) + 10
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if together(middle, labs, log_bar=log_bar) < power else (low, middle)
    return high
