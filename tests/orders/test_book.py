"""The book answers as a plain loop over all orders would, and as fast with many as with one."""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.model import RUNGS, Caller, Exemption, Order
from spiritsafe.orders.book import Book

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Make = Callable[..., Order]

NOW = 1_790_000_000_000_000
HOUR = 3_600_000_000
CAMPAIGNS = [f"c-{n}" for n in range(4)]
ACCOUNTS = [f"a-{n}" for n in range(6)]
ORGANIZATIONS = ["o-0", "o-1"]
RELATIONS = [None, "aggregator", "byo-key:writer", "distillation-licence", "evaluation"]
TIMES = st.integers(min_value=0, max_value=12)


@st.composite
def orders(draw: st.DrawFn) -> list[Order]:
    made: list[Order] = []
    for number in range(draw(st.integers(0, 12))):
        listed = draw(st.frozensets(st.sampled_from(ACCOUNTS), max_size=4))
        start = draw(TIMES)
        made.append(
            Order(
                f"o-{draw(st.integers(0, 99)):02}-{number}",
                draw(st.sampled_from(CAMPAIGNS)),
                draw(st.sampled_from(list(RUNGS))),
                "accounts" if listed else "streams",
                listed,
                "r",
                "e",
                start,
                start + draw(st.integers(1, 6)),
            )
        )
    return made


ABOVE = st.sampled_from([None, None, *RUNGS])
EXEMPTIONS = st.lists(
    st.one_of(
        st.builds(
            lambda a, t, r: Exemption(None, a, "r", "b", 0, t, r), st.sampled_from(ACCOUNTS), TIMES, ABOVE
        ),
        st.builds(
            lambda o, t, r: Exemption(o, None, "r", "b", 0, t, r),
            st.sampled_from(ORGANIZATIONS),
            TIMES,
            ABOVE,
        ),
    ),
    max_size=4,
)


def naive(
    known: Sequence[Order],
    exempt: Sequence[Exemption],
    expires: int,
    campaigns: Sequence[str],
    caller: Caller,
    now: int,
) -> tuple[Order, ...]:
    """What the rules say, one by one."""
    if now >= expires:
        return ()
    most = max(RUNGS.values())
    for one in exempt:
        mine = (one.account_id, one.organization_id) in {
            (caller.account_id, None),
            (None, caller.organization_id),
        }
        if mine and now < one.expires:
            if one.above is None:
                return ()
            most = min(most, RUNGS[one.above])
    if caller.relation == "distillation-licence":
        return ()
    found: list[Order] = []
    for order in known:
        if not order.start <= now < order.expires or RUNGS[order.response] > most:
            continue
        if order.scope == "streams" and order.campaign_id in campaigns:
            found.append(order)
        many = (caller.relation or "").startswith(("aggregator", "byo-key:"))
        if order.scope == "accounts" and caller.account_id in order.accounts and not many:
            found.append(order)
    return tuple(sorted(found, key=lambda one: (RUNGS[one.response], one.order_id)))


@given(
    orders(),
    EXEMPTIONS,
    TIMES,
    st.lists(st.sampled_from(CAMPAIGNS), max_size=4),
    st.sampled_from(ACCOUNTS),
    st.sampled_from([None, *ORGANIZATIONS]),
    st.sampled_from(RELATIONS),
    TIMES,
)
def test_the_book_answers_as_a_plain_loop(
    known: list[Order],
    exempt: list[Exemption],
    expires: int,
    campaigns: list[str],
    account: str,
    organization: str | None,
    relation: str | None,
    now: int,
):
    book = Book(
        known,
        exempt,
        untouched=["distillation-licence"],
        streams_only=["aggregator", "byo-key"],
        expires=expires,
    )
    caller = Caller(account, organization_id=organization, relation=relation)
    assert book.applying(campaigns, caller, now) == naive(known, exempt, expires, campaigns, caller, now)


def test_an_unlisted_account_is_untouched_and_a_match_touches_whoever_asks(make_order: Make):
    streams = make_order(1)
    listed = make_order(2, response="suspend", scope="accounts", accounts=frozenset({"bad"}))
    book = Book([listed, streams])
    assert book.applying([], Caller("innocent"), NOW) == ()
    assert book.applying(["c-1"], Caller("new"), NOW) == (streams,)
    assert book.applying([], Caller("bad"), NOW) == (listed,)
    assert book.applying(["c-1", "c-1"], Caller("bad"), NOW) == (streams, listed)
    spared = Book([listed, streams], [Exemption(None, "bad", "r", "anna", NOW, NOW + HOUR)])
    assert spared.applying(["c-1"], Caller("bad"), NOW) == ()
    assert spared.applying(["c-1"], Caller("bad"), NOW + HOUR) == (streams, listed)


def test_severe_measures_freeze_while_milder_ones_go_on(make_order: Make):
    budget = make_order(1)
    refuse = make_order(2, response="refuse")
    suspend = make_order(3, response="suspend", scope="accounts", accounts=frozenset({"a", "b"}))
    frozen = Exemption(None, "a", "appeal", "anna", NOW, NOW + HOUR, "withhold_reasoning")
    book = Book([budget, refuse, suspend], [frozen])
    assert book.applying(["c-1"], Caller("a"), NOW) == (budget,)
    assert book.applying([], Caller("a"), NOW) == ()
    assert not book.exempt(Caller("a"), NOW)
    assert book.applying(["c-1"], Caller("b"), NOW) == (budget, refuse, suspend)
    assert book.applying(["c-1"], Caller("a"), NOW + HOUR) == (budget, refuse, suspend)


def test_ten_thousand_orders_cost_a_request_no_more_than_ten(make_order: Make):
    def book(size: int) -> Book:
        return Book(
            make_order(n, campaign_id=f"c-{n}")
            if n % 2
            else make_order(n, scope="accounts", accounts=frozenset(f"a-{n}-{i}" for i in range(20)))
            for n in range(size)
        )

    small, large = book(10), book(10_000)
    assert len(large) == 10_000
    caller = Caller("a-4-7", organization_id="o")
    assert len(large.applying(["c-7"], caller, NOW)) == 2

    def cost(one: Book) -> float:
        return min(timeit.repeat(lambda: one.applying(["c-7"], caller, NOW), number=2_000, repeat=9))

    assert cost(large) < 4 * cost(small)
