"""Private matching: CPU for 100,000 tokens a member, exactness, and what each step takes.

    python bench/matching.py [--tokens N] [--peer PYTHON] [--out bench/results/matching.json]

All parties run in this process, one after another, so CPU time is the sum over member and key holders. Each output is
compared with the key's own evaluation, which only a test can make, and the matches with a plain intersection of the
identifiers. ``--peer`` is an interpreter with openmined-psi 2: another protocol (two parties, no threshold, no proofs, no
quota), measured for scale.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rbcl

from matchforum import DAY, NOW, Forum, Made, holders, hub_answer, identity, make, place, posted, signer
from spiritsafe.sharing.matching import evaluation, group, matches, psi, sums, voprf
from spiritsafe.sharing.matching.classes import hashed
from spiritsafe.sharing.matching.sums import Points

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """CPU seconds by step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    def __call__(self, step: str, work: Callable[[], Any]) -> Any:
        """Run ``work`` and add its CPU time to ``step``."""
        begin = time.process_time()
        found = work()
        self.steps[step] = self.steps.get(step, 0.0) + time.process_time() - begin
        return found


def primitives() -> dict[str, float]:
    """Microseconds of one operation, and of one point in a sum over a batch."""
    points = [group.hash_to_group(b"%d" % i, b"bench") for i in range(voprf.MOST)]
    factor, encoded = group.random_scalar(), b"".join(points)
    scalars = b"".join(group.hash_to_scalar(b"%d" % i, b"bench") for i in range(voprf.MOST))
    decoded = Points(encoded)
    sums.total(decoded, scalars)
    sums.joined([decoded] * 3, [3, -3, 1])

    def micro(work: Callable[[], Any], count: int) -> float:
        times: list[float] = []
        for _ in range(3):
            begin = time.process_time()
            work()
            times.append(time.process_time() - begin)
        return round(sorted(times)[1] / count * 1e6, 2)

    few = points[:2_000]
    return {
        "product, libsodium": micro(lambda: [group.multiply(factor, one) for one in few], len(few)),
        "addition, libsodium": micro(
            lambda: [rbcl.crypto_core_ristretto255_add(points[0], one) for one in few], len(few)
        ),
        "hash to group": micro(lambda: [group.hash_to_group(one, b"b") for one in few], len(few)),
        "decoding, compiled": micro(lambda: Points(encoded), len(points)),
        "product in a sum, compiled": micro(lambda: sums.total(decoded, scalars), len(points)),
        "joining three answers, compiled": micro(lambda: sums.joined([decoded] * 3, [3, -3, 1]), len(points)),
    }


def whole_key(made: Made, name: str) -> bytes:
    """The key that nobody has."""
    chosen = made.forum.held[: made.epoch.proposal.threshold]
    numerators, denominator = sums.at_zero([made.epoch.proposal.index(identity(one)) for one in chosen])
    parts = zip(numerators, chosen, strict=True)
    total = sum(n * int.from_bytes(made.shares[one][name], "little") for n, one in parts)
    return group.number(total * pow(denominator, -1, group.ORDER))


def evaluate(made: Made, who: str, values: list[str], clock: Clock) -> tuple[list[bytes], int]:
    """Tokens of ``values``, and how many bytes went over the hub."""
    answering = list(holders(made).values())[: made.epoch.proposal.threshold]
    found: list[bytes] = []
    wire = 0
    for batch in evaluation.batches([hashed("skeleton", value) for value in values]):
        prepared = clock("member: hash and blind", lambda b=batch: evaluation.prepare(b))
        asked = evaluation.request(
            made.epoch, identity(who), signer(who), "skeleton", prepared, expires=NOW + DAY
        )
        answers = {
            one.me: clock(
                "holders: evaluate and prove",
                lambda o=one, a=asked: o.answer(a.statement.envelope, a.elements, now=NOW),
            )
            for one in answering
        }  # fmt: skip
        wire += len(asked.elements) + sum(len(one.elements) for one in answers.values())
        parts, _ = evaluation.sorted_out(made.epoch, asked, answers, made.forum.roster)
        tokens, bad = clock(
            "member: verify, join, unblind",
            lambda p=prepared, q=parts: evaluation.combine(p, q, made.epoch.proposal.threshold),
        )
        assert not bad  # noqa: S101 - everybody is honest here
        found += tokens
    return found, wire


