"""A change of the signed file: read, changed, signed anew and replaced at once, by one process at a time."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from spiritsafe.attest import keys
from spiritsafe.errors import UsageError
from spiritsafe.orders import snapshot

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from spiritsafe.model import Exemption, Order
    from spiritsafe.orders.policy import Policy


class Change:
    """Use it as a context manager: change ``orders`` (by id) and ``exempt``, then ``sign``; without ``sign`` nothing happens.

    What has expired at ``now`` is left out. ``version`` and ``digest`` are the old file's (0 and "" when there is none).
    ``issuer`` None keeps the old file's. Raises AttestError for the key, UsageError when it is not the policy's signer,
    OrderError when the old file does not hold.
    """

    def __init__(self, policy: Policy, key: Path, *, now: int, issuer: str | None = None) -> None:
        self.policy, self.now, self.issuer = policy, now, issuer
        self._path = key
        self.orders: dict[str, Order] = {}
        self.exempt: list[Exemption] = []
        self.version, self.digest, self.expires = 0, "", 0

    def __enter__(self) -> Self:
        self._key = keys.load(self._path)
        # Two changes at the same time would each take back the other's: who holds the key's lock signs.
        self._lock = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._read()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def sign(self, valid: int) -> str:
        """Replace the file; it is obeyed for ``valid`` microseconds. Returns the new file's digest.

        Raises OrderError when the content makes no sense, StorageError when the disk refuses; the old file then stays.
        """
        return snapshot.write(
            self.policy.file,
            self._key,
            version=self.version + 1,
            issuer=self.issuer or "issuer",
            orders=list(self.orders.values()),
            exempt=self.exempt,
            now=self.now,
            expires=self.now + valid,
        )

    def _read(self) -> None:
        if keys.public(self._key) != self.policy.signer:
            raise UsageError(
                "this key is not the policy's signer",
                where=str(self._path),
                hint="[orders] signer names the key",
            )
        if not self.policy.file.exists():
            return
        old = snapshot.read(self.policy.file, self.policy.signer, now=None, rules=self.policy.rules)
        self.orders = {one.order_id: one for one in old.all_orders if one.expires > self.now}
        self.exempt = [one for one in old.exempt if one.expires > self.now]
        self.version, self.digest, self.expires = old.version, old.digest, old.expires
        self.issuer = self.issuer or old.issuer
