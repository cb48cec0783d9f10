"""Why an object does not fit its schema: the path of the field, what is wrong, and what to do instead.

Only for refusals, so it may take longer; what it repeats of the object is a shortened name, never a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from spiritsafe.errors import ScopeError
from spiritsafe.sharing.scope.schemas import TYPES

if TYPE_CHECKING:
    import jsonschema_rs

_EXTENSION = re.compile(r"extension-definition--[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,80}")
_OPEN = "additionalProperties"
#: What people try to send, and where it belongs instead.
_NEVER = (
    (("prompt", "text", "completion", "response_text", "skeleton", "excerpt", "sample"), "texts of prompts never leave"),
    (("minhash", "band", "signature_lanes", "shingle"), "MinHash gives the words away; bands go through `share match`"),
    (("account", "customer", "user", "email", "organization", "org", "payment", "card", "device", "api_key", "session"),
     "who a customer is never leaves; identifiers go through `share match` as tokens"),
    (("price", "pricing", "tier", "cost", "revenue", "plan", "margin", "discount"), "prices and plans never leave"),
    (("model", "roadmap", "launch", "capacity", "release_date"), "which model, and what comes next, never leaves"),
    (("count", "number_observed", "volume", "exchanges", "tokens", "total"), "volumes leave as orders of magnitude only"),
    (("ip", "address", "hash", "fingerprint"), "addresses leave in a pattern that a person released; hashes never do"),
    (("note", "comment", "free", "description", "summary", "abstract", "explanation", "objective", "aliases"),
     "free text needs a release, in the field that its type has for it"),
    (("nation", "country", "region", "location", "actor", "attribut", "threat"), "who stands behind it is an opinion, in a note"),
)  # fmt: skip
_KINDS = {
    "required": "add it; the schema of the type says what it holds",
    "enum": "one of the words in the schema",
    "const": "the one value in the schema",
    "pattern": "written as the schema's pattern says",
    "maxLength": "shorter",
    "maxItems": "fewer",
    "minItems": "more",
    "type": "of the type that the schema says",
}


def is_extension(key: object) -> bool:
    """Whether ``key`` is the id of an extension definition."""
    return isinstance(key, str) and _EXTENSION.fullmatch(key) is not None


def refuse(number: int, field: str, why: str, hint: str) -> NoReturn:
    """Raise ScopeError for a field of the object in this place of the message."""
    raise ScopeError(why, where=f"$[{number}].{field}", hint=hint)


def no_type(number: int, stix: object) -> NoReturn:
    """Raise ScopeError: an object of no type that passes."""
    if not isinstance(stix, Mapping):
        raise ScopeError("not an object", where=f"$[{number}]", hint="a STIX object")
    kind = cast("Mapping[str, Any]", stix).get("type")
    if kind in ("marking-definition", "extension-definition", "language-content"):
        raise ScopeError(
            "not one of the official markings or this project's definitions, to the letter",
            where=f"$[{number}].id",
            hint="refer to them by id; there is no need to send them",
        )
    raise ScopeError(
        f"no type that passes: {_short(kind)}", where=f"$[{number}].type", hint=f"one of: {', '.join(TYPES)}"
    )


def no_fit(number: int, stix: Mapping[str, Any], validator: jsonschema_rs.Draft202012Validator) -> NoReturn:
    """Raise ScopeError for the first thing that does not fit."""
    try:
        error = next(iter(validator.iter_errors(stix)))
    except Exception as broken:
        raise ScopeError("this is not JSON", where=f"$[{number}]") from broken
    path = [f"$[{number}]", *(_step(one) for one in error.instance_path)]
    kind = error.kind
    keyword = kind.name
    if keyword == _OPEN:
        name = str(next(iter(getattr(kind, "unexpected", [""]))))
        path.append(_step(name))
        raise ScopeError("no such field in the schema", where="".join(path), hint=_belongs(name))
    if keyword == "required":
        path.append(_step(getattr(kind, "property", "")))
        raise ScopeError("it is missing", where="".join(path), hint=_KINDS["required"])
    raise ScopeError(
        f"does not fit the schema ({keyword})",
        where="".join(path),
        hint=_KINDS.get(keyword, "see the schema"),
    )


def _step(one: object) -> str:
    if isinstance(one, int):
        return f"[{one}]"
    text = str(one)
    return f".{text}" if _PLAIN.fullmatch(text) else f"[{_short(text)}]"


def _short(value: object) -> str:
    text = ascii(value if isinstance(value, str) else type(value).__name__)
    return text if len(text) <= 60 else f"{text[:56]}…'"


def _belongs(name: str) -> str:
    low = name.lower()
    for parts, where in _NEVER:
        if any(part in low for part in parts):
            return where
    return "schemas are closed: what is not in them does not pass"
