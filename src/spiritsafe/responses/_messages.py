"""Anthropic's messages: ``POST /v1/messages``."""

from __future__ import annotations

from spiritsafe.responses._shapes import (
    Asked,
    Dialect,
    Document,
    Tally,
    conversation,
    first,
    inside,
    integer,
    names,
    number,
    string,
    text_of,
)


def messages_asked(body: object, operation: str = "messages") -> Asked:
    """The fields of a messages request."""
    if not isinstance(body, dict):
        return Asked(operation)
    get = body.get
    spoken, prompt, turns = conversation(get("messages"))
    system = text_of(get("system")) or None
    if spoken:
        system = f"{system}\n{spoken}" if system else spoken
    tools, temperature, top_p, maximum = get("tools"), get("temperature"), get("top_p"), get("max_tokens")
    return Asked(
        operation,
        string(get("model")),
        system,
        prompt,
        turns,
        None if tools is None else names(tools),
        None if temperature is None else number(temperature),
        None if top_p is None else number(top_p),
        None,
        None if maximum is None else integer(maximum),
        None,
        string(inside(body, "metadata").get("user_id")),
        get("stream") is True,
    )


class MessagesTally(Tally):
    """Text blocks, joined by line ends; usage of message_start and message_delta."""

    __slots__ = ("_texts",)

    def __init__(self, *, text: bool = True) -> None:
        super().__init__(text=text)
        self._texts = 0

    def add(self, document: object, event_name: str | None = None) -> None:
        """Take the whole message, or the data of one event."""
        if not isinstance(document, dict):
            return
        kind = document.get("type", event_name)
        if kind == "content_block_delta":
            if isinstance(text := inside(document, "delta").get("text"), str):
                self.say(text)
        elif kind == "content_block_start":
            block = inside(document, "content_block")
            if block.get("type") == "text":
                self.say("\n" if self._texts else None)
                self._texts += 1
                self.say(block.get("text"))
        elif kind == "message_start":
            message = inside(document, "message")
            self.id = first(string, message, "id", was=self.id)
            self.spend(message.get("usage"))
            self.say(None)
        elif kind == "message_delta":
            self.finish = first(string, inside(document, "delta"), "stop_reason", was=self.finish)
            self.spend(document.get("usage"))
        elif kind == "message":
            self._whole(document)

    def _whole(self, message: Document) -> None:
        self.id = string(message.get("id"))
        self.spend(message.get("usage"))
        self.finish = string(message.get("stop_reason"))
        if (text := text_of(message.get("content"))) is not None:
            self.say(text)


MESSAGES = Dialect("messages", "anthropic", "messages", makes=True, asked=messages_asked, tally=MessagesTally)
