"""One tree of errors; each says what happened, where, and what to do next.

::

    SpiritsafeError
    ├── UsageError           the command or a setting makes no sense           exit 2
    ├── InputError           a file cannot be read as an exchange log           exit 2
    │   ├── UnknownFormat    the content fits no known log format
    │   ├── MalformedRecord  one record is broken (with ``--strict``)
    │   ├── InputChanged     a file changed or vanished while it was read
    │   └── InputUnreachable object storage refuses, or cannot be reached
    ├── StorageError         the work folder or the output cannot be written    exit 2
    ├── ExtensionError       a signal, source, … breaks its contract            exit 2
    ├── LedgerError          the ledger's chain does not fit                    exit 2
    ├── OrderError           orders are forged, expired, rolled back, malformed exit 2
    ├── AttestError          a signature, proof or time stamp does not hold     exit 2
    └── SharingError         an object, member or message of the forum is wrong exit 2
        ├── ScopeError       something would leave, or arrive, that may not     exit 2
        └── MisconductError  a member provably broke a protocol                 exit 2
"""

from __future__ import annotations


class SpiritsafeError(Exception):
    """Base of every error that a user may see.

    ``where`` is ``file`` or ``file:line``; ``hint`` is one sentence on what to do.
    """

    exit_code = 2

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        tail = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{tail}"


class UsageError(SpiritsafeError):
    """The command line, a setting or an argument makes no sense."""


class InputError(SpiritsafeError):
    """A file cannot be read as an exchange log."""


class UnknownFormat(InputError):  # noqa: N818 - reads as the fact it states
    """The content fits no known log format."""


class MalformedRecord(InputError):  # noqa: N818 - reads as the fact it states
    """One record is broken; raised only under ``--strict``, else the record is set aside."""


class InputChanged(InputError):  # noqa: N818 - reads as the fact it states
    """A file changed or vanished while it was being read."""


class InputUnreachable(InputError):  # noqa: N818 - reads as the fact it states
    """Object storage refuses to give a file, or cannot be reached: nothing is known of the file itself."""


class StorageError(SpiritsafeError):
    """The work folder or the output cannot be written (disk full, no permission)."""


class ExtensionError(SpiritsafeError):
    """An extension breaks the contract of its room."""


class LedgerError(SpiritsafeError):
    """The ledger's hash chain does not fit its content."""


class OrderError(SpiritsafeError):
    """A snapshot of orders, an order, an approval or a key is forged, expired, rolled back or malformed."""


class AttestError(SpiritsafeError):
    """A signature, an inclusion or consistency proof or a time stamp does not hold."""


class SharingError(SpiritsafeError):
    """An object, a member, a message or a proof of the forum is malformed, forged, replayed or not allowed."""


class ScopeError(SharingError):
    """Something outside the closed schemas would leave a member or arrive from one; ``where`` is the field's path."""


class MisconductError(SharingError):
    """Members provably broke a protocol: ``members`` are their identities, the message says how each did."""

    def __init__(
        self,
        message: str,
        members: tuple[str, ...] = (),
        *,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, where=where or ", ".join(members) or None, hint=hint)
        self.members = members
