"""All accounts of a simulation: codes and small numbers, turned into text only for those that a chunk needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spiritsafe.simulate._ids import identifiers
from spiritsafe.simulate._people import BLANKABLE, PLANS
from spiritsafe.simulate._timing import shapes
from spiritsafe.simulate._world import COMMON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spiritsafe.simulate._people import Accounts
    from spiritsafe.simulate._world import Block

    Ints = NDArray[np.int64]

SHIFT = 41
"""A block's own codes are told from those of other blocks by its number, from this bit on."""
FRESH = 1 << 46
"""Accounts that an operator opened later have codes of their own, so that nobody else's identifier moves."""


def own(values: Ints, number: int, base: int = -1) -> Ints:
    """Codes of block ``number`` as codes of the simulation; nulls and codes that are global already stay.

    Codes that the parts of a hand have in common get the number ``base`` (default: ``number``).
    """
    tag = np.where(values >= COMMON, number if base < 0 else base, number)
    return np.where((values < 0) | (values >= 1 << (SHIFT - 1)), values, values + ((tag + 1) << SHIFT))


def account_codes(accounts: Accounts, base: int, number: int) -> Ints:
    """The codes that account identifiers are made of."""
    first = len(accounts) - accounts.fresh
    later = FRESH + (number << 24) + np.arange(accounts.fresh)
    return np.concatenate([np.arange(base, base + first), later])


class Chooser:
    """Picks the entries that are wanted out of many, without sorting: same order, each once."""

    def __init__(self, size: int) -> None:
        self.wanted = np.zeros(size, dtype=np.bool_)
        self.place = np.zeros(size, dtype=np.int32)

    def __call__(self, index: NDArray[Any]) -> tuple[Ints, NDArray[np.int32]]:
        """The distinct values of ``index``, sorted, and the position of each row's value among them."""
        self.wanted[index] = True
        found = np.flatnonzero(self.wanted)
        self.wanted[found] = False
        self.place[found] = np.arange(len(found), dtype=np.int32)
        return found, self.place[index]


class Labels:
    """A column of identifiers over accounts, as a dictionary of those that occur in a chunk."""

    def __init__(self, prefix: str, codes: Ints, salt: int) -> None:
        self.prefix, self.salt = prefix, salt
        self.codes, index = np.unique(codes, return_inverse=True)
        self.index = index.astype(np.int32)
        self.choose = Chooser(len(self.codes))

    def pick(self, account: Ints, blank: NDArray[np.bool_] | None) -> Any:
        """The identifiers of ``account`` as a dictionary array."""
        found, place = self.choose(self.index[account])
        none = self.codes[found][place] < 0
        if blank is not None:
            none = none | blank
        text = identifiers(self.prefix, np.maximum(self.codes[found], 0), self.salt)
        if len(found) and self.codes[found[0]] < 0:  # sorted: only the first can be null
            text, place = text[1:], np.maximum(place - 1, 0)
        return coded(place, text, none)


def coded(place: NDArray[np.int32], words: Any, none: NDArray[np.bool_] | None = None) -> Any:
    """A dictionary array; rows marked by ``none`` are null."""
    index = pa.array(place.astype(np.int32), mask=none if none is not None and none.any() else None)
    return pa.DictionaryArray.from_arrays(index, words)


