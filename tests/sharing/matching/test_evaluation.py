from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from matchforum import NOW, Made, holders, identity, member, signer
from spiritsafe.errors import MisconductError, SharingError
from spiritsafe.sharing.matching import evaluation, group, sums, voprf
from spiritsafe.sharing.matching.counts import AGAIN, Counts
from spiritsafe.sharing.matching.epoch import DAY
from spiritsafe.sharing.matching.evaluation import Answer, NotEnough
from spiritsafe.sharing.matching.holder import Refused
from spiritsafe.sharing.matching.roster import Roster
from spiritsafe.sharing.matching.statements import b64, sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spiritsafe.sharing.matching.evaluation import Asked

INPUTS = [b"one", b"two", b"three"]


def _asked(made: Made, who: str = "a", inputs: list[bytes] = INPUTS, name: str = "device") -> Asked:
    return evaluation.request(
        made.epoch, identity(who), signer(who), name, evaluation.prepare(inputs), expires=NOW + DAY
    )


def _answers(made: Made, asked: Asked) -> dict[str, Answer]:
    return {
        name: one.answer(asked.statement.envelope, asked.elements, now=NOW)
        for name, one in holders(made).items()
    }


def _expected(made: Made, name: str, inputs: list[bytes]) -> list[bytes]:
    chosen = made.forum.held[:3]
    numerators, denominator = sums.at_zero([made.epoch.proposal.index(identity(one)) for one in chosen])
    total = sum(
        n * int.from_bytes(made.shares[one][name], "little")
        for n, one in zip(numerators, chosen, strict=True)
    )
    key = group.number(total * pow(denominator, -1, group.ORDER))
    return [voprf.direct(key, one) for one in inputs]


def test_t_holders_give_the_output_of_the_one_key(made: Made):
    """The split evaluation is RFC 9497's output under the joint key, whichever holders answer and whoever asks."""
    asked = _asked(made)
    answers = _answers(made, asked)
    expected = _expected(made, "device", INPUTS)
    names = sorted(answers)
    for chosen in (names[:3], names[2:], [names[0], names[2], names[4]]):
        found, bad = evaluation.tokens(
            made.epoch, asked, {one: answers[one] for one in chosen}, made.forum.roster
        )
        assert found == expected
        assert not bad
    again = _asked(made, "b")
    assert evaluation.tokens(made.epoch, again, _answers(made, again), made.forum.roster)[0] == expected


def test_requests_say_little_of_how_much_is_asked(made: Made):
    assert _asked(made).statement.body["count"] == evaluation.SMALLEST
    sizes = {
        _asked(made, inputs=[bytes([i]) * 4 for i in range(n)]).statement.body["count"]
        for n in range(100, 113)
    }
    assert sizes == {104, 112}


def test_classes_have_tokens_of_their_own(made: Made):
    assert set(_expected(made, "device", INPUTS)).isdisjoint(_expected(made, "ipv4", INPUTS))


def test_below_t_there_is_no_token(made: Made):
    asked = _asked(made)
    two = dict(list(_answers(made, asked).items())[:2])
    with pytest.raises(NotEnough):
        evaluation.tokens(made.epoch, asked, two, made.forum.roster)


# A malicious holder


def _cheat(
    made: Made, asked: Asked, evaluate: Callable[[bytes, bytes], voprf.Evaluated]
) -> tuple[str, dict[str, Answer]]:
    """All answers, that of the first holder made by ``evaluate(share, public)`` and signed by it."""
    answers = _answers(made, asked)
    name = made.forum.held[0]
    wrong = evaluate(made.shares[name]["device"], made.epoch.share_public("device", identity(name)))
    body = {
        "by": identity(name),
        "request": asked.statement.id,
        "elements": evaluation.digest(wrong.elements),
        "proof": b64(wrong.proof),
    }
    answers[identity(name)] = Answer(sign("answer", body, signer(name)).envelope, wrong.elements)
    return identity(name), answers


