"""The book: orders compiled for lookup, so that a request costs the same with one order and with ten thousand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spiritsafe.model import RUNGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spiritsafe.model import Caller, Exemption, Order

_NONE: tuple[int, ...] = ()


class Book:
    """All orders in force, by campaign and by listed account.

    ``rungs`` orders the answer (response → rung); orders of one rung stand by id. ``untouched``: declared relations that
    no measure touches; ``streams_only``: relations whose holders have many customers, so that only the requests that
    match are touched. A relation ``byo-key:<app>`` is covered by its first part. ``expires``: the snapshot's; from then
    on nothing applies.
    """

    __slots__ = (
        "_accounts",
        "_campaigns",
        "_exempt_accounts",
        "_exempt_organizations",
        "_expires",
        "_orders",
        "_partly",
        "_rungs",
        "_streams_only",
        "_untouched",
    )

    def __init__(
        self,
        orders: Iterable[Order],
        exempt: Iterable[Exemption] = (),
        *,
        rungs: Mapping[str, int] = RUNGS,
        untouched: Iterable[str] = (),
        streams_only: Iterable[str] = (),
        expires: int | None = None,
    ) -> None:
        self._orders = sorted(orders, key=lambda one: (rungs[one.response], one.order_id))
        self._rungs = [rungs[one.response] for one in self._orders]
        self._expires = expires
        self._untouched, self._streams_only = frozenset(untouched), frozenset(streams_only)
        campaigns: dict[str, list[int]] = {}
        accounts: dict[str, list[int]] = {}
        for place, order in enumerate(self._orders):
            if order.scope == "streams":
                campaigns.setdefault(order.campaign_id, []).append(place)
            else:
                for account in order.accounts:
                    accounts.setdefault(account, []).append(place)
        # Most accounts of a campaign stand under the same orders: equal lists are kept once.
        shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._campaigns = {key: tuple(places) for key, places in campaigns.items()}
        self._accounts = {
            key: shared.setdefault(tuple(places), tuple(places)) for key, places in accounts.items()
        }
        self._exempt_accounts: dict[str, int] = {}
        self._exempt_organizations: dict[str, int] = {}
        # Who is spared from severe measures only: (is it an account, its name) -> until when, from which rung on.
        self._partly: dict[tuple[bool, str | None], list[tuple[int, int]]] = {}
        for one in exempt:
            if one.above is not None:
                key = (one.account_id is not None, one.account_id or one.organization_id)
                self._partly.setdefault(key, []).append((one.expires, rungs[one.above] + 1))
                continue
            table, name = (
                (self._exempt_accounts, one.account_id)
                if one.account_id is not None
                else (self._exempt_organizations, one.organization_id)
            )
            if name is not None:
                table[name] = max(one.expires, table.get(name, one.expires))

    def __len__(self) -> int:
        return len(self._orders)

    def applying(self, campaigns: Sequence[str], caller: Caller, now: int) -> tuple[Order, ...]:
        """The orders that touch one request, lowest rung first; ``campaigns`` are those that its indicators show."""
        places = self._accounts.get(caller.account_id, _NONE)
        if campaigns:
            by_campaign = self._campaigns
            for campaign in campaigns:
                places += by_campaign.get(campaign, _NONE)
        if not places or (self._expires is not None and now >= self._expires) or self.exempt(caller, now):
            return ()
        relation = caller.relation
        listed = True
        if relation:
            kind = relation.partition(":")[0]
            if relation in self._untouched or kind in self._untouched:
                return ()
            listed = relation not in self._streams_only and kind not in self._streams_only
        orders = self._orders
        chosen = sorted(set(places))
        if self._partly:
            spared = self._spared(caller, now)
            chosen = [place for place in chosen if self._rungs[place] < spared]
        found = [orders[place] for place in chosen]
        return tuple(
            one for one in found if one.start <= now < one.expires and (listed or one.scope == "streams")
        )

    def exempt(self, caller: Caller, now: int) -> bool:
        """Whether the caller's account or organization is exempt from every measure."""
        account = self._exempt_accounts.get(caller.account_id)
        if account is not None and now < account:
            return True
        if caller.organization_id is None:
            return False
        organization = self._exempt_organizations.get(caller.organization_id)
        return organization is not None and now < organization

    def _spared(self, caller: Caller, now: int) -> int:
        """The lowest rung from which on the caller is exempt; above the ladder when there is none."""
        terms = self._partly.get((True, caller.account_id), []) + self._partly.get(
            (False, caller.organization_id), []
        )
        return min((rung for expires, rung in terms if now < expires), default=self._rungs[-1] + 1)