@dataclass
class Register:
    """Accounts of all blocks, gathered by :meth:`add` and closed by :meth:`close`."""

    start: int
    seed: int

    def __post_init__(self) -> None:
        self.size = self.originals = 0
        self._parts: list[dict[str, Any]] = []
        self.families: list[str] = []
        self.campaigns: list[str | None] = []
        self.labels: list[str | None] = []
        self.relations: list[str] = []

    def add(self, family: str, block: Block) -> int:
        """Enter a block's accounts; returns the number of the first of them."""
        number, base, a = block.number, self.size, block.accounts
        common = block.base
        declares = np.ones(len(a), np.bool_) if a.declares is None else a.declares
        relation = len(self.relations) if a.relation is not None else -1
        if a.relation is not None:
            self.relations.append(a.relation)
        blank = np.zeros(len(a), dtype=np.int16)
        for bit, name in enumerate(BLANKABLE):
            if name in a.blank:
                blank |= a.blank[name].astype(np.int16) << bit
        self._parts.append(
            {
                "account": account_codes(a, self.originals, number),
                "organization": own(a.organization, number, common),
                "payment": own(a.payment, number, common),
                "device": own(a.device, number, common),
                "mail": np.where(a.mail >= 0, -1 - a.mail, own(np.abs(a.mail), number, common)),
                "created": a.created,
                "plan": a.plan.astype(np.int8),
                "agent": a.agent.astype(np.int8),
                "temperature": a.temperature.astype(np.float32),
                "max_tokens": a.max_tokens.astype(np.int32),
                "model": a.model.astype(np.int8),
                "keys": a.keys.astype(np.int16),
                "relation": np.where(declares, relation, -1).astype(np.int32),
                "block": np.full(len(a), len(self._parts), dtype=np.int32),
                "blank": blank,
                "replaces": np.full(len(a), -1, np.int32)
                if a.replaces is None
                else np.where(a.replaces < 0, -1, a.replaces + base).astype(np.int32),
            }
        )
        self.families.append(family)
        self.campaigns.append(block.campaign)
        self.labels.append(block.label)
        self.size += len(a)
        self.originals += len(a) - a.fresh
        return base

    def ids(self, block: Block) -> Any:
        """The account identifiers that a block will have when it is added next."""
        codes = account_codes(block.accounts, self.originals, block.number)
        return identifiers("acct_", codes, self.seed + 4)

    def close(self) -> None:
        """No more accounts come; columns can be asked for."""
        empty: dict[str, Any] = {name: np.zeros(0, np.int64) for name in _COLUMNS}
        parts = self._parts or [empty]
        self.columns = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS}
        self._parts = []
        salts = {
            "account": ("acct_", 4),
            "organization": ("org_", 5),
            "payment": ("pay_", 6),
            "device": ("dev_", 7),
        }
        self._labels = {
            name: Labels(prefix, self.columns.pop(name), self.seed + salt)
            for name, (prefix, salt) in salts.items()
        }
        self.blanks = bool(self.columns["blank"].any())
        self._choose = Chooser(self.size)
        agents = [row[0] for kind in ("browser", "sdk") for row in shapes()["agents"][kind]]
        self._words = {
            "plan": pa.array(PLANS),
            "agent": pa.array(agents),
            "relation": pa.array(list(dict.fromkeys(self.relations)), pa.string()),
        }
        place = {word: at for at, word in enumerate(dict.fromkeys(self.relations))}
        self._relation = np.array([place[word] for word in self.relations] + [-1], dtype=np.int32)
        self._domains = pa.array([row[0] for row in shapes()["mail"]["people"]])

    def blank(self, name: str, account: Ints) -> NDArray[np.bool_] | None:
        """Which rows have this column blanked; None where nobody blanks anything."""
        if not self.blanks:
            return None
        return (self.columns["blank"][account] >> BLANKABLE.index(name)) & 1 == 1

    def pick(self, account: Ints) -> dict[str, Any]:
        """The log's columns that depend on the account alone."""
        columns = self.columns
        relation = self._relation[columns["relation"][account]]
        temperature = columns["temperature"][account].astype(np.float64).round(3)
        tokens = columns["max_tokens"][account].astype(np.int64)
        created = pa.array(
            self.start + columns["created"][account], mask=self.blank("account_created", account)
        )
        return {
            "account_id": self._labels["account"].pick(account, None),
            "organization_id": self._labels["organization"].pick(account, None),
            "payment_id": self._labels["payment"].pick(account, self.blank("payment_id", account)),
            "device_id": self._labels["device"].pick(account, self.blank("device_id", account)),
            "plan": coded(columns["plan"][account], self._words["plan"]),
            "account_created": created.cast(pa.timestamp("us", "UTC")),
            "email_domain": self._mail(account),
            "relation": coded(np.maximum(relation, 0), self._words["relation"], relation < 0)
            if len(self._words["relation"])
            else pa.nulls(len(account), pa.dictionary(pa.int32(), pa.string())),
            "user_agent": coded(
                columns["agent"][account], self._words["agent"], self.blank("user_agent", account)
            ),
            "temperature": pa.array(temperature, mask=np.isnan(temperature)),
            "max_tokens": pa.array(tokens, mask=tokens < 0),
        }

    def truth(self, account: Ints, inside: NDArray[np.bool_]) -> dict[str, Any]:
        """What is true of the accounts, and the campaign of the exchanges that are ``inside`` one."""
        block = self.columns["block"][account]
        named = _words(block, self.campaigns)
        before = self.columns["replaces"][account]
        replaced = self._labels["account"].pick(np.maximum(before, 0), before < 0)
        return {
            "campaign": _words(np.where(inside, block, -1), self.campaigns),
            "family": _words(block, self.families),
            "account_campaign": named,
            "label": _words(block, self.labels),
            "replaces": replaced,
        }

    def _mail(self, account: Ints) -> Any:
        found, place = self._choose(account)
        code = self.columns["mail"][found]
        firm = code >= 0
        names = pc.utf8_slice_codeunits(identifiers("", code[firm], self.seed + 9), 0, 10)
        firms = pc.binary_join_element_wise(names, pa.scalar("example"), ".")
        index = np.where(firm, np.cumsum(firm) - 1, len(firms) + np.maximum(-1 - code, 0))
        text = pa.concat_arrays([firms, self._domains]).take(pa.array(index[place]))
        none = self.blank("email_domain", account)
        return text if none is None else pc.if_else(pa.array(none), pa.scalar(None, pa.string()), text)


_COLUMNS = (
    "account", "organization", "payment", "device", "mail", "created", "plan", "agent", "temperature", "max_tokens",
    "model", "keys", "relation", "block", "blank", "replaces",
)  # fmt: skip


def _words(block: Any, words: Sequence[str | None]) -> Any:
    distinct = list(dict.fromkeys(word for word in words if word is not None))
    place = np.array(
        [distinct.index(word) if word is not None else -1 for word in words] + [-1], dtype=np.int32
    )
    row = place[block]
    return (
        coded(np.maximum(row, 0), pa.array(distinct, pa.string()), row < 0)
        if distinct
        else pa.nulls(len(block), pa.dictionary(pa.int32(), pa.string()))
    )