def test_a_holder_with_a_wrong_share_is_named_and_done_without(made: Made):
    asked = _asked(made)

    def other(_: bytes, __: bytes) -> voprf.Evaluated:
        key = group.random_scalar()
        return voprf.evaluate(key, group.base(key), asked.elements)

    name, answers = _cheat(made, asked, other)
    found, bad = evaluation.tokens(made.epoch, asked, answers, made.forum.roster)
    assert found == _expected(made, "device", INPUTS)
    assert [*bad] == [name]
    assert isinstance(bad[name], MisconductError)
    assert bad[name].where == name


def test_a_holder_that_changes_one_element_is_named(made: Made):
    asked = _asked(made)

    def one_off(share: bytes, public: bytes) -> voprf.Evaluated:
        good = voprf.evaluate(share, public, asked.elements)
        return voprf.Evaluated(group.base(group.number(9)) + good.elements[32:], good.proof)

    name, answers = _cheat(made, asked, one_off)
    assert isinstance(
        evaluation.tokens(made.epoch, asked, answers, made.forum.roster)[1][name], MisconductError
    )


@pytest.mark.parametrize(
    "element", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32], ids=["identity", "odd", "large"]
)
def test_a_holder_that_answers_with_no_point_is_named(made: Made, element: bytes):
    asked = _asked(made)

    def none(share: bytes, public: bytes) -> voprf.Evaluated:
        good = voprf.evaluate(share, public, asked.elements)
        return voprf.Evaluated(element + good.elements[32:], good.proof)

    name, answers = _cheat(made, asked, none)
    assert isinstance(
        evaluation.tokens(made.epoch, asked, answers, made.forum.roster)[1][name], MisconductError
    )


def test_three_cheats_of_five_leave_no_token_and_no_wrong_one(made: Made):
    asked = _asked(made)
    answers = _answers(made, asked)
    for name in made.forum.held[:3]:
        key = group.random_scalar()
        wrong = voprf.evaluate(key, group.base(key), asked.elements)
        body = {
            "by": identity(name),
            "request": asked.statement.id,
            "elements": evaluation.digest(wrong.elements),
            "proof": b64(wrong.proof),
        }
        answers[identity(name)] = Answer(sign("answer", body, signer(name)).envelope, wrong.elements)
    with pytest.raises(NotEnough) as caught:
        evaluation.tokens(made.epoch, asked, answers, made.forum.roster)
    assert caught.value.bad.keys() == {identity(one) for one in made.forum.held[:3]}


# A malicious hub between member and holders


def test_a_hub_that_changes_or_swaps_answers_blames_nobody(made: Made):
    """What is not signed by the holder is no evidence against it; the tokens come from the others."""
    asked = _asked(made)
    answers = _answers(made, asked)
    first, second = sorted(answers)[:2]
    changed = {**answers, first: Answer(answers[first].envelope, answers[first].elements[32:] + bytes(32))}
    swapped = {**answers, first: answers[second]}
    other = _asked(made, inputs=[b"else", b"two", b"three"])
    replayed = {**answers, first: _answers(made, other)[first]}
    for given in (changed, swapped, replayed):
        found, bad = evaluation.tokens(made.epoch, asked, given, made.forum.roster)
        assert found == _expected(made, "device", INPUTS)
        assert [*bad] == [first]
        assert not isinstance(bad[first], MisconductError)


def test_a_hub_cannot_ask_in_a_members_name_or_change_a_request(made: Made):
    asked = _asked(made)
    one = holders(made)[identity(made.forum.held[0])]
    other = voprf.blind([b"guess"] * 64).elements
    with pytest.raises(Refused) as caught:
        one.answer(asked.statement.envelope, other, now=NOW)
    assert caught.value.why == "malformed"
    forged = sign("request", {**asked.statement.body, "by": identity("b")}, signer("a"))
    with pytest.raises(Refused) as caught:
        one.answer(forged.envelope, asked.elements, now=NOW)
    assert caught.value.why == "not a member"


# A malicious member


