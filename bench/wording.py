"""Do words alone give a campaign away? A classifier of wordings, trained on some texts and tested on others.

    python bench/wording.py [--worlds 12] [--logs 3] [--seed 0] [--only classifier|scan] [--save]

For each task that a campaign and honest families have in common (``simulate``'s ``_tasks.toml``), worlds are made with the
archetype and the honest families of its task on the same sources, once as each family words it (``grammar = "family"``) and
once by the task's grammar on both sides. A logistic regression over hashed words and pairs of words (2^16 places, ridge) is
trained on accounts of some worlds and scores those of others; an account's score is the mean of its prompts'. AUC of archetype
against honest, the account being the unit:

* **held out**: the test worlds' texts come from other sources than the training worlds';
* **within**: other worlds, the same sources;
* **other tasks**: trained on all other tasks, tested on this one, on other sources.

``paraphrase`` is what both sides do; where the campaign does not paraphrase ("none"), honest families keep their defaults (a
wording for each customer, product or job; a hackathon's and a contractor's for each call). The last part scans small logs of
three campaigns among honest families, worded by family and by task, and tells who is found and who is accused: all on the
shipped texts, which are few (``shared``), or campaigns and honest families on different sources (``apart``).

Composed data; nothing here was used to choose anything.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import zlib
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit
from scipy.stats import rankdata

import scoreboard
from spiritsafe import pipeline
from spiritsafe.settings import Settings
from spiritsafe.simulate import Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate import Corpus

    Floats = NDArray[np.float64]

RESULT = Path(__file__).with_name("results") / "wording.json"
PLACES, RIDGE = 1 << 16, 1.0
ACCOUNTS, RATE = 12, 8.0
TASKS = {
    "reason": ("A1", ("evaluation_harness",)),
    "explain": ("A2", ("explainability_capture",)),
    "grade": ("A3", ("llm_judge_product", "academic_measurement")),
    "code": ("A5", ("ci_bots", "hackathon")),
    "tools": ("A6", ("agent_fleet",)),
    "translate": ("A7", ("translation_shop",)),
    "generate": ("A9", ("synthetic_data_vendor",)),
    "rewrite": ("A10", ("byo_key_app", "nightly_batch", "red_team_contractor")),
}
HALVES = (
    ("problems", "own_chat", "emails", "novel"),
    ("problems_more", "own_tickets", "own_notes", "speeches"),
)
"""Sources of the training worlds and of the test worlds: no text and no generator of texts in common."""
SCANNED = ("A1", "A3", "A9")
BESIDE = (
    "evaluation_harness",
    "llm_judge_product",
    "synthetic_data_vendor",
    "translation_shop",
    "nightly_batch",
)
HALF = 0.5
"""A campaign is found when this share of its accounts is."""


@dataclass(frozen=True)
class Seen:
    """Prompts as rows of hashed words: ``account`` numbers them from 0, ``campaign`` tells which accounts are one's."""

    words: csr_matrix
    account: NDArray[np.int64]
    campaign: NDArray[np.bool_]


def seen(corpus: Corpus, task: str, way: str, level: str, half: int, seed: int) -> Seen:
    """One world: an archetype and the honest families of its task, on the sources of a half."""
    archetype, honest = TASKS[task]
    common: dict[str, Any] = {"accounts": ACCOUNTS, "rate": RATE, "text": "template", "grammar": way}
    own = {} if level == "none" else {"paraphrase": level}
    made = (
        Population(archetype, {**common, "paraphrase": level}, HALVES[half], "campaign"),
        *(Population(family, _sized(family, common | own), HALVES[half]) for family in honest),
    )
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate(Plan(made, corpus), Path(folder, "log"), seed=seed)
        log = pq.read_table(truth.log, columns=["prompt", "account_id"])
        whose = pq.read_table(truth.truth, columns=["account_campaign"])
    account = np.unique(log["account_id"].to_numpy(), return_inverse=True)[1]
    campaign = np.zeros(int(account.max()) + 1, np.bool_)
    campaign[account] = np.asarray(pc.is_valid(whose["account_campaign"]))
    return Seen(hashed(log["prompt"].to_pylist()), account, campaign)


def _sized(family: str, common: dict[str, Any]) -> dict[str, Any]:
    """A harness runs a whole list at each go: short lists, so that it sends about as much as the others."""
    return {**common, "rate": 0.7, "items": 10} if family == "evaluation_harness" else common


def hashed(texts: Sequence[str]) -> csr_matrix:
    """Words and pairs of words of each text, each once, in ``PLACES`` places, rows of length 1."""
    rows: list[int] = []
    places: list[int] = []
    for row, text in enumerate(texts):
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        pairs = (f"{a} {b}" for a, b in pairwise(words))
        for place in {zlib.crc32(one.encode()) % PLACES for one in (*words, *pairs)}:
            rows.append(row)
            places.append(place)
    made = csr_matrix((np.ones(len(rows)), (rows, places)), shape=(len(texts), PLACES))
    length = np.sqrt(np.asarray(made.sum(axis=1))).ravel()
    return csr_matrix(made.multiply(1.0 / np.maximum(length, 1.0)[:, None]))


