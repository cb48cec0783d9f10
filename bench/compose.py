"""Compose evaluation logs from a corpus folder: attack-free, with campaigns, look-alikes alone.

``python bench/compose.py --corpus DIR --case NAME --seed N --out DIR``. Sources are split in two halves that share
nothing, not even an ancestor: thresholds come from CALIBRATION, numbers that are reported come from REPORT.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spiritsafe import registry
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.simulate import INFRASTRUCTURE, Corpus, Plan, Population, load_corpus, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CALIBRATION = (
    "aider_history", "awesome_chatgpt_prompts", "reddit_questions",
    "banking77_tickets", "bitext_support", "contextual_retrieval_job", "lobe_agents", "meeting_summaries",
    "mtbench_judging", "arenahard_judging", "spamassassin_email_jobs",
    "alpaca_answer", "alpaca_gen", "camel_ai_society", "gpteacher", "med_chatdoctor_huatuo",
    "mixtral_self_instruct", "self_instruct", "toolalpaca", "wizardlm_evol",
    *("bfcl", "emails", "novel", "speeches"),  # shipped
)  # fmt: skip
REPORT = (
    "copilot_arena", "hh_rlhf", "open_assistant", "webquestions",
    "bbh_eval_runs", "fabric_patterns", "model_written_evals", "own_product_synth", "spider_text2sql",
    "t0_template_jobs", "tau_airline", "wmt22_translation",
    "autoif", "codealpaca", "cot_gsm8k", "evol_code", "fireact_react", "gorilla_apibench", "lawyer_llama_zh",
    "prometheus_grading",
    *("benchmark", "exercises", "own_builds", "own_chat", "own_notes", "own_tickets", "problems", "problems_more"),  # shipped
)  # fmt: skip
#: In neither half: 18 % of its prompts stand inside those of ``arenahard_judging``.
SET_ASIDE = ("arena_hard",)
#: What a source was made from, where that is not its own name. The inputs of ``fabric_patterns`` are posts of the forum that
#: ``reddit_questions`` is from, other ones: the gate on texts taken from the other half watches that.
ANCESTORS = {
    "arena_hard": "arena", "arenahard_judging": "arena", "alpaca_answer": "alpaca", "alpaca_gen": "alpaca",
    "wizardlm_evol": "alpaca", "evol_code": "codealpaca", "cot_gsm8k": "gsm8k",
    **dict.fromkeys(("problems", "problems_more", "exercises", "benchmark"), "reasoning-gym"),
    **dict.fromkeys(("own_chat", "own_notes", "own_tickets", "own_builds"), "this project"),
}  # fmt: skip
HALVES: dict[str, tuple[str, ...] | None] = {"calibration": CALIBRATION, "report": REPORT, "all": None}

#: Innocent populations of a service of about 100,000 exchanges a day: family, accounts, exchanges per account per day.
INNOCENT: tuple[tuple[str, int, float], ...] = (
    ("chat_users", 6000, 5.0), ("launch_adopters", 300, 6.0), ("viral_prompt", 500, 4.0),
    ("nightly_batch", 100, 80.0), ("key_rotation", 60, 40.0), ("byo_key_app", 400, 5.0), ("aggregator", 30, 120.0),
    ("reseller", 200, 25.0), ("friends_relay", 90, 8.0), ("evaluation_harness", 40, 0.7),
    ("llm_judge_product", 20, 80.0), ("synthetic_data_vendor", 12, 90.0), ("university_class", 150, 4.0),
    ("hackathon", 80, 20.0), ("agent_fleet", 120, 25.0), ("ci_bots", 25, 40.0), ("translation_shop", 25, 60.0),
    ("academic_measurement", 9, 150.0), ("red_team_contractor", 8, 60.0), ("explainability_capture", 24, 40.0),
    ("provider_fallback", 20, 60.0), ("stolen_key_owner", 15, 40.0),
)  # fmt: skip
HARNESS_ITEMS = 80

#: Innocent families that do the same kind of work as an archetype, share as much, or begin and move as suddenly.
MATCHED: dict[str, tuple[str, ...]] = {
    "A1": ("explainability_capture", "evaluation_harness", "viral_prompt", "byo_key_app", "key_rotation"),
    "A2": (
        "explainability_capture",
        "llm_judge_product",
        "academic_measurement",
        "byo_key_app",
        "key_rotation",
    ),
    "A3": ("llm_judge_product", "evaluation_harness", "academic_measurement", "byo_key_app", "key_rotation"),
    "A4": ("llm_judge_product", "evaluation_harness", "academic_measurement", "byo_key_app", "key_rotation"),
    "A5": ("agent_fleet", "ci_bots", "hackathon", "evaluation_harness"),
    "A6": ("agent_fleet", "ci_bots", "provider_fallback", "synthetic_data_vendor"),
    "A7": (
        "evaluation_harness",
        "academic_measurement",
        "translation_shop",
        "synthetic_data_vendor",
        "byo_key_app",
        "key_rotation",
    ),
    "A8": ("evaluation_harness", "nightly_batch", "academic_measurement", "university_class", "key_rotation"),
    "A9": ("synthetic_data_vendor", "nightly_batch", "translation_shop", "byo_key_app", "key_rotation"),
    "A10": ("red_team_contractor", "translation_shop", "byo_key_app", "llm_judge_product"),
    "A11": ("aggregator", "reseller", "friends_relay", "provider_fallback"),
    "A12": ("explainability_capture", "nightly_batch", "stolen_key_owner", "key_rotation"),
    "A13": ("agent_fleet", "explainability_capture", "reseller", "provider_fallback", "llm_judge_product"),
    "A14": ("red_team_contractor", "explainability_capture", "viral_prompt", "byo_key_app", "hackathon"),
    "A15": ("key_rotation", "explainability_capture", "reseller", "evaluation_harness", "hackathon"),
    "A16": ("launch_adopters", "ci_bots", "agent_fleet", "hackathon"),
}
LIKENESS = 2 / 3
"""Share of the matched look-alikes' accounts that do alone what the campaign does together."""


