"""What a case shows of the commitments: keys, canaries and coins with salts and paths, checked against the ledger's roots."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spiritsafe.errors import LedgerError, UsageError
from spiritsafe.marking.keys import MarkKey
from spiritsafe.provenance import _escrow, _marks, _seal
from spiritsafe.provenance._canary import Canary
from spiritsafe.provenance._subject import CANARIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from spiritsafe.ledger import Entry


def shown(
    plan: _marks.Plan, root: bytes, book: Path, campaigns: Sequence[str], batches: Mapping[str, str], *,
    canaries: bool = True,
) -> tuple[dict[str, Any], pa.Table]:  # fmt: skip
    """The reveal (JSON) and the table of canaries of some campaigns; all when ``campaigns`` is empty.

    Only keys that were committed are in it, decoys included; of canaries nothing, unless ``canaries``. A canary is
    ``committed`` when the ledger had it before its campaign began.
    Raises UsageError for a campaign that the plan does not have, or when nothing was committed.
    """
    begins = {one.campaign_id: one.begins for one in plan.campaigns}
    wanted = list(campaigns) or list(begins)
    for name in wanted:
        if name not in begins:
            raise UsageError(f"the plan of marks has no campaign {name!r}", where=str(plan.folder))
    known = _marks.committed(plan.folder, book)
    if not known:
        raise UsageError(
            "nothing of these marks is in the ledger", where=str(book), hint="spiritsafe marks commit"
        )
    leaves = {(one.kind, one.name): one for one in plan.leaves(root)}

    def proof(kind: str, name: str) -> dict[str, Any] | None:
        leaf = leaves[kind, name]
        for one in known:
            if leaf.hash in one.leaves:
                at = one.leaves.index(leaf.hash)
                return {
                    "root": one.entry.body["root"], "time": one.entry.time, "index": at, "leaves": len(one.leaves),
                    "path": _seal.path(one.leaves, at), "salt": leaf.salt.hex(),
                }  # fmt: skip
        return None

    def told(kind: str, keys: Iterable[MarkKey]) -> list[dict[str, Any]]:
        rows = ({**_key(key), "proof": proof(kind, _marks.key_name(key))} for key in keys)
        return [row for row in rows if row["proof"] is not None]

    planted = [one for one in plan.canaries(root) if canaries and one.campaign_id in wanted]
    proofs = {one.canary_id: proof("canary", one.canary_id) for one in planted}
    reveal = {
        "schema": 1,
        "keys": told("key", (one for one in plan.keys(root) if one.campaign_id in wanted)),
        "decoys": told("decoy", plan.decoy_keys(root)),
        "canaries": [{**asdict(one), "proof": proofs[one.canary_id]} for one in planted],
        "batches": dict(sorted(batches.items())),
    }
    early = {name: made is not None and made["time"] <= begins[c.campaign_id]
             for c in planted for name, made in [(c.canary_id, proofs[c.canary_id])]}  # fmt: skip
    return reveal, _table(planted, early)


def _table(canaries: Sequence[Canary], early: Mapping[str, bool]) -> pa.Table:
    rows = [
        {
            "canary_id": one.canary_id, "variant": number, "prompt": one.prompt, "answer": answer,
            "served": number == one.served, "campaign_id": one.campaign_id, "committed": early[one.canary_id],
        }
        for one in canaries
        for number, answer in enumerate(one.answers)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=CANARIES)


def keys_of(reveal: Mapping[str, Any], kind: str) -> tuple[MarkKey, ...]:
    """The keys ("keys") or the decoys ("decoys") of a reveal."""
    return tuple(
        MarkKey(one["campaign_id"], one["epoch"], bytes.fromhex(one["secret"]), **one["how"])
        for one in reveal[kind]
    )


def check(reveal: Mapping[str, Any], entries: Sequence[Entry], pairs: pa.Table, canaries: pa.Table) -> int:
    """Check every shown secret against the ledger's entries; returns how many were. Raises LedgerError for the first misfit.

    ``pairs`` and ``canaries`` are the tables beside the reveal: each coin and each served variant must be the revealed one.
    """
    roots = {str(one.body["root"]): one for one in entries if one.kind == _marks.KIND}
    opened = {str(one.body["batch"]): one for one in entries if one.kind == _escrow.OPENED}
    done = 0
    made = {one["canary_id"]: Canary(one["canary_id"], one["campaign_id"], one["prompt"], one["form"], tuple(one["answers"]),
                                     one["served"]) for one in reveal["canaries"]}  # fmt: skip
    committed = [
        *(("key", _marks.key_name(k), k.commitment, r["proof"]) for k, r in _both(reveal, "keys")),
        *(("decoy", _marks.key_name(k), k.commitment, r["proof"]) for k, r in _both(reveal, "decoys")),
        *(("canary", one["canary_id"], made[one["canary_id"]].content, one["proof"])
          for one in reveal["canaries"] if one["proof"]),
    ]  # fmt: skip
    for kind, name, content, proof in committed:
        leaf = _seal.salted(kind, name, content, bytes.fromhex(proof["salt"]))
        entry = roots.get(proof["root"])
        if (
            entry is None
            or entry.time != proof["time"]
            or not _seal.fits(leaf, proof["index"], proof["leaves"], proof["path"], proof["root"])
        ):
            raise LedgerError(f"the {kind} {name} is not the one that was committed")
        done += 1
    for batch, secret in reveal["batches"].items():
        entry = opened.get(batch)
        if entry is not None and entry.body["commitment"] != _escrow.commitment(batch, bytes.fromhex(secret)):
            raise LedgerError(f"the coins of batch {batch} are not those that were committed")
        done += 1
    for pair_id, coin, told in zip(
        *(pairs[n].to_pylist() for n in ("pair_id", "coin", "committed")), strict=True
    ):
        batch = pair_id.rpartition("-")[0]
        secret = reveal["batches"].get(batch)
        if (
            secret is None
            or _escrow.coin(bytes.fromhex(secret), pair_id) != coin
            or (told and batch not in opened)
        ):
            raise LedgerError(f"the coin of pair {pair_id} is not the one that was committed")
        done += 1
    for row in canaries.filter(canaries["served"]).to_pylist():
        one = made.get(row["canary_id"])
        if one is None or one.served != row["variant"] or one.answers[one.served] != row["answer"]:
            raise LedgerError(f"the variant of {row['canary_id']} is not the one that was committed")
    return done


def load(path: Path) -> dict[str, Any]:
    """A reveal, empty when there is none."""
    if not path.exists():
        return {"schema": 1, "keys": [], "decoys": [], "canaries": [], "batches": {}}
    return json.loads(path.read_bytes())


def _both(reveal: Mapping[str, Any], kind: str) -> list[tuple[MarkKey, dict[str, Any]]]:
    return list(zip(keys_of(reveal, kind), reveal[kind], strict=True))


def _key(key: MarkKey) -> dict[str, Any]:
    how = {"scheme": key.scheme, "width": key.width, "share": key.share, "strength": key.strength}
    return {"campaign_id": key.campaign_id, "epoch": key.epoch, "secret": key.secret.hex(), "how": how}
