"""``matches.json``: groups of own candidates with the counterparts that have them too, and what these disclosed."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spiritsafe.sharing.matching.roster import Roster


def grouped(
    shared: Mapping[bytes, set[str]],
    tokens: Mapping[bytes, tuple[str, bytes]],
    candidates: Mapping[bytes, Sequence[str]],
    told: Mapping[str, Sequence[dict[str, Any]]],
    roster: Roster,
) -> list[dict[str, Any]]:
    """Own candidates that belong together: by a tag that they have in common, or by one candidate of a counterpart.

    ``shared``: others by tag; ``tokens``: class by tag; ``candidates``: own candidates by tag; ``told``: by counterpart.
    """
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while above.setdefault(name, name) != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for tag in shared:
        for candidate in candidates[tag][1:]:
            above[top(candidate)] = top(candidates[tag][0])
    for entries in told.values():
        for entry in entries:
            own = [candidate for tag in entry["tags"] for candidate in candidates[tag]]
            for candidate in own[1:]:
                above[top(candidate)] = top(own[0])
    tags: defaultdict[str, list[bytes]] = defaultdict(list)
    for tag in sorted(shared):
        tags[top(candidates[tag][0])].append(tag)
    members = {one: top(one) for tag in shared for one in candidates[tag]}
    groups = [
        {
            "candidates": sorted(one for one, root in members.items() if root == name),
            "tokens": dict(sorted(Counter(tokens[tag][0] for tag in found).items())),
            "counterparts": [
                _counterpart(member, found, shared, tokens, told.get(member, ()), roster)
                for member in sorted({other for tag in found for other in shared[tag]})
            ],
        }
        for name, found in tags.items()
    ]
    return sorted(groups, key=lambda one: (-len(one["counterparts"]), one["candidates"]))


def tagged(
    tokens: Mapping[bytes, tuple[str, bytes]],
    values: Mapping[bytes, str],
    candidates: Mapping[bytes, Sequence[str]],
) -> list[dict[str, str]]:
    """Lines of ``tags.jsonl``, which joint evidence commits to: the tag of each identifier of each candidate."""
    return [
        {"candidate_id": candidate, "class": name, "value": values[tag], "tag": tag.hex()}
        for tag, (name, _) in sorted(tokens.items(), key=lambda item: (item[1][0], values[item[0]]))
        for candidate in candidates[tag]
    ]


def met(
    shared: Mapping[bytes, set[str]], told: Mapping[str, Sequence[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Lines of ``matched.jsonl``: each shared tag, and by whom it is held under which commitment, if one was disclosed."""
    return [
        {
            "tag": tag.hex(),
            "met": [
                {"by": member, "name": entry["facts"]["commitment"]}
                for member in sorted(shared[tag])
                for entry in told.get(member, ())
                if tag in entry["tags"] and "commitment" in entry["facts"]
            ],
        }
        for tag in sorted(shared)
    ]


def _counterpart(
    member: str,
    found: Sequence[bytes],
    shared: Mapping[bytes, set[str]],
    tokens: Mapping[bytes, tuple[str, bytes]],
    told: Sequence[dict[str, Any]],
    roster: Roster,
) -> dict[str, Any]:
    here = {tag for tag in found if member in shared[tag]}
    return {
        "member": member,
        "pseudonym": roster.member(member).name,
        "shared": dict(sorted(Counter(tokens[tag][0] for tag in here).items())),
        "disclosed": [
            {
                "reference": entry["reference"],
                "tokens": len(here & set(entry["tags"])),
                "facts": entry["facts"],
            }
            for entry in told
            if here & set(entry["tags"])
        ],
    }
