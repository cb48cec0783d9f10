"""The relay as an ASGI app, for the hub to mount: it finds ``scope["member"]`` and ``scope["store"]`` there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from spiritsafe.sharing.matching.relay import ceremonies, requests, sets
from spiritsafe.sharing.matching.relay.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def app(*, clock: Callable[[], int], key: Ed25519PrivateKey | None = None) -> Starlette:
    """The relay. ``clock``: microseconds since the epoch; ``key``: the hub's, with which sets are logged and matches told."""
    desk = Desk(clock, key)
    table = (
        ("POST", "/ceremonies", ceremonies.propose),
        ("GET", "/ceremonies", ceremonies.listed),
        ("GET", "/ceremonies/{ceremony}", ceremonies.shown),
        ("POST", "/ceremonies/{ceremony}/{round}", ceremonies.state),
        ("GET", "/epochs", ceremonies.epochs),
        ("POST", "/destroyed", ceremonies.destroyed),
        ("GET", "/epochs/{epoch}/destroyed", ceremonies.destructions),
        ("GET", "/epochs/{epoch}/counts", requests.counts),
        ("POST", "/requests", requests.ask),
        ("GET", "/requests/{request}", requests.result),
        ("DELETE", "/requests/{request}", requests.done),
        ("POST", "/requests/{request}/again", requests.again),
        ("POST", "/requests/{request}/answer", requests.reply),
        ("POST", "/requests/{request}/refusal", requests.refuse),
        ("POST", "/work", requests.work),
        ("POST", "/sets", sets.post),
        ("GET", "/epochs/{epoch}/{purpose}/sets", sets.shown),
        ("GET", "/epochs/{epoch}/{purpose}/matches", sets.matches),
        ("POST", "/messages", sets.send),
        ("GET", "/epochs/{epoch}/{purpose}/messages/{about}", sets.messages),
    )
    return Starlette(
        routes=[Route(path, desk.route(handler), methods=[method]) for method, path, handler in table]
    )
