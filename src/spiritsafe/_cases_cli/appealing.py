"""The verbs of ``spiritsafe case appeal``: notice, appeal, review, decision; and what they teach the calibration."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spiritsafe._cases_cli.shared import By, Folder, Json, Memory, Threads, Why, given, now, tell
from spiritsafe.errors import UsageError
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from spiritsafe.model import Exemption
    from spiritsafe.orders.change import Change

app = typer.Typer(
    help="Tell a customer, hear the appeal, have it reviewed and decided.", no_args_is_help=True
)

Account = Annotated[str | None, typer.Option(help="The account that appeals.")]
Organization = Annotated[
    str | None, typer.Option(help="The organization that appeals, for all its accounts.")
]
Which = Annotated[str, typer.Argument(help="The appeal: its reference or item.", show_default=False)]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The policy file, to change the orders.")]
Signer = Annotated[Path | None, typer.Option("--key", help="Private key that signs the orders.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", help="The ledger that records orders.")]
Valid = Annotated[
    str, typer.Option("--valid", help="After this time the file of orders is no longer obeyed.")
]


@app.command()
def notice(
    case: Folder,
    account: Annotated[str, typer.Option(help="The account whose holder is told.")],
    policy: PolicyFile = None,
    out: Annotated[Path | None, typer.Option(help="File to write; on standard output when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Write what a customer is told: what, why in categories, what would clear it, how to answer. Nothing of others."""
    from spiritsafe.cases import folder  # noqa: PLC0415 - a fast --help
    from spiritsafe.cases import notice as room  # noqa: PLC0415
    from spiritsafe.orders import snapshot  # noqa: PLC0415
    from spiritsafe.orders.policy import Appeals, read  # noqa: PLC0415

    wanted = read(policy) if policy else None
    orders = ()
    if wanted and wanted.file.exists():
        orders = snapshot.read(wanted.file, wanted.signer, now=now(), rules=wanted.rules).orders
    found = folder.open_case(case)
    made = room.notice(found, account, orders, wanted.appeals if wanted else Appeals(), now=now())
    text = room.text(made)
    if out:
        out.write_text(text, "utf-8")
    tell(room.told(made), str(out) if out else text.rstrip("\n"), as_json)


@app.command()
def file(
    case: Folder,
    statement: Annotated[Path, typer.Option(help="What the customer wrote.")],
    grounds: Annotated[
        list[str],
        typer.Option(
            help="relation, independent, means, purpose, stolen, mistake, proportion, other; again for more."
        ),
    ],
    by: By,
    why: Why = "answer to a notice",
    account: Account = None,
    organization: Organization = None,
    policy: PolicyFile = None,
    key: Signer = None,
    ledger: LedgerFile = None,
    valid: Valid = "30d",
    as_json: Json = False,
) -> None:
    """Record an appeal: the case is open again, and with --policy and --key severe measures freeze at once."""
    from spiritsafe.cases import appeals, folder  # noqa: PLC0415

    words = given(statement)
    frozen: list[str] = []
    with _changing(policy, key) as change:  # opened first: where it does not hold, nothing is recorded
        item = appeals.file(
            case, account=account, organization=organization, statement=words, grounds=grounds, by=by,
            why=why, now=now(),
        )  # fmt: skip
        mine: str = item.about["reference"]
        if change is not None:
            found = folder.open_case(case)
            one = appeals.open_appeal(found, mine)
            spared, frozen = appeals.frozen(
                found, one, change.orders.values(), change.policy.appeals, by=by, now=change.now
            )
            if spared:
                change.exempt.append(spared)
                digest = _sign(change, ledger, valid, [spared])
                appeals.record_freeze(
                    case, item.name, frozen, until=spared.expires, snapshot=digest, by=by, why=f"appeal {mine}", now=now()
                )  # fmt: skip
    what = f"frozen: {', '.join(frozen)}" if frozen else "no measure was frozen"
    tell({"appeal": item.name, "reference": mine, "frozen": frozen}, f"{mine} ({item.name}); {what}", as_json)