@dataclass(frozen=True)
class Case:
    """Knobs that all cases share."""

    corpus: Corpus
    days: float = 1.0
    mode: str = "rich"
    infrastructure: bool = True

    def plan(self, populations: Sequence[Population]) -> Plan:
        """The plan of these populations."""
        dropped = () if self.infrastructure else INFRASTRUCTURE
        mode: Any = self.mode
        return Plan(tuple(populations), self.corpus, days=self.days, mode=mode, dropped=dropped)


def attack_free(case: Case, *, size: int = 100_000, without: Sequence[str] = ()) -> Plan:
    """Innocent customers only, about ``size`` exchanges in all, every family of ``INNOCENT`` among them.

    Each look-alike source of the corpus (kind ``hn_…``) also appears as single-template customers of its own, so
    that every one of its templates is in the log.
    """
    families = [row for row in INNOCENT if row[0] not in without]
    expected = sum(
        accounts * rate * (HARNESS_ITEMS if name == "evaluation_harness" else 1)
        for name, accounts, rate in families
    )
    lookalikes = sorted({source for source, kind in case.corpus.pools if kind.startswith("hn_")})
    share = 0.1 if lookalikes else 0.0
    scale = size * (1.0 - share) / expected / case.days
    populations = [
        Population(name, {"accounts": max(2, round(accounts * scale)), "rate": rate})
        for name, accounts, rate in families
    ]
    each = size * share / max(1, len(lookalikes)) / case.days
    populations += [
        Population("nightly_batch", {"accounts": max(1, round(each / 40.0)), "rate": 40.0}, sources=(source,))
        for source in lookalikes
    ]
    return case.plan(populations)


def campaigns(
    case: Case,
    archetypes: Sequence[str] = ("A1", "A3", "A8", "A9"),
    *,
    background: int = 100_000,
    **knobs: Any,
) -> Plan:
    """The archetypes with the same knobs (default 500 accounts, 26 a day each) over an attack-free background."""
    options = {"accounts": 500, "rate": 26.0, **knobs}
    plan = attack_free(case, size=background)
    made = tuple(Population(archetype, options, name=f"campaign-{archetype}") for archetype in archetypes)
    return replace(plan, populations=(*plan.populations, *made))


def lookalikes(
    case: Case,
    families: Sequence[str] = (),
    *,
    accounts: int = 500,
    rate: float = 26.0,
    background: int = 50_000,
    **knobs: Any,
) -> Plan:
    """Look-alike families at a campaign's size (accounts and rate matched), over an attack-free background.

    With ``sigma=0, burst=0`` the accounts of a family are clones: equal rates, no bursts, as if drawn from one urn.
    """
    names = families or [name for name, _, _ in INNOCENT if name != "chat_users"]
    plan = attack_free(case, size=background, without=names)
    made = [
        Population(
            name,
            {
                "accounts": accounts,
                "rate": rate / HARNESS_ITEMS if name == "evaluation_harness" else rate,
                **knobs,
            },
        )
        for name in names
    ]
    return replace(plan, populations=(*plan.populations, *made))


