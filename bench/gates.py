"""Whether a benchmark run means anything: gates that a composed corpus must pass. A run is void when one fails.

    python bench/gates.py --corpus DIR [--half report] [--quick] [--seed 0]

* **single feature**: for each archetype, campaign accounts beside accounts of its matched look-alikes (``compose.MATCHED``:
  same number of accounts, same mean rate, same templates). No trait of one account (``bench/traits.py``) may tell
  them apart with an AUC above ``SEPARABLE``, whichever way round. A trait is a threshold that somebody could set, so the
  accounts of several independent worlds are judged by one and the same threshold. How many others send the same
  skeleton (``TOGETHER``) is told beside it and decides nothing: to count that is to look for coordination, which single
  customers who work alike do not have and a campaign does.
* **shuffled labels**: a classifier over all traits, trained on half of the worlds' accounts with permuted labels, must
  give chance on the other half.
* **attack-free**: scans of logs without any campaign must accuse no more often than the nominal false discovery rate.
* **disjoint**: the halves that thresholds come from and that are reported share no source, no ancestor and no text.

The unit of resampling is the account. Results go to ``bench/results/gates.md`` and ``gates.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.stats import binom, rankdata

import compose
import traits
from spiritsafe import pipeline
from spiritsafe.errors import SpiritsafeError
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate import Corpus

    Floats = NDArray[np.float64]

SEPARABLE = 0.80
"""The largest AUC that a single trait may have (benchmark.md)."""
TOGETHER = "skeletons, accounts with it"
NOMINAL = 0.01
COMMON = 0.001
"""Share of the report half's texts that may also be in the calibration half: "thanks", "go ahead"."""
SPAN, SPANNED = 13, 0.01
"""Words in a row that two texts share when one was taken from the other, and the share of innocent texts that may."""
RESULT = Path(__file__).with_name("results") / "gates.json"
FEW = 4
"""Accounts of a campaign of A12: there are as many such campaigns in each world as make up the size."""


@dataclass(frozen=True)
class Gate:
    """One gate: what was measured, what it may be at most, and in words what stands behind it."""

    name: str
    passed: bool
    value: float
    bound: float
    detail: str


@dataclass(frozen=True)
class Size:
    """How much is simulated: accounts of each campaign and family, exchanges of each a day, worlds, attack-free logs."""

    accounts: int
    rate: float
    heavy: float
    worlds: int
    logs: int
    exchanges: int


QUICK, FULL = Size(12, 26.0, 60.0, 10, 1, 4_000), Size(30, 26.0, 200.0, 16, 10, 20_000)


@dataclass(frozen=True)
class World:
    """Accounts of all worlds: their traits, their families, and whether they are a campaign's."""

    names: list[str]
    values: Floats
    family: NDArray[Any]
    campaign: NDArray[np.bool_]


def check(corpus: Corpus, *, seed: int, quick: bool) -> list[Gate]:
    """All gates on this corpus. ``quick`` takes few accounts and one attack-free log; the bounds are the same."""
    return [*single(corpus, seed=seed, size=QUICK if quick else FULL), *rest(corpus, seed=seed, quick=quick)]


def rest(corpus: Corpus, *, seed: int, quick: bool) -> list[Gate]:
    """The gates that need no look-alikes."""
    return [attack_free(corpus, seed=seed, size=QUICK if quick else FULL), *disjoint(corpus)]


def single(corpus: Corpus, *, seed: int, size: Size) -> list[Gate]:
    """One gate an archetype, and that shuffled labels give chance."""
    gates: list[Gate] = []
    seen: list[World] = []
    for number, archetype in enumerate(compose.MATCHED):
        matched = worlds(corpus, archetype, compose.LIKENESS, seed=seed + 100 * number, size=size)
        plain = None if size is QUICK else worlds(corpus, archetype, 0.0, seed=seed + 100 * number, size=size)
        gates.append(separable(archetype, matched, plain))
        seen.append(matched)
    return [*gates, shuffled(seen, seed=seed)]


