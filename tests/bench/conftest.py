"""Tiny views in memory: an innocent crowd, and ten parties that each do what one paper looks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from baselines import View
from spiritsafe.campaigns.log import HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

PARTIES, EACH, BAD = 60, 30, 10


def _view(
    party: Any,
    *,
    parties: int = PARTIES,
    time: Any = None,
    points: Any = None,
    item: Any = None,
    template: Any = None,
    address: Any = None,
    shared: dict[str, tuple[Any, Any]] | None = None,
    seed: int = 0,
) -> View:
    """A view with one exchange an entry of ``party``. Left out: any time of a day, any text, an address of one's own."""
    rng = np.random.default_rng(seed)
    who = np.asarray(party, np.int64)
    n = who.size
    where = rng.normal(size=(n, 64)) if points is None else np.asarray(points)
    return View(
        parties=parties,
        party=who,
        account=who.copy(),
        time=rng.integers(0, 24 * HOUR, n) if time is None else np.asarray(time, np.int64),
        points=_unit(where),
        item=np.arange(n, dtype=np.uint64) if item is None else np.asarray(item, np.uint64),
        template=np.full(n, -1, np.int64) if template is None else np.asarray(template, np.int64),
        address=who.copy() if address is None else np.asarray(address, np.int64),
        shared={} if shared is None else shared,
    )


def _unit(points: Any) -> Any:
    return (points / np.linalg.norm(points, axis=-1, keepdims=True)).astype(np.float32)


def _crowd() -> Any:
    return np.repeat(np.arange(PARTIES), EACH)


def _innocent(seed: int) -> View:
    return _view(_crowd(), seed=seed)


def _points(seed: int) -> Any:
    return _unit(np.random.default_rng(seed).normal(size=(PARTIES, EACH, 64)))


def _busy(seed: int) -> View:
    """Ten accounts send ten times as much."""
    return _view(np.concatenate([_crowd(), np.repeat(np.arange(BAD), 9 * EACH)]), seed=seed)


def _perturbed(seed: int) -> View:
    """Ten accounts send five queries, then small changes of them, each on its own."""
    rng = np.random.default_rng(seed)
    points = _points(seed)
    points[:BAD, 5:] = points[:BAD, np.arange(5, EACH) % 5] + 0.02 * rng.normal(size=(BAD, EACH - 5, 64))
    return _view(_crowd(), points=points.reshape(-1, 64), time=np.arange(PARTIES * EACH), seed=seed)


def _single_minded(seed: int) -> View:
    """Ten accounts each write about one thing of their own."""
    points = _points(seed)
    points[:BAD] = points[:BAD] * 0.7 + points[:BAD, :1] * 0.7
    return _view(_crowd(), points=points.reshape(-1, 64), seed=seed)


def _synchronous(seed: int) -> View:
    """Ten accounts use one template in the same hours."""
    who = _crowd()
    bad = who < BAD
    time = np.random.default_rng(seed).integers(0, 24 * HOUR, who.size)
    time[bad] = np.tile(np.arange(EACH) * HOUR // 2, BAD)
    return _view(who, template=np.where(bad, 0, -1), time=time, seed=seed)


def _one_address(seed: int) -> View:
    """Ten accounts come from one address."""
    who = _crowd()
    return _view(who, address=np.where(who < BAD, PARTIES, who), seed=seed)


def _one_pool(seed: int) -> View:
    """Ten accounts work through the same prompts and pay with the same cards."""
    who = _crowd()
    item = np.where(who < BAD, np.tile(np.arange(EACH), PARTIES) + 10_000, np.arange(who.size))
    cards = np.arange(PARTIES) * (np.arange(PARTIES) >= BAD)
    return _view(who, item=item, shared={"payment": (np.arange(PARTIES), cards)}, seed=seed)


def _one_task(seed: int) -> View:
    """Ten accounts write about the same thing."""
    points = _points(seed)
    points[:BAD] = points[:BAD] * 0.1 + points[0, 0]
    return _view(_crowd(), points=points.reshape(-1, 64), seed=seed)


_PLANTED: dict[str, Callable[[int], View]] = {
    "rate_rule": _busy,
    "prada": _perturbed,
    "seat": _perturbed,
    "mmd_window": _single_minded,
    "synchrotrap": _synchronous,
    "evilcohort": _one_address,
    "fraudar": _one_pool,
    "stream_clusters": _one_task,
}
"""What each baseline's paper says it finds."""


@pytest.fixture(scope="session")
def make_view() -> Callable[..., View]:
    return _view


@pytest.fixture(scope="session")
def innocent() -> Callable[[int], View]:
    return _innocent


@pytest.fixture(scope="session")
def planted() -> dict[str, Callable[[int], View]]:
    return _PLANTED
