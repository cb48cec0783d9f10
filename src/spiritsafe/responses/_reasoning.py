"""Where the APIs carry reasoning in their answers, and how it is taken out so that official clients still parse them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

from spiritsafe.responses._shapes import listed, string, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from spiritsafe.responses._shapes import Document

#: In messages and deltas: DeepSeek and vLLM; vLLM and OpenRouter; OpenRouter; LiteLLM; Ollama.
_FIELDS = ("reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "thinking")
_THOUGHTS = ("thinking", "redacted_thinking")
_DELTAS = ("thinking_delta", "signature_delta")


def without_fields(document: Document, hook: Callable[[str], object] | None) -> Document | None:
    """A chat or legacy completion, or a chunk of one, without reasoning; None for a chunk that carried nothing else."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return document
    new = [_choice(choice, hook) if isinstance(choice, dict) else choice for choice in choices]
    if all(a is b for a, b in zip(new, choices, strict=True)):
        return document
    empty = all(isinstance(choice, dict) and _empty(choice) for choice in new)
    return None if empty and not document.get("usage") else {**document, "choices": new}


@dataclass(slots=True)
class Thoughts:
    """What one choice of a stream has thought so far, under the field that it came in; ``told`` once it is summed up."""

    field: str = ""
    texts: list[str] = dataclass_field(default_factory=list[str])
    told: bool = False


def with_summary(
    document: Document, hook: Callable[[str], object], held: dict[int, Thoughts]
) -> Document | None:
    """A chunk without reasoning, as ``without_fields``; the first that says something else says the summary, too."""
    _collect(document, held)
    bare = without_fields(document, None)
    choices = bare.get("choices") if bare is not None else None
    if bare is None or not isinstance(choices, list):
        return bare
    return {**bare, "choices": [_summed(choice, hook, held) for choice in choices]}


def _collect(document: Document, held: dict[int, Thoughts]) -> None:
    for choice in listed(document.get("choices")):
        delta = choice.get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict):
            continue
        for name in _FIELDS:
            text = delta.get(name)
            if isinstance(text, str) and text:  # the same text may stand in a second field, too
                thoughts = held.setdefault(_index(choice), Thoughts())
                thoughts.field = thoughts.field or name
                thoughts.texts.append(text)
                break


def _summed(choice: object, hook: Callable[[str], object], held: dict[int, Thoughts]) -> object:
    """The choice with its summary, when its reasoning is over and not yet summed up."""
    if not isinstance(choice, dict) or not isinstance(delta := choice.get("delta"), dict):
        return choice
    thoughts = held.get(_index(choice))
    speaks = choice.get("finish_reason") is not None or any(
        value for name, value in delta.items() if name != "role"
    )
    if thoughts is None or thoughts.told or not speaks:
        return choice
    thoughts.told = True
    summary = summarised(hook, "".join(thoughts.texts))
    return {**choice, "delta": {**delta, thoughts.field: summary}} if summary else choice


def _index(choice: Document) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _choice(choice: Document, hook: Callable[[str], object] | None) -> Document:
    changed = _bare(choice, hook)
    for name in ("message", "delta"):
        part = choice.get(name)
        if isinstance(part, dict) and (bare := _bare(part, hook)) is not part:
            changed = {**changed, name: bare}
    return changed


def _bare(part: Document, hook: Callable[[str], object] | None) -> Document:
    held = [name for name in _FIELDS if name in part]
    nested = part.get("provider_specific_fields")  # LiteLLM repeats them here
    bare = {name: value for name, value in part.items() if name not in _FIELDS} if held else part
    if isinstance(nested, dict) and (inner := _bare(nested, None)) is not nested:
        bare = {**bare, "provider_specific_fields": inner}
    if hook is not None and held:
        text = next((part[name] for name in held if isinstance(part[name], str)), "")
        if summary := summarised(hook, text):
            bare = {**bare, held[0]: summary}
    return bare


def _empty(choice: Document) -> bool:
    delta = choice.get("delta")
    if not isinstance(delta, dict) or choice.get("finish_reason") is not None:
        return False
    return not any(value for name, value in delta.items() if name != "role") and "role" not in delta


def without_blocks(document: Document, *, streamed: bool) -> Document | None:
    """A message without thinking blocks, or an event; None for an event that belongs to one."""
    if streamed:
        block, delta, message = document.get("content_block"), document.get("delta"), document.get("message")
        if isinstance(block, dict) and block.get("type") in _THOUGHTS:
            return None
        if isinstance(delta, dict) and delta.get("type") in _DELTAS:
            return None
        if isinstance(message, dict) and (bare := _blocks(message)) is not message:
            return {**document, "message": bare}
        return document
    return _blocks(document)


def _blocks(message: Document) -> Document:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    kept = [block for block in content if not (isinstance(block, dict) and block.get("type") in _THOUGHTS)]
    return message if len(kept) == len(content) else {**message, "content": kept}


def responses_event(document: Document, hook: Callable[[str], object] | None) -> Document | None:
    """A response or an event of one. Reasoning items stay, empty: their ids are part of the conversation."""
    kind = document.get("type")
    if isinstance(kind, str) and kind.startswith("response.reasoning"):
        return None
    part = document.get("part")
    if isinstance(part, dict) and part.get("type") in ("reasoning_text", "summary_text"):
        return None
    changed: dict[str, Any] = {}
    item, response = document.get("item"), document.get("response")
    if isinstance(item, dict) and (bare := _item(item, hook)) is not item:
        changed["item"] = bare
    if isinstance(response, dict) and (whole := responses_event(response, hook)) is not response:
        changed["response"] = whole
    output = document.get("output")
    if isinstance(output, list):
        new = [_item(one, hook) if isinstance(one, dict) else one for one in output]
        if any(a is not b for a, b in zip(new, output, strict=True)):
            changed["output"] = new
    return {**document, **changed} if changed else document


def _item(item: Document, hook: Callable[[str], object] | None) -> Document:
    if item.get("type") != "reasoning":
        return item
    summary = item.get("summary")
    if hook is None and summary == [] and "content" not in item and "encrypted_content" not in item:
        return item
    bare = {name: value for name, value in item.items() if name not in ("content", "encrypted_content")}
    text = text_of(item.get("content")) or text_of(summary) or ""
    told = summarised(hook, text) if hook is not None else None
    return {**bare, "summary": [{"type": "summary_text", "text": told}] if told else []}


def summarised(hook: Callable[[str], object], text: str) -> str | None:
    """What the operator's hook makes of the reasoning; None, and reasoning stays withheld, when it fails."""
    if not text:
        return None
    try:
        return string(hook(text))
    except Exception:  # noqa: BLE001 - it is code from outside, and an answer is on its way
        return None
