"""The verbs of ``spiritsafe orders``: from a scan's result to the signed file that the gateway obeys."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import typer

from spiritsafe.attest import keys
from spiritsafe.errors import UsageError
from spiritsafe.ledger import Ledger
from spiritsafe.model import RUNGS, Exemption, Order
from spiritsafe.orders import approvals, ladder, snapshot
from spiritsafe.orders.change import Change
from spiritsafe.orders.content import canonical, from_exemption, from_order, parse, rfc3339, to_order
from spiritsafe.orders.policy import Policy, read, span
from spiritsafe.registry import extensions
from spiritsafe.responses import check
from spiritsafe.tomlfile import nearest

app = typer.Typer(
    help="Propose, approve, sign, lift measures; exempt customers from them.", no_args_is_help=True
)

Draft = Annotated[Path, typer.Argument(help="File of proposed orders.", show_default=False)]
PolicyFile = Annotated[Path, typer.Option("--policy", help="The policy file.")]
Key = Annotated[Path, typer.Option("--key", help="File of the private key.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", help="The ledger that records the change.")]
Valid = Annotated[str, typer.Option("--valid", help="After this time the file is no longer obeyed.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@app.command()
def key(
    path: Annotated[Path, typer.Argument(help="File to write; must not exist.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Make a private key, for the signer or for one approver; print its public key."""
    public = keys.make(path)
    _tell({"public": public}, public, as_json)


@app.command()
def propose(
    policy: PolicyFile,
    out: Annotated[Path, typer.Option(help="File of proposed orders to write.")],
    results: Annotated[Path, typer.Option(help="Folder that a scan wrote.")] = Path("out"),
    as_json: Json = False,
) -> None:
    """Derive orders from a scan by the policy's ladder. Nothing is in force by that."""
    wanted = read(policy)
    source = results / "campaigns.json"
    found = ladder.propose(
        _bytes(source, "run `spiritsafe scan` first"), wanted.ladder, _now(), where=str(source)
    )
    _fits(found, str(policy))
    _keep(out, found)
    _tell({"orders": [from_order(one) for one in found]}, _lines(found, wanted), as_json)


def _fits(orders: list[Order], where: str) -> None:
    """Whether each order's parameters are its response's. Raises UsageError: better now than when the gateway reads them."""
    known = extensions("responses")
    for order in orders:
        try:
            check(order.response, known[order.response].module.PARAMETERS, order.parameters)
        except UsageError as error:
            raise UsageError(error.message, where=where, hint=error.hint) from error


@app.command()
def approve(
    draft: Draft,
    by: Annotated[str, typer.Option(help="Your name, as in the policy's [approvers].")],
    key: Key,
    order: Annotated[list[str] | None, typer.Option(help="Only this order; all when absent.")] = None,
    as_json: Json = False,
) -> None:
    """Approve proposed orders with your own key."""
    orders = _draft(draft)
    chosen = _chosen(order, orders, str(draft))
    mine, now = keys.load(key), _now()
    orders = [approvals.approve(one, by, mine, now=now) if one.order_id in chosen else one for one in orders]
    _keep(draft, orders)
    _tell({"approved": sorted(chosen)}, f"{by} approved {len(chosen)} orders in {draft}", as_json)


@app.command()
def sign(
    draft: Draft,
    policy: PolicyFile,
    key: Key,
    ledger: LedgerFile = None,
    issuer: Annotated[str, typer.Option(help="Name of the desk that issues the orders.")] = "issuer",
    valid: Valid = "30d",
    as_json: Json = False,
) -> None:
    """Put proposed orders into the signed file, beside those in it; a withheld order is told."""
    with _Change(policy, key, ledger, valid, issuer) as change:
        new = _draft(draft)
        change.orders.update({one.order_id: one for one in new})
        change.told = [("order", from_order(one)) for one in new]
    change.tell(as_json)


@app.command()
def exempt(
    policy: PolicyFile,
    key: Key,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")],
    by: Annotated[str, typer.Option(help="Who decided it.")],
    organization: Annotated[str | None, typer.Option(help="Organization that no measure may touch.")] = None,
    account: Annotated[str | None, typer.Option(help="Account that no measure may touch.")] = None,
    lasts: Annotated[str, typer.Option("--for", help="How long.")] = "30d",
    above: Annotated[
        str | None, typer.Option(help="Only from measures more severe than this response.")
    ] = None,
    ledger: LedgerFile = None,
    valid: Valid = "30d",
    as_json: Json = False,
) -> None:
    """Switch all measures off for one customer, at once; or only the severe ones."""
    if (organization is None) == (account is None):
        raise UsageError("one of --organization and --account is needed")
    if above is not None and above not in RUNGS:
        raise UsageError(f"there is no response {above!r}", where="--above", hint=nearest(above, RUNGS))
    with _Change(policy, key, ledger, valid, None) as change:
        end = change.now + span(lasts, "--for")
        one = Exemption(organization, account, reason, by, change.now, end, above)
        change.exempt.append(one)
        change.told = [("exemption", from_exemption(one))]
    change.tell(as_json)


