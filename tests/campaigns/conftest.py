"""Small logs and layers in memory: what the stages after the features see, without a file."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.campaigns.links import layer_of
from spiritsafe.campaigns.log import LAYERS, Log
from spiritsafe.campaigns.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spiritsafe.campaigns.links import Layer

MINUTE = 60_000_000
ROLE_NAMES = ("grade", "translate", "own_affairs")
"""One extraction role (bit 0), one product (bit 1), one's own affairs (bit 2)."""


def _log(
    who: Any,
    *,
    time: Any = None,
    item: Any = None,
    template: Any = None,
    roles: Any = None,
    live: Any = None,
    party: Any = None,
    declared: Any = None,
) -> Log:
    """A log with one exchange per entry of ``who`` (its account). Left out: one a minute, all items and accounts different.

    ``party`` and ``declared`` are by account; the rest by exchange.
    """
    acc = np.asarray(who, np.int32)
    accounts = int(acc.max(initial=-1)) + 1 if party is None else len(party)
    owner = np.arange(accounts, dtype=np.int32) if party is None else np.asarray(party, np.int32)
    which = np.full(acc.size, -1, np.int32) if template is None else np.asarray(template, np.int32)
    kinds = int(which.max(initial=-1)) + 1
    columns: dict[str, Any] = {
        "acc": acc,
        "time": np.arange(acc.size, dtype=np.int64) * MINUTE if time is None else np.asarray(time, np.int64),
        "exact": np.arange(acc.size, dtype=np.uint64) if item is None else np.asarray(item, np.uint64),
        "live": np.ones(acc.size, bool) if live is None else np.asarray(live, bool),
        "template": which,
        "template_key": np.arange(1, kinds + 1, dtype=np.uint64) * np.uint64(1000),
        "template_anchors": [
            np.arange(1, 4, dtype=np.uint64) + np.uint64(1000 * (k + 1)) for k in range(kinds)
        ],
        "roles": np.zeros(acc.size, np.uint64) if roles is None else np.asarray(roles, np.uint64),
        "role_names": ROLE_NAMES,
        "extraction": 1,
        "accounts": [f"account-{i:04}" for i in range(accounts)],
        "party": owner,
        "declared": np.zeros(accounts, bool) if declared is None else np.asarray(declared, bool),
        "parties": int(owner.max(initial=-1)) + 1,
        "present": set(),
        "combination": np.full(acc.size, -1, np.int32),
        "traces": Traces(None, None, None, None, None, None),
        "near": np.full(acc.size, -1, np.int32),
        "topic": np.full(acc.size, -1, np.int32),
        "topic_key": np.zeros(0, np.uint64),
    }
    return Log(**{one.name: columns[one.name] for one in fields(Log) if one.name in columns})


def _layer(name: str, pairs: Iterable[tuple[int, str]], parties: int) -> Layer:
    """The layer ``name`` of these parties and the values they hold."""
    distinct = sorted({(int(party), str(value)) for party, value in pairs})
    table = pa.table(
        {
            "party": pa.array([party for party, _ in distinct], pa.int64()),
            "value": pa.array([value for _, value in distinct], pa.string()),
        }
    )
    column, weight = LAYERS[name]
    return layer_of(name, column, weight, table, parties)


@pytest.fixture(scope="session")
def make_log() -> Callable[..., Log]:
    return _log


@pytest.fixture(scope="session")
def make_layer() -> Callable[..., Layer]:
    return _layer
