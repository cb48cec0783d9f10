"""Dispute, revoke, review and decide."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from spiritsafe._share_cli import shown
from spiritsafe._share_cli.shown import USUAL, By, Config, Json, Reason

OVERDUE = 3
"""Exit status of ``reviews --exit-code`` when the day of one is over."""


def dispute(
    thing: Annotated[
        str, typer.Argument(metavar="OBJECT", help="STIX id of what is wrong.", show_default=False)
    ],
    ground: Annotated[str, typer.Option(help="Why, in a word of the schemas.")],
    by: By,
    reason: Reason,
    text: Annotated[str | None, typer.Option(help="A text for the others, which you release.")] = None,
    upheld: Annotated[
        bool, typer.Option("--upheld", help="An appeal was upheld here: each lab must look again.")
    ] = False,
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Dispute what another member shared, or say that an appeal against it was upheld here."""
    with shown.session(config) as one:
        key = one.known(thing)
        step = {"step": "appeal-upheld" if upheld else "dispute", "ground": ground}
        made = one.maker.opinion([key], "strongly-disagree", redress=step, text=text)
        body = one.sealed([made])
        with one.ledger() as ledger:
            ledger.append(
                "forum-dispute",
                {"object": key, **step, "by": by, "reason": reason, "opinion": made["id"]},
                time=shown.now(),
            )
        one.put(body, "dispute")
        shown.send(one, as_json)


def revoke(
    things: Annotated[
        list[str], typer.Argument(metavar="OBJECT...", help="STIX ids of own objects.", show_default=False)
    ],
    why: Annotated[str, typer.Option(help="appeal-upheld, false-positive, error, superseded or withdrawn.")],
    by: By,
    reason: Reason,
    answers: Annotated[str | None, typer.Option(help="The opinion that it answers.")] = None,
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Take own objects back, a campaign with all that hangs on it: others stop using them within one pull."""
    from spiritsafe.sharing.client import redress  # noqa: PLC0415 - a fast --help

    with shown.session(config) as one:
        made = redress.revoke(one.state, one.maker, things, why, answers)
        body = one.sealed(made)
        with one.ledger() as ledger:
            gone = [stix["id"] for stix in made]
            ledger.append(
                "forum-revocation",
                {"objects": gone, "why": why, "by": by, "reason": reason},
                time=shown.now(),
            )
        one.put(body, "revocation")
        shown.send(one, as_json)


def reviews(
    config: Config = USUAL,
    all_: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when one is overdue.")] = False,
    as_json: Json = False,
) -> None:
    """List what must be looked at again, and by when: disputes of your own objects, revocations and upheld appeals of others'."""
    from spiritsafe.sharing.client import redress, screen  # noqa: PLC0415 - a fast --help

    with shown.session(config) as one:
        listed = [
            each for each in redress.reviews(one.state, one.maker.author) if all_ or each.decided is None
        ]
        now = one.maker.now
        shown.tell(
            {"reviews": [asdict(each) for each in listed], "now": now}, screen.reviews(listed, now), as_json
        )
        if exit_code and any(each.decided is None and each.due <= now for each in listed):
            raise typer.Exit(OVERDUE)


def decide(
    thing: Annotated[str, typer.Argument(metavar="OBJECT", help="STIX id under review.", show_default=False)],
    decision: Annotated[
        str, typer.Argument(help="Your own decision; `reviews` names what there is.", show_default=False)
    ],
    by: By,
    reason: Reason,
    cause: Annotated[
        str | None, typer.Option(help="Which of its reviews, by the object that caused it.")
    ] = None,
    config: Config = USUAL,
    as_json: Json = False,
) -> None:
    """Close a review: the ledger keeps it, the others are told. An own object whose appeal is upheld is revoked."""
    with shown.session(config) as one:
        one.decide(thing, decision, by=by, reason=reason, cause=cause)
        shown.send(one, as_json)


VERBS = (dispute, revoke, reviews, decide)
