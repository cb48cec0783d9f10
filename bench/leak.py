"""What gets past the orders: campaigns that replace their accounts, scanned in the first half, matched in the second.

Three campaigns (A1, A3, A4) of 2,000 accounts each, 30 % of them replaced a day, beside innocent customers and look-alikes. The
first day is scanned; every exchange of the second is looked up among its indicators, as the gateway does. Composed data.

    python bench/leak.py [--seed 41] [--accounts 2000] [--save]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spiritsafe import pipeline
from spiritsafe.features.lookup import Index
from spiritsafe.gateway.rules import indicators
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, shipped, simulate

RESULT = Path(__file__).with_name("results") / "leak.json"
DAY = 86_400_000_000
INNOCENT = {
    "chat_users": 1500,
    "explainability_capture": 60,
    "llm_judge_product": 40,
    "nightly_batch": 60,
    "reseller": 200,
}


def plan(accounts: int) -> Plan:
    """Two days of innocent customers and three campaigns."""
    calm = [Population(family, {"accounts": many}) for family, many in INNOCENT.items()]
    knobs: dict[str, Any] = {"accounts": accounts, "rate": 26.0, "churn": 0.3}
    made = [
        Population(family, knobs | ({"text": "template"} if family == "A1" else {}), name=family)
        for family in ("A1", "A3", "A4")
    ]
    return Plan((*calm, *made), load_corpus(shipped()), days=2)


def measure(accounts: int, seed: int) -> dict[str, Any]:
    """Exchanges of the second day that no indicator of the first matches, by campaign, and innocents that one does."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        made = simulate(plan(accounts), folder / "made", seed=seed)
        log = pq.read_table(made.log)
        time = np.asarray(log["time"].cast(pa.int64()))
        begin = time.min() // DAY * DAY
        first = time < begin + DAY
        pq.write_table(log.filter(pa.array(first)), folder / "first.parquet")
        pq.write_table(log.filter(pa.array(~first)), folder / "second.parquet")
        record = pipeline.scan([folder / "first.parquet"], folder / "out", settings=Settings(seed=seed))
        truth = pq.read_table(made.truth, columns=["exchange_id", "campaign"]).to_pydict()
        campaign = dict(zip(truth["exchange_id"], truth["campaign"], strict=True))
        known = set(log.filter(pa.array(first))["account_id"].to_pylist())
        index = Index(indicators(folder / "out" / "indicators.json"))
        counts: Counter[tuple[str, str]] = Counter()
        for batch in pipeline.replay([folder / "second.parquet"], settings=Settings()):
            rows, _ = index.match_batch(batch, now=int(time.max()))
            matched = np.zeros(batch.num_rows, bool)
            matched[rows] = True
            names = zip(
                batch.column("exchange_id").to_pylist(), batch.column("account_id").to_pylist(), matched.tolist(),
                strict=True,
            )  # fmt: skip
            for exchange, account, hit in names:
                whose = campaign[exchange] or "innocent"
                counts[whose, "all"] += 1
                counts[whose, "matched"] += hit
                counts[whose, "new"] += account not in known
                counts[whose, "new matched"] += hit and account not in known
    told = [entry["label"] for entry in record["campaigns"]]
    found: dict[str, Any] = {
        "seed": seed,
        "accounts": accounts,
        "entries": dict(Counter(told)),
        "indicators": len(index),
        "kinds": dict(index.kinds),
    }
    for (whose, what), many in sorted(counts.items()):
        found.setdefault(whose, {})[what] = many
    return found


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=41)
    parser.add_argument("--accounts", type=int, default=2000)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    found = measure(args.accounts, args.seed)
    for whose in ("A1", "A3", "A4", "innocent"):
        one = found[whose]
        print(
            f"{whose:9} {one['all']:8,} exchanges on the second day, {one['matched']:8,} matched"
            f" ({one['new']:,} of accounts not seen before, {one['new matched']:,} matched)"
        )
    print(f"{found['indicators']} indicators; entries of the scan: {found['entries']}")
    if args.save:
        RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
