"""The page of a proof: what was tested on a suspect, what came out, and how anybody may compute it again.

Like the page of a scan it has no script, no network and no link out; every text of the case is treated as hostile.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from spiritsafe.cases._page.record import clean
from spiritsafe.cases._proof.sheet import sheet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def page(result: Mapping[str, Any], plan: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML text; same input, same text.

    ``result`` and ``plan`` are the objects of ``result.json`` and ``plan.json``; ``entries`` the ledger's entries that are
    kept beside them, each with kind, time (microseconds, UTC), hash and body.
    """
    style = files("spiritsafe.cases._page").joinpath("templates", "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("proof.html.j2")
        .render(
            sheet=sheet(result, plan, entries),
            style=Markup(style),  # noqa: S704 - a file of this package
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        )
    )


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["clean"] = clean
    return made


def _read(name: str) -> str:
    return files("spiritsafe.cases._proof").joinpath("templates", name).read_text(encoding="utf-8")
