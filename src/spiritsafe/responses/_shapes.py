"""What every dialect gives: the canonical request fields, a running count of the answer, and the texts in between.

What a body means is the same here and in ``sources/_bodies.py``, which reads logs of the same bodies with SQL; a
contract test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

#: A JSON object as orjson gives it. Any value may be of any JSON type: bodies come from strangers.
Document: TypeAlias = dict[str, Any]

_LARGEST = 1 << 63


class Asked(NamedTuple):
    """A request's canonical fields (see ``schema.COLUMNS``); None where the body does not say, or says it wrongly."""

    operation: str
    model: str | None = None
    system: str | None = None
    prompt: str | None = None
    turns: int | None = None
    tools: list[str | None] | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    max_tokens: int | None = None
    logprobs: bool | None = None
    end_user_id: str | None = None
    stream: bool = False


class Tally:
    """Reads an answer: one whole JSON document, or each event of a stream in turn.

    ``add`` never raises and never changes what it is given. ``text=False`` keeps no text.
    """

    __slots__ = ("cached", "finish", "id", "input", "output", "reasoning", "said", "seen", "text")

    def __init__(self, *, text: bool = True) -> None:
        self.text = text
        self.seen = False
        self.said: list[str] | None = None
        self.id: str | None = None
        self.finish: str | None = None
        self.input: int | None = None
        self.cached: int | None = None
        self.output: int | None = None
        self.reasoning: int | None = None

    def add(self, document: object, event_name: str | None = None) -> None:
        """Take one document: the whole answer, or the data of one event of the stream."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """The canonical columns an answer tells; None where it told nothing."""
        return {
            "exchange_id": self.id,
            "response": None if self.said is None else "".join(self.said),
            "input_tokens": self.input,
            "cached_tokens": self.cached,
            "output_tokens": self.output,
            "reasoning_tokens": self.reasoning,
            "finish_reason": self.finish,
        }

    def say(self, piece: object) -> None:
        """Add a piece of text. Any piece, even of none, says that there was an answer."""
        if self.said is None:
            self.said = []
        if self.text and isinstance(piece, str):
            self.said.append(piece)

    def spend(self, usage: object) -> None:
        """Take a report of usage. Counts in a stream are running totals: the last one counts."""
        if not isinstance(usage, dict):
            return
        self.input = first(integer, usage, "prompt_tokens", "input_tokens", was=self.input)
        self.output = first(integer, usage, "completion_tokens", "output_tokens", was=self.output)
        asked = inside(usage, "prompt_tokens_details", "input_tokens_details")
        self.cached = first(integer, asked, "cached_tokens", was=self.cached)
        self.cached = first(integer, usage, "cache_read_input_tokens", was=self.cached)
        told = inside(usage, "completion_tokens_details", "output_tokens_details")
        self.reasoning = first(integer, told, "reasoning_tokens", "thinking_tokens", was=self.reasoning)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API: how its requests and answers are read.

    ``id`` is what responses tell dialects apart by. ``makes`` is false where a call makes no answer of the model's
    (a stored response is fetched or deleted, tokens are counted): such calls are no exchange.
    """

    id: str
    provider: str
    operation: str
    makes: bool
    asked: Callable[[Any], Asked]
    tally: Callable[..., Tally]


def string(value: object) -> str | None:
    """``value`` if it is text."""
    return value if isinstance(value, str) else None


def integer(value: object) -> int | None:
    """A count given as a number, or as the text of one."""
    if type(value) is int:
        return value if -_LARGEST <= value < _LARGEST else None
    if isinstance(value, str) and len(value) < 40:
        value = number(value)
    if isinstance(value, float) and isfinite(value) and abs(value) < _LARGEST:
        return round(value)
    return None


def number(value: object) -> float | None:
    """A finite number, or the text of one."""
    if type(value) is float or type(value) is int or (isinstance(value, str) and len(value) < 40):
        try:
            got = float(value)
        except (ValueError, OverflowError):
            return None
        return got if isfinite(got) else None
    return None


def flag(value: object) -> bool | None:
    """Whether something was asked for: true, or a positive number of it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    count = integer(value)
    return None if count is None else count > 0


def first(read: Callable[[object], Any], document: Document, *names: str, was: Any = None) -> Any:
    """What ``read`` makes of the first of ``names`` that is there; ``was`` when there is none."""
    for name in names:
        value = document.get(name)
        if value is not None and (got := read(value)) is not None:
            return got
    return was


def inside(document: Document, *names: str) -> Document:
    """The first of ``names`` that is an object; else an empty one."""
    for name in names:
        value = document.get(name)
        if isinstance(value, dict):
            return value
    return {}


def listed(value: object) -> list[Any]:
    """``value`` if it is a list; else an empty one."""
    return value if isinstance(value, list) else []


def text_of(content: object) -> str | None:
    """The text of a string, of a list of parts, or of one part. Reasoning, tools, images and sound are no text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [text for part in content if isinstance(part, dict) and (text := _part(part)) is not None]
        return "\n".join(texts)
    if isinstance(content, dict):
        text = content.get("text")
        return string(text if text is not None else content.get("content"))
    return None


def _part(part: Document) -> str | None:
    text = part.get("text")
    if text is None and part.get("type") == "text":
        text = part.get("content")
    return string(text if text is not None else part.get("refusal"))


def conversation(said: object) -> tuple[str | None, str | None, int | None]:
    """System text, prompt and number of turns of a string, a list of messages, or a list of strings.

    The prompt is the last user message with text; if no user spoke, the last message with text that is no
    instruction; "" if nobody said anything.
    """
    if isinstance(said, str):
        return None, said, 1
    if not isinstance(said, list):
        return None, None, None
    system: list[str] | None = None
    user = other = None
    for message in reversed(said):
        if not isinstance(message, dict):
            continue
        role = message.get("role")
        if role == "user" and user is None and message.get("type", "message") == "message":
            user = text_of(message.get("content")) or None
            other = other or user
        elif role == "system" or role == "developer":  # noqa: PLR1714 - this way it is faster
            if text := text_of(message.get("content")):
                system = [text, *system] if system else [text]
        elif other is None and user is None:
            other = text_of(message.get("content")) or None
    if user is None and said and isinstance(said[0], str):
        user = "\n".join(text for text in said if isinstance(text, str))
    prompt = user if user is not None else other if other is not None else "" if said else None
    return "\n".join(system) if system else None, prompt, len(said)


def names(tools: object, functions: object = None) -> list[str | None] | None:
    """The names of declared tools; of built-in ones, their type."""
    if isinstance(tools, list):
        return [_name(tool) for tool in tools]
    if isinstance(functions, list):
        return [string(one.get("name")) if isinstance(one, dict) else None for one in functions]
    return None


def _name(tool: object) -> str | None:
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if name is None:
        name = tool.get("name")
    return string(name if name is not None else tool.get("type"))
