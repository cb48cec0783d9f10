"""Both rounds in memory: exact, disclosed to whom it may be, and what a hub or a member can do against it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchforum import (
    NOW,
    Forum,
    Made,
    Posted,
    evaluated,
    hub_answer,
    identity,
    make,
    member,
    place,
    posted,
    pseudonym,
    signer,
)
from spiritsafe.attest.merkle import leaf_hash
from spiritsafe.attest.merkle import root as log_root
from spiritsafe.errors import ScopeError, SharingError
from spiritsafe.sharing.matching import disclosure, matches, psi, sealed, tags
from spiritsafe.sharing.matching.epoch import DAY
from spiritsafe.sharing.matching.result import grouped
from spiritsafe.sharing.matching.roster import Roster
from spiritsafe.sharing.matching.statements import b64, raw, sign
from spiritsafe.sharing.matching.tree import Tree, verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WORDS = [f"{i:02d}{'0123456789abcdef' * 2}" for i in range(24)]


@pytest.fixture(scope="module")
def tokens(made: Made) -> dict[str, tuple[bytes, tuple[str, bytes]]]:
    """Tag, class and token of each word."""
    found = evaluated(made, "a", {"device": WORDS})
    return dict(zip(WORDS, found.items(), strict=True))


def _post(
    made: Made, tokens: Mapping[str, tuple[bytes, tuple[str, bytes]]], who: str, held: Sequence[str]
) -> Posted:
    return posted(made, who, dict(tokens[word] for word in held))


def _found(
    made: Made, sets: Sequence[Posted], who: Posted, least: int, answer: Any = None
) -> matches.Matches:
    given = hub_answer(sets, who.who, least) if answer is None else answer
    return matches.checked(given, place(made), identity(who.who), who.tokens, made.forum.roster, NOW)


@given(
    st.dictionaries(st.sampled_from("abcde"), st.sets(st.sampled_from(WORDS)), min_size=1), st.integers(2, 5)
)
@settings(max_examples=40, deadline=None)
def test_matching_equals_plain_intersection(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]], held: dict[str, set[str]], least: int
):
    sets = [_post(made, tokens, who, sorted(words)) for who, words in held.items()]
    counts = Counter(word for words in held.values() for word in words)
    for one in sets:
        found = _found(made, sets, one, least)
        assert not found.wrong
        expected = {
            tokens[word][0]: {
                identity(other) for other, words in held.items() if word in words and other != one.who
            }
            for word in held[one.who]
            if counts[word] >= least
        }
        assert found.shared(least) == expected


@given(st.integers(1, 70), st.sets(st.integers(0, 69), min_size=1))
@settings(max_examples=100, deadline=None)
def test_one_proof_for_many_leaves_leads_to_the_root_of_rfc_6962(size: int, wanted: set[int]):
    leaves = [bytes([i]) * 3 for i in range(size)]
    tree = Tree(leaves)
    assert tree.root == log_root([leaf_hash(one) for one in leaves])
    chosen = {i: leaves[i] for i in wanted if i < size}
    if not chosen:
        return
    proof = tree.prove(list(chosen))
    verify(size, chosen, proof, tree.root)
    for broken in (
        {**chosen, min(chosen): b"other"},
        {i + size: one for i, one in chosen.items()},
    ):
        with pytest.raises(SharingError):
            verify(size, broken, proof, tree.root)
    for wrong in (
        [*proof, bytes(32)],
        proof[:-1] if proof else [bytes(32)],
        proof[::-1] if proof != proof[::-1] else [b""],
    ):
        with pytest.raises(SharingError):
            verify(size, chosen, wrong, tree.root)


def test_sets_say_little(made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]):
    """One size for one and for twenty identifiers; a set posted again keeps its chance rows."""
    small, large = _post(made, tokens, "a", WORDS[:1]), _post(made, tokens, "a", WORDS[:20])
    assert small.statement.body["size"] == large.statement.body["size"] == tags.SMALLEST
    common = set(tags.split(small.rows)) & set(tags.split(large.rows))
    assert len(common) == tags.SMALLEST - 19
    assert tags.rows(place(made), identity("a"), small.tokens, b"a") == small.rows


def test_tags_of_epochs_purposes_and_members_do_not_link(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    """The same identifier under a new epoch's key, and the same token for another purpose: nothing in common."""
    other = make(Forum(number=2))
    old, new = evaluated(made, "a", {"device": WORDS[:3]}), evaluated(other, "a", {"device": WORDS[:3]})
    assert not set(old) & set(new)
    name, token = tokens[WORDS[0]][1]
    here = place(made)
    assert here.tag(name, token) != here._replace(purpose="other").tag(name, token)
    assert here.mark("m", token) != here.mark("n", token)
    assert here.item(name, token) != here.tag(name, token)


# A malicious hub


