"""What the policy file says of orders: ``[orders]``, ``[approvers]`` and ``[ladder]``. The gateway reads the rest."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from spiritsafe import tomlfile
from spiritsafe.attest import keys
from spiritsafe.errors import UsageError
from spiritsafe.model import RUNGS, SCOPES, Scope
from spiritsafe.orders.approvals import LEAST, Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_LADDER = ("steps", "pools", "membership", "untouched", "streams_only", "approvals")
_STEP = ("response", "scope", "bits", "lifetime", "parameters")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Step:
    """One rung: what a campaign with at least ``bits`` of evidence for coordination meets, and for how long (µs)."""

    response: str
    scope: Scope
    bits: float
    lifetime: int
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ladder:
    """``membership``: least probability for an account to be listed; ``pools``: pools and resellers are observed."""

    steps: tuple[Step, ...] = ()
    pools: bool = False
    membership: float = 0.95
    untouched: tuple[str, ...] = ("distillation-licence", "evaluation", "research")
    streams_only: tuple[str, ...] = ("aggregator", "byo-key")


_USUAL = Ladder()


@dataclass(frozen=True, slots=True)
class Appeals:
    """What an appeal does: measures more severe than ``keep`` are frozen for ``freeze`` (µs; 0: none is).

    ``answer``: how long a customer has to answer a notice (µs); ``contact``: where.
    """

    keep: str = "withhold_reasoning"
    freeze: int = 30 * 86_400_000_000
    answer: int = 14 * 86_400_000_000
    contact: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Where the snapshot is, who signs it, who approves, the ladder, and what appeals do."""

    file: Path
    signer: str
    rules: Rules
    ladder: Ladder
    appeals: Appeals = Appeals()


def read(path: Path) -> Policy:
    """The part of a policy file that is about orders. Raises UsageError with file and line; paths start at the file."""
    whole, text = tomlfile.read(path).values, tomlfile.read_text(path)
    at = _Places(str(path), text)
    orders = _table(whole, "orders", at)
    approvers = _table(whole, "approvers", at)
    for name, key in approvers.items():
        keys.parse(str(key), at.of(name))
    if len(set(approvers.values())) != len(approvers):
        raise UsageError("two approvers have the same key: one person is one", where=at.of("[approvers]"))
    signer = str(orders.get("signer", ""))
    keys.parse(signer, at.of("signer"))
    if signer in approvers.values():
        raise UsageError(
            "the signer's key is no approver's: it signs, it is no person", where=at.of("signer")
        )
    ladder = _table(whole, "ladder", at)
    _only(ladder, _LADDER, "[ladder]", at)
    needed = _table(ladder, "approvals", at)
    _only(needed, RUNGS, "approvals", at)
    for name, count in needed.items():
        if type(count) is not int or count < (LEAST["suspend"] if name == "suspend" else 0):
            raise UsageError(
                f"{name} = {count!r} makes no sense: a number of persons is needed",
                where=at.of("approvals"),
                hint="suspend needs at least 2",
            )
    return Policy(
        file=path.parent / str(orders.get("file", "orders.json")),
        signer=signer,
        rules=Rules(approvers, needed),
        ladder=_ladder(ladder, at),
        appeals=_appeals(_table(whole, "appeals", at), at),
    )


