"""The Responses API: ``POST /v1/responses``; stored responses by id."""

from __future__ import annotations

from spiritsafe.responses._chat import openai_asked
from spiritsafe.responses._shapes import (
    Asked,
    Dialect,
    Document,
    Tally,
    first,
    inside,
    integer,
    listed,
    string,
    text_of,
)

#: What a caller puts in ``include`` to get log probabilities.
LOGPROBS = "message.output_text.logprobs"


def _asked(body: object) -> Asked:
    if not isinstance(body, dict):
        return Asked("responses")
    asked = openai_asked(body, body.get("input"), "responses")
    instructions = string(body.get("instructions"))
    if instructions:
        asked = asked._replace(system=instructions + "\n" + asked.system if asked.system else instructions)
    if asked.logprobs is None and ("top_logprobs" in body or "include" in body):
        count = integer(body.get("top_logprobs"))
        if (count is not None and count > 0) or LOGPROBS in listed(body.get("include")):
            asked = asked._replace(logprobs=True)
    return asked


class ResponsesTally(Tally):
    """Text comes in deltas; the last event repeats the whole response, which then counts."""

    __slots__ = ("_place",)

    def __init__(self, *, text: bool = True) -> None:
        super().__init__(text=text)
        self._place: tuple[object, object] | None = None

    def add(self, document: object, event_name: str | None = None) -> None:
        """Take the whole response, or the data of one event."""
        if not isinstance(document, dict):
            return
        kind = document.get("type", event_name)
        if not isinstance(kind, str):
            self._whole(document)
        elif kind in {"response.output_text.delta", "response.refusal.delta"}:
            place = (document.get("output_index"), document.get("content_index"))
            if self._place is not None and place != self._place:
                self.say("\n")
            self._place = place
            self.say(document.get("delta"))
        elif isinstance(response := document.get("response"), dict):
            self._whole(response)

    def _whole(self, response: Document) -> None:
        self.id = first(string, response, "id", was=self.id)
        self.spend(response.get("usage"))
        self.finish = string(inside(response, "incomplete_details").get("reason"))
        self.finish = self.finish or string(response.get("status"))
        output = response.get("output")
        if not isinstance(output, list):
            return
        texts = [
            text
            for item in output
            if isinstance(item, dict) and item.get("type", "message") == "message"
            if (text := text_of(item.get("content"))) is not None
        ]
        if texts or self.said is None:
            self.said = []
            self.say("\n".join(texts))


RESPONSES = Dialect("responses", "openai", "responses", makes=True, asked=_asked, tally=ResponsesTally)
#: Stored responses, fetched, cancelled or deleted by id: no new exchange, but what comes back is an answer.
STORED = Dialect("responses", "openai", "responses", makes=False, asked=_asked, tally=ResponsesTally)
