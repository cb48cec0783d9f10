"""The forum's transparency report: what was shared, seen, disputed, taken back and let end in a period.

Two pages. *Among members*: exact counts, since each member can count them itself. *To the public*: differentially private where a
count is large enough to bear it, in words where it is not. The unit of privacy is a whole member (or one object): whoever sees
the page can hardly tell whether it took part. What each period costs is kept in a ledger, and so is the page itself: a page is
drawn once, for noise drawn twice would average out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import SharingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from spiritsafe.ledger import Entry, Ledger

KIND = "transparency"
"""Kind of the ledger's entries."""
EXTENSION = "extension-definition--b1d2c6f0-5c1e-4d7a-8f35-2a9e6b7c4d11"
SHARED = ("campaign", "indicator", "infrastructure", "course-of-action", "note")
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "shared": SHARED,
    "sightings": ("seen", "false-positive", "expired"),
    "redress": ("dispute", "appeal-upheld", "appeal-rejected", "review"),
    "ended": ("revoked", "expired"),
}
"""What is counted. One member's objects of a family are capped together, so that one noise fits all counts of a family."""
ERROR, CONFIDENCE = 0.1, 0.95
"""A count bears privacy when its relative error stays below the first with the second's chance."""


@dataclass(frozen=True, slots=True)
class Period:
    """``start`` and ``end``: RFC 3339 times or days that sort as text, the end not included."""

    start: str
    end: str

    def __post_init__(self) -> None:
        """Raise UsageError when it ends before it begins."""
        if not self.start < self.end:
            raise UsageError(f"the period ends before it begins: {self.start} to {self.end}")

    def holds(self, time: str) -> bool:
        """Whether a time of a STIX object lies in the period."""
        return self.start <= time < self.end

    def meets(self, other: Period) -> bool:
        """Whether the two have a moment in common."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Privacy:
    """``epsilon`` a family and period; ``unit``: ``member`` or ``object``; ``cap``: objects of a member that count in a family.

    ``budget``: what all periods together may cost.
    """

    epsilon: float = 1.0
    unit: str = "member"
    cap: int = 20
    budget: float = 16.0

    def __post_init__(self) -> None:
        """Raise UsageError for what makes no sense."""
        if self.unit not in {"member", "object"}:
            raise UsageError(f"there is no unit of privacy {self.unit!r}", hint="member or object")
        if not (self.epsilon > 0 and self.budget > 0 and self.cap >= 1):
            raise UsageError("epsilon, budget and cap are above 0")

    @property
    def sensitivity(self) -> int:
        """By how much one unit changes the counts of a family, added up."""
        return self.cap if self.unit == "member" else 1

    @property
    def scale(self) -> float:
        """Scale of the discrete Laplace noise."""
        return self.sensitivity / self.epsilon

    @property
    def cost(self) -> float:
        """Epsilon of one period: a unit can be in each family, so the families add up."""
        return self.epsilon * len(FAMILIES)

    def error(self) -> int:
        """The noise is at most this large with a chance of 95 %."""
        # P(|X| > q) = 2 r^(q+1) / (1 + r) with r = exp(-1 / scale).
        r = math.exp(-1 / self.scale)
        return max(0, math.ceil(math.log((1 - CONFIDENCE) * (1 + r) / 2) / math.log(r) - 1))

    def least(self) -> int:
        """Below this, a noisy count is told in words: above, the count is ten errors or more with a chance of 95 %."""
        return math.ceil(self.error() * (1 + 1 / ERROR))

    def fewer_than(self) -> int:
        """What a count told in words is below, with a chance of 95 %."""
        return self.least() + self.error()


def counted(objects: Iterable[Mapping[str, Any]], period: Period) -> dict[str, dict[str, Counter[str]]]:
    """By family and what is counted: objects of the period by author. Raises SharingError for what is no object.

    All versions may be given, in any order. Shared is what was created in the period, revoked what was taken back in it, expired
    what ended in it without being taken back.
    """
    found = {family: {name: Counter[str]() for name in names} for family, names in FAMILIES.items()}
    versions: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in objects:
        for name in ("type", "id"):
            if not isinstance(one.get(name), str):
                raise SharingError(f"an object without {name}")
        if isinstance(one.get("created_by_ref"), str) and isinstance(one.get("created"), str):
            versions[one["id"]].append(one)
    for among in versions.values():
        last = max(among, key=lambda one: str(one.get("modified", one["created"])))
        author, kind = str(last["created_by_ref"]), last["type"]
        if kind in SHARED:
            if period.holds(last["created"]):
                found["shared"][kind][author] += 1
            _ended(found["ended"], last, author, period)
        elif period.holds(last["created"]):
            family, name = _told(last)
            if name in found.get(family, {}):
                found[family][name][author] += 1
    return found


def _told(stix: Mapping[str, Any]) -> tuple[str, str]:
    """Family and name of a sighting, or of an opinion that is a step of redress."""
    facts = _facts(stix)
    if stix["type"] == "sighting":
        return "sightings", str(facts.get("outcome", "seen"))
    redress = facts.get("redress")
    step = cast("dict[str, Any]", redress).get("step") if isinstance(redress, dict) else None
    return "redress" if stix["type"] == "opinion" else "", str(step)


def _ended(found: dict[str, Counter[str]], last: Mapping[str, Any], author: str, period: Period) -> None:
    until = last.get("valid_until") or _facts(last).get("valid_until")
    if last.get("revoked") is True:
        if period.holds(str(last.get("modified", last["created"]))):
            found["revoked"][author] += 1
    elif isinstance(until, str) and period.holds(until):
        found["expired"][author] += 1


def _facts(stix: Mapping[str, Any]) -> Mapping[str, Any]:
    extensions = stix.get("extensions")
    facts = cast("dict[str, Any]", extensions).get(EXTENSION) if isinstance(extensions, dict) else None
    return cast("dict[str, Any]", facts) if isinstance(facts, dict) else {}


def among_members(
    objects: Iterable[Mapping[str, Any]],
    period: Period,
    *,
    members: int,
    rounds: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The page for members: exact. ``members``: how many the forum has; ``rounds``: joint decisions of the period."""
    found = counted(objects, period)
    authors = {author for names in found.values() for by in names.values() for author in by}
    return {
        "schema": 1,
        "audience": "members",
        "period": asdict(period),
        "members": members,
        "members_that_shared": len(authors),
        "counts": {
            family: {name: sum(by.values()) for name, by in names.items()} for family, names in found.items()
        },
        "joint": {
            "rounds": len(rounds),
            "groups": sum(int(one["hypotheses"]) for one in rounds),
            "campaigns": sum(int(one["campaigns"]) for one in rounds),
        },
    }