def _sets(made: Made, tokens: Mapping[str, tuple[bytes, tuple[str, bytes]]]) -> list[Posted]:
    """``a`` and ``b`` share words 2 to 5, ``c`` has 4 and 5 too."""
    held = {"a": WORDS[:6], "b": WORDS[2:9], "c": WORDS[4:6]}
    return [_post(made, tokens, who, words) for who, words in held.items()]


def test_a_hub_opens_nothing_early(made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]):
    """It answers as if two were enough: with three needed, only what a, b and c have counts."""
    sets = _sets(made, tokens)
    found = _found(made, sets, sets[0], 3, hub_answer(sets, "a", 2))
    assert found.shared(3).keys() == {tokens[word][0] for word in WORDS[4:6]}


def test_a_hub_forges_no_member(made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]):
    """It enrols a member of its own and posts what it saw: nobody's roster has it."""
    sets = _sets(made, tokens)
    puppet = posted(made, "z", {})
    rows = tags.ordered(sets[0].rows)
    statement = tags.post(
        place(made),
        identity("z"),
        signer("z"),
        rows,
        version=1,
        seal_to=sealed.public(puppet.key),
        made=NOW,
        until=NOW + DAY,
    )
    forged = dataclasses.replace(puppet, rows=rows, statement=statement)
    found = _found(made, sets, sets[0], 2, hub_answer([*sets, forged], "a", 2))
    assert [*found.wrong.values()] == ["this is no member of the roster"]
    assert identity("z") not in set().union(*found.shared(2).values())
    # With another member's name it lacks the signature.
    body = {**statement.body, "by": identity("d")}
    stolen = dataclasses.replace(forged, who="d", statement=sign("set", body, signer("z")))
    found = _found(made, sets, sets[0], 2, hub_answer([*sets, stolen], "a", 2))
    assert ["not signed by the member" in why for why in found.wrong.values()] == [True]


def test_a_hub_and_a_member_that_copies_tags_count_for_nothing(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    """A member posts the tags of ``a``, which the hub gave it: it cannot make the marks, and is told."""
    sets = _sets(made, tokens)
    copied = tags.ordered(b"".join(row[:32] + bytes(16) for row in tags.split(sets[0].rows)))
    statement = tags.post(
        place(made),
        identity("d"),
        signer("d"),
        copied,
        version=1,
        seal_to=bytes(32),
        made=NOW,
        until=NOW + DAY,
    )
    cheat = Posted("d", {}, copied, statement, sealed.private())
    found = _found(made, sets, sets[0], 3, hub_answer([*sets, cheat], "a", 2))
    assert found.wrong == {identity("d"): "posted a tag without knowing its identifier"}
    assert found.shared(3).keys() == {tokens[word][0] for word in WORDS[4:6]}
    # Nor do another's marks help: they are made for that member.
    same = tags.post(
        place(made),
        identity("d"),
        signer("d"),
        sets[1].rows,
        version=1,
        seal_to=bytes(32),
        made=NOW,
        until=NOW + DAY,
    )
    found = _found(
        made,
        sets,
        sets[0],
        3,
        hub_answer([*sets, Posted("d", {}, sets[1].rows, same, sealed.private())], "a", 2),
    )
    assert identity("d") in found.wrong
    assert identity("d") not in set().union(*found.holders.values())


def test_a_member_reaches_k_alone_by_no_means(made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]):
    """One tag twice in a set, the own set again, two versions: one member is one."""
    a, b, _ = _sets(made, tokens)
    answer = hub_answer([a, b], "a", 2)
    again = {"sets": [answer["sets"][0], answer["sets"][0]]}
    assert _found(made, [], a, 2, again).wrong == {identity("b"): "a member stands there twice"}
    own = {"sets": [hub_answer([a, b], "b", 2)["sets"][0]]}
    assert _found(made, [], a, 2, own).wrong == {identity("a"): "a member stands there twice"}
    row = tags.split(b.rows)[0]
    twice = tags.ordered(b.rows + row[:32] + bytes(16))
    with pytest.raises(SharingError, match="no tag stands twice"):
        tags.split(twice)
    leaves = [twice[i : i + 48] for i in range(0, len(twice), 48)]
    body = {**b.statement.body, "size": len(leaves), "root": Tree(leaves).root.hex()}
    entry = {
        "statement": sign("set", body, signer("b")).envelope,
        "indices": [0, 1],
        "rows": b"".join(leaves[:2]),
        "proof": b"".join(Tree(leaves).prove([0, 1])),
    }
    assert _found(made, [], a, 2, {"sets": [entry]}).wrong == {
        identity("b"): "one tag stands twice in the set"
    }