def tokens(threshold: int, count: int) -> dict[str, Any]:
    """CPU for ``count`` tokens of one member with t of 2 t - 1 holders, each compared with the key's own evaluation."""
    made = make(Forum(holders=2 * threshold - 1, threshold=threshold, quotas={"skeleton": 250_000}))
    values = [f"fp1:{number:016x}" for number in range(count)]
    clock = Clock()
    begin = time.perf_counter()
    found, wire = evaluate(made, "a", values, clock)
    wall = time.perf_counter() - begin
    key = whole_key(made, "skeleton")
    exact = sum(
        voprf.direct(key, hashed("skeleton", one)) == token for one, token in zip(values, found, strict=True)
    )
    return {
        "threshold": threshold,
        "holders": 2 * threshold - 1,
        "tokens": count,
        "exact": exact,
        "cpu_s": {step: round(spent, 2) for step, spent in clock.steps.items()},
        "cpu_s_total": round(sum(clock.steps.values()), 2),
        "wall_s_one_process": round(wall, 2),
        "megabytes_over_the_hub": round(wire / 1e6, 1),
    }


def matching(count: int, members: int) -> dict[str, Any]:
    """Finding and checking what ``members`` sets of ``count`` have in common, against a plain intersection."""
    made = make(Forum(quotas={"device": 1_000}))
    rng = random.Random(1)
    secret = rng.randbytes(32)
    here = place(made)
    names = "abcde"[:members]
    held = {who: set(rng.sample(range(count * 2), count)) for who in names}

    def token(number: int) -> bytes:
        return group.expand(secret + number.to_bytes(8, "big"), b"bench")  # what an evaluation would give

    tagged = {
        number: (here.tag("device", token(number)), ("device", token(number)))
        for number in set().union(*held.values())
    }
    clock = Clock()
    sets = [
        clock(
            "members: tags, marks, tree, signature",
            lambda w=who: posted(made, w, dict(tagged[n] for n in held[w])),
        )
        for who in names
    ]
    answer = clock("hub: compare and prove", lambda: hub_answer(sets, "a", 3))
    found = clock(
        "member: check proofs and marks",
        lambda: matches.checked(answer, here, identity("a"), sets[0].tokens, made.forum.roster, NOW),
    )
    shared = found.shared(3)
    expected = {tagged[n][0] for n in held["a"] if sum(n in one for one in held.values()) >= 3}
    return {
        "members": members,
        "tokens_each": count,
        "shared_by_3": len(shared),
        "exact": shared.keys() == expected,
        "cpu_s": {step: round(spent, 2) for step, spent in clock.steps.items()},
    }


def ceremonies() -> list[dict[str, Any]]:
    """CPU of a whole ceremony, all holders together."""
    rows: list[dict[str, Any]] = []
    quotas = {
        "device": 1_000,
        "ipv4": 500,
        "ipv6": 500,
        "ipv6_net": 500,
        "payment": 100,
        "skeleton": 5_000,
        "band": 5_000,
    }
    for count, threshold in ((3, 2), (5, 3), (9, 5), (16, 9)):
        forum = Forum("abcdefghijklmnop"[:count], count, threshold, quotas=quotas)
        begin = time.process_time()
        make(forum)
        spent = round(time.process_time() - begin, 2)
        rows.append({"holders": count, "threshold": threshold, "classes": len(quotas), "cpu_s": spent})
    return rows


def pairs(count: int) -> dict[str, Any]:
    """Two members that compare ``count`` items each, half of them common."""
    made = make(Forum())
    rng = np.random.default_rng(1)
    drawn = [rng.bytes(32) for _ in range(count + count // 2)]
    begin = time.process_time()
    offer = psi.offer(place(made), drawn[:count])
    found = psi.common(offer, psi.reply(place(made), drawn[count // 2 :], offer.points))
    spent = time.process_time() - begin
    return {
        "count": count,
        "cpu_s": round(spent, 2),
        "common": len(found),
        "exact": found == set(drawn[count // 2 : count]),
    }


def peer(python: str, count: int) -> dict[str, Any]:
    """What openmined-psi takes for the same."""
    script = Path(__file__).with_name("peer_openmined.py")
    done = subprocess.run([python, script, str(count)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """Measure, print, and write the results."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--tokens", type=int, default=100_000)
    asked.add_argument("--peer", help="an interpreter that has openmined-psi")
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "matching.json")
    given = asked.parse_args()
    count: int = given.tokens
    found: dict[str, Any] = {
        "machine": {"cpu": platform.machine(), "python": platform.python_version(), "rbcl": version("rbcl")},
        "microseconds": primitives(),
        "tokens": [tokens(threshold, count) for threshold in (2, 3)],
        "matching": [matching(count, members) for members in (3, 5)],
        "ceremony": ceremonies(),
        "pairs": pairs(count),
    }
    if given.peer:
        found["openmined-psi"] = {"version": "2.0.6", **peer(given.peer, count)}
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    good = all(one["exact"] == one["tokens"] for one in found["tokens"]) and all(
        one["exact"] for one in found["matching"]
    )
    return 0 if good and found["pairs"]["exact"] else 1


if __name__ == "__main__":
    sys.exit(main())