def to_the_public(
    objects: Iterable[Mapping[str, Any]],
    period: Period,
    ledger: Ledger,
    earlier: Iterable[Entry],
    *,
    members: int,
    privacy: Privacy,
    now: int,
    noise: Callable[[Sequence[int], float], Sequence[int]] | None = None,
) -> dict[str, Any]:
    """The page for the public, drawn once: for a period that has one already the same is given again.

    ``earlier``: the entries of ``ledger``; ``members`` is public. ``noise`` adds discrete Laplace noise of a scale to counts
    (OpenDP's by default). Raises UsageError when periods overlap, the budget is spent, or OpenDP is not there.
    """
    spent = 0.0
    for entry in earlier:
        if entry.kind != KIND:
            continue
        page = cast("dict[str, Any]", entry.body["page"])
        known = Period(page["period"]["start"], page["period"]["end"])
        if known == period:
            return page
        if known.meets(period):
            raise UsageError(
                f"a page about {known.start} to {known.end} was published",
                hint="periods do not overlap: what is in two pages would cost twice",
            )
        spent += page["privacy"]["cost"]
    if spent + privacy.cost > privacy.budget + 1e-9:
        raise UsageError(
            f"the budget is spent: {spent:g} of {privacy.budget:g}, a period costs {privacy.cost:g}",
            hint="longer periods, a smaller epsilon, or a new budget that the members decide on",
        )
    add = noise or opendp
    counts = {
        family: {
            name: _shown(value, privacy)
            for name, value in zip(names, add(_capped(names, privacy), privacy.scale), strict=True)
        }
        for family, names in counted(objects, period).items()
    }
    page = {
        "schema": 1,
        "audience": "public",
        "period": asdict(period),
        "members": members,
        "counts": counts,
        "privacy": {
            "mechanism": "discrete Laplace",
            "epsilon": privacy.epsilon,
            "unit": privacy.unit,
            "sensitivity": privacy.sensitivity,
            "error_95": privacy.error(),
            "least": privacy.least(),
            "cost": privacy.cost,
            "spent": spent + privacy.cost,
            "budget": privacy.budget,
        },
    }
    ledger.append(KIND, {"page": page}, time=now)
    return page


