"""What a detector said of a log beside what was there: accounts, organizations, exchanges, customers, entries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Ground:
    """The truth of a log.

    By account: ``accounts`` ids, ``family``, ``campaign`` and ``label`` (None for the innocent), and ``organization``, a code
    (the account's own where the log names none). By exchange: ``ids``, ``who`` (index into ``accounts``), ``harvest`` (bool)
    and ``session``, a code, −1 for none.
    """

    accounts: list[str]
    family: list[str]
    campaign: list[str | None]
    label: list[str | None]
    organization: Any
    ids: Any
    who: Any
    harvest: Any
    session: Any


def ground(log: Path, truth: Path) -> Ground:
    """The truth beside the log's own columns; both have one row for each exchange, in one order."""
    told = pq.read_table(truth)
    have = set(pq.read_schema(log).names)
    seen = pq.read_table(log, columns=[c for c in ("organization_id", "session_id") if c in have])
    coded = _coded(told["account_id"])
    who = coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    first = pa.array(np.unique(who, return_index=True)[1])
    one = told.select(["account_id", "family", "account_campaign", "label"]).take(first)
    accounts = one["account_id"].to_pylist()
    organization = np.arange(len(accounts)) + told.num_rows
    if "organization_id" in have:
        code = _codes(seen["organization_id"])[first.to_numpy()]
        organization = np.where(code < 0, organization, code)
    return Ground(
        accounts=accounts,
        family=one["family"].to_pylist(),
        campaign=one["account_campaign"].to_pylist(),
        label=one["label"].to_pylist(),
        organization=organization,
        ids=told["exchange_id"],
        who=who,
        harvest=told["campaign"].is_valid().to_numpy(),
        session=_codes(seen["session_id"]) if "session_id" in have else np.full(told.num_rows, -1),
    )


def _coded(column: Any) -> Any:
    return column.combine_chunks().dictionary_encode()


def _codes(column: Any) -> Any:
    return _coded(column).indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def flagged_rows(truth: Ground, exchanges: Path, names: Iterable[str]) -> Any:
    """Bool by exchange of the log: the scan gave it to one of the named campaigns."""
    table = pq.read_table(exchanges, columns=["exchange_id", "campaign_id"])
    hit = table.filter(pc.is_in(table["campaign_id"], pa.array(list(names), pa.string())))
    return pc.is_in(truth.ids, hit["exchange_id"].combine_chunks()).to_numpy()


def judge(
    truth: Ground, accused: set[str], rows: Any, entries: Sequence[tuple[str, set[str]]]
) -> dict[str, Any]:
    """Counts, nothing else; rates are for those who read many cells.

    ``accused`` accounts are what an accusation names; ``rows`` (bool by exchange) what it calls distillation; ``entries``
    the groups told, (label, accounts), for a detector that tells groups.
    """
    hit = np.array([account in accused for account in truth.accounts], bool)
    guilty = np.array([one is not None for one in truth.campaign], bool)
    told: dict[str, Any] = {
        "exchanges": len(rows),
        "accounts": len(truth.accounts),
        "campaigns": _campaigns(truth, hit, entries),
        "families": _families(truth, hit, guilty),
        "entries": [_entry(truth, label, group) for label, group in entries],
    }
    mine = guilty[truth.who]
    cover = mine & ~truth.harvest
    told["rows"] = {
        "harvest": int(truth.harvest.sum()),
        "flagged": int(rows.sum()),
        "both": int((rows & truth.harvest).sum()),
        "cover": int(cover.sum()),
        "cover_flagged": int((cover & rows).sum()),
        **_customers(truth, cover, rows),
    }
    return told


def _customers(truth: Ground, cover: Any, rows: Any) -> dict[str, int]:
    """Sessions of cover traffic: each is another customer's, so a session is the customer that a mistake would meet."""
    real = cover & (truth.session >= 0)
    return {
        "customers": len(np.unique(truth.session[real])),
        "customers_flagged": len(np.unique(truth.session[real & rows])),
    }


def _campaigns(truth: Ground, hit: Any, entries: Sequence[tuple[str, set[str]]]) -> dict[str, dict[str, Any]]:
    owner = np.array([one or "" for one in truth.campaign])
    made: dict[str, dict[str, Any]] = {}
    for name in sorted(set(owner.tolist()) - {""}):
        mine = {account for account, one in zip(truth.accounts, owner, strict=True) if one == name}
        label = next(one for one, who in zip(truth.label, owner, strict=True) if who == name)
        groups = [
            group
            for kind, group in entries
            if kind == "campaign" or (kind != "insufficient" and label != "campaign")
        ]
        best = max(groups, key=lambda group, mine=mine: len(group & mine), default=set[str]())
        ours = sum(
            one is not None
            for account, one in zip(truth.accounts, truth.campaign, strict=True)
            if account in best
        )
        made[name] = {
            "label": label,
            "accounts": len(mine),
            "accused": int(hit[owner == name].sum()),
            "grouped": len(mine & set[str]().union(*groups)),
            "best": len(best & mine),
            "best_size": len(best),
            "best_guilty": ours,
        }
    return made


def _families(truth: Ground, hit: Any, guilty: Any) -> dict[str, list[int]]:
    """Innocent family -> [accounts accused, accounts, organizations accused, organizations]."""
    family = np.array(truth.family)
    made: dict[str, list[int]] = {}
    for name in sorted(set(family[~guilty].tolist())):
        mine = (family == name) & ~guilty
        made[name] = [
            int(hit[mine].sum()),
            int(mine.sum()),
            len(np.unique(truth.organization[mine & hit])),
            len(np.unique(truth.organization[mine])),
        ]
    return made


def _entry(truth: Ground, label: str, group: set[str]) -> dict[str, Any]:
    owners = [
        (family, one)
        for account, family, one in zip(truth.accounts, truth.family, truth.campaign, strict=True)
        if account in group
    ]
    wronged = [family for family, one in owners if one is None]
    return {
        "label": label,
        "accounts": len(group),
        "innocent": len(wronged),
        "families": {name: wronged.count(name) for name in sorted(set(wronged))},
    }
