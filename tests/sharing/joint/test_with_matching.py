"""The whole way: tags from real private matching on loopback, commitments, openings, one decision, and a hub in order."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from matchforum import Forum, identity, signer
from matchhub import ORIGIN, Hub, serving
from spiritsafe.sharing.hub.store import opened
from spiritsafe.sharing.hub.verify import verify
from spiritsafe.sharing.joint import files, own
from spiritsafe.sharing.joint.decide import decide
from spiritsafe.sharing.joint.rules import Rules
from spiritsafe.sharing.matching import identifiers, result
from spiritsafe.sharing.matching.statements import sign

if TYPE_CHECKING:
    from pathlib import Path

SOME = {"taken_in_turn": 8.0, "even_arrivals": 7.5}
LABS = "abd"


def _scan(folder: Path, lab: str) -> Path:
    """What a scan leaves: a candidate whose template others meet, too, and one of its own."""
    out = folder / lab
    out.mkdir()
    common = [f"{number:016x}" for number in (0xC1, 0xC2, 0xC3)]
    alone = [f"{ord(lab):08x}{number:08x}" for number in (1, 2)]
    candidates: list[dict[str, Any]] = [
        {
            "candidate_id": f"k-{lab}-{name}",
            "kind": "template",
            "tested": "scan",
            "parties": 12,
            "family": name,
            "intent": {"by": "role"},
            "excused": False,
            "coordination": {"tests": [{"name": n, "bits": b} for n, b in SOME.items()], "chose": []},
            "skeletons": [{"template": runs[0], "runs": runs}],
            "sample": [],
        }
        for name, runs in (("common", common), ("alone", alone))
    ]
    content = {"schema": 1, "fingerprint_version": 1, "candidates": candidates}
    (out / "candidates.json").write_text(json.dumps(content), "utf-8")
    lines = [
        {"candidate_id": one["candidate_id"], "class": "skeleton", "value": f"fp1:{run}"}
        for one in candidates
        for run in one["skeletons"][0]["runs"]
    ]
    (out / "identifiers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return out


def _lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def _round(hub: Hub, folders: dict[str, Path]) -> list[object]:
    """All statements of a round, made as the commands make them."""
    forum = Forum("abc", 3, 2, number=1)
    body = forum.body(forum=ORIGIN, by=identity("a"))
    hub.remote("a").propose(sign("proposal", body, signer("a")))
    workers = [hub.worker(name) for name in "abc"]
    for _ in range(5):
        for one in workers:
            one.round()
    sessions = {name: hub.session(name) for name in folders}
    statements: list[object] = []
    held: dict[str, Any] = {}
    collected: dict[str, Any] = {}
    with hub.holding(*workers):
        for name, folder in folders.items():
            mine = sessions[name].own(identifiers.read(folder / "identifiers.jsonl"))
            content = files.tested(folder)
            lines = result.tagged(mine.tokens, mine.values, mine.candidates)
            made = own.prepared(
                content, files.tags(_lines(folder / "tags.jsonl", lines), content), name.encode() * 32
            )
            place = own.Place(ORIGIN, "1", identity(name))
            body = own.commitment(
                made, place, Rules(), fingerprint_version=1, secret=name.encode() * 32, now=1
            )
            statements.append(own.signed_commitment(body, signer(name)))
            held[name] = mine, made, body
        for name, (mine, _, _) in held.items():
            sessions[name].post(mine)
        for _ in range(2):
            for name, (mine, made, _) in held.items():
                facts = {one.candidate_id: {"commitment": one.name} for one in made}
                collected[name] = sessions[name].collect(mine, facts)
    for name, (_, made, body) in held.items():
        found = collected[name]
        common, met = files.matched(
            _lines(folders[name] / "matched.jsonl", result.met(found.shared, found.told))
        )
        statements.append(own.signed_opening(own.opening(made, common, met, body), signer(name)))
    return statements


def test_candidates_matched_by_tokens_are_decided_together_and_the_hub_stays_in_order(tmp_path: Path):
    with serving(tmp_path, "abcd", "abc") as hub:
        statements = _round(hub, {name: _scan(tmp_path, name) for name in LABS})
        members = {
            one.id: (signer(name).public_key(),)
            for name in "abcd"
            for one in [hub.roster.member(identity(name))]
        }
        found = decide(statements, members, Rules(), forum=ORIGIN, round="1")
        silent = decide(statements[:-1], members, Rules(), forum=ORIGIN, round="1")
    (group,) = found["groups"]
    assert (group["label"], found["refused"]) == ("campaign", [])
    assert sorted(one["by"] for one in group["members"]) == sorted(identity(name) for name in LABS)
    assert group["common"] == {"run": 3}
    # Who stays silent is known by what matching disclosed to the others.
    states = {one["by"]: one["state"] for one in silent["groups"][0]["members"]}
    assert states[identity("d")] == "silent"
    store = opened(str(tmp_path / "hub.sqlite"))

    async def checked() -> Any:
        try:
            return await verify(store, signer("hub").public_key())
        finally:
            await store.close()

    report = asyncio.run(checked())
    assert report.leaves == len(LABS), "the sets that were posted are in the log, and no object is missed"