def beside(
    archetype: str,
    *,
    accounts: int,
    rate: float,
    likeness: float = LIKENESS,
    campaigns: int = 1,
    **knobs: Any,
) -> list[Population]:
    """An archetype and its look-alikes, matched at ``rate`` a day.

    Beside ``accounts`` of the campaign as many in each family do the family's own work, and ``likeness`` of all do alone
    what the campaign does together. ``campaigns``: in how many campaigns the archetype's accounts are.
    """
    made = [
        Population(
            archetype,
            {"accounts": max(2, accounts // campaigns), "rate": rate, **knobs},
            name=f"campaign-{archetype}" + (f"-{number}" if number else ""),
        )
        for number in range(campaigns)
    ]
    for family in MATCHED[archetype]:
        options: dict[str, Any] = {"accounts": accounts, "rate": rate}
        if likeness:
            options["accounts"] = round(accounts / (1.0 - likeness))
            options |= {"like": archetype, "likeness": likeness}
        made.append(Population(family, options))
    return made


def matched_case(case: Case, archetype: str, *, background: int = 50_000) -> Plan:
    """One campaign beside its matched look-alikes, over an attack-free background without those families."""
    size: dict[str, Any] = {"accounts": 500, "rate": 26.0, **_small(archetype)}
    plan = attack_free(case, size=background, without=MATCHED[archetype])
    return replace(plan, populations=(*plan.populations, *beside(archetype, **size)))


def matched(corpus: Corpus, half: str) -> Corpus:
    """The half of a corpus; "all" is all of it. Raises UsageError when none of the half's sources are there."""
    names = HALVES[half]
    found = corpus.sources if names is None else [name for name in names if name in corpus.sources]
    if not found:
        raise UsageError(f"the corpus has no source of the {half} half", hint="--half all takes any corpus")
    return corpus.only(found)


def cases() -> dict[str, Callable[[Case], Plan]]:
    """All cases by name; ``a1`` … ``a16`` are one archetype each, ``like-<family>`` one look-alike family each."""
    found: dict[str, Callable[[Case], Plan]] = {
        "attack-free": attack_free,
        "attack-free-small": lambda case: attack_free(case, size=20_000),
        "campaigns": campaigns,
        "campaigns-own-templates": lambda case: campaigns(case, text="template"),
        "campaigns-25": lambda case: campaigns(case, share=0.25),
        "campaigns-paraphrased": lambda case: campaigns(case, text="template", paraphrase="account"),
        "campaigns-quiet": lambda case: campaigns(
            case, payment=0.0, device=0.0, network=0.0, client=0.0, mail=0.0, cohort_days=700.0, age_days=1.0
        ),
        "campaigns-light": lambda case: campaigns(case, rate=5.0),
        "campaigns-random": lambda case: campaigns(case, routing="random", overlap="iid"),
        "campaigns-sticky": lambda case: campaigns(case, routing="sticky"),
        "lookalikes": lookalikes,
        "lookalikes-clones": lambda case: lookalikes(case, sigma=0.0, burst=0.0),
    }
    for name, one in registry.extensions("simulate").items():
        number = getattr(one.module, "ARCHETYPE", "")
        if number:
            found[number.lower()] = lambda case, number=number: campaigns(case, (number,), **_small(number))
            found[f"{number.lower()}-matched"] = lambda case, number=number: matched_case(case, number)
        else:
            found[f"like-{name}"] = lambda case, name=name: lookalikes(case, (name,))
    return found


def _small(archetype: str) -> dict[str, Any]:
    return {"accounts": 4, "rate": 860.0} if archetype == "A12" else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one case from the command line; 0 when the log was written, 2 for bad usage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--case", required=True)
    parser.add_argument("--half", choices=sorted(HALVES), default="report")
    parser.add_argument("--mode", choices=("rich", "naive"), default="rich")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--no-infrastructure", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args(arguments)
    try:
        known = cases()
        if given.case not in known:
            raise UsageError(f"no case called {given.case!r}", hint=f"there are: {', '.join(known)}")
        corpus = matched(load_corpus(given.corpus), given.half)
        case = Case(corpus, given.days, given.mode, infrastructure=not given.no_infrastructure)
        truth = simulate(known[given.case](case), given.out, seed=given.seed)
    except SpiritsafeError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"{truth.log}: {truth.exchanges} exchanges of {truth.accounts} accounts; campaigns {truth.campaigns}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
