"""A made-up result as a scan writes it: three campaigns, a reseller's pool and an unclear group; 500 accounts.

All names, values and numbers are invented here. ``sample(seed)`` gives the same object each time.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

START = datetime(2026, 9, 3, tzinfo=UTC)
HOURS = 14 * 24

SKELETON = (
    "You are given a problem and a finished answer. Reconstruct, step by step, the full chain of reasoning that leads "
    "to the answer. Put every step between ⟨code⟩ tags. Do not summarise.\n\nProblem: ⟨quoted⟩\nAnswer: ⟨quoted⟩\n"
    "Return at least ⟨number⟩ steps, in the language of the problem."
)
JUDGE = (
    "Rate the two replies on the rubric below from ⟨number⟩ to ⟨number⟩ and say which one you prefer, with reasons. "
    "Rubric: ⟨quoted⟩ Reply A: ⟨quoted⟩ Reply B: ⟨quoted⟩ Answer as JSON like ⟨code⟩."
)
CHINESE = (
    "请为下面的题目写出完整的思考过程，不要省略任何步骤，然后给出最终答案。题目：⟨quoted⟩ 难度：⟨number⟩"
)


SCANNED: dict[str, Any] = {
    "files": 14, "records": 1_204_931, "accepted": 1_204_331, "rejected": 588, "duplicates": 12, "accounts": 20_431,
    "organizations": 18_112, "streams": 41_220, "first": START.isoformat(),
    "last": (START + timedelta(hours=HOURS)).isoformat(), "fdr": 0.01,
}  # fmt: skip
TOPS = {
    "payment": "card ••4417", "device": "device 7c1e…", "network": "203.0.113.16/29", "sign-up cohort": "2 Sep, 01:1x",
}  # fmt: skip
BLIND: tuple[tuple[Any, ...], ...] = (
    ("artefact_redemption", ["reasoning_issued", "reasoning_redeemed"], "Reasoning handed on goes unseen."),
    ("device", ["device_id"], "Accounts that share a device are not linked by it."),
)
LAYERS = (
    ("payment", 0.82, 18, 34.0), ("device", 0.44, 11, 21.5), ("network", 1.0, 7, 15.2), ("sign-up cohort", 1.0, 4, 6.1),
)  # fmt: skip
HYPOTHESES = (
    ("Bring-your-own-key app.", "no", "Owners of such an app do not share 18 payment cards, and their items would overlap."),
    ("Evaluation harness.", "partly", "One template fits; but a harness sends each item through each account."),
    ("University class.", "no", "No human rhythm: 61 of 88 refusals move to another account within 60 s."),
    ("Key rotation of one enterprise.", "no", "The accounts are declared as unrelated customers."),
)  # fmt: skip


def _test(
    name: str, question: str, null: str, statistic: str, *numbers: float, note: str = ""
) -> dict[str, Any]:
    """``numbers``: value, expected, p-value, e-value, n."""
    told = dict(zip(("value", "expected", "p_value", "e_value", "n"), numbers, strict=True))
    told_words = {"name": name, "question": question, "null": null, "statistic": statistic, "note": note}
    return {**told_words, **told, "window": "odd hours, 3–17 Sep 2026"}


# fmt: off
def _coordination(scale: float) -> dict[str, Any]:
    tests = [
        _test(
            "item_overlap_deficit",
            "Do the accounts avoid each other's items?",
            "Each account draws its items from the common pool, independently of the others.",
            "pairs of accounts that share an item",
            14, 388.2, 1e-5, 4.1e4 * scale, 41_226,
            note="10,000 permutations; no permuted value was as low.",
        ),
        _test(
            "load_evenness",
            "Is the work shared out more evenly than customers would?",
            "Exchanges per account vary at least as much as independent random arrivals at one rate.",
            "variance over mean of exchanges per account",
            0.21, 1.0, 2.4e-9, 9.8e3 * scale, 212,
        ),
        _test(
            "exchangeability",
            "Could any two accounts be swapped without anybody noticing?",
            "Accounts have habits of their own: between-account variance exceeds chance.",
            "between/within ratio F of projections",
            1.02, 6.8, 1e-4, 310.0 * scale, 212,
        ),
        _test(
            "post_ban_migration",
            "Does a refused request turn up at another account within seconds?",
            "A refusal at one account has no bearing on what others send next.",
            "same body elsewhere within 60 s of a 403",
            61, 0.4, 3e-40, 2.2e3, 88,
        ),
    ]
    bits = sum(math.log2(test["e_value"]) for test in tests)
    return {"e_value": 2.0**bits, "bits": bits, "tests": tests}
# fmt: on


def _intent(p: float, score: float) -> dict[str, Any]:
    return {
        "e_value": 0.5 / math.sqrt(p),
        "p_value": p,
        "score": score,
        "tests": [
            _test(
                "extraction_share",
                "How much of the traffic asks for training material?",
                "This cluster is drawn from the same crowd as benign clusters of its size, plan and client.",
                "share of exchanges with an extraction role",
                0.93,
                0.04,
                p,
                0.5 / math.sqrt(p),
                1_412,
            ),
            _test(
                "product_absence",
                "Is there a product behind it?",
                "As benign clusters.",
                "share of exchanges with an end user, a follow-up or an own document",
                0.004,
                0.71,
                p * 3,
                9.0,
                1_412,
            ),
        ],
        "reference": {"clusters": 1_412, "quantiles": {"0.5": 0.04, "0.9": 0.22, "0.99": 0.58, "1.0": 0.81}},
    }


def _graph(random: np.random.Generator, accounts: list[str]) -> dict[str, Any]:
    values = [(f"card-{at}", "payment", f"card ••{random.integers(1000, 9999)}") for at in range(18)]
    values += [(f"device-{at}", "device", f"device {random.integers(16**4):04x}…") for at in range(11)]
    values += [(f"net-{at}", "network", f"203.0.113.{at * 8}/29") for at in range(7)]
    values += [(f"cohort-{at}", "sign-up cohort", f"signed up 2 Sep, 0{at}:1x") for at in range(4)]
    edges: list[list[str]] = []
    for at, account in enumerate(accounts):
        block = at * 4 // len(accounts)
        edges.append([account, f"cohort-{block}", "sign-up cohort"])
        edges.append([account, f"net-{int(min(6, block * 2 + random.integers(2)))}", "network"])
        if random.random() < 0.8:
            edges.append([account, f"card-{block * 4 + int(random.integers(5))}", "payment"])
        if random.random() < 0.45:
            edges.append([account, f"device-{int(random.integers(block * 2, block * 2 + 5))}", "device"])
    nodes = [{"id": name, "kind": "account", "label": name} for name in accounts]
    nodes += [{"id": name, "kind": "value", "label": label} for name, _, label in values]
    return {"kind": "graph", "title": "Who shares what", "nodes": nodes, "edges": edges}


def _exhibits(
    random: np.random.Generator, accounts: list[str], rate: float, skeletons: list[str], begin: int
) -> list[dict[str, Any]]:
    hours = np.arange(HOURS)
    rise = (hours > begin) / (1 + np.exp(-(hours - begin - 22) / 6))
    counts = random.poisson(rate * len(accounts) / 24 * rise)
    counts[200:208] = 0
    background = random.poisson(
        3_000 * (1.4 + np.sin((hours - 9) / 24 * 2 * np.pi)) * np.where(hours // 24 % 7 > 4, 0.6, 1)
    )
    per_account = np.maximum(1, random.normal(rate * 11, rate**0.5 * 1.4, len(accounts)).round())
    others = np.maximum(1, random.lognormal(math.log(rate * 9), 1.1, 3_000).round())
    streams = 9
    table = random.poisson(0.3, (len(accounts), streams + 30)) * (
        random.random((len(accounts), streams + 30)) < 0.2
    )
    for at in range(len(accounts)):
        table[at, at * streams // len(accounts)] += random.poisson(rate * 9)
        table[at, (at * 7) % streams] += random.poisson(rate)
    shown = accounts[:10]
    overlap = np.clip(random.normal(0.012, 0.01, (10, 10)), 0, 1).round(3)
    overlap = (overlap + overlap.T) / 2
    np.fill_diagonal(overlap, 1.0)
    found: list[dict[str, Any]] = [
        {
            "kind": "timeline",
            "title": "Traffic over time",
            "bucket_seconds": 3600,
            "start": START.isoformat(),
            "counts": counts.tolist(),
            "background": background.tolist(),
        },
        {
            "kind": "load",
            "title": "Load per account",
            "counts": per_account.tolist(),
            "background": others.tolist(),
            "note": "Background: all other accounts that were active on as many days.",
        },
        {
            "kind": "overlap",
            "title": "Overlap of work",
            "labels": shown,
            "matrix": overlap.tolist(),
            "note": "Ten accounts drawn at random; share of items in common.",
        },
        {
            "kind": "matrix",
            "title": "Accounts by streams",
            "accounts": accounts,
            "streams": [f"s-{at}" for at in range(streams + 30)],
            "counts": table.tolist(),
        },
        _graph(random, accounts),
        {
            "kind": "links",
            "title": "Rare values in common",
            "rows": [
                {"layer": "payment", "value": "card ••4417", "accounts": 31, "elsewhere": 0, "bits": 9.4},
                {"layer": "payment", "value": "card ••9020", "accounts": 28, "elsewhere": 0, "bits": 9.1},
                {"layer": "device", "value": "device 7c1e…", "accounts": 26, "elsewhere": 1, "bits": 7.7},
                {"layer": "network", "value": "203.0.113.16/29", "accounts": 74, "elsewhere": 3, "bits": 5.2},
            ],
        },
    ]
    for at, text in enumerate(skeletons):
        found.append(
            {
                "kind": "skeleton",
                "title": "The template they share" if at == 0 else "A second template",
                "text": text,
                "slots": ["quoted", "number"],
                "accounts": len(accounts) - 3 * at,
                "exchanges": int(counts.sum() / (at + 1.3)),
            }
        )
    return found


def _campaign(
    random: np.random.Generator,
    name: str,
    accounts: list[str],
    rate: float,
    headline: str,
    roles: list[tuple[str, float, str]],
    skeletons: list[str],
    *,
    scale: float = 1.0,
    rests_on: str = "",
    response: str = "suspend",
    begin: int = 38,
) -> dict[str, Any]:
    exhibits = _exhibits(random, accounts, rate, skeletons, begin)
    exchanges = int(sum(exhibits[0]["counts"]))
    first = START + timedelta(hours=begin)
    coordination = _coordination(scale)
    evidence = [
        {"label": "Items divided without overlap", "bits": math.log2(4.1e4 * scale)},
        {"label": "Work shared out too evenly", "bits": math.log2(9.8e3 * scale)},
        {"label": "Accounts like drops of water", "bits": math.log2(310 * scale)},
        {"label": "Refused requests move to a sibling", "bits": 11.1},
        {"label": "Some accounts have end users of their own", "bits": -2.4},
    ]
    coordination["bits"] = sum(float(piece["bits"]) for piece in evidence)
    coordination["e_value"] = 2.0 ** coordination["bits"]
    return {
        "campaign_id": name,
        "label": "campaign",
        "headline": headline,
        "accounts": [
            {"account_id": account, "membership": round(float(random.beta(60, 0.4)), 4)}
            for account in accounts
        ],
        "streams": len(accounts) + 40,
        "exchanges": exchanges,
        "tokens": {"input": exchanges * 412, "output": exchanges * 1_930},
        "first_seen": first.isoformat(),
        "last_seen": (START + timedelta(hours=HOURS - 2)).isoformat(),
        "roles": [
            {"role": role, "exchanges": int(exchanges * part), "share": part, "technique": technique}
            for role, part, technique in roles
        ],
        "coordination": coordination,
        "intent": _intent(7e-4, 0.93),
        "layers": [
            {
                "layer": layer,
                "accounts": int(len(accounts) * part),
                "values": values,
                "bits": bits,
                "top": [{"value": TOPS[layer], "accounts": 31, "elsewhere": 0}],
            }
            for layer, part, values, bits in LAYERS
        ],
        "leave_one_out": [
            {
                "without": layer,
                "decision": "insufficient" if layer == rests_on else "campaign",
                "e_value": 2.0 ** (coordination["bits"] - bits),
            }
            for layer, _, _, bits in LAYERS
        ],
        "evidence_bits": evidence,
        "hypotheses": [
            dict(zip(("hypothesis", "fits", "because"), told, strict=True)) for told in HYPOTHESES
        ],
        "clears": [
            "A declared relation between the accounts (one organization, an aggregator, an evaluation contract).",
            "A product with end users that explains why every answer must contain its reasoning.",
            "A licence that permits training on outputs.",
        ],
        "exhibits": exhibits,
        "proposed_order": {
            "response": response,
            "reason": "Coordination and intent, four layers, no declared relation.",
            "needs": ["two persons"],
            "expires_days": 30,
        },
    }


def _average(campaign: dict[str, Any]) -> None:
    """Combines the tests as the pipeline does: a weighted average of e-values, whose bits must not be added."""
    block: dict[str, Any] = campaign["coordination"]
    for test in block["tests"]:
        test["weight"] = 0.25
    block["combination"] = "weighted average of the tests' e-values"
    block["e_value"] = sum(0.25 * test["e_value"] for test in block["tests"])
    block["bits"] = math.log2(block["e_value"])
    campaign["evidence_bits"] = [
        {"label": test["question"], "bits": math.log2(test["e_value"])} for test in block["tests"]
    ]
    campaign["evidence_bits"].append({"label": "Do the accounts arrive at even distances?", "bits": -23.0})
    campaign["independent_layers"] = ["load", "content", "payment"]


def sample(seed: int = 7) -> dict[str, Any]:
    """The sample result."""
    random = np.random.default_rng(seed)
    names = [f"acct_{at:06x}" for at in random.choice(16**6, 500, replace=False)]
    reconstruct = ("reconstruct_reasoning", 0.71, "AML.T0024.002")
    first = _campaign(
        random,
        "c-3f2a91d04c",
        names[:212],
        26,
        "212 accounts with 18 payment cards ask for the reasoning behind finished answers, each item once",
        [reconstruct, ("reasoning_elicitation", 0.19, "AML.T0024.002"), ("clean_replay", 0.06, "")],
        [SKELETON, JUDGE],
    )
    second = _campaign(
        random,
        "c-81b7e6a2f0",
        names[212:370],
        5,
        "158 light users (5 exchanges a day) share out one set of exam questions in Chinese",
        [("reasoning_elicitation", 0.88, "AML.T0024.002"), ("train_split_replay", 0.11, "")],
        [CHINESE],
        scale=0.05,
        response="step_up",
        begin=9,
        rests_on="payment",
    )
    third = _campaign(
        random,
        "c-c04d5519be",
        names[370:430],
        40,
        "60 accounts inside a reseller's ordinary traffic use the model as a judge",
        [("rubric_labelling", 0.82, "AML.T0024.002"), ("preference_labelling", 0.1, "")],
        [JUDGE],
        scale=0.3,
        response="budget",
        begin=130,
    )
    _average(first)
    pool = _campaign(
        random,
        "c-77a0c2d3e4",
        names[430:490],
        30,
        "60 accounts relay the requests of many unrelated people",
        [],
        [],
    )
    pool |= {
        "label": "reseller",
        "intent": {"p_value": 0.44, "score": 0.05, "tests": []},
        "roles": [],
        "proposed_order": {"response": "none", "reason": "", "needs": []},
    }
    unclear = {
        "campaign_id": "c-0aa1b2c3d4",
        "label": "insufficient",
        "headline": "10 accounts with one template, seen for one day",
        "accounts": [{"account_id": name, "membership": 0.6} for name in names[490:]],
        "exchanges": 212,
    }
    return {
        "schema": 1,
        "spiritsafe": "0.1.0",
        "settings": "9f1c" * 16,
        "seed": 0,
        "scanned": SCANNED,
        "blind": [dict(zip(("signal", "missing", "means"), told, strict=True)) for told in BLIND],
        "campaigns": [first, second, third, pool, unclear],
    }
