"""Parameter grids: an account that steps through combinations of settings one by one, as a sweep does.

People and products keep to a setting or change it as the work asks, in bursts. A sweep comes back to a combination only
after the others had their turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spiritsafe.campaigns import coordination
from spiritsafe.campaigns._distinct import distinct, first
from spiritsafe.campaigns.coordination import Test

if TYPE_CHECKING:
    from spiritsafe.campaigns.log import Log
    from spiritsafe.engine import Engine

PARAMETERS = ("temperature", "top_p", "max_tokens", "n", "model")
LEAST_CELLS = 4
"""The smallest grid, two by two. An agent that goes to and fro between two settings is none."""


def combinations(engine: Engine, log: Log) -> Any:
    """int32 by exchange: a dense code of its parameters; −1 where none is given. In ``log.combination`` if that is there."""
    columns = [name for name in PARAMETERS if name in log.present]
    out = np.empty(log.acc.size, np.int32) if log.combination is None else log.combination
    out[:] = -1
    if not columns:
        return out
    names = ", ".join(columns)
    same = " AND ".join(f"s.{name} IS NOT DISTINCT FROM c.{name}" for name in columns)
    given = " OR ".join(f"{name} IS NOT NULL" for name in columns)
    for batch in engine.batches(
        f"SELECT s.row, c.code FROM sketch s JOIN (SELECT {names}, row_number() OVER (ORDER BY {names}) - 1 AS code "
        f"FROM (SELECT DISTINCT {names} FROM sketch WHERE {given}) d) c ON {same}"
    ):
        out[batch.column("row").to_numpy()] = batch.column("code").to_numpy()
    return out


def enumerated(log: Log, rows: Any) -> Test | None:
    """Whether accounts step through their combinations in turn. ``rows`` int64: exchanges to test, in time order.

    Null: given how often a party uses each combination, every order is equally likely, independently of other parties;
    bursts only lower the value.
    """
    rows = rows[log.combination[rows] >= 0]
    party = log.row_party[rows]
    order = np.argsort(party, kind="stable")
    code = log.combination[rows][order]
    total, cells, tested, spans = 0.0, 0, 0, 0
    party = party[order]
    begin = np.flatnonzero(first(party))
    size = np.diff(np.append(begin, code.size))
    cell = np.repeat(np.arange(begin.size), size) << 32 | code
    used = np.bincount(distinct(cell) >> 32, minlength=begin.size)
    for at in np.flatnonzero((used >= LEAST_CELLS) & (size > used)).tolist():
        total += coordination.late_return(code[begin[at] : begin[at] + size[at]])
        cells, tested, spans = cells + int(used[at]), tested + int(size[at]), spans + 1
    if not spans:
        return None
    return Test(
        "stepped_parameters",
        "Do accounts step through combinations of parameters one by one?",
        "given how often an account uses each combination, every order is equally likely",
        "combinations per account",
        cells / spans,
        1.0,
        total,
        tested,
        1.0,
    )
