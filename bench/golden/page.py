"""The page: the table, the sections, the pictures; and the same first lines for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from golden import cost, crowd, menu, rows, trials
from golden.rows import percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from golden.charts import Chart

CLAIM = (
    "**These are claims about composed data**: real prompts, published traffic shapes, simulated accounts and campaigns. "
    "That these campaigns are found does not say that others are."
)
HEAD = ("quantity", "published", "world-class", "moonshot", "measured", "meets world-class", "meets moonshot")


def markdown(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    lines += [f"| {' | '.join('–' if cell is None else str(cell) for cell in row)} |" for row in body]
    return "\n".join(lines)


def status(told: dict[str, Any]) -> str:
    """VOID and why, or valid: the first line of the table."""
    failed = [one for one in told["gates"] if not one["passed"]]
    if not failed:
        return f"valid: all {len(told['gates'])} gates passed"
    return "VOID: " + "; ".join(f"{one['name']} ({one['detail']})" for one in failed)


def first_table(told: dict[str, Any], table: Sequence[rows.Row]) -> str:
    """The benchmark's table with the run's status in its first line."""
    body: list[Sequence[object]] = [(f"**{status(told)}**", *[""] * (len(HEAD) - 1))]
    for row in table:
        measured = "<br>".join(f"{name}: {one.shown}" for name, one in row.readings.items())
        body.append((row.name, row.published, row.world, row.moonshot, measured, row.meets(0), row.meets(1)))
    return markdown(HEAD, body)


def _of(rate: dict[str, Any] | None) -> str:
    return f"{rate['hits']:,} of {rate['n']:,}" if rate and rate["n"] else "–"


def _bounded(rate: dict[str, Any] | None) -> str:
    return f"{_of(rate)} (≤ {percent(rate['upper'])})" if rate and rate["n"] else "–"


def _worst(one: dict[str, Any] | None) -> str:
    return f"{one['family']} {_of(one['organizations'])}" if one and one["organizations"]["hits"] else "none"


def _least(one: dict[str, Any]) -> str:
    return f"{one['least']:.2f}×" if one["least"] else f">{one['tried']:.1f}×" if one["tried"] else "–"


def _beside(told: dict[str, Any]) -> str:
    head = (
        "detector", "threshold", "static: campaigns found", "static: accounts", "≤3× cost: campaigns found",
        "cost that halves recall", "pool at 10 %: exchanges recalled", "pool: customers mislabelled",
        "innocent accounts", "innocent organizations", "worst family, organizations",
    )  # fmt: skip
    body = [
        (
            one["detector"], one["point"], _of(one["static"]["found"]), percent(one["static"]["recall_mean"]),
            _of(one["adaptive"]["found"]), _least(one["multiplier"]), percent(one["pool"]["exchange_recall"]),
            _of(one["pool"]["customers_flagged"]), _bounded(one["innocent"]["accounts"]),
            _bounded(one["innocent"]["organizations"]), _worst(one["worst_family"]),
        )
        for one in told["beside"]
    ]  # fmt: skip
    return markdown(head, body)


def _archetypes(told: dict[str, Any]) -> str:
    head = (
        "archetype", "accounts", "a day", "found", "account recall, mean", "worst", "purity, worst",
        "exchange precision", "exchange recall", "innocent accounts accused",
    )  # fmt: skip
    return markdown(
        head,
        [
            (
                one["archetype"] + (" (floor)" if one["archetype"] in menu.FLOORS else ""), one["accounts"],
                f"{one['rate']:g}", _of(one["found"]), percent(one["recall_mean"]), percent(one["recall_worst"]),
                percent(one["purity_worst"]), percent(one["exchange_precision"]), percent(one["exchange_recall"]),
                _of(one["innocent"]["accounts"]),
            )
            for one in told["by_archetype"]
        ],
    )  # fmt: skip


def _detectors(told: dict[str, Any]) -> str:
    names = list(told["found_by_detector"]["spiritsafe"]) if told["found_by_detector"] else []
    body = [
        (who, *(f"{by[name]['hits']}/{by[name]['n']}" for name in names))
        for who, by in told["found_by_detector"].items()
    ]
    return markdown(("campaigns found", *names), body)


def _lookalikes(told: dict[str, Any]) -> str:
    head = (
        "family", "at a campaign's size: accounts", "organizations (95 % upper bound)", "in all other logs: accounts",
        "organizations (95 % upper bound)",
    )  # fmt: skip
    return markdown(
        head,
        [
            (
                one["family"],
                _of(one["sized"] and one["sized"]["accounts"]), _bounded(one["sized"] and one["sized"]["organizations"]),
                _of(one["beside"] and one["beside"]["accounts"]), _bounded(one["beside"] and one["beside"]["organizations"]),
            )
            for one in told["lookalikes"]
        ],
    )  # fmt: skip


def _curve(told: dict[str, Any], name: str, x: str) -> str:
    head = (
        x, "campaigns", "account recall, mean", "worst", "exchange recall", "exchange precision", "best baseline, mean",
        "exchanges in a log", "seconds a scan",
    )  # fmt: skip
    return markdown(
        head,
        [
            (
                f"{one['x']:g}", _of(one["found"]), percent(one["recall_mean"]), percent(one["recall_worst"]),
                percent(one["exchange_recall"]), percent(one["exchange_precision"]),
                f"{one['best_baseline']} {percent(one['best_baseline_recall'])}" if one["best_baseline"] else "not run",
                f"{one['exchanges']:,.0f}", f"{one['seconds']:.1f}",
            )
            for one in told["curves"][name]
        ],
    )  # fmt: skip


def _attacks(told: dict[str, Any]) -> str:
    plain = cost.PLAIN
    body: list[Sequence[object]] = []
    for one in sorted(told["attacks"], key=lambda one: (one["recall"] >= 0.5, one["cost"]))[:12]:  # noqa: PLR2004 - half
        changed = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
                            for name, value in one["knobs"].items() if value != plain[name])  # fmt: skip
        body.append(
            (
                f"{one['cost']:.2f}×",
                percent(one["recall"]),
                one["archetype"],
                one["accounts"],
                one["seed"],
                changed or "none",
            )
        )
    return markdown(("cost", "account recall", "archetype", "accounts", "seed", "evasions"), body)


def _singles(told: dict[str, Any]) -> str:
    if not told["singles"]:
        return "Each evasion alone: only in the full tier."
    return "Each evasion alone, worst first:\n\n" + markdown(
        ("evasion", "cost", "accounts", "campaigns", "account recall, mean", "worst"),
        [
            (
                one["evasion"], f"{one['cost']:.2f}×", one["accounts"], one["n"], percent(one["recall_mean"]),
                percent(one["recall_worst"]),
            )
            for one in told["singles"]
        ],
    )  # fmt: skip


def _discoveries(told: dict[str, Any]) -> str:
    head = (
        "", "logs", "mean share of false entries", "logs with a false entry (95 % upper bound)", "attack-free logs that accuse",
        "false of all entries", "true entries with an innocent in them", "campaigns found", "innocent accounts",
    )  # fmt: skip
    return markdown(
        head,
        [
            (
                name, one["logs"], percent(one["fdr"]), _bounded(one["logs_with_false"]), _bounded(one["attack_free_with_any"]),
                f"{one['false']} of {one['entries']}", one["tainted"], _of(one["campaigns"]),
                _bounded(one["innocent"]["accounts"]),
            )
            for name, one in (("static", told["static"]), ("drift", told["drift"]))
        ],
    )  # fmt: skip


def _gates(told: dict[str, Any]) -> str:
    return markdown(
        ("gate", "passed", "value", "bound", "detail"),
        [
            (
                one["name"],
                "yes" if one["passed"] else "**NO**",
                f"{one['value']:.4g}",
                f"{one['bound']:.4g}",
                one["detail"],
            )
            for one in told["gates"]
        ],
    )


LAYOUT = """# The golden benchmark