def _capped(names: Mapping[str, Counter[str]], privacy: Privacy) -> list[int]:
    """Counts of a family in which no member has more than ``cap`` objects in all, the first names first."""
    if privacy.unit == "object":
        return [sum(by.values()) for by in names.values()]
    left: dict[str, int] = defaultdict(lambda: privacy.cap)
    totals: list[int] = []
    for by in names.values():
        taken = 0
        for author, count in by.items():
            part = min(count, left[author])
            left[author] -= part
            taken += part
        totals.append(taken)
    return totals


def _shown(noisy: int, privacy: Privacy) -> dict[str, Any]:
    """A count, or the words that stand for it. Decided on the noisy count, so that it costs no privacy."""
    if noisy >= privacy.least():
        return {"about": int(noisy)}
    return {"fewer_than": privacy.fewer_than()}


def opendp(values: Sequence[int], scale: float) -> list[int]:
    """``values`` with independent discrete Laplace noise of ``scale``, by OpenDP. Raises UsageError where it is missing."""
    try:
        from opendp import domains, measurements, metrics, mod  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "differential privacy needs OpenDP", hint="pip install 'spiritsafe[transparency]'"
        ) from error
    mod.enable_features(
        "contrib"
    )  # what a committee has not signed off; the sampler is that of Canonne et al. 2020, exact
    space = domains.vector_domain(domains.atom_domain(T=int)), metrics.l1_distance(T=int)
    with_noise = measurements.make_laplace(*space, scale=scale)
    return list(with_noise(list(values)))


def as_text(page: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    period = page["period"]
    lines = [
        f"# Transparency report, {period['start']} to {period['end']}",
        "",
        f"{page['members']} members." if page["audience"] == "public" else _members(page),
        "",
    ]
    for family, names in page["counts"].items():
        lines += [f"## {family.capitalize()}", "", "| | |", "|---|---:|"]
        lines += [f"| {name.replace('-', ' ')} | {_cell(value)} |" for name, value in names.items()]
        lines.append("")
    if page["audience"] == "public":
        told = page["privacy"]
        made = (
            f"Each count has {told['mechanism']} noise: ε = {told['epsilon']:g} for each section, the unit is one "
            f"{told['unit']} (at most {told['sensitivity']} in a section). With a chance of 95 % a number is off by "
            f"{told['error_95']} at most. Where that would be more than a tenth of it, words stand instead. This period costs "
            f"ε = {told['cost']:g}; all so far {told['spent']:g} of {told['budget']:g}."
        )
        lines += ["## How these numbers were made", "", made, ""]
    else:
        joint = page["joint"]
        lines += [
            "## Joint evidence",
            "",
            f"{joint['rounds']} rounds, {joint['groups']} groups decided, {joint['campaigns']} campaigns found.",
            "",
        ]
    return "\n".join(lines)


def _members(page: Mapping[str, Any]) -> str:
    return f"{page['members']} members, of which {page['members_that_shared']} shared something."


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"about {value['about']:,}" if "about" in value else f"fewer than {value['fewer_than']:,}"
