"""Several drafts of one answer: drawn at once, one chosen by a key, its hand by a committed coin, the other kept as ghost.

Every draft is what the model gives to the very same request, and the one that is served is served as it came. Only when
all drafts are texts is there a choice: a rule that looks at all of them alike leaves the two picks exchangeable.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from spiritsafe.gateway.escrow import Heard
from spiritsafe.gateway.headers import first
from spiritsafe.gateway.upstream import Broken, Unreachable
from spiritsafe.marking.choice import choose

if TYPE_CHECKING:
    from spiritsafe.gateway.escrow import Pair
    from spiritsafe.gateway.headers import Pairs
    from spiritsafe.gateway.upstream import Answer, Outgoing, Upstream
    from spiritsafe.gateway.works import Works
    from spiritsafe.marking.keys import MarkKey
    from spiritsafe.responses import Asked, Dialect


class Drafts(NamedTuple):
    """How an answer is to be drawn: so many drafts, the key that chooses, and the pair whose coin picks the hand."""

    number: int
    key: MarkKey
    pair: Pair


class Held:
    """An answer that has come whole."""

    def __init__(self, status: int, headers: Pairs, data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data
        self._left = data

    async def read(self) -> bytes:
        """All of it, then nothing."""
        data, self._left = self._left, b""
        return data

    def close(self) -> None:
        """Nothing is held open."""


def reason(works: Works, asked: Asked, body: Any, key: str) -> str | None:
    """Why an answer is not drawn several times, in a word for the metrics; None when it is."""
    if asked.stream:
        return "streamed"  # a choice needs whole answers; one event at the end would break clients
    if isinstance(body, dict) and ("tools" in body or "functions" in body):
        return "tools"
    if not works.mark_keys or works.keeper is None:
        return "not_set_up"
    return None if key in works.mark_keys else "no_key"


async def draw(
    upstream: Upstream, outgoing: Outgoing, drafts: Drafts, dialect: Dialect, works: Works
) -> Answer:
    """The answer to serve; the pair then has its ghost, or none where there was no choice. Raises Unreachable, Broken."""
    most = works.policy.limits.answer
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(upstream, outgoing, most)) for _ in range(drafts.number)]
    drawn = [task.result() for task in tasks]
    whole = [one for one in drawn if isinstance(one, Held)]
    read = [_read(one, dialect) for one in whole]
    texts = [text for text, _ in read if text is not None]
    if len(texts) < drafts.number:
        works.counts.add("best_of.incomplete")
        for one in (*(one for one in whole if one.status == 200), *whole):
            return one
        raise next(one for one in drawn if not isinstance(one, Held))
    pair = drafts.pair
    choice = await works.apart(lambda: choose(texts, drafts.key, pair.ticket.coin))
    if choice.ghost is not None:
        heard = read[choice.ghost][1]
        pair.ghost = {"status": "ok", "text": texts[choice.ghost], "snapshot": pair.snapshot(heard)}
    works.counts.add("best_of.chosen")
    return whole[choice.served]


async def _one(upstream: Upstream, outgoing: Outgoing, most: int) -> Held | Unreachable | Broken:
    answer: Answer | None = None
    try:
        answer = await upstream.send(outgoing)
        pieces: list[bytes] = []
        size = 0
        while piece := await answer.read():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                return Unreachable("answer_too_large")
        return Held(answer.status, answer.headers, b"".join(pieces))
    except (Unreachable, Broken) as error:
        return error
    finally:
        if answer is not None:
            answer.close()


def _read(one: Held, dialect: Dialect) -> tuple[str | None, Heard]:
    """The text of a draft, or None when it is no answer in words; and what it tells of its model."""
    heard = Heard()
    coding = (first(one.headers, b"content-encoding") or b"identity").strip().lower()
    if one.status != 200 or coding != b"identity":
        return None, heard
    try:
        document = orjson.loads(one.data)
    except orjson.JSONDecodeError:
        return None, heard
    tally = dialect.tally()
    tally.add(document)
    heard.add(document)
    return heard.text(tally.record()), heard
