from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from matchforum import NOW, Forum, Made, identity, make, member, signer
from spiritsafe.errors import MisconductError, SharingError
from spiritsafe.sharing.matching import ceremony, group, sealed, shares, sums, voprf
from spiritsafe.sharing.matching.epoch import DAY, certified, proposed
from spiritsafe.sharing.matching.roster import HOLDER, Roster
from spiritsafe.sharing.matching.statements import Statement, b64, opened, raw, sign

if TYPE_CHECKING:
    from collections.abc import Callable


def _key(made: Made, name: str, holders: list[str]) -> bytes:
    """The secret of a class, joined from shares as only a test may."""
    numerators, denominator = sums.at_zero([made.epoch.proposal.index(identity(one)) for one in holders])
    total = sum(
        n * int.from_bytes(made.shares[one][name], "little")
        for n, one in zip(numerators, holders, strict=True)
    )
    return group.number(total * pow(denominator, -1, group.ORDER))


def test_any_three_of_five_have_the_key_and_it_is_the_one_published(made: Made):
    for name in made.epoch.proposal.classes:
        found = {_key(made, name, list(three)) for three in itertools.combinations(made.forum.held, 3)}
        assert len(found) == 1
        assert group.base(found.pop()) == made.epoch.public(name)
        for holder in made.forum.held:
            assert group.base(made.shares[holder][name]) == made.epoch.share_public(name, identity(holder))


def test_two_of_five_have_nothing(made: Made):
    """T - 1 shares fit each secret equally well: with them the key of any class can still be anything."""
    two = made.forum.held[:2]
    points = [made.epoch.proposal.index(identity(one)) for one in two]
    values = [int.from_bytes(made.shares[one]["ipv4"], "little") for one in two]
    for guess in (1, 12345, group.ORDER - 1):  # the polynomial through the guess and both shares exists
        numerators, denominator = sums.at_zero([*points, 9])
        wanted = guess * denominator - sum(n * v for n, v in zip(numerators, values, strict=False))
        third = wanted * pow(numerators[2], -1, group.ORDER) % group.ORDER
        joined = sum(n * v for n, v in zip(numerators, [*values, third], strict=True))
        assert joined * pow(denominator, -1, group.ORDER) % group.ORDER == guess
    assert _key(made, "ipv4", two) != _key(made, "ipv4", made.forum.held[:3])


def test_classes_and_epochs_have_unrelated_keys(made: Made):
    other = make(Forum(number=2))
    publics = [one.epoch.public(name) for one in (made, other) for name in one.epoch.proposal.classes]
    assert len(set(publics)) == len(publics)


def test_a_member_checks_the_certificate_alone(made: Made):
    through = json.loads(json.dumps(made.certificate))
    assert certified(through, made.forum.roster).id == made.epoch.id
    made.epoch.live(NOW)
    for when in (NOW - 1, NOW + 30 * DAY):
        with pytest.raises(SharingError, match="not in force"):
            made.epoch.live(when)


@pytest.mark.parametrize("what", ["drop", "twice", "other key", "changed rule", "not in roster", "no holder"])
def test_a_certificate_is_refused(made: Made, what: str):
    forged, roster = json.loads(json.dumps(made.certificate)), made.forum.roster
    if what == "drop":
        forged["verdicts"].pop()
    elif what == "twice":
        forged["verdicts"][0] = forged["verdicts"][1]
    elif what == "other key":
        forged["epoch"]["keys"]["ipv4"][0] = b64(group.base(group.random_scalar()))
    elif what == "changed rule":
        forged["epoch"]["proposal"]["least"] = 3
    elif what == "not in roster":
        roster = Roster(member(one, HOLDER) for one in "abcd")
    else:
        roster = Roster(member(one, *([HOLDER] if one != "a" else [])) for one in "abcde")
    with pytest.raises(SharingError):
        certified(forged, roster)


