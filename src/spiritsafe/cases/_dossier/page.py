"""The dossier as one self-contained page: no script, no network, no link out; every text is escaped."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from spiritsafe.cases._dossier.blocks import Block, Dossier

_MORE = """
.chapter { border-top: 1px solid var(--edge); padding-top: .5rem; margin-top: 2.5rem; }
.lead + .chapter { border-top: 0; margin-top: 0; padding-top: 0; }
.chapter > h2 { margin-top: 1rem; }
.chapter > h3 { margin-top: 1.75rem; }
.chapter figure h3 { margin-top: 1rem; }
.chapter > p, .chapter > ul { max-width: 76ch; }
td span, th span { display: block; }
td.mono, th.mono { overflow-wrap: anywhere; font-size: .82rem; }
@media print { .chapter { break-before: auto; border: 0; } }
"""


def page(dossier: Dossier) -> str:
    """The page as HTML text; same dossier, same text."""
    style = files("spiritsafe.cases._page").joinpath("templates", "style.css").read_text("utf-8") + _MORE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .get_template("dossier.html.j2")
        .render(
            dossier=dossier,
            set=_set,
            style=Markup(style),  # noqa: S704 - files of this package
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        )
    )


def _set(block: Block) -> Markup:
    """A block by the macro of its own name."""
    macros = _environment().get_template("blocks.html.j2").module
    return Markup(getattr(macros, type(block).__name__)(block))  # noqa: S704 - the macros escape


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
    return files("spiritsafe.cases._dossier").joinpath("templates", name).read_text("utf-8")
