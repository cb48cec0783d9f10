"""Chat completions: ``POST /v1/chat/completions`` (OpenAI's API reference, and servers that speak like it)."""

from __future__ import annotations

from spiritsafe.responses._shapes import (
    Asked,
    Dialect,
    Document,
    Tally,
    conversation,
    first,
    flag,
    inside,
    integer,
    names,
    number,
    string,
    text_of,
)


def openai_asked(body: Document, said: object, operation: str) -> Asked:
    """The fields that OpenAI's APIs share; ``said``: the messages, input or prompt."""
    get = body.get
    system, prompt, turns = conversation(said)
    tools, functions, user, maximum, n = (
        get("tools"), get("functions"), get("safety_identifier") or get("user"), get("max_completion_tokens"), get("n")
    )  # fmt: skip
    if maximum is None:
        maximum = first(integer, body, "max_output_tokens", "max_tokens")
    temperature, top_p, logprobs = get("temperature"), get("top_p"), get("logprobs")
    return Asked(
        operation,
        string(get("model")),
        system,
        prompt,
        turns,
        None if tools is None and functions is None else names(tools, functions),
        None if temperature is None else number(temperature),
        None if top_p is None else number(top_p),
        None if n is None else integer(n),
        None if maximum is None else integer(maximum),
        None if logprobs is None else flag(logprobs),
        string(user) if user is not None else string(inside(body, "metadata").get("user_id")),
        get("stream") is True,
    )


def _asked(body: object) -> Asked:
    return openai_asked(body, body.get("messages"), "chat") if isinstance(body, dict) else Asked("chat")


class ChatTally(Tally):
    """The first choice of a chat completion or of its chunks; legacy completions have their text one level higher."""

    __slots__ = ()

    def add(self, document: object, event_name: str | None = None) -> None:  # noqa: ARG002 - chunks have no names
        """Take the whole answer, or one chunk."""
        if not isinstance(document, dict):
            return
        if self.id is None:
            self.id = string(document.get("id"))
        self.spend(document.get("usage"))
        choices = document.get("choices")
        if not isinstance(choices, list):
            return
        for choice in choices:
            # In chunks each choice comes by itself, with its index.
            if isinstance(choice, dict) and not choice.get("index"):
                self._take(choice)
                return
        if choices and isinstance(choices[0], dict) and "message" in choices[0]:
            self._take(choices[0])
        elif self.said is None and not self.seen:
            self.say(None)

    def _take(self, choice: Document) -> None:
        self.seen = True
        self.finish = first(string, choice, "finish_reason", was=self.finish)
        message = choice.get("message")
        if isinstance(message, dict):
            text = text_of(message.get("content"))
            text = string(message.get("refusal")) if text is None else text
            if text is not None:
                self.say(text)
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            text = delta.get("content")
            self.say(text if text is not None else delta.get("refusal"))
        elif (text := choice.get("text")) is not None:
            self.say(text)


CHAT = Dialect("chat", "openai", "chat", makes=True, asked=_asked, tally=ChatTally)