@pytest.mark.parametrize(
    "changes",
    [
        {"threshold": 2},
        {"threshold": 6},
        {"valid_until": NOW},
        {"valid_until": NOW + 101 * DAY},
        {"classes": {"ipv4": {"version": 2, "quota": 1}}},
        {"classes": {"asn": {"version": 1, "quota": 1}}},
        {"classes": {"payment": {"version": 1, "quota": 1_001}}},
        {"classes": {"ipv4": {"version": 1, "quota": 50_001}}},
    ],
)
def test_unsound_rules_are_no_proposal(changes: dict[str, Any]):
    forum = Forum()
    proposed(forum.body(), forum.roster)
    with pytest.raises(SharingError):
        proposed(forum.body(**changes), forum.roster)


def test_holders_are_those_of_the_roster_in_order():
    forum = Forum()
    turned, stranger = forum.body(), forum.body()
    turned["holders"].reverse()
    stranger["holders"][0]["member"] = "identity--00000000-0000-0000-0000-000000000000"
    for body in (turned, stranger):
        with pytest.raises(SharingError):
            proposed(body, forum.roster)


# Cheats. Each changes what holder 0 signs and sends; everybody else follows the protocol.


def _resigned(one: Statement, who: str, change: Callable[[dict[str, Any]], None]) -> Statement:
    body = json.loads(json.dumps(one.body))
    change(body)
    return sign(one.kind, body, signer(who))


def _run(
    forum: Forum,
    join: Callable[[dict[str, Any]], None] = lambda _: None,
    deal: Callable[[dict[str, Any]], None] = lambda _: None,
    verdict: Callable[[dict[str, Any]], None] = lambda _: None,
) -> tuple[dict[str, ceremony.Participant], list[Statement], list[Statement], list[Statement]]:
    parts = forum.participants()
    cheat = forum.held[0]
    joins = [one.join() for one in parts.values()]
    joins[0] = _resigned(joins[0], cheat, join)
    deals = [one.deal(joins) for one in parts.values()]
    deals[0] = _resigned(deals[0], cheat, deal)
    verdicts = [one.verdict(joins, deals) for one in parts.values()]
    verdicts[0] = _resigned(verdicts[0], cheat, verdict)
    return parts, joins, deals, verdicts


def _named(forum: Forum, *rounds: Any) -> tuple[str, str]:
    """Whom every holder and a member who only watches name, and why."""
    parts, joins, deals, verdicts = rounds
    found: set[tuple[tuple[str, ...], str]] = set()
    for one in list(parts.values())[1:]:
        with pytest.raises(MisconductError) as caught:
            one.finish(joins, deals, verdicts)
        found.add((caught.value.members, caught.value.message))
    with pytest.raises(MisconductError) as caught:
        ceremony.concluded(forum.proposal, joins, deals, verdicts, forum.roster)
    found.add((caught.value.members, caught.value.message))
    assert len(found) == 1
    (members, why) = found.pop()
    assert members == (identity(forum.held[0]),)
    return members[0], why


def test_a_dealer_who_seals_a_wrong_share_is_named():
    forum = Forum()
    victim = identity(forum.held[2])

    def wrong(body: dict[str, Any]) -> None:
        key = parts_key(body)
        message = b"".join(group.random_scalar() for _ in forum.proposal.classes)
        about = {"ceremony": forum.proposal.id, "from": identity(forum.held[0]), "to": victim}
        body["shares"][victim] = b64(sealed.seal(message, key, about))

    joined: list[Statement] = []

    def parts_key(_: dict[str, Any]) -> bytes:
        return raw(joined[2].body["keys"][identity(forum.held[0])])

    parts = forum.participants()
    joined += [one.join() for one in parts.values()]
    deals = [one.deal(joined) for one in parts.values()]
    deals[0] = _resigned(deals[0], forum.held[0], wrong)
    verdicts = [one.verdict(joined, deals) for one in parts.values()]
    assert verdicts[2].body["complaints"].keys() == {identity(forum.held[0])}
    _, why = _named(forum, parts, joined, deals, verdicts)
    assert "does not fit its commitments" in why