def test_a_hub_that_swaps_replays_or_changes_sets_is_told(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    sets = _sets(made, tokens)
    a, b, c = sets
    good = hub_answer(sets, "a", 2)
    by = {one["statement"]["payload"]: one for one in good["sets"]}
    of_b, of_c = by[b.statement.envelope["payload"]], by[c.statement.envelope["payload"]]
    old = tags.post(
        place(made),
        identity("b"),
        signer("b"),
        b.rows,
        version=1,
        seal_to=bytes(32),
        made=NOW - 8 * DAY,
        until=NOW,
    )
    elsewhere = tags.post(
        place(made)._replace(purpose="other"), identity("b"), signer("b"), b.rows, version=1, seal_to=bytes(32), made=NOW,
        until=NOW + DAY,
    )  # fmt: skip
    bad: list[dict[str, Any]] = [
        {**of_b, "rows": of_c["rows"]},
        {**of_b, "indices": of_b["indices"][::-1]},
        {**of_b, "indices": of_b["indices"][:-1]},
        {**of_b, "indices": [10**6] * len(of_b["indices"])},
        {**of_b, "indices": [float(i) for i in of_b["indices"]]},
        {**of_b, "proof": of_c["proof"]},
        {**of_b, "proof": b""},
        {**of_b, "indices": 7},
        {**of_b, "rows": tags.chosen(a.rows, of_b["indices"])},
        {**of_b, "statement": old.envelope},
        {**of_b, "statement": elsewhere.envelope},
        {**of_b, "statement": of_c["statement"]},
        {**of_b, "statement": {}},
        {**of_b, "more": 1},
    ]
    for entry in bad:
        found = _found(made, sets, a, 2, {"sets": [entry, of_c]})
        assert len(found.wrong) == 1, entry
        assert set().union(*found.shared(2).values()) == {identity("c")}
    for answer in (None, [], {"sets": 1}, {"sets": [of_b] * 9}):
        with pytest.raises(SharingError):
            matches.checked(answer, place(made), identity("a"), a.tokens, made.forum.roster, NOW)


def test_what_a_hub_leaves_out_is_found_by_comparing(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    """Dropping is what a hub can do. Two members that compare without it see more than it said."""
    a, b, c = _sets(made, tokens)
    told = _found(made, [], a, 2, hub_answer([a, c], "a", 2)).shared(2)  # b's set was dropped
    items = {one.who: {place(made).item(n, t): tag for tag, (n, t) in one.tokens.items()} for one in (a, b)}
    made_offer = psi.offer(place(made), items["a"])
    found = psi.common(made_offer, psi.reply(place(made), items["b"], made_offer.points))
    tags_found = {items["a"][one] for one in found}
    assert tags_found == {tokens[word][0] for word in WORDS[2:6]}
    assert {tag for tag in tags_found if identity("b") not in told.get(tag, ())} == tags_found


# Comparing


@given(
    st.sets(st.binary(min_size=32, max_size=32), max_size=12),
    st.sets(st.binary(min_size=32, max_size=32), max_size=12),
)
@settings(max_examples=25, deadline=None)
def test_comparing_equals_intersection(made: Made, left: set[bytes], right: set[bytes]):
    both = {bytes([i]) * 32 for i in range(3)}
    offered = psi.offer(place(made), left | both)
    assert psi.common(offered, psi.reply(place(made), right | both, offered.points)) == (left | both) & (
        right | both
    )


def test_comparing_refuses_what_is_no_point(made: Made):
    offered = psi.offer(place(made), [b"x" * 32])
    for bad in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32, offered.points[:31]):
        with pytest.raises(SharingError):
            psi.reply(place(made), [b"y"], bad)
    good = psi.reply(place(made), [b"y"], offered.points)
    with pytest.raises(SharingError):
        psi.common(offered, good._replace(doubled=good.doubled * 2))
    with pytest.raises(SharingError):
        psi.common(offered, good._replace(own=bytes(32)))


# The second round


def _disclosed(
    made: Made, a: Posted, b: Posted, shared: Mapping[str, set[bytes]], facts: Mapping[str, Any]
) -> Any:
    message = disclosure.write(
        place(made), identity("a"), signer("a"), identity("b"), shared, facts, b"secret"
    )
    return disclosure.seal(
        message,
        place(made),
        identity("a"),
        signer("a"),
        identity("b"),
        sealed.public(b.key),
        "disclosure",
        now=NOW,
    )


def test_a_disclosure_is_read_by_its_receiver_alone(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    sets = _sets(made, tokens)
    a, b, c = sets
    seen_by_b = _found(made, sets, b, 2).shared(2)
    tag = tokens[WORDS[3]][0]
    facts = {"c-1": {"exchanges": 5, "contact": "desk@lab.example", "commitment": "0" * 64}}
    statement, box = _disclosed(made, a, b, {"c-1": {tag}}, facts)
    assert (len(box) - sealed.OVERHEAD) == disclosure.SMALLEST
    cover, message = disclosure.unseal(
        statement.envelope, box, place(made), identity("b"), b.key, "disclosure", made.forum.roster
    )
    told = disclosure.read_disclosure(
        message, place(made), cover.by, identity("b"), seen_by_b, made.forum.roster
    )
    assert told == [
        {"reference": disclosure.reference(b"secret", "c-1"), "tags": [tag], "facts": facts["c-1"]}
    ]
    here, roster = place(made), made.forum.roster
    for who, key, cover_, content in (
        ("c", c.key, statement.envelope, box),  # meant for another
        ("b", c.key, statement.envelope, box),
        ("b", b.key, statement.envelope, box[:-1] + b"\0"),
        ("b", b.key, {**statement.envelope, "signatures": []}, box),
    ):
        with pytest.raises(SharingError):
            disclosure.unseal(cover_, content, here, identity(who), key, "disclosure", roster)
    for other in (here._replace(purpose="other"), here._replace(epoch="0" * 64)):
        with pytest.raises(SharingError):
            disclosure.unseal(statement.envelope, box, other, identity("b"), b.key, "disclosure", roster)
    with pytest.raises(SharingError):
        disclosure.unseal(statement.envelope, box, here, identity("b"), b.key, "offer", roster)


def test_a_sealed_box_is_not_passed_on_as_ones_own(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    """``c`` puts its own cover on a box of ``a``'s: sender and receiver are bound to the seal."""
    a, b, _ = _sets(made, tokens)
    statement, box = _disclosed(made, a, b, {"c-1": {tokens[WORDS[3]][0]}}, {})
    stolen = sign("message", {**statement.body, "by": identity("c")}, signer("c"))
    with pytest.raises(SharingError, match="does not open"):
        disclosure.unseal(
            stolen.envelope, box, place(made), identity("b"), b.key, "disclosure", made.forum.roster
        )


def test_a_disclosure_names_no_tag_that_is_not_shared(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    sets = _sets(made, tokens)
    shared = _found(made, sets, sets[1], 2).shared(2)
    for word in (WORDS[0], WORDS[8], WORDS[20]):  # a's alone, b's alone, nobody's
        message = disclosure.write(
            place(made), identity("a"), signer("a"), identity("b"), {"c-1": {tokens[word][0]}}, {}, b"s"
        )
        with pytest.raises(SharingError, match="not shared"):
            disclosure.read_disclosure(
                message, place(made), identity("a"), identity("b"), shared, made.forum.roster
            )


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"note": "our customer Smith"}, ""),
        ({"exchanges": 123_456}, "exchanges"),
        ({"exchanges": 5.5}, "exchanges"),
        ({"contact": "call me, it is urgent"}, "contact"),
        ({"first_seen": "2026-05-12"}, "first_seen"),
        ({"commitment": "abc"}, "commitment"),
    ],
)
def test_facts_are_a_closed_list(facts: dict[str, Any], field: str):
    with pytest.raises(ScopeError) as caught:
        disclosure.facts(facts, "c-1")
    assert caught.value.where == ("c-1/" + field).removesuffix("/")
    assert "Smith" not in str(caught.value)


