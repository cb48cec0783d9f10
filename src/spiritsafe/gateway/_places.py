"""Where artefacts stand in requests, answers and stream events.

By shape, not by endpoint: one walk knows chat completions, responses and messages. After the API references of OpenAI
(responses: ``encrypted_content`` of reasoning and compaction items, ids, ``item_reference``), Anthropic (thinking and
redacted thinking), OpenRouter (``reasoning_details``), LiteLLM (``thinking_blocks``, ``provider_specific_fields``) and
Google's OpenAI-compatible endpoint (``extra_content.google.thought_signature``). Only fields that a provider writes are
looked at: what a user's tools or texts contain is left alone. Fixed depth, so no JSON is too deep; any shape is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from spiritsafe.gateway.artefacts import CONVERSATION, ITEM, REASONING, RESPONSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Path = tuple[str | int, ...]
#: Items whose ids stand for reasoning that the provider has stored.
_STORED = frozenset({"reasoning", "compaction", "compaction_summary"})
#: Bytes without which no answer and no event holds an artefact. Providers do not escape the letters of their keys.
NEEDLES = (
    b"encrypted_content",
    b"signature",
    b"redacted_thinking",
    b'"reasoning',
    b'"response"',
    b'"response.reasoning',
    b'"response.deleted"',
    b'response_id"',
    b'"conversation"',
    b'"compaction',
)

#: Keys of a message that holds nothing of the provider's, if its content is text.
_PLAIN = frozenset({"role", "content", "name", "type"})
#: Keys of a chat completion that a client may rely on beside its choices, and of such a choice's message.
_COMPLETION = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
)
_SAID = frozenset({"role", "content", "refusal"})


class Place(NamedTuple):
    """One artefact: the way to it, its kind, the text there, and whether a scan reads that place of a body."""

    path: Path
    kind: str
    text: str
    scanned: bool


def may_touch(data: bytes) -> bool:
    """Whether these bytes of an answer or event can hold an artefact; False is certain. Cheaper than parsing."""
    return any(needle in data for needle in NEEDLES)


def hands_in(document: Any) -> bool:
    """Whether a request can hold an artefact; False is certain. Quicker than ``in_request`` where messages are texts."""
    if "previous_response_id" in document or "conversation" in document:
        return True
    for name in ("messages", "input"):
        for _, message in _dicts(document.get(name)):
            if not (message.keys() <= _PLAIN and isinstance(message.get("content"), str)):
                return True
    return False


def gives_out(document: Any) -> bool:
    """Whether an answer can hold an artefact; False is certain. It knows the plainest of answers only."""
    if not isinstance(document, dict) or not document.keys() <= _COMPLETION:
        return True
    choices = document.get("choices")
    if document.get("object") != "chat.completion" or not isinstance(choices, list):
        return True
    return any(
        not isinstance(choice, dict)
        or not isinstance(message := choice.get("message"), dict)
        or not message.keys() <= _SAID
        or isinstance(message.get("content"), list)
        for choice in choices
    )


def in_request(document: Any) -> list[Place]:
    """All artefacts that a request hands in, in the order in which a scan reads them."""
    if not isinstance(document, dict):
        return []
    found: list[Place] = []
    for name in ("messages", "input"):
        for at, message in _dicts(document.get(name)):
            found += _message(message, (name, at), scanned=True)
            if name == "input":
                found += _item_id(message, (name, at))
    found += _texts(document, (), ("previous_response_id",), RESPONSE)
    found += _conversation(document, ())
    return found


def in_answer(document: Any) -> list[Place]:
    """All artefacts that a whole answer gives out, in the order in which a scan reads them."""
    if not isinstance(document, dict):
        return []
    found = _choices(document, "message")
    found += _parts(document.get("content"), ("content",), scanned=True)
    found += _response(document, ())
    for at, item in _dicts(document.get("data")):
        found += _message(item, ("data", at), scanned=False)
        found += _item_id(item, ("data", at))
    return found


def in_event(document: Any) -> list[Place]:
    """All artefacts in the data of one stream event, but for ``signature_delta``, which may be a part only."""
    if not isinstance(document, dict):
        return []
    found = _choices(document, "delta") if "choices" in document else []
    block = document.get("content_block")
    if isinstance(block, dict):
        found += _part(cast("dict[str, Any]", block), ("content_block",), scanned=True)
    found += _response(document.get("response"), ("response",))
    item = document.get("item")
    if isinstance(item, dict):
        found += _message(cast("dict[str, Any]", item), ("item",), scanned=True)
        found += _item_id(cast("dict[str, Any]", item), ("item",))
    kind = document.get("type")
    if isinstance(kind, str) and kind.startswith("response.reasoning"):
        found += _texts(document, (), ("item_id",), ITEM)
    found += _texts(document, (), ("response_id", "previous_response_id"), RESPONSE)
    return found


def replaced(document: Any, changes: Iterable[tuple[Path, str]]) -> Any:
    """A copy of ``document`` with other texts at some places; what lies beside their ways is shared, not copied."""
    copies: dict[Path, Any] = {(): document.copy()}
    for path, text in changes:
        for depth in range(1, len(path)):
            if path[:depth] not in copies:
                above = copies[path[: depth - 1]]
                copies[path[:depth]] = above[path[depth - 1]] = above[path[depth - 1]].copy()
        copies[path[:-1]][path[-1]] = text
    return copies[()]


def _response(document: Any, at: Path) -> list[Place]:
    """A stored response, whole: its id, the one it continues, its conversation and its output."""
    if not isinstance(document, dict):
        return []
    found: list[Place] = []
    response = cast("dict[str, Any]", document)
    for index, item in _dicts(response.get("output")):
        found += _message(item, (*at, "output", index), scanned=True)
        found += _item_id(item, (*at, "output", index))
    named = response.get("object")
    if isinstance(named, str) and named.split(".", 1)[0] == "response":
        found += _texts(response, at, ("id",), RESPONSE)
    found += _texts(response, at, ("previous_response_id",), RESPONSE)
    found += _conversation(response, at)
    return found


def _conversation(document: dict[str, Any], at: Path) -> list[Place]:
    held = document.get("conversation")
    if isinstance(held, dict):
        return _texts(cast("dict[str, Any]", held), (*at, "conversation"), ("id",), CONVERSATION)
    return _texts(document, at, ("conversation",), CONVERSATION)


def _choices(document: dict[str, Any], name: str) -> list[Place]:
    found: list[Place] = []
    for at, choice in _dicts(document.get("choices")):
        message = choice.get(name)
        if isinstance(message, dict):
            found += _message(
                cast("dict[str, Any]", message), ("choices", at, name), scanned=at == 0 and name == "message"
            )
    return found


def _message(message: dict[str, Any], at: Path, *, scanned: bool) -> list[Place]:
    """A message of chat or messages, or an item of responses. What a scan reads of it last comes last."""
    found: list[Place] = []
    extra = message.get("provider_specific_fields")
    if isinstance(extra, dict):
        inner = cast("dict[str, Any]", extra)
        below = (*at, "provider_specific_fields")
        found += _details(inner, below)
        for index, _ in _dicts(inner.get("thinking_blocks")):
            found += _part(inner["thinking_blocks"][index], (*below, "thinking_blocks", index), scanned=False)
        signatures = inner.get("thought_signatures")
        if isinstance(signatures, list):
            listed = enumerate(cast("list[Any]", signatures))
            found += [
                Place((*below, "thought_signatures", i), REASONING, text, scanned=False)
                for i, text in listed
                if isinstance(text, str) and text
            ]
    found += _details(message, at)
    found += _thought(message, at)
    for index, call in _dicts(message.get("tool_calls")):
        below = (*at, "tool_calls", index)
        found += _thought(call, below)
        function = call.get("function")
        if isinstance(function, dict):
            found += _thought(cast("dict[str, Any]", function), (*below, "function"))
    found += _parts(message.get("thinking_blocks"), (*at, "thinking_blocks"), scanned=scanned)
    found += _parts(message.get("content"), (*at, "content"), scanned=scanned)
    found += _texts(message, at, ("encrypted_content",), REASONING, scanned=scanned)
    return found


def _details(message: dict[str, Any], at: Path) -> list[Place]:
    """``reasoning_details``: encrypted ``data`` and the ``signature`` of a text."""
    found: list[Place] = []
    for index, detail in _dicts(message.get("reasoning_details")):
        found += _texts(detail, (*at, "reasoning_details", index), ("data", "signature"), REASONING)
    return found


def _thought(holder: dict[str, Any], at: Path) -> list[Place]:
    """Google's thought signature, in LiteLLM's and in Google's own wrapping."""
    found: list[Place] = []
    extra = holder.get("provider_specific_fields")
    if isinstance(extra, dict):
        below = (*at, "provider_specific_fields")
        found += _texts(cast("dict[str, Any]", extra), below, ("thought_signature",), REASONING)
    content = holder.get("extra_content")
    google = cast("dict[str, Any]", content).get("google") if isinstance(content, dict) else None
    if isinstance(google, dict):
        below = (*at, "extra_content", "google")
        found += _texts(cast("dict[str, Any]", google), below, ("thought_signature",), REASONING)
    return found


