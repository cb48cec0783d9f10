"""Joint evidence: campaigns split over providers, found alone and together; false discoveries; what a lying lab can do.

    python bench/joint.py [--corpus DIR] [--seeds 8] [--null-seeds 250] [--out FILE]

Three parts. *Split*: one campaign's accounts are dealt out to up to five providers, each with its own innocent customers (all
families of ``bench/compose.py``, so that the same innocent templates match everywhere); every provider scans its own log as a
user would, then all commit, open and decide with real signed statements. Matching is by equality of the values that private
matching would compare. Texts come from the *report* half; the shipped calibration comes from the other. *Null*: a light world,
the scan's own tests on streams of independent customers, for rates that need hundreds of seeds. *Lies*: the same worlds with
one lab that claims the most or stays silent. Results and a chart go to ``bench/results/joint.json`` and ``.svg``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import compose
from golden.charts import Chart, Line, draw
from spiritsafe import pipeline
from spiritsafe.campaigns import coordination, naming
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings
from spiritsafe.sharing.joint import own
from spiritsafe.sharing.joint.decide import decide
from spiritsafe.sharing.joint.rules import Rules
from spiritsafe.simulate import Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.simulate import Corpus

RESULT = Path(__file__).with_name("results") / "joint.json"
LABS = 5
ACCOUNTS = {"round_robin": (5, 8, 12, 20), "random": (8, 20)}
"""Accounts of the campaign at each provider, by how it hands out its work."""
RATE = 8.0
BACKGROUND = 4_000
ARCHETYPES = ("A1", "A3")
_LOCAL = ("account_id", "organization_id", "exchange_id", "payment_id", "device_id", "api_key_id")
"""Names that a simulated world gives by itself and that must not be the same at two providers by accident."""
_MOSTLY = 0.5


@dataclass
class Lab:
    """One provider after its scan: what it would commit to, and whose accounts each candidate has."""

    name: str
    content: dict[str, Any]
    tags: dict[str, dict[str, list[str]]]
    guilty: dict[str, bool]
    """By candidate: whether half of its parties or more are the campaign's."""
    found_alone: bool = False
    wrong_alone: int = 0
    members: int = 0
    key: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        """A key that is the lab's in every run."""
        self.key = Ed25519PrivateKey.from_private_bytes(self.name.encode().rjust(32, b"\0"))

    @property
    def identity(self) -> str:
        """A member's identity."""
        return f"identity--{self.name.encode().hex().rjust(8, '0')[-8:]}-0000-4000-8000-000000000000"