def span(text: object, where: str) -> int:
    """Microseconds of a time like 90s, 5m, 1h or 7d. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smhd])", str(text))
    length = round(float(found[1]) * _SECONDS[found[2]] * 1_000_000) if found else 0
    if not 0 < length <= 3650 * 86_400_000_000:
        raise UsageError(
            f"{text!r} is not a length of time", where=where, hint="write it as 90s, 5m, 1h or 7d"
        )
    return length


def _appeals(table: Mapping[str, Any], at: _Places) -> Appeals:
    _only(table, ("keep", "freeze", "answer", "contact"), "[appeals]", at)
    usual = Appeals()
    keep, contact = table.get("keep", usual.keep), table.get("contact", usual.contact)
    if keep not in tuple(RUNGS):
        raise UsageError(
            f"there is no response {keep!r}", where=at.of("keep"), hint=tomlfile.nearest(str(keep), RUNGS)
        )
    if not isinstance(contact, str):
        raise UsageError("contact is a text: an address that customers write to", where=at.of("contact"))
    freeze = table.get("freeze")
    return Appeals(
        keep=keep,
        freeze=usual.freeze if freeze is None else 0 if freeze == "none" else span(freeze, at.of("freeze")),
        answer=span(table["answer"], at.of("answer")) if "answer" in table else usual.answer,
        contact=contact,
    )


def _ladder(table: Mapping[str, Any], at: _Places) -> Ladder:
    steps = table.get("steps", [])
    if not isinstance(steps, list) or not all(isinstance(one, dict) for one in cast("list[Any]", steps)):
        raise UsageError("steps are written as [[ladder.steps]], once for each", where=at.of("steps"))
    membership = table.get("membership", _USUAL.membership)
    if not isinstance(membership, float) or not 0.5 <= membership <= 1:  # noqa: PLR2004 - rather a member than not
        raise UsageError("membership is a probability from 0.5 to 1.0", where=at.of("membership"))
    pools = table.get("pools", "none")
    if pools not in {"none", "observe"}:
        raise UsageError(
            f"pools = {pools!r} makes no sense",
            where=at.of("pools"),
            hint='"none" or "observe": a pool or a reseller is no accusation',
        )
    return Ladder(
        steps=tuple(_step(one, at) for one in cast("list[dict[str, Any]]", steps)),
        pools=pools == "observe",
        membership=membership,
        untouched=_names(table, "untouched", _USUAL.untouched, at),
        streams_only=_names(table, "streams_only", _USUAL.streams_only, at),
    )


def _step(table: Mapping[str, Any], at: _Places) -> Step:
    _only(table, _STEP, "a step", at)
    response, scope = table.get("response"), table.get("scope", "streams")
    for key, value, known in (("response", response, tuple(RUNGS)), ("scope", scope, SCOPES)):
        if value not in known:
            raise UsageError(
                f"there is no {key} {value!r}", where=at.of(key), hint=tomlfile.nearest(str(value), known)
            )
    bits = table.get("bits", 0)
    if isinstance(bits, bool) or not isinstance(bits, (int, float)) or not math.isfinite(bits):
        raise UsageError("bits is a number: log2 of the e-value", where=at.of("bits"))
    if "lifetime" not in table:
        raise UsageError(
            "a step needs a lifetime", where=at.of("steps"), hint='for instance lifetime = "14d"'
        )
    parameters = table.get("parameters", {})
    if not isinstance(parameters, dict) or not all(
        isinstance(one, (str, int, float, bool)) for one in cast("dict[str, Any]", parameters).values()
    ):
        raise UsageError("parameters hold texts, numbers and booleans", where=at.of("parameters"))
    return Step(
        cast("str", response),
        cast("Scope", scope),
        float(bits),
        span(table["lifetime"], at.of("lifetime")),
        cast("dict[str, Any]", parameters),
    )


class _Places:
    """The line on which a key or a table first stands."""

    def __init__(self, file: str, text: str) -> None:
        self._file, self._rows = file, text.splitlines()

    def of(self, name: str) -> str:
        """``file:line``, or the file where the name does not stand."""
        bare = re.escape(name.strip("[]"))
        pattern = re.compile(rf'^\s*(?:\[+(?:ladder\.)?{bare}\]+|"?{bare}"?\s*=)|[{{,]\s*{bare}\s*=')
        line = next((n for n, row in enumerate(self._rows, 1) if pattern.search(row)), None)
        return f"{self._file}:{line}" if line else self._file


def _table(table: Mapping[str, Any], key: str, at: _Places) -> dict[str, Any]:
    found = table.get(key, {})
    if not isinstance(found, dict):
        raise UsageError(f"{key} is a table", where=at.of(key))
    return cast("dict[str, Any]", found)


def _names(table: Mapping[str, Any], key: str, default: tuple[str, ...], at: _Places) -> tuple[str, ...]:
    found = table.get(key, list(default))
    if not isinstance(found, list) or not all(isinstance(one, str) for one in cast("list[Any]", found)):
        raise UsageError(f"{key} is a list of declared relations", where=at.of(key))
    return tuple(cast("list[str]", found))


def _only(table: Mapping[str, Any], known: Iterable[str], what: str, at: _Places) -> None:
    for key in table:
        if key not in tuple(known):
            raise UsageError(
                f"{what} has no key {key!r}", where=at.of(key), hint=tomlfile.nearest(key, known)
            )