<!-- Written by `make bench` and `make bench-full`; edit bench/golden, not this page. -->

{claim}

Tier *{tier}*, seed {seed}, corpus *{corpus}*, code and corpus `{version}`: {done} of {wanted} logs, about {minutes:.0f} minutes.
All detectors run on the same logs. Bounds are one-sided 95 % (Clopper and Pearson) over accounts, organizations, campaigns or
logs, never over exchanges. A column is met with "yes" only when the bound meets it too, else "point only".

{first}

Reproduce: `make bench` (minutes) or `make bench-full` (about an hour) with the shipped texts; `make bench-full CORPUS=DIR
SEED={seed}` with others. A run that was stopped goes on where it was. Campaigns have {background:,} innocent exchanges around
them unless said otherwise. Found means that half of the accounts are accused; for A11, that its pool is named. A11 and A12 are
hard floors ([limits](limits.md)), counted like all others.

## Beside the baselines

{beside}

Thresholds of the baselines flag at most 1 % of innocent parties in attack-free logs of the other half of the corpus, or are
their paper's own. They know accounts only: all that a flagged account sends counts as flagged.

{detectors}

## By archetype

{archetypes}

## By look-alike family, worst first

{lookalikes}

A bound on a zero is what so many organizations can certify, no more. Organizations of different logs are drawn apart from one
corpus, so bounds speak of such customers, not of all.

## Curves

{share}

{accounts}

{behind}