@app.command()
def review(case: Folder, appeal: Which, by: By, why: Why = "second review", as_json: Json = False) -> None:
    """Name who reviews an appeal: a person who did not take part in the first decision."""
    from spiritsafe.cases import appeals  # noqa: PLC0415

    appeals.review(case, appeal, by=by, why=why, now=now())
    tell({"appeal": appeal, "reviewer": by}, f"{by} reviews {appeal}", as_json)


@app.command()
def decide(
    case: Folder,
    appeal: Which,
    outcome: Annotated[str, typer.Option(help="confirmed or overturned.")],
    by: By,
    why: Why,
    policy: PolicyFile = None,
    key: Signer = None,
    ledger: LedgerFile = None,
    valid: Valid = "30d",
    as_json: Json = False,
) -> None:
    """Decide an appeal. With --policy and --key the freeze ends, and a customer who was right is spared from measures."""
    from spiritsafe.cases import appeals, folder  # noqa: PLC0415

    with _changing(policy, key) as change:
        appeals.decide(case, appeal, outcome, by=by, why=why, now=now())
        if change is not None:
            found = folder.open_case(case)
            before = list(change.exempt)
            change.exempt = appeals.thawed(
                found, appeals.decided(found, appeal), before, change.orders.values(), by=by, now=change.now
            )
            if change.exempt != before:
                _sign(change, ledger, valid, [one for one in change.exempt if one not in before])
    text = f"{appeal}: {outcome}"
    if outcome == "overturned":
        text += "\nif other providers were warned of it, take that back: spiritsafe share revoke"
    tell({"appeal": appeal, "outcome": outcome}, text, as_json)


@app.command()
def labels(
    cases: Annotated[list[Path], typer.Argument(help="Folders of cases.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for innocent.jsonl and labels.jsonl.")],
    memory: Memory = "3GB",
    threads: Threads = 2,
    as_json: Json = False,
) -> None:
    """Write what decided appeals teach: a log of cleared customers that `spiritsafe calibrate` takes, and labels."""
    from spiritsafe.casework import labels as room  # noqa: PLC0415

    told = room.write(cases, out, settings=Settings(memory=memory, threads=threads))
    text = f"{told['exchanges']:,} exchanges of cleared customers in {out / room.INNOCENT}"
    if told["exchanges"]:
        text += f"\nspiritsafe calibrate YOUR-INNOCENT-LOGS {out / room.INNOCENT} --out calibration.json"
    tell(told, text, as_json)


def _changing(policy: Path | None, key: Path | None) -> AbstractContextManager[Change | None]:
    """A change of the signed file, or nothing. Raises UsageError when only one of the two is named."""
    if policy is None and key is None:
        return nullcontext()
    if policy is None or key is None:
        raise UsageError("--policy and --key go together", hint="without both, the orders stay as they are")
    from spiritsafe.orders.change import Change  # noqa: PLC0415
    from spiritsafe.orders.policy import read  # noqa: PLC0415

    return Change(read(policy), key, now=now())


def _sign(change: Change, ledger: Path | None, valid: str, added: list[Exemption]) -> str:
    """Sign the changed file of orders and record what was added to it; returns the file's digest."""
    from spiritsafe.ledger import Ledger  # noqa: PLC0415
    from spiritsafe.orders.content import from_exemption  # noqa: PLC0415
    from spiritsafe.orders.policy import span  # noqa: PLC0415

    # The ledger is opened first: where it is locked or does not fit, nothing is changed.
    with Ledger(ledger) if ledger else nullcontext() as book:
        digest = change.sign(span(valid, "--valid"))
        for one in added:
            body: dict[str, Any] = {**from_exemption(one), "version": change.version + 1, "snapshot": digest}
            if book is not None:
                book.append("exemption", body, time=change.now)
    return digest
