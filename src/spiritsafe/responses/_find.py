"""Method and path -> dialect. What is not exactly one of the known paths is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spiritsafe.responses._chat import CHAT
from spiritsafe.responses._completions import COMPLETIONS
from spiritsafe.responses._count_tokens import COUNT_TOKENS
from spiritsafe.responses._embeddings import EMBEDDINGS
from spiritsafe.responses._messages import MESSAGES
from spiritsafe.responses._responses import RESPONSES, STORED

if TYPE_CHECKING:
    from spiritsafe.responses._shapes import Dialect

_POST: dict[str, Dialect] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
}

_BY_ID = re.compile(r"/v1/responses/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.~=-]{1,4096}(/cancel|/input_items)?")
_METHODS = {None: {"GET", "DELETE"}, "/cancel": {"POST"}, "/input_items": {"GET"}}


def find(method: str, path: str, prefix: str = "") -> Dialect | None:
    """The dialect of a call, or None.

    ``path`` is as it came, without the query; ``prefix`` is the base path that the gateway is mounted at. One slash at the
    end is tolerated. Escapes (%2F), doubled slashes, dots, other case and other methods lead nowhere: a server behind
    may read them otherwise than we do.
    """
    if prefix:
        prefix = prefix.rstrip("/")
        if not path.startswith(prefix):
            return None
        path = path[len(prefix) :]
    if path[-1:] == "/":
        path = path[:-1]
    if method == "POST" and path in _POST:
        return _POST[path]
    stored = _BY_ID.fullmatch(path)
    return STORED if stored and method in _METHODS[stored[1]] else None
