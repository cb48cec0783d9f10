"""What travels between the parts: callers, orders, approvals, exemptions, indicators, findings.

Times are microseconds since the epoch, UTC. All are frozen; ``None`` means "not known", never "none of it".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Scope = Literal["streams", "accounts"]
IndicatorKind = Literal["template", "skeleton", "minhash", "device", "network"]

SCOPES: Final[tuple[Scope, ...]] = ("streams", "accounts")
INDICATOR_KINDS: Final[tuple[IndicatorKind, ...]] = ("template", "skeleton", "minhash", "device", "network")
Value = str | int | float | bool

#: The ladder: a higher rung takes more from the caller. Responses of one rung are alternatives.
RUNGS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "observe": 0,
        "budget": 1,
        "step_up": 2,
        "strip_logprobs": 3,
        "cap_output": 3,
        "withhold_reasoning": 3,
        "mark": 3,
        "best_of": 3,
        "refuse": 4,
        "suspend": 5,
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as far as a trusted front says. Names are those of the canonical columns."""

    account_id: str
    organization_id: str | None = None
    api_key_id: str | None = None
    session_id: str | None = None
    end_user_id: str | None = None
    device_id: str | None = None
    client_ip: str | None = None
    asn: int | None = None
    user_agent: str | None = None
    plan: str | None = None
    account_created: int | None = None
    email_domain: str | None = None
    payment_id: str | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A named person agreed to an order: ``signature`` (base64 Ed25519) covers the order, the name and the time."""

    by: str
    time: int
    signature: str


@dataclass(frozen=True, slots=True)
class Order:
    """A measure against a campaign.

    ``scope``: "streams" touches requests that match the campaign's indicators, from whatever account; "accounts"
    all requests of ``accounts``. ``reason`` is a machine-readable code; ``evidence`` names the campaign and the
    digest of the result it was found in. In force from ``start`` up to, not including, ``expires``.
    ``parameters`` are the response's own.
    """

    order_id: str
    campaign_id: str
    response: str
    scope: Scope
    accounts: frozenset[str]
    reason: str
    evidence: str
    start: int
    expires: int
    approvals: tuple[Approval, ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict[str, Value], hash=False)


@dataclass(frozen=True, slots=True)
class Exemption:
    """No measure touches this organization or account (exactly one is given) before ``expires``.

    ``above`` names a response: then only measures of a higher rung do not. An appeal freezes severe measures so.
    """

    organization_id: str | None
    account_id: str | None
    reason: str
    by: str
    time: int
    expires: int
    above: str | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """What shows a campaign in one request: it matches when at least ``least`` of ``values`` are there.

    ``values``: hex, 64 bit, for ``template`` (anchors), ``skeleton`` (hashes) and ``minhash`` (band keys); hex
    SHA-256 for ``device`` and ``network``. ``valid_until`` None: until it is replaced.
    """

    indicator_id: str
    campaign_id: str
    kind: IndicatorKind
    values: tuple[str, ...]
    least: int
    valid_from: int
    valid_until: int | None = None


Tier = Literal["A", "B", "C"]
Access = Literal["text", "logprobs"]
Verdict = Literal[
    "supports derivation",
    "does not support derivation",
    "inconclusive",
    "lead",
    "no lead",
    # Of tests of identity, which say nothing of derivation:
    "different model",
    "same model not rejected",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one provenance test on one suspect.

    ``tier`` A: exact under randomness that we drew and committed beforehand; B: calibrated against controls; C: a lead.
    Only tier A may support derivation; B and C end in "lead" or "no lead", tests of identity in "different model" or
    "same model not rejected". ``p_value`` is that of the null hypothesis in
    words; ``log10_p`` is the same and does not underflow; ``e_value`` is set by tests that one may stop early.
    ``effect`` with its 95 % ``interval`` is in the unit that ``effect_unit`` names. ``n``: independent units that the
    statistic rests on. ``power``: chance that this run had to reach ``alpha`` against a copy of stated exposure, None
    when no curve is known. ``counts``: every answer or pair by what became of it; they add up to all that was handed in.
    """

    test: str
    tier: Tier
    suspect: str
    null_hypothesis: str
    statistic: float
    p_value: float
    log10_p: float
    effect: float
    interval: tuple[float, float]
    effect_unit: str
    n: int
    access: Access
    alpha: float
    verdict: Verdict
    seed: int
    counts: Mapping[str, int] = field(default_factory=dict[str, int], hash=False)
    details: Mapping[str, Value] = field(default_factory=dict[str, Value], hash=False)
    defeaters: tuple[str, ...] = ()
    e_value: float | None = None
    power: float | None = None
    campaign_id: str | None = None