def test_fishing_ends_at_the_quota_of_the_class_at_each_holder(made: Made):
    """1,000 a day: each padded request counts whole, whatever the hub says, and tomorrow is another day."""
    one = holders(made)[identity(made.forum.held[0])]
    spent = 0
    for start in range(0, 800, 200):
        asked = _asked(made, inputs=[b"guess %d" % i for i in range(start, start + 200)])
        one.answer(asked.statement.envelope, asked.elements, now=NOW)
        spent += asked.statement.body["count"]
    asked = _asked(made, inputs=[b"guess %d" % i for i in range(800, 1_000)])
    with pytest.raises(Refused) as caught:
        one.answer(asked.statement.envelope, asked.elements, now=NOW)
    assert caught.value.why == "quota"
    assert 800 <= spent <= 1_000
    assert one.counts.used(made.epoch.id, identity("a"), "device", NOW) == spent
    other = _asked(made, name="ipv4")
    one.answer(other.statement.envelope, other.elements, now=NOW)  # another class has its own
    asked = _asked(made)
    one.answer(asked.statement.envelope, asked.elements, now=NOW + DAY - 1)
    asked = _asked(made, "b")
    one.answer(asked.statement.envelope, asked.elements, now=NOW)


def test_a_small_class_is_not_reached_through_a_large_one(made: Made):
    """Addresses evaluated under another class's key give tokens that meet no posted address."""
    as_device = _expected(made, "device", INPUTS)
    as_address = _expected(made, "ipv4", INPUTS)
    assert not set(as_device) & set(as_address)


def test_a_replayed_request_counts_once_and_not_for_ever(made: Made):
    one = holders(made)[identity(made.forum.held[0])]
    asked = _asked(made)
    first = one.answer(asked.statement.envelope, asked.elements, now=NOW)
    for _ in range(AGAIN - 1):
        assert one.answer(asked.statement.envelope, asked.elements, now=NOW).elements == first.elements
    assert one.counts.used(made.epoch.id, identity("a"), "device", NOW) == 64
    with pytest.raises(Refused) as caught:
        one.answer(asked.statement.envelope, asked.elements, now=NOW)
    assert caught.value.why == "quota"


def test_bad_requests_are_refused(made: Made):
    one = holders(made)[identity(made.forum.held[0])]
    asked = _asked(made)
    for when, why in ((NOW - 1, "not in force"), (NOW + DAY, "expired"), (NOW + 40 * DAY, "not in force")):
        with pytest.raises(Refused) as caught:
            one.answer(asked.statement.envelope, asked.elements, now=when)
        assert caught.value.why == why
    for bad in (bytes(32), b"\x01" + bytes(31), b"\xff" * 32):
        elements = bad + asked.elements[32:]
        signed = sign(
            "request", {**asked.statement.body, "elements": evaluation.digest(elements)}, signer("a")
        )
        with pytest.raises(Refused) as caught:
            one.answer(signed.envelope, elements, now=NOW)
        assert caught.value.why == "malformed"
    empty = sign("request", {**asked.statement.body, "elements": evaluation.digest(b"")}, signer("a"))
    huge = sign("request", {**asked.statement.body, "count": voprf.MOST + 1}, signer("a"))
    for statement, elements in ((empty, b""), (huge, asked.elements)):
        with pytest.raises(Refused) as caught:
            one.answer(statement.envelope, elements, now=NOW)
        assert caught.value.why == "malformed"
    one.roster = Roster(member(name) for name in "bcde")
    with pytest.raises(Refused) as caught:
        one.answer(asked.statement.envelope, asked.elements, now=NOW)
    assert caught.value.why == "not a member"


def test_counts_outlive_the_process_and_end_with_the_epoch(tmp_path: Path):
    first = Counts(tmp_path / "counts.sqlite")
    first.take("e", "r1", "m", "ipv4", 30, 50, NOW)
    first.close()
    again = Counts(tmp_path / "counts.sqlite")
    assert again.used("e", "m", "ipv4", NOW) == 30
    with pytest.raises(SharingError, match="30 of 50"):
        again.take("e", "r2", "m", "ipv4", 30, 50, NOW)
    again.take("e", "r2", "m", "ipv4", 20, 50, NOW)
    assert (tmp_path / "counts.sqlite").stat().st_mode & 0o077 == 0
    again.forget("e")
    assert again.used("e", "m", "ipv4", NOW) == 0
    again.close()