def _parts(parts: Any, at: Path, *, scanned: bool) -> list[Place]:
    found: list[Place] = []
    for index, part in _dicts(parts):
        found += _part(part, (*at, index), scanned=scanned)
    return found


def _part(part: dict[str, Any], at: Path, *, scanned: bool) -> list[Place]:
    redacted = part.get("type") == "redacted_thinking"
    return _texts(part, at, ("data", "signature") if redacted else ("signature",), REASONING, scanned=scanned)


def _item_id(item: dict[str, Any], at: Path) -> list[Place]:
    kind = item.get("type")
    stored = isinstance(kind, str) and (kind in _STORED or kind == "item_reference")
    return _texts(item, at, ("id",), ITEM) if stored else []


def _texts(
    holder: dict[str, Any], at: Path, names: tuple[str, ...], kind: str, *, scanned: bool = False
) -> list[Place]:
    found: list[Place] = []
    for name in names:
        text = holder.get(name)
        if isinstance(text, str) and text:
            found.append(Place((*at, name), kind, text, scanned))
    return found


def _dicts(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a list with their places; nothing of anything else."""
    if isinstance(value, list):
        for index, entry in enumerate(cast("list[Any]", value)):
            if isinstance(entry, dict):
                yield index, cast("dict[str, Any]", entry)
