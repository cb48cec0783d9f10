"""One answer, as a page for people or as JSON for programs: the same mapping in both.

Every text on a page passes `_shown`: what strangers wrote (prompts, account names, user agents, STIX) has no control, invisible
or direction-turning characters left in it, and is escaped by Jinja2 after that.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from spiritsafe.cases._page.record import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

DAY = 86_400_000_000
LONGEST = 20_000
"""Characters shown of one text."""


def respond(request: Request, template: str, data: Mapping[str, Any], *, status: int = 200) -> Response:
    """``data`` in ``template``; as JSON when the path ends in ``.json``."""
    if request.state.json:
        return as_json(data, status)
    person = request.state.person
    text = (
        _environment()
        .get_template(template)
        .render(
            **data,
            data=data,
            person=person,
            path=request.url.path,
            query=dict(request.query_params),
            now=request.app.state.now(),
            twin=_twin(request),
            title_of_house=request.app.state.settings.title,
            tokens=lambda: _tokens(request.state.csrf),
            may=person.may if person else lambda _right: False,
        )
    )
    return Response(text, status, media_type="text/html")


def as_json(data: Mapping[str, Any], status: int = 200) -> Response:
    """A mapping as JSON."""
    body = orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return Response(body + b"\n", status, media_type="application/json")


def text_of_time(micros: int) -> str:
    """RFC 3339 text, UTC, to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _twin(request: Request) -> str:
    path = "/index" if request.url.path == "/" else request.url.path
    return f"{path}.json" + (f"?{request.url.query}" if request.url.query else "")


def _tokens(csrf: str) -> Markup:
    return Markup(
        '<input type="hidden" name="csrf" value="{}"><input type="hidden" name="write" value="{}">'
    ).format(csrf, secrets.token_urlsafe(18))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("spiritsafe.console", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters.update(
        num=_num, share=_share, when=_when, day=_day, ago=_ago, bits=_bits, code=_code, deed=_deed
    )
    made.globals.update(static=_static)
    return made


def _shown(value: Any) -> Any:
    if isinstance(value, Markup):
        return value
    if isinstance(value, str):
        if value.isascii() and value.isprintable() and len(value) <= LONGEST:
            return value
        return clean(value, limit=LONGEST, lines=True)
    return "" if value is None else value


@cache
def _static(name: str) -> str:
    """The address of a static file; it changes with the content, so that a browser may keep it."""
    content = files("spiritsafe.console").joinpath("static", name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"


def _num(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def _share(value: float | None) -> str:
    """A probability or share; what is not quite certain is never rounded to certainty."""
    if value is None:
        return "–"
    if 0.995 < value < 1:  # noqa: PLR2004
        return ">99 %" if value < 0.9995 else "99.9+ %"  # noqa: PLR2004
    return f"{100 * value:.0f} %"


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)):
        value = datetime.fromtimestamp(value / 1e6, UTC)
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def _when(value: Any) -> str:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%d %H:%M") if moment else "–"


def _day(value: Any) -> str:
    moment = _moment(value)
    return moment.strftime("%Y-%m-%d") if moment else "–"


def _ago(value: Any, now: int) -> str:
    moment = _moment(value)
    if moment is None:
        return "–"
    seconds = now / 1e6 - moment.timestamp()
    ahead, seconds = seconds < 0, abs(seconds)
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            n = int(seconds // size)
            told = f"{n} {unit}{'s' if n != 1 else ''}"
            return f"in {told}" if ahead else f"{told} ago"
    return "just now"


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _deed(kind: str) -> str:
    """What the ledger calls a write, as words."""
    return {"order": "signed into the orders", "lift": "taken out of the orders"}.get(
        kind, kind.replace("-", " ")
    )


def _code(value: Any) -> str:
    """A code of ours, ``reasoning_elicitation``, as words."""
    return str(value).replace("_", " ")
