"""The blind relay: what the hub does for matching. It passes on, counts, and compares tags; it holds no key.

It believes nothing and need not be believed: each statement is signed by its author and checked again by its reader.
What the relay checks itself keeps rubbish out and quotas honest, so that holders have less to refuse.
"""

from spiritsafe.sharing.matching.relay.app import app

__all__ = ["app"]
