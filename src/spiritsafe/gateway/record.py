"""One exchange as one line of canonical columns, with what the gateway did in the key ``gateway``.

It takes columns by name and never sees headers: no Authorization, key or token can get in. ``asked`` has the fields of
``responses.Asked``, ``caller`` those of ``model.Caller``.
"""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
_WIDEST = 1 << 63
_SECRET = 32


class Decided(NamedTuple):
    """What the gateway made of an exchange. ``shadow``: decided, but not enforced."""

    campaigns: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    response: str | None = None
    category: str | None = None
    shadow: bool = False


def record(
    asked: Any, caller: Any, sketch: str | None, answer: Mapping[str, Any], *,
    exchange_id: str, now: int, status: int | None, content: Literal["none", "skeleton", "full"], decided: Decided,
) -> bytes:  # fmt: skip
    """One line of JSON, newline included.

    ``sketch``: the packed sketch, written with ``skeleton`` only. ``answer``: canonical columns the answer told; what
    it does not hold is null. ``now``: when the request arrived, microseconds since the epoch, UTC. What cannot stand in
    JSON is replaced (half a surrogate pair) or left out (a number beyond 64 bits), never a reason to lose the record.
    """
    full, told, made = content == "full", answer.get, caller.account_created
    line = {
        "time": _EPOCH + timedelta(microseconds=now),
        "exchange_id": exchange_id,
        "account_id": caller.account_id,
        "organization_id": caller.organization_id,
        "api_key_id": caller.api_key_id,
        "session_id": caller.session_id,
        # Who the front says it is goes before what the body claims.
        "end_user_id": caller.end_user_id if caller.end_user_id is not None else asked.end_user_id,
        "plan": caller.plan,
        "account_created": None if made is None else _EPOCH + timedelta(microseconds=made),
        "email_domain": caller.email_domain,
        "relation": caller.relation,
        "payment_id": caller.payment_id,
        "device_id": caller.device_id,
        "client_ip": caller.client_ip,
        "asn": caller.asn,
        "user_agent": caller.user_agent,
        "model": asked.model,
        "operation": asked.operation,
        "system": asked.system if full else None,
        "prompt": (asked.prompt or "") if full else "",
        "turns": asked.turns,
        "tools": None if content == "none" else asked.tools,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "n": asked.n,
        "max_tokens": asked.max_tokens,
        "logprobs": asked.logprobs,
        "response": told("response") if full else None,
        "reasoning_issued": told("reasoning_issued"),
        "reasoning_redeemed": told("reasoning_redeemed"),
        "input_tokens": told("input_tokens"),
        "cached_tokens": told("cached_tokens"),
        "output_tokens": told("output_tokens"),
        "reasoning_tokens": told("reasoning_tokens"),
        "status": status,
        "finish_reason": told("finish_reason"),
        "gateway": {
            "campaigns": decided.campaigns,
            "orders": decided.orders,
            "response": decided.response,
            "category": decided.category,
            "shadow": decided.shadow,
            "answer_id": told("exchange_id"),
        },
    }
    if content == "skeleton":
        line["sketch"] = sketch
    try:
        return orjson.dumps(line, option=_OPTIONS)
    except TypeError:
        return orjson.dumps(_fit(line), option=_OPTIONS)


def _fit(value: Any) -> Any:
    """The same, with what JSON or 64 bits cannot hold replaced or left out."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_fit(name): _fit(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fit(one) for one in value]
    if isinstance(value, int) and not -_WIDEST <= value < _WIDEST:
        return None
    return value


def key_id(key: str, secret: bytes) -> str:
    """What stands for an API key in the log: BLAKE2b keyed with the deployment's secret (RFC 7693), 128 bits as hex."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), key=secret, digest_size=16).hexdigest()


def key_secret(path: Path) -> bytes:
    """The deployment's secret of 32 bytes, made (mode 0600) when there is none. Processes that start together agree.

    Raises OSError, and ValueError when the file holds anything but 32 bytes.
    """
    made = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    if not path.exists():
        handle = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, os.urandom(_SECRET))
            os.fsync(handle)
            os.link(made, path)  # whoever comes second finds the first one's
        except FileExistsError:
            pass
        finally:
            os.close(handle)
            made.unlink()
    secret = path.read_bytes()
    if len(secret) != _SECRET:
        raise ValueError(f"{path} does not hold {_SECRET} bytes")
    return secret
