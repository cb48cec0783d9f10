"""The report for people: one self-contained HTML page of a result.

No script, no network, no link out of the page: a content security policy forbids what the page does not need, and
allows the one style sheet by its hash. Every text of the result is treated as hostile (see ``_page/record.py``).
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from spiritsafe.cases._page.record import Record, clean
from spiritsafe.cases._page.sheet import sheet

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEMPLATES = "templates"


def page(result: Mapping[str, object], *, title: str = "Spiritsafe scan report") -> str:
    """The page of ``result`` (the object of ``campaigns.json``) as HTML text.

    Any key may be missing, empty or of the wrong type; what is not there is left out. Same input, same text.
    """
    style = _read("style.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=clean(title) or "Spiritsafe scan report",
            sheet=sheet(Record.of(result)),
            style=Markup(style),  # noqa: S704 - a file of this package
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read(name: str) -> str:
    return files("spiritsafe.cases._page").joinpath(_TEMPLATES, name).read_text(encoding="utf-8")