def test_a_dealer_who_sends_noise_is_named():
    forum = Forum()

    def noise(body: dict[str, Any]) -> None:
        body["shares"][identity(forum.held[3])] = b64(bytes(144))

    _, why = _named(forum, *_run(forum, deal=noise))
    assert "does not fit its commitments" in why


def test_who_complains_falsely_is_named():
    """The one-time key opens the share for everybody, and it is right."""
    forum = Forum()
    parts, joins, deals, verdicts = _run(forum)
    cheat = parts[forum.held[0]]
    target = identity(forum.held[1])

    def accuse(body: dict[str, Any]) -> None:
        body["epoch"] = None
        body["complaints"] = {target: b64(cheat._one_time[target].private_bytes_raw())}

    verdicts[0] = _resigned(verdicts[0], forum.held[0], accuse)
    _, why = _named(forum, parts, joins, deals, verdicts)
    assert "complained of a share that is right" in why


def test_who_complains_with_another_key_is_named():
    forum = Forum()

    def accuse(body: dict[str, Any]) -> None:
        body["epoch"] = None
        body["complaints"] = {identity(forum.held[1]): b64(bytes(31) + b"\x01")}

    _, why = _named(forum, *_run(forum, verdict=accuse))
    assert "had not announced" in why


def test_who_complains_of_a_stranger_is_named():
    forum = Forum()

    def accuse(body: dict[str, Any]) -> None:
        body["complaints"] = {identity("z"): b64(bytes(32))}

    _, why = _named(forum, *_run(forum, verdict=accuse))
    assert "holds no share" in why


def _without_proof(body: dict[str, Any]) -> None:
    """A key chosen to cancel the others': its secret is not known, so the proof cannot be."""
    body["commitments"]["ipv4"][0] = b64(group.base(group.number(5)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_without_proof, "other commitments than it joined with"),
        (lambda body: body["commitments"].pop("ipv4"), "other classes"),
        (lambda body: body["shares"].popitem(), "to others than the holders"),
        (lambda body: body.__setitem__("nonce", "0" * 32), "other commitments"),
        (lambda body: body["proofs"].__setitem__("ipv4", b64(bytes(64))), "does not know the secret"),
    ],
)
def test_a_deal_that_is_wrong_in_the_open_is_named(change: Callable[[dict[str, Any]], None], why: str):
    forum = Forum()
    assert why in _named(forum, *_run(forum, deal=change))[1]


@pytest.mark.parametrize("points", ["identity", "no point", "too many"])
def test_commitments_that_are_no_points_are_named(points: str):
    forum = Forum()
    parts = forum.participants()
    cheat = parts[forum.held[0]]
    commitments = cheat._commitments
    bad = {"identity": bytes(32), "no point": b"\x01" + bytes(31), "too many": group.base(group.number(3))}[
        points
    ]
    if points == "too many":
        commitments["ipv4"].append(b64(bad))
    else:
        commitments["ipv4"][1] = b64(bad)
    digest = ceremony._commitment("0" * 32, commitments)

    def deal(body: dict[str, Any]) -> None:
        body["commitments"], body["nonce"] = commitments, "0" * 32

    rounds = _run(forum, join=lambda body: body.__setitem__("commitment", digest), deal=deal)
    assert "committed to" in _named(forum, *rounds)[1]


def test_a_rogue_key_is_found_by_its_missing_proof():
    """A dealer that knows the others' commitments and takes A0 = X - sum of theirs cannot prove that it knows A0."""
    forum = Forum()
    parts = forum.participants()
    others = [raw(one._commitments["ipv4"][0]) for one in list(parts.values())[1:]]
    rogue = group.base(group.number(7))
    for one in others:
        rogue = group.add(rogue, group.multiply(group.number(-1), one))
    assert group.add(rogue, *others) == group.base(group.number(7))
    assert not shares.proven(rogue, shares.prove(group.number(7), b"x"), b"x")


