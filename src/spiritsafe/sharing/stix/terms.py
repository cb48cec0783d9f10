"""The terms under which an object leaves: purpose, legal basis, end, markings. No object is made without them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from spiritsafe.errors import SharingError
from spiritsafe.sharing.stix.markings import PAP, TLP

DAY: Final = 86_400_000_000
LONGEST_DAYS: Final = 400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Terms:
    """``purpose`` and ``legal_basis``: words of the schemas. ``days``: how long objects hold, from their last change."""

    purpose: str = "detect-distillation"
    legal_basis: str = "legitimate-interests"
    days: int = 90
    tlp: str = "amber+strict"
    pap: str = "amber"

    def __post_init__(self) -> None:
        """Raise SharingError for a colour or a length that there is none of; words are the gate's business."""
        for name, value, known in (("tlp", self.tlp, TLP), ("pap", self.pap, PAP)):
            if value not in known:
                raise SharingError(f"there is no {name} {value!r}", hint=f"one of: {', '.join(known)}")
        if not 1 <= self.days <= LONGEST_DAYS:
            raise SharingError(
                f"valid for {self.days} days", hint=f"from 1 to {LONGEST_DAYS}; what nobody renews ends"
            )

    @property
    def markings(self) -> list[str]:
        """The two markings, TLP first."""
        return [TLP[self.tlp], PAP[self.pap]]

    def facts(self, now: int) -> dict[str, Any]:
        """The part of the extension that each object has. ``now`` microseconds."""
        return {
            "extension_type": "property-extension",
            "version": "1",
            "purpose": self.purpose,
            "legal_basis": self.legal_basis,
            "valid_until": day(now + self.days * DAY),
        }


def stamp(time: int) -> str:
    """``created`` and ``modified`` of STIX: RFC 3339, milliseconds, UTC."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat(timespec="milliseconds")[:-6] + "Z"


def day(time: int) -> str:
    """The beginning of the day: seconds would let others join it with their own logs."""
    return (_EPOCH + timedelta(microseconds=time - time % DAY)).isoformat(timespec="seconds")[:-6] + "Z"


def micros(text: str) -> int:
    """Microseconds of a STIX time. Raises ValueError."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def bucket(n: int) -> int | None:
    """The order of magnitude of a count: 0 for 1 to 9, 1 for 10 to 99, ...; None for nothing. Never the count itself."""
    return min(len(str(n)) - 1, 12) if n > 0 else None