def joined(
    labs: Sequence[Lab], rules: Rules, *, silent: Iterable[str] = (), lies: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The decision of these labs, and which candidate each commitment is: ``lab/candidate`` by name.

    ``lies``: by lab, what it commits to in place of every test's bits.
    """
    quiet, secret = set(silent), b"a secret that is known, for a bench"[:32]
    made: dict[str, list[own.Own]] = {}
    for lab in labs:
        content = lab.content
        if lies and lab.name in lies:
            content = _lying(content, lies[lab.name])
        made[lab.name] = own.prepared(content, lab.tags, secret + lab.name.encode())
    holders: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for lab in labs:
        for one in made[lab.name]:
            for pair in one.tags:
                holders.setdefault(pair, []).append((lab.name, lab.identity, one.name))
    shared = {pair: found for pair, found in holders.items() if len({name for name, _, _ in found}) > 1}
    matched: dict[str, list[str]] = {}
    for kind, tag in shared:
        matched.setdefault(kind, []).append(tag)
    statements: list[object] = []
    for lab in labs:
        place = own.Place("bench", "round", lab.identity)
        body = own.commitment(made[lab.name], place, rules, fingerprint_version=1, secret=secret, now=0)
        statements.append(own.signed_commitment(body, lab.key))
        if lab.name not in quiet:
            met = {
                tag: [(by, name) for other, by, name in found if other != lab.name]
                for (_, tag), found in shared.items()
            }
            statements.append(own.signed_opening(own.opening(made[lab.name], matched, met, body), lab.key))
    members = {lab.identity: (lab.key.public_key(),) for lab in labs}
    whose = {one.name: f"{name}/{one.candidate_id}" for name, found in made.items() for one in found}
    return decide(statements, members, rules, forum="bench", round="round"), whose


def _lying(content: Mapping[str, Any], bits: float) -> dict[str, Any]:
    claimed = [{"name": name, "bits": bits} for name in ("taken_in_turn", "even_arrivals", "swept_items")]
    return {
        **content,
        "candidates": [
            {**one, "excused": False, "coordination": {"tests": claimed, "chose": []}}
            for one in content["candidates"]
        ],
    }


def verdict(labs: Sequence[Lab], rules: Rules, **more: Any) -> dict[str, Any]:
    """What a decision says beside the truth, for each number of liars that it may have to bear."""
    result, whose = joined(labs, rules, **more)
    guilty = {f"{lab.name}/{one}": yes for lab in labs for one, yes in lab.guilty.items()}
    told: dict[str, Any] = {"hypotheses": result["hypotheses"]}
    for liars in range(3):
        accused = [group for group in result["groups"] if group["robust"][liars]["campaign"]]
        right = [any(guilty[whose[one["candidate"]]] for one in group["members"]) for group in accused]
        told[str(liars)] = {"found": any(right), "accused": len(accused), "false": len(right) - sum(right)}
    return told


# --- split -----------------------------------------------------------------------------------------------------------


def split(
    corpus: Corpus, archetype: str, routing: str, accounts: int, seed: int, folder: Path
) -> dict[str, Any]:
    """One campaign over five providers: who finds it alone, and the first two, three, … of them together."""
    case = compose.Case(corpus)
    knobs = {"accounts": accounts * LABS, "rate": RATE, "routing": routing}
    campaign = simulate(case.plan([Population(archetype, knobs)]), folder / "campaign", seed=seed)
    whole = _renamed(pq.read_table(campaign.log), "campaign")
    names = pc.unique(whole["account_id"]).to_pylist()
    labs: list[Lab] = []
    for number in range(LABS):
        mine = names[number::LABS]
        calm = simulate(
            compose.attack_free(case, size=BACKGROUND), folder / f"calm-{number}", seed=1000 * seed + number
        )
        table = _renamed(pq.read_table(calm.log), f"lab{number}")
        part = whole.filter(pc.is_in(whole["account_id"], pa.array(mine)))
        log = folder / f"log-{number}.parquet"
        pq.write_table(pa.concat_tables([table, part]).sort_by("time"), log)
        labs.append(scanned(log, f"lab{number}", set(mine), folder / f"work-{number}"))
    rules = Rules()
    return {
        "archetype": archetype,
        "routing": routing,
        "accounts": accounts,
        "seed": seed,
        "alone": sum(lab.found_alone for lab in labs) / LABS,
        "alone_false": sum(lab.wrong_alone for lab in labs),
        "proposed": sum(any(lab.guilty.values()) for lab in labs) / LABS,
        "joint": {str(n): verdict(labs[:n], rules) for n in range(2, LABS + 1)},
        "liar_silent": verdict(labs, rules, silent=["lab0"])["0"],
        "liar_zero": verdict(labs, rules, lies={"lab0": -64.0})["0"],
        "liar_most": {str(n): verdict(labs[:n], rules, lies={"lab0": 64.0}) for n in (3, LABS)},
    }


def _renamed(table: pa.Table, world: str) -> pa.Table:
    for name in _LOCAL:
        renamed = pc.binary_join_element_wise(table[name], f"-{world}", "", null_handling="emit_null")
        table = table.set_column(table.schema.get_field_index(name), name, renamed)
    return table


def scanned(log: Path, name: str, guilty: set[str], work: Path) -> Lab:
    """Scan a log and keep what its provider would bring to a round."""
    work.mkdir()
    settings = Settings(joint=True)
    with DuckDB(work, memory=settings.memory, threads=1) as engine:
        taken = pipeline.ingest(engine, [log], work, settings=settings)
        result = pipeline.conclude(engine, taken, settings=settings)
    content = json.loads((work / "final" / "candidates.json").read_text("utf-8"))
    samples = {
        one["candidate_id"]: {f"fp1:{value}" for value in one["sample"]} for one in content["candidates"]
    }
    tags: dict[str, dict[str, list[str]]] = {}
    for line in (work / "final" / "identifiers.jsonl").read_text("utf-8").splitlines():
        one = json.loads(line)
        kind, value = one["class"], one["value"]
        if kind == "skeleton":
            kind = "sample" if value in samples[one["candidate_id"]] else "run"
        tags.setdefault(one["candidate_id"], {}).setdefault(kind, []).append(_tag(kind, value))
    assert result.log is not None  # noqa: S101 - the log has exchanges
    known = naming.names(result.log, result.heard)
    ours = np.array([account in guilty for account in result.log.accounts])
    theirs = np.zeros(result.log.parties, bool)
    theirs[result.log.party[ours]] = True
    shares = {known[id(one)]: float(theirs[one.view.parties].mean()) >= _MOSTLY for one in result.heard}
    told = [entry for entry in result.record["campaigns"] if entry["label"] == "campaign"]
    accused = [{row["account_id"] for row in entry["accounts"]} for entry in told]
    found = any(len(one & guilty) >= _MOSTLY * len(guilty) for one in accused)
    wrong = sum(len(one & guilty) < _MOSTLY * len(one) for one in accused)
    return Lab(name, content, tags, shares, found, wrong, len(guilty))


def _tag(kind: str, value: str) -> str:
    """What stands for private matching: equal for equal values, and of the right shape."""
    return f"{kind}-{value}".replace(":", "-").rjust(20, "-")[:120]


# --- null and lies ---------------------------------------------------------------------------------------------------


def light(seed: int, *, labs: int = 3, innocent: int = 30, true: int = 0, strength: int = 10) -> list[Lab]:
    """A light world: the scan's tests of order on streams of independent customers, and of campaigns that take turns.

    Every candidate matches at all labs. ``strength``: exchanges an account of a campaign.
    """
    rng = np.random.default_rng(seed)
    made: list[Lab] = []
    for number in range(labs):
        name = f"lab{number}"
        entries: list[dict[str, Any]] = []
        tags: dict[str, dict[str, list[str]]] = {}
        guilty: dict[str, bool] = {}
        for group in range(innocent + true):
            known = f"k-{group:03}"
            tests = _stream(rng, strength if group >= innocent else 0)
            entries.append(_entry(known, tests))
            tags[known] = {"run": [_tag("run", f"{group}-{run}") for run in range(4)]}
            guilty[known] = group >= innocent
        made.append(Lab(name, {"candidates": entries}, tags, guilty))
    return made


def _stream(rng: np.random.Generator, each: int) -> dict[str, float]:
    """Bits of the tests of one candidate: innocent customers, or ``each`` exchanges an account that take turns."""
    parties = int(rng.integers(5, 9))
    n = parties * each if each else int(rng.integers(20, 80))
    rates = rng.gamma(2.0, size=parties)
    who = rng.choice(parties, n, p=rates / rates.sum())
    items = rng.integers(0, int(rng.integers(5, 100)), n).astype(np.uint64)
    grid = rng.multinomial(n // 2, np.full(15, 1 / 15), size=2)
    if each:
        who = np.concatenate([rng.permutation(parties) for _ in range(each)])
        pool = max(3, n // 3)
        items = np.concatenate([rng.permutation(pool) for _ in range(4)])[:n].astype(np.uint64)
    times = np.sort(rng.integers(0, 12 * 3_600_000_000, n))
    logs = {
        "taken_in_turn": coordination.taken_in_turn(who, times),
        "swept_items": coordination.swept(items),
        "even_arrivals": coordination.even_arrivals(grid),
    }
    return {name: value / float(np.log(2)) for name, value in logs.items()}


def _entry(known: str, tests: Mapping[str, float]) -> dict[str, Any]:
    return {
        "candidate_id": known,
        "kind": "template",
        "tested": "scan",
        "parties": 12,
        "family": known,
        "intent": {"by": "role"},
        "excused": False,
        "coordination": {
            "tests": [{"name": name, "bits": bits} for name, bits in tests.items()],
            "chose": [],
        },
    }


def sharp(seed: int, *, labs: int, innocent: int = 30, true: int = 3) -> list[Lab]:
    """A world whose e-values are as large as an e-value may be: likelihood ratios of Gaussian shifts, tests dependent."""
    rng = np.random.default_rng(seed)
    made: list[Lab] = []
    for number in range(labs):
        shift = np.where(np.arange(innocent + true) < innocent, 0.0, 3.0)[:, None]
        z = shift + 0.6 * rng.normal(size=shift.shape) + 0.8 * rng.normal(size=(shift.size, 3))
        bits = (2 * z - 2) / float(np.log(2))
        names = ("taken_in_turn", "swept_items", "even_arrivals")
        entries = [
            _entry(f"k-{group:03}", dict(zip(names, row, strict=True)))
            for group, row in enumerate(bits.tolist())
        ]
        tags = {
            f"k-{group:03}": {"run": [_tag("run", f"{group}-{run}") for run in range(4)]}
            for group in range(shift.size)
        }
        guilty = {f"k-{group:03}": group >= innocent for group in range(shift.size)}
        made.append(Lab(f"lab{number}", {"candidates": entries}, tags, guilty))
    return made


def rates(seeds: int) -> list[dict[str, Any]]:
    """Realised false discovery rate and power, at several nominal rates: the scan's own tests, and sharp e-values."""
    rows: list[dict[str, Any]] = []
    for labs in (2, 3, 5):
        worlds = {
            "scan's tests": [light(seed, labs=labs, true=3, strength=8) for seed in range(seeds)],
            "likelihood ratios": [sharp(seed, labs=labs) for seed in range(seeds)],
        }
        for world, made in worlds.items():
            for fdr in (0.01, 0.05, 0.2):
                found = [verdict(one, Rules(fdr=fdr))["0"] for one in made]
                shares = np.array([one["false"] / max(1, one["accused"]) for one in found])
                rows.append(
                    {
                        "world": world,
                        "labs": labs,
                        "fdr": fdr,
                        "seeds": seeds,
                        "realised_fdr": round(float(shares.mean()), 5),
                        "standard_error": round(float(shares.std() / np.sqrt(seeds)), 5),
                        "seeds_with_any_false": int((shares > 0).sum()),
                        "campaigns_found": round(
                            sum(o["accused"] - o["false"] for o in found) / (3 * seeds), 4
                        ),
                    }
                )
                sys.stdout.write(json.dumps(rows[-1]) + "\n")
                sys.stdout.flush()
    return rows


def lies(seeds: int) -> dict[str, Any]:
    """Innocent worlds with one lab that claims the most for all: share of innocent groups accused, by rules.

    ``product``: factors multiplied without trust and without cap, for comparison.
    """
    told: dict[str, Any] = {}
    forms = {
        "product (no trust, no cap)": Rules(trust=1.0, cap=1.0),
        "usual rules": Rules(),
        "usual rules, cap half the bar": Rules(cap=0.5),
    }
    for labs in (2, 3, 5):
        worlds = [light(10_000 + seed, labs=labs, innocent=20) for seed in range(seeds)]
        for name, rules in forms.items():
            found = [verdict(world, rules, lies={"lab0": 64.0}) for world in worlds]
            groups = sum(one["hypotheses"] for one in found)
            told[f"{labs} labs, {name}"] = {
                "groups": groups,
                **{
                    f"accused_bearing_{liars}": sum(one[str(liars)]["false"] for one in found)
                    for liars in (0, 1)
                },
            }
    return told


# --- results ---------------------------------------------------------------------------------------------------------


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By routing and accounts a provider: how often a provider finds the campaign alone, and several together."""
    rows: list[dict[str, Any]] = []
    for routing in sorted({run["routing"] for run in runs}):
        for accounts in sorted({run["accounts"] for run in runs}):
            mine = [run for run in runs if (run["routing"], run["accounts"]) == (routing, accounts)]
            if not mine:
                continue
            row: dict[str, Any] = {
                "routing": routing,
                "accounts": accounts,
                "runs": len(mine),
                "proposed": _mean(run["proposed"] for run in mine),
                "alone": _mean(run["alone"] for run in mine),
                "alone_false": sum(run["alone_false"] for run in mine),
            }
            for n in range(2, LABS + 1):
                for liars in (0, 1):
                    row[f"joint_{n}_bearing_{liars}"] = _mean(
                        run["joint"][str(n)][str(liars)]["found"] for run in mine
                    )
                row[f"joint_{n}_false"] = sum(run["joint"][str(n)]["0"]["false"] for run in mine)
            for lie in ("liar_silent", "liar_zero"):
                row[lie] = _mean(run[lie]["found"] for run in mine)
            for liars in (0, 1):
                row[f"liar_most_false_bearing_{liars}"] = sum(
                    run["liar_most"][str(LABS)][str(liars)]["false"] for run in mine
                )
            rows.append(row)
    return rows


def _mean(values: Iterable[float]) -> float:
    return round(float(np.mean(list(values))), 4)


def chart(rows: list[dict[str, Any]]) -> str:
    """Recall over the accounts at each provider, for the round-robin campaigns."""
    mine = [row for row in rows if row["routing"] == "round_robin"]
    series = {
        "one provider alone": "alone",
        "2 providers together": "joint_2_bearing_0",
        "3 providers together": "joint_3_bearing_0",
        "5 providers, bearing one liar": "joint_5_bearing_1",
    }
    lines = [Line(name, [(row["accounts"], row[key]) for row in mine]) for name, key in series.items()]
    title = "One campaign split over providers: found alone and together"
    return draw(Chart("joint", title, "accounts of the campaign at each provider", "campaigns found", lines))


def main() -> int:
    """Run all parts; exit status 1 when an innocent group was accused by honest labs under the usual rules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--first", type=int, default=500)
    parser.add_argument("--null-seeds", type=int, default=250)
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    corpus = compose.matched(load_corpus(args.corpus), "report")
    begin = time.perf_counter()
    runs: list[dict[str, Any]] = []
    for routing, sizes in ACCOUNTS.items():
        for accounts in sizes:
            for seed in range(args.first, args.first + args.seeds):
                archetype = ARCHETYPES[seed % len(ARCHETYPES)]
                with tempfile.TemporaryDirectory() as folder:
                    runs.append(split(corpus, archetype, routing, accounts, seed, Path(folder)))
                sys.stdout.write(json.dumps(runs[-1]) + "\n")
                sys.stdout.flush()
    rows = summary(runs)
    null, lied = rates(args.null_seeds), lies(max(1, args.null_seeds // 10))
    result = {
        "half": "report",
        "rate": RATE,
        "background": BACKGROUND,
        "rules": Rules().table(),
        "seconds": round(time.perf_counter() - begin),
        "split": rows,
        "null": null,
        "lies": lied,
        "runs": runs,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    args.out.with_suffix(".svg").write_text(chart(rows), "utf-8")
    sys.stdout.write(json.dumps({"split": rows, "lies": lied}, indent=1) + "\n")
    return int(any(row[f"joint_{n}_false"] for row in rows for n in range(2, LABS + 1)))


if __name__ == "__main__":
    sys.exit(main())