def test_a_reference_tells_nothing_of_the_candidate():
    assert disclosure.reference(b"s", "c-1") != disclosure.reference(b"s", "c-2")
    assert disclosure.reference(b"s", "c-1") != disclosure.reference(b"t", "c-1")


def test_groups_are_joined_by_tags_and_by_what_others_tell(
    made: Made, tokens: dict[str, tuple[bytes, tuple[str, bytes]]]
):
    names = {i: tokens[WORDS[i]][0] for i in range(6)}
    classes = dict(tokens[word] for word in WORDS[:6])
    candidates = {
        names[0]: ["c-1"],
        names[1]: ["c-1", "c-2"],
        names[2]: ["c-3"],
        names[3]: ["c-4"],
        names[4]: ["c-5"],
    }
    shared = {names[i]: {identity("b")} for i in range(5)}
    shared[names[0]] = {identity("b"), identity("c")}
    told = {identity("b"): [{"reference": "r", "tags": [names[2], names[3]], "facts": {"exchanges": 4}}]}
    roster = Roster(member(name) for name in "abcde")
    found = grouped(shared, classes, candidates, told, roster)
    assert [group["candidates"] for group in found] == [["c-1", "c-2"], ["c-3", "c-4"], ["c-5"]]
    first, second = found[0], found[1]
    assert {one["pseudonym"]: one["shared"] for one in first["counterparts"]} == {
        pseudonym("b"): {"device": 2},
        pseudonym("c"): {"device": 1},
    }
    assert second["counterparts"][0]["disclosed"] == [
        {"reference": "r", "tokens": 2, "facts": {"exchanges": 4}}
    ]
    assert raw(b64(names[0])) == names[0]