def worlds(corpus: Corpus, archetype: str, likeness: float, *, seed: int, size: Size) -> World:
    """Logs of an archetype and its look-alikes, each at the same size, over people who chat; their accounts' traits."""
    rate = size.heavy if archetype == "A12" else size.rate
    made: list[tuple[traits.Traits, dict[str, tuple[str, str | None]]]] = []
    for world in range(size.worlds):
        beside = compose.beside(
            archetype,
            accounts=size.accounts,
            rate=rate,
            likeness=likeness,
            campaigns=max(1, size.accounts // FEW) if archetype == "A12" else 1,
        )
        people = Population("chat_users", {"accounts": 4 * size.accounts, "rate": 5.0})
        with tempfile.TemporaryDirectory() as folder:
            truth = simulate(Plan((people, *beside), corpus), Path(folder, "log"), seed=seed * 1_000 + world)
            made.append((traits.measure(truth.log), owners(truth.truth)))
    names = sorted(set.intersection(*({*one.names} for one, _ in made)))
    values = [one.values[:, [one.names.index(name) for name in names]] for one, _ in made]
    owned = [whose[account] for one, whose in made for account in one.accounts]
    return World(
        names,
        np.concatenate(values),
        np.array([family for family, _ in owned], dtype=object),
        np.array([campaign is not None for _, campaign in owned]),
    )


def owners(truth: Path) -> dict[str, tuple[str, str | None]]:
    """Family and campaign of each account."""
    table = pq.read_table(truth, columns=["account_id", "family", "account_campaign"])
    rows = table.group_by(["account_id", "family", "account_campaign"]).aggregate([]).to_pylist()
    return {row["account_id"]: (row["family"], row["account_campaign"]) for row in rows}


def separable(archetype: str, matched: World, plain: World | None = None) -> Gate:
    """The best single trait of campaign accounts beside the pooled look-alikes.

    Told beside it: the worst single family, and what the families give away without their single-handed members.
    """
    found = _beside(matched, compose.MATCHED[archetype])
    families = {one: _beside(matched, (one,)) for one in compose.MATCHED[archetype]}
    worst = max(families, key=lambda one: float(families[one].max()))
    trait = matched.names[int(np.argmax(families[worst]))]
    apart = matched.names.index(TOGETHER) if TOGETHER in matched.names else None
    own = found if apart is None else np.where(np.arange(found.size) == apart, 0.0, found)
    best = np.argsort(-own)[:3]
    value = round(float(found[best[0]]), 3)
    bare = None if plain is None else _beside(plain, compose.MATCHED[archetype])
    told = "" if apart is None else f"; {TOGETHER}: {found[apart]:.2f}, not counted"
    if bare is not None:
        told += f"; without single-handed accounts {int((bare > SEPARABLE).sum())} of {len(bare)} are above"
    return Gate(
        f"{archetype}: no single feature",
        value <= SEPARABLE,
        value,
        SEPARABLE,
        f"{', '.join(f'{matched.names[at]} {found[at]:.2f}' for at in best)}; {matched.campaign.sum()} accounts beside "
        f"{len(matched.campaign) - matched.campaign.sum()}; worst family {worst}: {trait} {families[worst].max():.2f}{told}",
    )


def _beside(world: World, families: Sequence[str]) -> Floats:
    return aucs(world.values, world.campaign, np.isin(world.family, families) & ~world.campaign)


def aucs(values: Floats, mine: NDArray[np.bool_], like: NDArray[np.bool_]) -> Floats:
    """The AUC of each column, whichever way round; an account without a value counts as the median."""
    both = np.concatenate([values[mine], values[like]])
    blank = np.isnan(both)
    if blank.any():
        with np.errstate(invalid="ignore"):
            middle = np.nanmedian(np.where(blank.all(axis=0), 0.0, both), axis=0)
        both = np.where(blank, middle, both)
    one, other = int(mine.sum()), int(like.sum())
    ranks = rankdata(both, axis=0)
    area = (ranks[:one].sum(axis=0) - one * (one + 1) / 2) / max(1, one * other)
    return np.maximum(area, 1.0 - area)


def shuffled(seen: Sequence[World], *, seed: int, rounds: int = 200) -> Gate:
    """A ridge classifier over the ranks of all traits, with labels permuted among accounts, judged out of sample."""
    rng = np.random.default_rng(seed)
    names = sorted(set.intersection(*({*one.names} for one in seen)))
    values = np.concatenate([one.values[:, [one.names.index(name) for name in names]] for one in seen])
    ranks = rankdata(np.nan_to_num(values, posinf=0.0), axis=0) / len(values) - 0.5
    label = np.concatenate([one.campaign for one in seen])
    rows = rng.permutation(len(label))
    train, test = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    design = ranks[train]
    solve = np.linalg.solve(design.T @ design + 10.0 * np.eye(design.shape[1]), design.T)
    areas: list[float] = []
    for _ in range(rounds):
        mixed = rng.permutation(label)
        score = ranks[test] @ (solve @ (mixed[train] - mixed[train].mean()))
        one = mixed[test]
        places = rankdata(score)[one]
        areas.append((places.sum() - one.sum() * (one.sum() + 1) / 2) / (one.sum() * (~one).sum()))
    off = abs(float(np.mean(areas)) - 0.5)
    ones = label.mean() * len(test)
    zeros = len(test) - ones
    bound = 3.0 * float(np.sqrt((len(test) + 1) / (12 * ones * zeros) / rounds))
    score = ranks[test] @ (solve @ (label[train] - label[train].mean()))
    true = aucs(score[:, None], label[test], ~label[test])[0]
    detail = (
        f"mean AUC of {rounds} permutations {np.mean(areas):.4f}, out of sample; with true labels {true:.3f}"
    )
    return Gate("shuffled labels give chance", off <= bound, round(off, 5), round(bound, 5), detail)


def attack_free(corpus: Corpus, *, seed: int, size: Size) -> Gate:
    """Scans of attack-free logs: all accusations are false, so the share of logs with any is the realised rate."""
    accused = 0
    for number in range(size.logs):
        with tempfile.TemporaryDirectory() as folder:
            plan = compose.attack_free(compose.Case(corpus), size=size.exchanges)
            made = simulate(plan, Path(folder, "log"), seed=seed * 1_000 + 500 + number)
            found = pipeline.scan([made.log], Path(folder, "out"), settings=Settings(seed=seed))
            accused += any(one["label"] == "campaign" for one in found["campaigns"])
    allowed = float(binom.ppf(0.99, size.logs, NOMINAL))
    detail = f"{accused} of {size.logs} logs of about {size.exchanges:,} exchanges accused somebody"
    return Gate(
        f"attack-free logs at the nominal {NOMINAL:.0%}", accused <= allowed, float(accused), allowed, detail
    )


def disjoint(corpus: Corpus) -> list[Gate]:
    """Names, ancestors and texts of the halves. A corpus that is in no half is cut in two by ancestor."""
    halves = [
        [one for one in named if one in corpus.sources] for named in (compose.CALIBRATION, compose.REPORT)
    ]
    if not all(halves):
        origins = sorted({_ancestor(one) for one in corpus.sources})
        halves = [[one for one in corpus.sources if _ancestor(one) in origins[at::2]] for at in (0, 1)]
    names = set(halves[0]) & set(halves[1])
    kin = {_ancestor(one) for one in halves[0]} & {_ancestor(one) for one in halves[1]}
    ours, theirs = (_texts(corpus.only(half)) for half in halves)
    same = len(theirs & ours) / max(1, len(theirs))
    spanned, of = _spanned(*(corpus.only(half) for half in halves))
    return [
        Gate("halves: no source in both", not names, float(len(names)), 0.0, ", ".join(sorted(names)) or "none"),
        Gate("halves: no ancestor in both", not kin, float(len(kin)), 0.0, ", ".join(sorted(kin)) or "none"),
        Gate(
            "halves: no text in both", same <= COMMON, round(same, 6), COMMON,
            f"{len(theirs & ours)} of {len(theirs):,} distinct texts, letter case and punctuation aside",
        ),
        Gate(
            "halves: no innocent text taken from the other", spanned <= SPANNED * of, round(spanned / max(1, of), 6), SPANNED,
            f"{spanned:,} of {of:,} innocent texts have {SPAN} words in a row of an innocent text of the other half",
        ),
    ]  # fmt: skip


def _ancestor(source: str) -> str:
    return compose.ANCESTORS.get(source, source)


def _words(text: str) -> list[str]:
    return "".join(one if one.isalnum() else " " for one in text.lower()).split()


def _texts(corpus: Corpus) -> set[str]:
    return {" ".join(_words(text)) for pool in corpus.pools.values() for text in pool.prompts.to_pylist()}


def _spanned(calibration: Corpus, report: Corpus) -> tuple[int, int]:
    """How many of the report half's innocent texts share a span with the other half's, and how many there are.

    Thresholds are learned from innocent logs, so it is those texts that must not come back.
    """

    def texts(corpus: Corpus) -> list[list[str]]:
        return [
            _words(text)
            for (_, kind), pool in corpus.pools.items()
            if not kind.startswith("atk_")
            for text in pc.unique(pool.prompts).to_pylist()
        ]

    def spans(words: list[str]) -> set[int]:
        return {hash(tuple(words[at : at + SPAN])) for at in range(len(words) - SPAN + 1)}

    seen: set[int] = set()
    for words in texts(calibration):
        seen |= spans(words)
    later = texts(report)
    return sum(not seen.isdisjoint(spans(words)) for words in later), len(later)


def table(name: str, gates: Sequence[Gate]) -> str:
    """The gates of one corpus in Markdown."""
    rows = [
        f"| {gate.name} | {'passed' if gate.passed else '**VOID**'} | {gate.value:g} | {gate.bound:g} | {gate.detail} |"
        for gate in gates
    ]
    head = ["| gate | | measured | at most | what stands behind it |", "|---|---|---|---|---|"]
    return "\n".join([f"## {name}", "", *head, *rows, ""])


def save(results: dict[str, Any]) -> None:
    """``gates.json`` and the table beside it."""
    RESULT.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", "utf-8")
    head = [
        "# Validity gates", "",
        "Made by `bench/gates.py`. For each archetype the largest AUC of any single trait of an account (`bench/traits.py`),",
        "campaign accounts beside accounts of matched look-alikes, pooled; the worst single family stands in the last column.",
        "These are claims about composed data.", "",
    ]  # fmt: skip
    parts = [table(name, [Gate(**one) for one in gates]) for name, gates in sorted(results.items())]
    RESULT.with_suffix(".md").write_text("\n".join([*head, *parts]), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a corpus; 0 when all gates are passed, 1 when the benchmark is void, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, help="a folder of texts (default: the shipped ones)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", metavar="NAME", help="keep the result under this name in bench/results")
    given = parser.parse_args(arguments)
    try:
        gates = check(load_corpus(given.corpus), seed=given.seed, quick=given.quick)
    except SpiritsafeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(table(str(given.save or "gates"), gates))
    if given.save:
        known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
        save({**known, given.save: [asdict(gate) for gate in gates]})
    failed = [gate.name for gate in gates if not gate.passed]
    if failed:
        print(f"VOID: {len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