{crowd}

## Hard floors

{floors}

*careful* is A1 with topics kept apart by account, each account's own words, own cards, devices, addresses and sign-up days, at
26 exchanges a day; A11 is at 26, A12 at 260. What stands behind these floors is in [limits](limits.md#hard-floors).

## Time to detect

{watch}

## A mixed pool

500 accounts of whose traffic a tenth harvests; the rest is other people's conversations. A customer is a session of those.

{pool}

## The adaptive attacker

{attacked}

{attacks}

{singles}

## False discoveries

Small logs of about {fdr_background:,} innocent exchanges, a third of them without a campaign. Drift: {drift_days} days later,
each family's number of accounts times a random factor (lognormal, sigma {drift_sigma:g}), launch-day adopters and viral prompts
times {drift_launch:g}. An entry is false when half of its accounts or more are innocent.

{discoveries}

## Validity gates

{gates}
"""


def page(told: dict[str, Any], table: Sequence[rows.Row], charts: Sequence[Chart]) -> str:
    """``docs/benchmark.md``."""
    tier = menu.TIERS[told["tier"]]
    picture = {chart.name: f"![{chart.title}](img/benchmark-{chart.name}.svg)" for chart in charts}

    def curve(name: str, x: str) -> str:
        return f"{picture[f'recall-over-{name}']}\n\n{_curve(told, name, x)}"

    return LAYOUT.format(
        claim=CLAIM,
        first=first_table(told, table),
        **{key: told[key] for key in ("tier", "seed", "corpus", "version", "minutes")},
        **{key: told["trials"][key] for key in ("done", "wanted")},
        background=tier.background,
        beside=_beside(told),
        detectors=_detectors(told),
        archetypes=_archetypes(told),
        lookalikes=_lookalikes(told),
        share=curve("share", "share of traffic that harvests"),
        accounts=curve("accounts", "accounts"),
        behind=curve("background", "background, times"),
        crowd=crowd.sentence(told["crowd"]),
        floors=f"{picture['hard-floors']}\n\n{_floors(told)}",
        watch=_watch(told),
        pool=_pool(told),
        attacked=f"{picture['recall-over-cost']}\n\n{_attacked(told)}",
        attacks=_attacks(told),
        singles=_singles(told),
        fdr_background=tier.fdr_background,
        drift_days=trials.DRIFT_DAYS,
        drift_sigma=trials.DRIFT_SIGMA,
        drift_launch=trials.DRIFT_LAUNCH,
        discoveries=_discoveries(told),
        gates=_gates(told),
    )


def _floors(told: dict[str, Any]) -> str:
    return markdown(
        ("campaign", "accounts", "found", "account recall, mean", "best baseline, mean"),
        [
            (
                name, one["x"], _of(one["found"]), percent(one["recall_mean"]),
                f"{one['best_baseline']} {percent(one['best_baseline_recall'])}" if one["best_baseline"] else "not run",
            )
            for name, some in told["floors"].items()
            for one in some
        ],
    )  # fmt: skip


def _watch(told: dict[str, Any]) -> str:
    if not told["watch"]:
        return "Not measured."
    keys = (
        "campaigns",
        "detected",
        "hours_median",
        "within_one_hour",
        "leaked_median",
        "innocent_accused",
        "innocent_accounts",
    )
    table = markdown(
        ("case", *(key.replace("_", " ") for key in keys)),
        [(case, *(one[key] for key in keys)) for case, one in told["watch"].items()],
    )
    return (
        "Measured on simulated live traffic by `bench/watch.py`; leaked is a share of a plan of 30 days, of the detected."
        f"\n\n{table}\n\n"
        "![Hours to detect when more evidence is asked for](../bench/results/watch.svg)"
    )


def _pool(told: dict[str, Any]) -> str:
    head = ("detector", "exchange recall", "exchange precision", "customers mislabelled", "their exchanges")
    return markdown(
        head,
        [
            (
                name, percent(one["exchange_recall"]), percent(one["exchange_precision"]),
                _bounded(one["customers_flagged"]), _bounded(one["cover_flagged"]),
            )
            for name, one in told["pool"].items()
        ],
    )  # fmt: skip


def _attacked(told: dict[str, Any]) -> str:
    one = told["multiplier"]
    mean = f"from {one['mean']:.1f}× on" if one["mean"] else "nowhere"
    return (
        f"{one['n']} attacks on at least {cost.LEAST_ACCOUNTS} accounts, evasions drawn at random and together; costs by the "
        f"model in `bench/golden/cost.py`, whose prices are our estimates. Least cost at which recall is below a half: "
        f"{_least(one)}. The mean recall of attacks of about one cost is below a half {mean}. The cheapest that work come first:"
    )
