"""Merging e-values of several labs into one that is still an e-value, whatever silent or lying labs do.

A lab's factor is ``1 - trust + trust * min(e, cap)``. Its mean under the null is at most one if that of e is. It is never
below ``1 - trust``, which is what a lab that does not open counts as: withholding can only lower the result, so a choice made
after seeing others' values wins nothing. It is never above the cap either: no lab convicts alone. Factors of independent labs
multiply; labs that saw the same traffic are one *voice*, whose factor is their mean (valid whatever their dependence).

With up to f liars, the product of all but the f largest factors is at most the product over the honest, whatever the liars
claim: still an e-value. It is also one for "at most f labs hold a coordinated part" (partial conjunction), so that what it
rejects stands on more than f labs. Proofs: docs/sharing/joint.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log2
from typing import TYPE_CHECKING

import numpy as np

from spiritsafe.sharing.joint.known import FACTORS, PRODUCT, TESTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Bits = float
"""log2 of an e-value; minus infinity for 0."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How factors are made: ``trust`` in (0, 1], ``cap`` in bits."""

    trust: float
    cap: Bits

    def factor(self, bits: Bits) -> Bits:
        """Bits of the factor of an e-value of ``bits``."""
        raised = self.trust * 2.0 ** min(bits, self.cap)
        return log2(1 - self.trust + raised) if self.trust < 1 or raised > 0 else -inf


@dataclass(frozen=True, slots=True)
class Lab:
    """What one lab opened of a group: bits by test. ``silent``: nothing, so that each of its e-values counts as 0.

    A test that a lab did not do is an e-value of 1: whether it applies is known before it is done.
    """

    tests: Mapping[str, Bits]
    silent: bool = False

    def of(self, test: str) -> Bits:
        """Bits of one test, or of ``PRODUCT``."""
        if self.silent:
            return -inf
        return sum(self.tests.get(one, 0.0) for one in (FACTORS if test == PRODUCT else (test,)))

    def mean(self) -> Bits:
        """Bits of the average over the tests that multiply over labs: an e-value whatever their dependence."""
        if self.silent:
            return -inf
        found = [bits for name, bits in self.tests.items() if multiplies(name)]
        return _mean(found) if found else 0.0


@dataclass(frozen=True, slots=True)
class Merged:
    """``bits`` of the group's e-value, and of each test's own product over the labs (gate only: some fail together)."""

    bits: Bits
    by_test: dict[str, Bits]


def multiplies(test: str) -> bool:
    """Whether a test's e-values may be multiplied over labs.

    Not those against customers that differ by a margin: a crowd of clones that uses several labs fails the margin at all of
    them, so that one wrong assumption would count many times.
    """
    return test != PRODUCT and TESTS[test].nature != "marginal"


def merged(voices: Sequence[Sequence[Lab]], terms: Terms, *, liars: int = 0) -> Merged:
    """The e-value of a group of ``voices`` (each the labs that count as one) when up to ``liars`` labs may lie.

    Half of it is the product of the labs' averages over their tests, half the average over the tests of their products: the
    second pays for the choice of the test once and not once a lab, the first stands where labs see different things.
    """
    names = sorted({name for voice in voices for lab in voice for name in lab.tests})
    if set(FACTORS) <= set(names):
        names.append(PRODUCT)
    by_test = {
        name: _product([[lab.of(name) for lab in voice] for voice in voices], terms, liars) for name in names
    }
    whole = _product([[lab.mean() for lab in voice] for voice in voices], terms, liars)
    each = [bits for name, bits in by_test.items() if multiplies(name)]
    return Merged(_mean([whole, _mean(each)]) if each else whole, by_test)


def _product(voices: Sequence[Sequence[Bits]], terms: Terms, liars: int) -> Bits:
    """Bits of the product of the voices' factors without the ``liars`` largest; a liar spoils at most one voice."""
    factors = sorted(_mean([terms.factor(bits) for bits in voice]) for voice in voices)
    return float(sum(factors[: max(0, len(factors) - liars)]))


def _mean(bits: Sequence[Bits]) -> Bits:
    """Bits of the average of e-values given in bits."""
    highest = max(bits)
    if highest == -inf:
        return -inf
    return highest + log2(sum(2.0 ** (one - highest) for one in bits) / len(bits))


def e_bh(bits: Sequence[Bits], *, fdr: float, hypotheses: int) -> tuple[list[bool], Bits]:
    """e-BH (Wang & Ramdas 2022) over ``hypotheses`` groups: which pass, and the bar in bits that they passed.

    Where nothing passes, the bar is that of a single rejection.
    """
    values = np.asarray(bits, float)
    order = np.sort(values)[::-1]
    many = max(
        (k for k in range(1, order.size + 1) if order[k - 1] >= bar(hypotheses, k, fdr=fdr)), default=0
    )
    least = bar(hypotheses, max(1, many), fdr=fdr)
    return (values >= least).tolist(), least


def bar(hypotheses: int, rejections: int, *, fdr: float) -> Bits:
    """Bits that each of ``rejections`` among ``hypotheses`` must reach: ``log2(K / (k * fdr))``."""
    return log2(max(1, hypotheses) / (max(1, rejections) * fdr))