def test_who_signs_another_epoch_is_named():
    forum = Forum()
    _, why = _named(forum, *_run(forum, verdict=lambda body: body.__setitem__("epoch", "0" * 64)))
    assert "another epoch" in why


def test_who_joins_with_a_key_that_takes_nothing_is_named():
    forum = Forum()
    parts = forum.participants()
    joins = [one.join() for one in parts.values()]
    zero = dict.fromkeys(joins[0].body["keys"], b64(bytes(32)))
    joins[0] = _resigned(joins[0], forum.held[0], lambda body: body.__setitem__("keys", zero))
    with pytest.raises(MisconductError) as caught:
        parts[forum.held[1]].deal(joins)
    assert caught.value.members == (identity(forum.held[0]),)


def test_who_signs_two_statements_of_a_round_is_named():
    forum = Forum()
    parts = forum.participants()
    joins = [one.join() for one in parts.values()]
    again = forum.participants()[forum.held[0]].join()
    with pytest.raises(MisconductError) as caught:
        parts[forum.held[1]].deal([*joins, again])
    assert caught.value.members == (identity(forum.held[0]),)


def test_a_hub_that_splits_the_view_stops_the_ceremony():
    """It shows the last holder another join of the first: whoever compares finds it before anything is signed."""
    forum = Forum()
    parts = forum.participants()
    joins = [one.join() for one in parts.values()]
    other = [forum.participants()[forum.held[0]].join(), *joins[1:]]
    deals = [one.deal(joins) for one in list(parts.values())[:-1]]
    deals.append(parts[forum.held[-1]].deal(other))
    with pytest.raises(SharingError, match="shown another statement") as caught:
        parts[forum.held[1]].verdict(joins, deals)
    assert caught.value.where == identity(forum.held[0])


def test_a_ceremony_waits_for_all():
    forum = Forum()
    parts = forum.participants()
    joins = [one.join() for one in parts.values()]
    with pytest.raises(SharingError, match="waits for a join") as caught:
        parts[forum.held[0]].deal(joins[:-1])
    assert caught.value.where == identity(forum.held[-1])


def test_sealed_shares_of_the_hub_open_with_no_lasting_key(made: Made):
    """What the hub keeps is sealed to keys that lived for the ceremony only."""
    for deal in made.rounds[1]:
        for receiver, box in deal.body["shares"].items():
            about = {"ceremony": made.forum.proposal.id, "from": deal.by, "to": receiver}
            name = next(one for one in made.forum.held if identity(one) == receiver)
            lasting = sealed.private(signer(name).private_bytes_raw())
            with pytest.raises(SharingError):
                sealed.unseal(raw(box), lasting, about)


def test_a_share_of_an_old_epoch_is_no_use_in_the_new_one(made: Made):
    new = make(Forum(number=2))
    name = made.forum.held[0]
    blinded = voprf.blind([b"x"])
    old = made.shares[name]["ipv4"]
    answer = voprf.evaluate(old, group.base(old), blinded.elements)
    public = new.epoch.share_public("ipv4", identity(name))
    assert not voprf.verify(public, sums.Points(blinded.elements), sums.Points(answer.elements), answer.proof)


def test_statements_are_closed_and_canonical(made: Made):
    roster, one = made.forum.roster, made.rounds[0][0]
    assert opened("join", one.envelope, roster).id == one.id
    for kind in ("deal", "verdict", "request"):
        with pytest.raises(SharingError):
            opened(kind, one.envelope, roster)
    padded = {**one.envelope, "payload": b64(raw(one.envelope["payload"]) + b" ")}
    for envelope in (padded, {**one.envelope, "signatures": []}, {}, None, [], 7):
        with pytest.raises(SharingError):
            opened("join", envelope, roster)
    with pytest.raises(SharingError):
        sign("join", {**one.body, "note": "free text"}, signer(made.forum.held[0]))
    stolen = sign("join", one.body, signer(made.forum.held[1]))  # signed by another member than it names
    with pytest.raises(SharingError, match="not signed by the member"):
        opened("join", stolen.envelope, roster)