@app.command()
def lift(
    policy: PolicyFile,
    key: Key,
    reason: Annotated[str, typer.Option(help="Why, for the ledger.")],
    by: Annotated[str, typer.Option(help="Who decided it.")],
    order: Annotated[list[str] | None, typer.Option(help="The order to lift; all when absent.")] = None,
    ledger: LedgerFile = None,
    valid: Valid = "30d",
    as_json: Json = False,
) -> None:
    """Take orders out of the signed file, at once."""
    with _Change(policy, key, ledger, valid, None) as change:
        for name in sorted(_chosen(order, list(change.orders.values()), str(change.policy.file))):
            del change.orders[name]
            change.told.append(("lift", {"order_id": name, "reason": reason, "by": by}))
    change.tell(as_json)


@app.command()
def show(policy: PolicyFile, as_json: Json = False) -> None:
    """Tell which orders are in force, which are not and why, and who is exempt."""
    wanted, now = read(policy), _now()
    found = snapshot.read(wanted.file, wanted.signer, now=now, rules=wanted.rules)
    _tell(_told(found), _screen(found), as_json)


@dataclass
class _Change:
    """One change of the signed file, recorded in the ledger."""

    path: Path
    key: Path
    ledger: Path | None
    valid: str
    issuer: str | None

    def __enter__(self) -> Self:
        self.policy = read(self.path)
        self.now = _now()
        self._change = Change(self.policy, self.key, now=self.now, issuer=self.issuer)
        self._change.__enter__()
        self.orders, self.exempt = self._change.orders, self._change.exempt
        self.told: list[tuple[str, dict[str, Any]]] = []
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._sign()
        finally:
            self._change.__exit__(None, None, None)

    def _sign(self) -> None:
        version, valid = self._change.version + 1, span(self.valid, "--valid")
        # The ledger is opened first: where it is locked or does not fit, nothing is changed.
        with Ledger(self.ledger) if self.ledger else nullcontext() as book:
            digest = self._change.sign(valid)
            for what, body in self.told:
                if book is not None:
                    book.append(what, {**body, "version": version, "snapshot": digest}, time=self.now)

    def tell(self, as_json: bool) -> None:
        found = snapshot.read(self.policy.file, self.policy.signer, now=self.now, rules=self.policy.rules)
        _tell(_told(found), _screen(found), as_json)


def _now() -> int:
    return time.time_ns() // 1_000


def _bytes(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error


def _draft(path: Path) -> list[Order]:
    table = parse(_bytes(path, "make it with `spiritsafe orders propose`"), str(path))
    entries = table.get("orders")
    if table.get("schema") != 1 or not isinstance(entries, list):
        raise UsageError("this is not a file of proposed orders", where=str(path))
    return [to_order(one, f"{path}, order {number}") for number, one in enumerate(entries)]


def _keep(path: Path, orders: list[Order]) -> None:
    table = {"schema": 1, "orders": [from_order(one) for one in orders]}
    canonical(table)  # refuses what JSON cannot say
    snapshot.replace_file(path, json.dumps(table, indent=1, sort_keys=True).encode() + b"\n")


def _chosen(wanted: list[str] | None, orders: list[Order], where: str) -> set[str]:
    known = {one.order_id for one in orders}
    for name in wanted or ():
        if name not in known:
            raise UsageError(
                f"there is no order {name!r}",
                where=where,
                hint=f"there are: {', '.join(sorted(known)) or 'none'}",
            )
    return set(wanted) if wanted else known


def _lines(orders: list[Order], policy: Policy) -> str:
    return (
        "\n".join(
            f"{one.order_id}  {one.response:18} {one.campaign_id}  {one.scope:8} until {rfc3339(one.expires)}  "
            f"persons needed: {policy.rules.persons(one.response)}"
            for one in orders
        )
        or "no campaign calls for an order"
    )


def _told(found: snapshot.Snapshot) -> dict[str, Any]:
    return {
        "version": found.version,
        "expires": rfc3339(found.expires),
        "in_force": [from_order(one) for one in found.orders],
        "withheld": [{"order": from_order(one.order), "why": one.why} for one in found.withheld],
        "exempt": [from_exemption(one) for one in found.exempt],
    }


def _screen(found: snapshot.Snapshot) -> str:
    rows = [f"version {found.version}, obeyed until {rfc3339(found.expires)}"]
    rows += [f"in force  {one.order_id}  {one.response}  {one.campaign_id}" for one in found.orders]
    rows += [f"withheld  {one.order.order_id}  {one.order.response}: {one.why}" for one in found.withheld]
    rows += [
        f"exempt    {one.organization_id or one.account_id} until {rfc3339(one.expires)}"
        f"{f' above {one.above}' if one.above else ''}: {one.reason}"
        for one in found.exempt
    ]
    return "\n".join(rows)


def _tell(table: dict[str, Any], text: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps(table, sort_keys=True) if as_json else text) + "\n")
