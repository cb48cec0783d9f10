"""Linking at size: 25,000 accounts of one campaign among 100,000 others, without cliques.

    python bench/linking.py [--share 0.1 --share 0.3 --share 1.0]

The campaign sends 4 exchanges an account, the others about 4, in one day; prompts are those of ``bench/scan.py``. A tenth
of its accounts share a card, a device and an address in groups of about a dozen; all use the same few clients, so
popular values are there too. For each share of that size: seconds for the layers, for the candidates, edges of the
party graphs beside the number of pairs they could have, candidates, and how many members some candidate of mostly
members covers. Writes ``bench/results/linking.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import scan
from spiritsafe import pipeline
from spiritsafe.campaigns import clusters, links
from spiritsafe.campaigns.log import STRONG
from spiritsafe.campaigns.stored import build
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, simulate

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "bench" / "results" / "linking.json"
CAMPAIGN, OTHERS = 25_000, 100_000
KNOBS = {"payment": 0.1, "device": 0.1, "network": 0.1, "text": "template"}


def quiet(_stage: str, _done: int, _total: int, /) -> None:
    """No progress."""


def measure(share: float, folder: Path) -> dict[str, Any]:
    """Simulate and link at one size."""
    ring = Population("A1", {"accounts": round(CAMPAIGN * share), "rate": 4.0, **KNOBS})
    crowd = Population("chat_users", {"accounts": round(OTHERS * share), "rate": 4.0, "sigma": 0.3})
    made = simulate(
        Plan((ring, crowd), scan.corpus(round(150_000 * share)), days=1.0), folder / "log", seed=3
    )
    work = folder / "work"
    work.mkdir()
    with DuckDB(work, memory=Settings().memory, threads=2) as engine:
        taken = pipeline.ingest(engine, [made.log], work, settings=Settings())
        log = build(engine, taken, quiet)
        begin = time.perf_counter()
        layers = links.layers(engine, log)
        linked = time.perf_counter()
        found = clusters.candidates(log, layers, seed=0)
        end = time.perf_counter()
    table = pq.read_table(made.truth).group_by(["account_id", "account_campaign"]).aggregate([])
    owner = dict(zip(table["account_id"].to_pylist(), table["account_campaign"].to_pylist(), strict=True))
    member = np.zeros(log.parties, bool)
    member[log.party[[owner[name] is not None for name in log.accounts]]] = True
    covered = np.zeros(log.parties, bool)
    for one in found:
        parties = np.unique(log.row_party[one.rows])
        if member[parties].mean() > 0.95:  # noqa: PLR2004
            covered[parties] = True
    graphs = [links.graph(layers[name].party, layers[name].value, log.parties) for name in STRONG]
    return {
        "exchanges": taken.rows,
        "parties": log.parties,
        "layers_seconds": round(linked - begin, 2),
        "candidates_seconds": round(end - linked, 2),
        "candidates": len(found),
        "edges": int(sum(graph.nnz for graph in graphs) // 2),
        "pairs_of_members": int(member.sum() * (member.sum() - 1) // 2),
        "members_covered": round(float((covered & member).sum() / member.sum()), 4),
    }


def main() -> int:
    """Each size once, with the growth exponent between neighbours."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, action="append")
    shares = parser.parse_args().share or [0.1, 0.3, 1.0]
    found: list[dict[str, Any]] = []
    for share in shares:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(share, Path(folder)))
        sys.stdout.write(json.dumps(found[-1]) + "\n")
        sys.stdout.flush()
    for before, after in pairwise(found):
        spent = [one["layers_seconds"] + one["candidates_seconds"] for one in (before, after)]
        after["growth_exponent"] = round(
            math.log(spent[1] / spent[0]) / math.log(after["exchanges"] / before["exchanges"]), 3
        )
    RESULT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