def fit(worlds: Sequence[Seen]) -> Floats:
    """Weights of a ridge logistic regression, both sides weighing the same; the last is the constant."""
    words = csr_matrix(vstack([one.words for one in worlds]))
    target = np.concatenate([one.campaign[one.account] for one in worlds]).astype(np.float64)
    weight = np.where(target > 0, 0.5 / target.sum(), 0.5 / (1.0 - target).sum()) * len(target)

    def loss(at: Floats) -> tuple[float, Floats]:
        score = words @ at[:-1] + at[-1]
        wrong = weight * (expit(score) - target)
        value = float(np.sum(weight * (np.logaddexp(0.0, score) - target * score)))
        gradient = np.append(words.T @ wrong + RIDGE * at[:-1], wrong.sum())
        return value + 0.5 * RIDGE * float(at[:-1] @ at[:-1]), gradient

    found = minimize(loss, np.zeros(PLACES + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return found.x


def auc(weights: Floats, worlds: Sequence[Seen]) -> float:
    """The chance that a campaign's account scores above an honest one, ties being half."""
    scores: list[Floats] = []
    for one in worlds:
        score = one.words @ weights[:-1]
        scores.append(np.bincount(one.account, weights=score) / np.bincount(one.account))
    score = np.concatenate(scores)
    mine = np.concatenate([one.campaign for one in worlds])
    rank, few = rankdata(score), int(mine.sum())
    return float((rank[mine].sum() - few * (few + 1) / 2) / (few * (len(mine) - few)))


def measure(corpus: Corpus, worlds: int, seed: int) -> Iterator[dict[str, Any]]:
    """One row for each task, grammar and paraphrase."""
    for way in ("family", "task"):
        for level in ("none", "account", "call"):
            made = {
                (task, part): [
                    seen(corpus, task, way, level, half, seed + 10_000 * part + 100 * number + world)
                    for world in range(worlds)
                ]
                for number, task in enumerate(TASKS)
                for part, half in enumerate((0, 0, 1))
            }
            for task in TASKS:
                own = fit(made[task, 0])
                others = fit([one for other in TASKS if other != task for one in made[other, 0]])
                yield {
                    "task": task, "archetype": TASKS[task][0], "honest": list(TASKS[task][1]), "grammar": way,
                    "paraphrase": level,
                    "held_out": round(auc(own, made[task, 2]), 3), "within": round(auc(own, made[task, 1]), 3),
                    "other_tasks": round(auc(others, made[task, 2]), 3),
                    "accounts": sum(len(one.campaign) for one in made[task, 2]),
                }  # fmt: skip


def scanned(corpus: Corpus, worlds: int, seed: int) -> Iterator[dict[str, Any]]:
    """What scans find of three campaigns among honest families, on the same texts and on texts of their own."""
    for texts, level, way in product(("shared", "apart"), ("none", "account", "call"), ("family", "task")):
        judged = [_scan(corpus, way, level, texts, seed + world) for world in range(worlds)]
        recall = [hits / accounts for each in judged for hits, accounts in each["campaigns"].values()]
        innocent = [(name, *some) for each in judged for name, some in each["families"].items()]
        yield {
            "grammar": way,
            "paraphrase": level,
            "texts": texts,
            "logs": worlds,
            "campaigns": len(recall),
            "found": sum(one >= HALF for one in recall),
            "recall_mean": round(float(np.mean(recall)), 3),
            "innocent_accounts": sum(accounts for _, _, accounts in innocent),
            "innocent_accused": sum(hits for _, hits, _ in innocent),
            "families_accused": sorted({name for name, hits, _ in innocent if hits}),
        }


def _scan(corpus: Corpus, way: str, level: str, texts: str, seed: int) -> dict[str, Any]:
    worded: dict[str, Any] = {"text": "template", "grammar": way}
    own = {} if level == "none" else {"paraphrase": level}
    theirs, ours = HALVES if texts == "apart" else ((), ())
    made = (
        Population("chat_users", {"accounts": 800}),
        *(Population(family, {**worded, "accounts": 60, **own}, ours) for family in BESIDE),
        *(
            Population(one, {**worded, "accounts": 200, "rate": 26.0, "paraphrase": level}, theirs, one)
            for one in SCANNED
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate(Plan(made, corpus), Path(folder, "made"), seed=seed)
        found = pipeline.scan([truth.log], Path(folder, "out"), settings=Settings(seed=seed))
        accused = {
            row["account_id"]
            for entry in found["campaigns"]
            if entry["label"] == "campaign"
            for row in entry["accounts"]
        }
        return scoreboard.judge(accused, truth.truth)


def main() -> None:
    """Measure, show, and save where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=12)
    parser.add_argument("--logs", type=int, default=3, help="scanned logs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", choices=("classifier", "scan"), default="", help="one part; --save keeps the other"
    )
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    corpus = load_corpus()
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    made: dict[str, Any] = {"worlds": given.worlds, "logs": given.logs, "seed": given.seed}
    parts = {
        "classifier": measure(corpus, given.worlds, given.seed),
        "scan": scanned(corpus, given.logs, given.seed),
    }
    for part, rows in parts.items():
        if given.only in ("", part):
            made[part] = []
            for row in rows:
                print(json.dumps(row), flush=True)
                made[part].append(row)
    if given.save:
        RESULT.write_text(json.dumps({**known, **made}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
