"""What a member sees of it on a terminal. Texts of others are shown without anything that steers a terminal."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from spiritsafe.orders.content import rfc3339
from spiritsafe.sharing.client.redress import DECISIONS, OWN_DECISIONS
from spiritsafe.sharing.stix.read import facts
from spiritsafe.sharing.stix.terms import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.sharing.client.gossip import Heard
    from spiritsafe.sharing.client.incoming import Pulled
    from spiritsafe.sharing.client.outgoing import Outgoing
    from spiritsafe.sharing.client.redress import Review
    from spiritsafe.sharing.client.settings import Member
    from spiritsafe.sharing.client.sightings import Own, Seen
    from spiritsafe.sharing.client.state import Kept
    from spiritsafe.sharing.client.use import Used
    from spiritsafe.sharing.stix.read import Received


def preview(found: Outgoing, member: Member, *, usual: bool) -> None:
    """What would leave, and what is withheld and why."""
    console = Console(highlight=False, markup=False)
    if usual:
        console.print(
            "There is no share.toml: shown under the usual terms, without a member's name and signature."
        )
    terms = member.terms
    console.print(
        f"{len(found.objects)} objects, {len(found.body):,} bytes, sha256 {found.digest[:16]}…, TLP:{terms.tlp.upper()}, "
        f"PAP:{terms.pap.upper()}, purpose {terms.purpose}, legal basis {terms.legal_basis}."
    )
    leaves = Table("Leaves", "What it says", "Bytes", box=None, pad_edge=False)
    for one in found.objects:
        said = one.get("description") or one.get("content") or one.get("explanation") or _ends(one)
        leaves.add_row(one["type"], said, f"{len(json.dumps(one, separators=(',', ':'))):,}")
        if "pattern" in one:
            leaves.add_row("", one["pattern"], "")
    console.print(leaves)
    stays = Table("Withheld", "Many", "Why", "Instead", box=None, pad_edge=False)
    for one in found.withheld:
        stays.add_row(one.what, f"{one.many:,}", one.why, one.instead or "–")
    console.print(stays)
    console.print("The message itself: --json, or --out FILE for its bytes.")


def pulled(found: Pulled, heard: Heard, used: Sequence[Used], received: Received, opened: int) -> str:
    """What one pull brought and what the rules make of it."""
    everything = " (everything was fetched)" if found.whole else ""
    counts = f"{found.new} new of {found.objects} objects{everything}, {found.gone} gone from the hub"
    lines = [f"{counts}, log of {found.leaves} leaves"]
    lines += [f"not taken: {plain(key)}: {plain(why)}" for key, why in found.refused]
    lines += [
        f"{plain(name)} has the new key {plain(key)}, for which the hub alone vouches"
        for name, key in found.new_keys
    ]
    lines += [f"one log: {len(heard.agree)} other members were shown the same"] if heard.agree else []
    lines += [
        f"{plain(name)} has not said, for a week or ever, what it saw of the log" for name in heard.silent
    ]
    lines += [
        f"what the hub gives as {plain(name)}'s word is none: {plain(why)}" for name, why in heard.unheard
    ]
    uses = Counter(one.use or f"not used: {one.why}" for one in used)
    lines += [f"{many} indicators: {use}" for use, many in sorted(uses.items())]
    lines += [f"{key}: {why}" for key, why in received.unusable]
    if opened:
        lines.append(f"{opened} new reviews: spiritsafe share reviews")
    return "\n".join(lines)


def seen(
    found: Mapping[str, Seen],
    own: Iterable[Own],
    members: Mapping[str, tuple[str, str]],
    here: Iterable[Kept],
) -> str:
    """Own matches, own campaigns that they belong to, and what members say that they saw."""
    lines = [
        f"{key}: {one.exchanges:,} exchanges of {len(one.accounts):,} accounts, {rfc3339(one.first)} to {rfc3339(one.last)}"
        for key, one in sorted(found.items())
    ]
    lines += [
        f"your {one.campaign_id}: {one.accounts:,} of its {one.of:,} accounts match {one.indicator}"
        for one in own
    ]
    for kept in here:
        told = facts(kept.stix)
        if kept.stix["type"] == "sighting" and told is not None and not kept.stix.get("revoked"):
            name = members.get(kept.author, ("?", ""))[0]
            lines.append(
                f"{plain(name)}: {told['outcome']} {kept.stix['sighting_of_ref']}, {kept.stix['first_seen'][:10]}"
            )
    return "\n".join(lines) or "nothing was seen"


def reviews(listed: Sequence[Review], now: int) -> str:
    """What is due, soonest first."""
    lines: list[str] = []
    for one in listed:
        days = (one.due - now) // DAY
        when = (
            f"decided: {one.decision}"
            if one.decided
            else "OVERDUE"
            if one.due <= now
            else f"{days} days left"
        )
        matched = ", matched in your log" if one.matched else ""
        lines.append(f"{rfc3339(one.due)[:10]}  {when:16} {one.object}  {one.why}{matched}")
        if one.decided is None:
            lines.append(
                f"            because of {one.cause}; decide: {', '.join(OWN_DECISIONS if one.mine else DECISIONS)}"
            )
    return "\n".join(lines) or "nothing to review"


def members(listed: Sequence[Mapping[str, Any]], me: str) -> str:
    """Who is in the forum."""
    return (
        "\n".join(
            f"{plain(one['pseudonym'])}  {plain(one['state']):10} {one['identity']}  "
            f"{len(one['keys'])} keys{' (you)' if one['identity'] == me else ''}{_saw(one['log'])}"
            for one in listed
        )
        or "nobody is known: pull first"
    )


def _saw(log: Mapping[str, int] | None) -> str:
    return f"  saw {log['leaves']:,} leaves at {rfc3339(log['time'])}" if log else ""


def plain(text: str) -> str:
    """Without what steers a terminal."""
    return "".join(one if one.isprintable() else "?" for one in text)[:300]


def _ends(stix: Mapping[str, Any]) -> str:
    if stix["type"] == "relationship":
        return f"{stix['source_ref'][:18]}… {stix['relationship_type']} {stix['target_ref'][:18]}…"
    return stix.get("name", "")
