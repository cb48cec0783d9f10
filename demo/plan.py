"""The demo's plan: who is in the log, and which texts each of them has."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from spiritsafe.simulate import Plan, Population, load_corpus, simulate

SEED = 20260907
DAYS = 4.0
CHAT = ("bfcl", "own_chat")
MAIL, TICKETS, NOTES = ("emails",), ("own_tickets",), ("own_notes",)

INNOCENT = (
    Population("chat_users", {"accounts": 480, "rate": 3.4}),
    Population("launch_adopters", {"accounts": 90, "rate": 3.0}),
    Population("viral_prompt", {"accounts": 160, "rate": 1.2}),
    Population("friends_relay", {"accounts": 30, "rate": 4.0}),
    Population("nightly_batch", {"accounts": 12, "rate": 26.0, "text": "template"}, MAIL),
    Population("key_rotation", {"accounts": 30, "rate": 9.0, "text": "template"}, TICKETS),
    Population("byo_key_app", {"accounts": 170, "rate": 1.6, "text": "template"}, NOTES),
    Population("aggregator", {"accounts": 8, "rate": 35.0}),
    Population("reseller", {"accounts": 50, "rate": 7.0}),
    Population(
        "evaluation_harness", {"accounts": 14, "rate": 0.35, "text": "template", "items": 60}, ("benchmark",)
    ),
    Population("llm_judge_product", {"accounts": 6, "rate": 26.0, "text": "template"}, TICKETS),
    Population("synthetic_data_vendor", {"accounts": 4, "rate": 26.0, "text": "template"}, ("speeches",)),
    Population("university_class", {"accounts": 70, "rate": 1.6}, ("exercises",)),
    Population("hackathon", {"accounts": 30, "rate": 5.0}, ("own_chat",)),
    Population("agent_fleet", {"accounts": 30, "rate": 8.0}),
    Population("ci_bots", {"accounts": 6, "rate": 18.0, "text": "template"}, ("own_builds",)),
    Population(
        "translation_shop", {"accounts": 8, "rate": 26.0, "text": "template"}, ("novel", "own_tickets")
    ),
    Population(
        "academic_measurement",
        {"accounts": 3, "rate": 45.0, "text": "template", "organizations": 1},
        ("speeches",),
    ),
    Population(
        "explainability_capture",
        {"accounts": 8, "rate": 12.0, "text": "template", "organizations": 1},
        TICKETS,
    ),
    Population("provider_fallback", {"accounts": 6, "rate": 16.0}, ("own_chat",)),
    Population("stolen_key_owner", {"accounts": 4, "rate": 14.0, "text": "template"}, MAIL),
)
CAMPAIGNS = (
    Population(
        "reasoning_harvest",
        {
            "accounts": 340, "rate": 5.0, "text": "template", "wording": 0, "timing": "jitter", "sigma": 0.25, "payment": 0.25,
            "device": 0.1, "network": 0.5, "client": 0.6, "mail": 0.2,
        },
        ("problems",),
        "harvest-of-reasoning",
    ),
    Population(
        "instruction_bootstrap",
        {
            "accounts": 110, "rate": 8.0, "text": "template", "wording": 1, "paraphrase": "slots", "timing": "diurnal",
            "overlap": "best_of_k", "repeats": 2, "payment": 0.35, "device": 0.3, "network": 0.4, "client": 0.7,
        },
        CHAT,
        "bootstrap-of-instructions",
    ),
    Population(
        "reasoning_reconstruction",
        {
            "accounts": 80, "rate": 14.0, "share": 0.25, "text": "template", "wording": 0, "timing": "sync", "payment": 0.5,
            "device": 0.4, "network": 0.8, "client": 0.9, "refused": 0.02,
        },
        ("problems_more",),
        "reconstruction-behind-a-reseller",
    ),
)  # fmt: skip


def write(folder: Path) -> None:
    """Write ``folder/logs/<day>.jsonl.gz`` and ``folder/truth.parquet`` from the corpus that the package ships."""
    plan = Plan((*INNOCENT, *CAMPAIGNS), load_corpus(), days=DAYS, format="jsonl.gz")
    logs = folder / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        truth = simulate(plan, Path(scratch) / "demo", seed=SEED)
        shutil.copy(truth.truth, folder / "truth.parquet")
        days: dict[str, list[str]] = {}
        with gzip.open(truth.log, "rt", encoding="utf-8", newline="\n") as lines:
            for line in lines:
                days.setdefault(line[9:19], []).append(line)
    for day, records in sorted(days.items()):
        with (logs / f"{day}.jsonl.gz").open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as out:
            out.write("".join(records).encode())
    print(f"{truth.exchanges} exchanges of {truth.accounts} accounts; campaigns {truth.campaigns}")
