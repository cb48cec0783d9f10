"""The chapters of a dossier that show evidence: campaigns, tests of suspects, losses, and what people said and did."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.cases import folder
from spiritsafe.cases._dossier import pictures, words
from spiritsafe.cases._dossier.blocks import (
    Bullets,
    Facts,
    Heading,
    Para,
    Picture,
    Section,
    Skeleton,
    Table,
    Tried,
)
from spiritsafe.cases._page.claim import tell
from spiritsafe.cases._page.phrase import decimal, human, share, whole
from spiritsafe.cases._page.record import Record, clean
from spiritsafe.cases.loss import outward

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.cases._dossier.blocks import Block
    from spiritsafe.cases._dossier.source import Source
    from spiritsafe.cases._page.claim import Claim

_NUMBERS = frozenset({1, 2, 3, 4, 5})
_TESTS = ("Question, and the innocent explanation tried", "Seen", "Expected", "p-value", "Evidence", "n")
_WIDTHS = (0.46, 0.1, 0.11, 0.13, 0.11, 0.09)
_ACCOUNTS = 90
_COLUMNS = 3


def headline(result: Any, campaign: str) -> str:
    """One sentence about a campaign; empty when the result is withheld."""
    row = _entry(result, campaign)
    return clean(row.get("headline"), limit=400) if row else ""


def campaigns(source: Source) -> list[Section]:
    """One section for each campaign of the case."""
    found: list[Section] = []
    for item, about, _ in source.items("campaign"):
        result = source.json(f"{item}/campaigns.json")
        for number, one in enumerate(about["campaigns"]):
            name, row = clean(one["id"], limit=72), _entry(result, one["id"])
            anchor = f"campaign-{item}-{number}"
            if row is None:
                blocks: list[Block] = [Para("The result of the scan is withheld from this copy.")]
            else:
                claim = tell(Record.of(row), f"d{len(found)}", set(), full=True)
                blocks = _campaign(claim, about)
            found.append(Section(anchor, f"Campaign {name}", blocks))
    return found


def findings(source: Source) -> list[Section]:
    """One section for each test of a suspect."""
    found: list[Section] = []
    for item, about, _ in source.items("finding"):
        result = source.json(f"{item}/result.json")
        suspect = clean(about["suspect"], limit=80)
        blocks: list[Block] = (
            [Para("The result of this test is withheld from this copy.")] if not result else _finding(result)
        )
        found.append(Section(f"finding-{item}", f"Test of the model {suspect}", blocks))
    return found


def losses(source: Source) -> Section:
    """The last estimate of losses, if there is one."""
    blocks: list[Block] = []
    for item, _, _ in source.items("loss"):
        result = source.json(f"{item}/loss.json")
        blocks = [Para("The estimate is withheld from this copy.")] if not result else _loss(result)
    return Section("losses", "What was taken", blocks)


def people(source: Source) -> Section:
    """Opinions, measures, appeals: what persons said and did."""
    blocks: list[Block] = []
    rows = [_opinion(source, item, about, entry) for item, about, entry in source.items("opinion")]
    if rows:
        blocks += [
            Heading("Opinions"),
            Para(
                "What persons think, in their own words. Where somebody is named, a person named them.",
                "small",
            ),
            Table(("Who", "About", "Judgement", "In their words"), rows, (0.16, 0.18, 0.16, 0.5)),
        ]
    for item, about, _ in source.items("orders"):
        table: dict[str, Any] = source.json(f"{item}/orders.json") or {"orders": [], "withheld": {}}
        told = {one["order_id"]: one for one in table["orders"]}
        orders = [_order(one, told.get(one["id"], {}), table["withheld"]) for one in about["orders"]]
        blocks += [
            Heading("Measures"),
            Table(
                ("Order", "Measure", "From and until", "Approved by", "In force"),
                orders,
                (0.2, 0.2, 0.24, 0.18, 0.18),
            ),
        ]
    appeals = [_appeal(source, item, about, entry) for item, about, entry in source.items("appeal")]
    if appeals:
        blocks += [
            Heading("Appeals"),
            Table(("Appeal", "Received", "Second reviewer", "Outcome"), appeals, (0.34, 0.18, 0.18, 0.3)),
        ]
    sightings = [
        (clean(about.get("file"), limit=80), clean(entry["body"]["why"], limit=200))
        for _, about, entry in source.items("sighting")
    ]
    if sightings:
        blocks += [Heading("Seen by peers"), Table(("File", "Why it was added"), sightings, (0.4, 0.6))]
    return Section("people", "What people said and did", blocks)


def _entry(result: Any, campaign: str) -> dict[str, Any] | None:
    rows = cast("dict[str, Any]", result).get("campaigns", []) if isinstance(result, dict) else []
    return next((one for one in rows if isinstance(one, dict) and one.get("campaign_id") == campaign), None)


def _campaign(claim: Claim, about: Mapping[str, Any]) -> list[Block]:
    rare = f" Independent customers would show as much at most {claim.odds}." if claim.odds else ""
    intent = ", ".join(f"{name} {value}" for name, value in claim.intent)
    blocks: list[Block] = [
        Para(claim.headline, "lead"),
        Facts([*claim.facts, ("when", claim.when)]),
        Heading("How sure"),
        Bullets(
            [
                f"Coordination, that is one hand behind the accounts: {claim.bits}.{rare}",
                *([f"Intent to harvest the model: {intent}."] if intent else []),
                *(
                    [f"Kinds of evidence that suffice each on its own: {claim.independent}."]
                    if claim.independent
                    else []
                ),
                *([claim.stable] if claim.stable else []),
            ]
        ),
    ]
    if claim.roles:
        rows = [(one.name, one.exchanges, one.share, one.technique) for one in claim.roles]
        blocks += [
            Heading("What the requests ask for"),
            Table(
                ("Role", "Exchanges", "Share", "MITRE ATLAS"),
                rows,
                (0.46, 0.16, 0.16, 0.22),
                frozenset({1, 2}),
            ),
        ]
    blocks += [Picture(one) for one in ([claim.waterfall] if claim.waterfall else []) + claim.figures]
    for one in claim.skeletons:
        told = f"Sent by {one.accounts} accounts, {one.exchanges} times. " if one.accounts else ""
        blocks.append(Skeleton(one.title, one.parts, f"{told}{f'Slots: {one.slots}.' if one.slots else ''}"))
    for title, rows in claim.links:
        shown = [
            (value or "–", layer, accounts, elsewhere, bits)
            for layer, value, accounts, elsewhere, bits in rows
        ]
        heads = ("Value, masked", "Layer", "Accounts here", "Elsewhere", "Evidence")
        blocks += [
            Heading(title),
            Table(heads, shown, (0.34, 0.22, 0.16, 0.14, 0.14), frozenset({2, 3, 4}), frozenset({0})),
        ]
    blocks += [
        Heading("Tests and their nulls"),
        Para(f"Combined as a {claim.combination}." if claim.combination else "", "small"),
    ]
    blocks.append(_tests([*claim.coordination, *claim.intent_tests]))
    if claim.reference:
        blocks.append(Para(claim.reference))
    if claim.without:
        blocks += [
            Heading("If one kind of evidence is left out"),
            Table(
                ("Without", "Then it is a", "Evidence left"), claim.without, (0.5, 0.25, 0.25), frozenset({2})
            ),
        ]
    if claim.hypotheses:
        blocks += [
            Heading("Innocent explanations tried"),
            Tried([(fits, name, why) for name, fits, why in claim.hypotheses]),
        ]
    if claim.clears:
        blocks += [Heading("What would clear the customers"), Bullets(claim.clears)]
    return [*blocks, *_members(claim, about)]


def _tests(tests: list[Any]) -> Table:
    rows = [
        (
            "\n".join(text for text in (one.question or one.name, f"Null: {one.null}" if one.null else "", one.note) if text),
            one.value, one.expected, one.p_value, one.bits, one.n,
        ) for one in tests
    ]  # fmt: skip
    return Table(_TESTS, rows, _WIDTHS, _NUMBERS, strong=True)


def _members(claim: Claim, about: Mapping[str, Any]) -> list[Block]:
    cells = [f"{name}  {probability}" for name, probability in claim.members[:_ACCOUNTS]]
    if not cells:
        return []
    cells += [""] * (-len(cells) % _COLUMNS)
    height = len(cells) // _COLUMNS
    rows = [[cells[at + height * column] for column in range(_COLUMNS)] for at in range(height)]
    note = claim.members_note.partition(" The first")[0]
    more = (
        f" The first {_ACCOUNTS} are listed; the sealed result holds all."
        if len(claim.members) > _ACCOUNTS
        else ""
    )
    records = (
        f" The records of {about['records']:,} exchanges are sealed with it." if about["records"] else ""
    )
    return [
        Heading("Accounts, with the probability that they belong to it"),
        Para(note + more + records, "small"),
        Table(
            ("",) * _COLUMNS, rows, (1 / _COLUMNS,) * _COLUMNS, mono=frozenset(range(_COLUMNS)), tight=True
        ),
    ]


def _finding(result: Mapping[str, Any]) -> list[Block]:
    suspect, teacher = clean(result["suspect"], limit=80), clean(result["teacher"], limit=80)
    said = words.VERDICTS.get(result["verdict"], words.VERDICTS["inconclusive"]).format(suspect, teacher)
    rows = [_found(one) for one in result["findings"]]
    quiet = result["sound"]["quiet"]
    why = "; ".join(clean(one, limit=200) for one in result["sound"]["why"])
    heads = ("Test, and its null", "p-value", "With all counted (Holm)", "Power", "Verdict", "n")
    defeaters = sorted({clean(text, limit=200) for one in result["findings"] for text in one["defeaters"]})
    quietly = "Controls, and the suspect under false labels, were as quiet as chance would have it."
    facts = [
        ("campaigns", ", ".join(clean(one, limit=72) for one in result["campaigns"]) or "none named"),
        ("significance level", f"{result['alpha']:g}"),
        ("commitments checked", f"{result['commitments_checked']:,}"),
    ]
    return [
        Para(said, "lead"),
        Facts(facts),
        Table(heads, rows, (0.36, 0.12, 0.15, 0.1, 0.18, 0.09), frozenset({1, 2, 3, 5}), strong=True),
        Para(quietly if quiet else f"Not sound: {why}."),
        *([Heading("What would defeat these tests"), Bullets(defeaters)] if defeaters else []),
        Heading("Alternatives that no test here excludes"),
        Bullets([clean(one, limit=300).capitalize() + "." for one in result["alternatives"]]),
        Para(words.SURE, "small"),
    ]


def _found(one: Mapping[str, Any]) -> tuple[str, ...]:
    name, null = human(clean(one["test"], limit=40)), clean(one["null_hypothesis"], limit=300)
    return (
        f"{name} (tier {clean(one['tier'], limit=2)})\nNull: {null}",
        _p(one["p_value"], one["log10_p"]),
        _p(one["holm_p"], one["holm_log10_p"]),
        "not known" if one["power"] is None else share(one["power"]),
        clean(one["verdict"], limit=60),
        f"{one['n']:,}",
    )


def _loss(result: Mapping[str, Any]) -> list[Block]:
    money = clean(result["currency"], limit=10)
    rows = [_method(one) for one in result["methods"]]
    taken = {"exchanges": "exchanges", "input": "tokens sent", "output": "tokens drawn"}
    heads = ("Method, and what it assumes", f"From ({money})", f"To ({money})")
    blocks: list[Block] = [
        Para(words.LOSS),
        Facts([(name, _span(result["taken"][key])) for key, name in taken.items()]),
        Table(heads, rows, (0.6, 0.2, 0.2), frozenset({1, 2}), strong=True),
    ]
    drawn = [pictures.ranges(result["methods"], money, "lr")]
    drawn += [
        pictures.tornado(one, money, f"lt{at}")
        for at, one in enumerate(result["methods"])
        if one["estimated"]
    ]
    blocks += [Picture(one) for one in drawn if one]
    if result["licensed"]:
        licensed = [
            (
                clean(one["relation"], limit=60),
                clean(one["model"], limit=60) or "–",
                *map(whole, (one["exchanges"], one["output"])),
            )
            for one in result["licensed"]
        ]
        heads = ("Declared relation", "Model", "Exchanges", "Tokens drawn")
        blocks += [
            Heading("Licensed use, not counted"),
            Table(heads, licensed, (0.35, 0.3, 0.17, 0.18), frozenset({2, 3})),
        ]
    figures = [
        (clean(one["name"], limit=60), _figure(one), clean(one["source"], limit=200))
        for one in result["figures"]
    ]
    blocks += [
        Heading("Figures and their sources"),
        Para(
            f"Price book: {clean(result['book']['name'], limit=100)}, as of {clean(result['book']['as_of'], limit=30)}."
        ),
        Table(("Figure", "Value", "Source"), figures, (0.3, 0.28, 0.42)),
        Bullets([clean(one, limit=200) for one in result["notes"]]),
    ]
    return blocks


def _method(one: Mapping[str, Any]) -> tuple[str, ...]:
    if not one["estimated"]:
        return f"{one['question']}\nNot estimated: {clean(one['why'], limit=200)}.", "–", "–"
    ends = (outward(one["low"], up=False), outward(one["high"], up=True))
    return "\n".join([one["question"], *one["assumptions"]]), *(f"{end:,.10g}" for end in ends)


def _figure(one: Mapping[str, Any]) -> str:
    if "value" in one:
        return f"{one['value']:g}"
    return f"{one['low']:g} to {one['high']:g}, mostly {one['mode']:g}" + (
        ", by magnitude" if one["log"] else ""
    )


def _span(told: Mapping[str, float]) -> str:
    low, high = (f"{told[key]:,.0f}" for key in ("low", "high"))
    return low if low == high else f"{low} to {high}"


def _p(value: float, log: float | None) -> str:
    if value or log is None:
        return decimal(value)
    return f"10 to the power of {log:.0f}"


def _opinion(
    source: Source, item: str, about: Mapping[str, Any], entry: Mapping[str, Any]
) -> tuple[str, ...]:
    said = source.json(f"{item}/opinion.json")
    if said and "payload" in said:
        said = json.loads(base64.b64decode(said["payload"]))
    text = clean(said["text"], limit=2_000) if said else "withheld"
    signed = "\nsigned" if about["signed"] else ""
    judgement = human(about["judgement"].replace("-", " "))
    return clean(entry["body"]["by"], limit=60) + signed, clean(about["about"], limit=80), judgement, text


def _order(one: Mapping[str, Any], order: Mapping[str, Any], withheld: Mapping[str, str]) -> tuple[str, ...]:
    name = clean(one["id"], limit=40)
    if not order:
        return name, human(one["response"]), "withheld", "withheld", "not told"
    accounts = f"\n{len(order['accounts']):,} accounts" if order["accounts"] else "\nmatching requests"
    persons = ", ".join(clean(each["by"], limit=40) for each in order["approvals"]) or "nobody"
    why = withheld.get(one["id"], "")
    times = "\n".join(order[key][:16].replace("T", " ") for key in ("start", "expires"))
    held = f"no: {clean(why, limit=120)}" if why else "yes"
    return name, human(one["response"]) + accounts, times, persons, held


def _appeal(source: Source, item: str, about: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[str, ...]:
    reviewer, outcome = "not yet named", "open"
    for one in source.entries:
        if one["body"].get("appeal") == item:
            if one["kind"] == folder.REVIEW:
                reviewer = clean(one["body"]["by"], limit=60)
            elif one["kind"] == folder.DECIDED:
                outcome = f"{clean(one['body']['outcome'], limit=30)}\n{clean(one['body']['why'], limit=300)}"
    when = f"{datetime.fromtimestamp(entry['time'] / 1e6, UTC):%Y-%m-%d}"
    return f"{clean(item, limit=40)}\n{clean(about.get('reference'), limit=40)}", when, reviewer, outcome
