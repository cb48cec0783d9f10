"""What LiteLLM's proxy hands over, in our words: calls, callers, bodies, refusals. Imports nothing of LiteLLM's.

A LiteLLM body has more than one place for a field: ``extra_body`` is laid over the request that goes to the provider, and
fallbacks may bring messages of their own. Both are read, or refused, for a second reading is where attacks hide.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from spiritsafe.errors import UsageError
from spiritsafe.gateway.identity import LONGEST, Unknown
from spiritsafe.model import Caller
from spiritsafe.responses import find, refuse_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spiritsafe.responses import Dialect, Refusal

    Data = dict[str, Any]

#: LiteLLM's name of a call: the path whose body it has.
_PATHS = {
    **dict.fromkeys(("completion", "acompletion"), "/v1/chat/completions"),
    **dict.fromkeys(("text_completion", "atext_completion"), "/v1/completions"),
    **dict.fromkeys(("responses", "aresponses"), "/v1/responses"),
    **dict.fromkeys(("embedding", "aembedding", "embeddings"), "/v1/embeddings"),
    "anthropic_messages": "/v1/messages",
}
_STORED = ("aget_responses", "adelete_responses", "acancel_responses", "alist_input_items")
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
ACCOUNTS, OUR_HEADERS = ("key", "user"), "x-spiritsafe-"
_OWN = {"message", "type", "param", "code"}
"""Fields of an error for which LiteLLM has a place."""
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Naming:
    """Who asks. ``account``: "key", or "user" where the key has one. ``relations``: declared relation by organization."""

    account: str
    relations: Mapping[str, str]

    def caller(self, auth: Any, data: Data) -> Caller:
        """The caller whom LiteLLM authenticated (``UserAPIKeyAuth``). Raises Unknown when it authenticated nobody.

        Only what the proxy's operator or its database says is believed; ``end_user_id`` is the caller's own word.
        """
        key, user = _text(auth, "token") or _text(auth, "api_key"), _text(auth, "user_id")
        account = (user or key) if self.account == "user" else (key or user)
        if account is None:
            raise Unknown("identity_missing", "LiteLLM names neither key nor user")
        organization = _text(auth, "org_id") or _text(auth, "team_id")
        email = _text(auth, "user_email") or ""
        asked = data.get("proxy_server_request")
        headers = cast("Data", asked).get("headers") if isinstance(asked, dict) else None
        agent = cast("Data", headers).get("user-agent") if isinstance(headers, dict) else None
        return Caller(
            account,
            organization,
            api_key_id=key,
            end_user_id=_text(auth, "end_user_id"),
            client_ip=_address(bucket(data).get("requester_ip_address")),
            user_agent=agent[:LONGEST] if isinstance(agent, str) else None,
            email_domain=email.rpartition("@")[2].lower() or None,
            relation=self.relations.get(organization) if organization else None,
        )


def naming(account: object, relations: object) -> Naming:
    """The settings of a guardrail, checked. Raises UsageError."""
    if account not in ACCOUNTS:
        raise UsageError(f"account is {account!r:.60}", hint=f"it must be {' or '.join(ACCOUNTS)}")
    given = cast("Data", relations) if isinstance(relations, dict) else None
    if given is None or not all(isinstance(one, str) for one in (*given, *given.values())):
        raise UsageError("relations makes no sense", hint="relations: {team-or-organization-id: research}")
    return Naming(str(account), given)


def dialect(call_type: str) -> Dialect | None:
    """How a call's body and answer are read; None for calls that are not read."""
    if call_type in _STORED:
        return find("GET", "/v1/responses/stored")
    path = _PATHS.get(call_type)
    return None if path is None else find("POST", path)


def bucket(data: Data) -> Data:
    """The metadata that the proxy itself keeps with a request; made when there is none."""
    name = "litellm_metadata" if "litellm_metadata" in data else "metadata"
    held = data.get(name)
    if not isinstance(held, dict):
        held = data[name] = {}
    return cast("Data", held)


def unreadable(data: Data) -> str | None:
    """Why a body can be read in more than one way, or None."""
    extra = data.get("extra_body")
    if extra is not None and not isinstance(extra, dict):
        return "extra_body is no object"
    for name in _FALLBACKS:
        entries = data.get(name)
        for entry in cast("list[Any]", entries) if isinstance(entries, list) else ():
            # {"model": …} or {"a": ["b", "c"]}; anything else replaces a part of the request that was judged.
            if isinstance(entry, dict) and any(
                key != "model"
                and not (isinstance(value, list) and all(isinstance(one, str) for one in value))
                for key, value in cast("Data", entry).items()
            ):
                return f"{name} may name models only"
            if isinstance(entry, dict) and {"messages", "input", "prompt"} & cast("Data", entry).keys():
                return f"{name} may name models only"
    return None


def body(data: Data) -> Data:
    """The request as the provider would see it."""
    extra = data.get("extra_body")
    return {**data, **cast("Data", extra)} if isinstance(extra, dict) and extra else {**data}


def apply(data: Data, before: Data, after: Data) -> None:
    """Bring ``data`` to what became of its ``body``, field by field, wherever the field stands."""
    given = data.get("extra_body")
    extra: Data = {**cast("Data", given)} if isinstance(given, dict) else {}
    for name in before.keys() - after.keys():
        data.pop(name, None)
        extra.pop(name, None)
    for name, value in after.items():
        if before.get(name, _ABSENT) is value:
            continue
        if name in extra:
            extra[name] = value
        if name in data or name not in extra:
            data[name] = value
    if isinstance(given, dict):
        data["extra_body"] = extra
    data.pop("additional_drop_params", None)  # else a caller could have LiteLLM drop the limit that was set


def send_headers(data: Data, extra: tuple[tuple[bytes, bytes], ...]) -> None:
    """Add headers to the request that goes to the provider, and take away what looks like ours."""
    for name in ("extra_headers", "headers"):
        held = data.get(name)
        if isinstance(held, dict):
            pairs = cast("Data", held).items()
            data[name] = {key: value for key, value in pairs if not _ours(key)}
    if extra:
        held = data.get("extra_headers")
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in extra}
        data["extra_headers"] = {**(cast("Data", held) if isinstance(held, dict) else {}), **told}


def _ours(key: object) -> bool:
    return str(key).lower().replace("_", "-").startswith(OUR_HEADERS)


def refused(refusal: Refusal) -> dict[str, Any]:
    """What LiteLLM's ``ProxyException`` is made of. A refusal shaped as an answer becomes an error."""
    if refusal.answer:
        refusal = replace(refusal, answer=False, status=403)
    status, headers, text = refuse_body(None, refusal, streamed=False)
    error = json.loads(text)["error"]
    return {
        "message": refusal.message,
        "type": error["type"],
        "param": None,
        "code": status,
        "openai_code": refusal.category,
        "headers": {name: value for name, value in headers if name != "content-type"},
        "provider_specific_fields": {k: v for k, v in error.items() if k not in _OWN and v is not None},
    }


def _text(auth: Any, name: str) -> str | None:
    value = getattr(auth, name, None)
    return value if isinstance(value, str) and value else None


def _address(value: object) -> str | None:
    try:
        return str(ipaddress.ip_address(value.strip())) if isinstance(value, str) else None
    except ValueError:
        return None
