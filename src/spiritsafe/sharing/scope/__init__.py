"""The gate: what may leave a member or arrive from one, as closed schemas and the same call at sender, hub and receiver.

::

    from spiritsafe.sharing import scope

    scope.check(objects, at="sender")            # raises ScopeError: the field's path and a hint
    objects = scope.read(data, at="hub")         # bytes from the network: limits first, then parsed, then checked
"""

from __future__ import annotations

from spiritsafe.sharing.scope.gate import MOST_BYTES, MOST_OBJECTS, At, check, read
from spiritsafe.sharing.scope.schemas import load as schemas

__all__ = ["MOST_BYTES", "MOST_OBJECTS", "At", "check", "read", "schemas"]
