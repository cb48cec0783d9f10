"""What a scan shows in the terminal: the stages while it runs, and a summary that a newcomer understands."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from spiritsafe.campaigns.words import (
    bits,
    bits_text,
    count,
    figure,
    human,
    many,
    number,
    odds,
    plain,
    rows,
    when,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType
    from rich.progress import Task

_LISTED = 20
_OTHERS = {"pool": "pool", "reseller": "reseller", "insufficient": "unclear"}
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))

Report = Callable[[str, int, int], None]


class _Amount(ProgressColumn):
    """How far a stage is: bytes while the log is read, plain counts otherwise."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text(f"{task.completed:,.0f}" if task.completed else "", style="dim")
        if task.fields.get("bytes"):
            size, unit = next((one for one in _SIZES if task.total >= one[0]), (1.0, "B"))
            return Text(f"{task.completed / size:,.1f} of {task.total / size:,.1f} {unit}", style="dim")
        return (
            Text(f"{task.completed:,.0f} of {task.total:,.0f}", style="dim") if task.total > 1 else Text("")
        )


@contextmanager
def stages(console: Console | None = None) -> Generator[Report]:
    """Show the stages of a scan as they come: yields ``report(stage, done, total)``, as the pipeline calls it.

    ``total`` 0 means unknown. Bars go to standard error, so that standard output stays the result's.
    """
    shown = Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        _Amount(),
        TimeElapsedColumn(),
        console=console or Console(stderr=True),
    )
    tasks: dict[str, Any] = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            for task in tasks.values():
                _finish(shown, task)
            name = stage[:1].upper() + stage[1:]
            tasks[stage] = shown.add_task(name, total=total or None, bytes=stage.startswith("reading"))
        shown.update(tasks[stage], completed=done, total=total or None)

    with shown:
        yield report
        for task in tasks.values():
            _finish(shown, task)


def _finish(shown: Progress, task: Any) -> None:
    """A later stage has begun, so this one is done, whatever it last told."""
    total = next(one.total for one in shown.tasks if one.id == task)
    shown.update(task, total=total or 1, completed=total or 1)


def summary(result: Mapping[str, Any], out: Path) -> RenderableType:
    """The end of a scan: what was scanned, found, also seen, not seen, and what to do next."""
    entries = rows(result, "campaigns")
    found = [entry for entry in entries if entry.get("label") == "campaign"]
    others = [entry for entry in entries if entry.get("label") != "campaign"]
    value = result.get("scanned")
    scanned = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    parts: list[RenderableType] = [_verdict(found, scanned)]
    if found:
        parts += [_campaigns(found), _reading(found, scanned)]
    if others:
        parts += [_title("Also seen: not accusations"), *_others(others)]
    unseen = _unseen(result, scanned)
    if unseen:
        parts += [_title("Not looked at"), *unseen]
    parts += [_title("Where to go on"), _next(found, out)]
    return Group(*parts)


def _title(text: str) -> RenderableType:
    return Padding(Text(text, style="bold"), (1, 0, 0, 0))


def _line(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, 2))


def _verdict(found: list[Mapping[str, Any]], scanned: Mapping[str, Any]) -> RenderableType:
    if found:
        names = f"{len(found)} distillation campaign{'s' if len(found) > 1 else ''} found"
    elif number(scanned.get("accepted")) == 0:
        names = "Nothing to scan: no exchange was read"
    else:
        names = "No distillation campaign found"
    text = Text(names, style="bold red" if found else "bold green")
    if number(scanned.get("accepted")) is not None:
        told = f"\nScanned {many(scanned.get('accepted'), 'exchange')} of {many(scanned.get('accounts'), 'account')}"
        files = number(scanned.get("files"))
        told += f" in {many(files, 'file')}" if files is not None else ""
        first, last = when(scanned.get("first")), when(scanned.get("last"))
        text.append(
            told + (f", {first} to {last} (UTC)." if first and last else "."), style="not bold default"
        )
    return Panel(text, box=box.ROUNDED, border_style="red" if found else "green", padding=(0, 1))


def _campaigns(found: list[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("Campaign", no_wrap=True)
    table.add_column("Accounts", justify="right", no_wrap=True)
    table.add_column("Exchanges", justify="right", no_wrap=True)
    table.add_column("What it asks for", min_width=12)
    table.add_column("Evidence", justify="right", no_wrap=True)
    table.add_column("First, last", no_wrap=True)
    for entry in found[:_LISTED]:
        accounts = entry.get("accounts")
        roles = [human(role.get("role")) for role in rows(entry, "roles")[:3]]
        first, last = (when(entry.get(key))[:10] or "?" for key in ("first_seen", "last_seen"))
        table.add_row(
            Text(plain(entry.get("campaign_id"), limit=40), style="bold red"),
            count(len(cast("list[object]", accounts))) if isinstance(accounts, list) else "?",
            count(entry.get("exchanges")),
            Text(", ".join(roles) or "no known role"),
            bits_text(_bits(entry)),
            Text(first if first == last else f"{first}\n{last}"),
        )
    return table


def _bits(entry: Mapping[str, Any]) -> float | None:
    block = entry.get("coordination")
    return bits(cast("Mapping[str, Any]", block)) if isinstance(block, Mapping) else None


def _reading(found: list[Mapping[str, Any]], scanned: Mapping[str, Any]) -> RenderableType:
    """What the column of evidence means, for who sees it for the first time."""
    weakest = min((value for entry in found if (value := _bits(entry)) is not None), default=None)
    rare = odds(weakest)
    text = "Evidence is of coordination, in bits (log2 of the e-value)."
    if rare:
        text += f" The least here, {bits_text(weakest)}: independent customers show as much at most {rare}."
    fdr = number(scanned.get("fdr"))
    if fdr is not None:
        text += f" At most {figure(100 * fdr)} % of such a list is wrong on average."
    if len(found) > _LISTED:
        text += f" {len(found) - _LISTED} more campaigns are in campaigns.json."
    return _line(text, "dim")


def _others(others: list[Mapping[str, Any]]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for entry in others[:_LISTED]:
        kind = _OTHERS.get(plain(entry.get("label")), "unclear")
        line = Text.assemble(
            (plain(entry.get("campaign_id"), limit=40), "cyan"),
            f"  {kind}: ",
            plain(entry.get("headline"), limit=200),
        )
        lines.append(Padding(line, (0, 0, 0, 2)))
    if len(others) > _LISTED:
        lines.append(_line(f"and {len(others) - _LISTED} more in campaigns.json", "dim"))
    return lines


def _unseen(result: Mapping[str, Any], scanned: Mapping[str, Any]) -> list[RenderableType]:
    lines: list[RenderableType] = []
    columns = sorted(
        {
            plain(name, limit=40)
            for row in rows(result, "blind")
            for name in _list(row.get("missing"))
            if plain(name)
        }
    )
    blind = len(rows(result, "blind"))
    if blind:
        named = f"the log lacks {', '.join(columns[:10])}{', …' if len(columns) > 10 else ''}"
        lines.append(_line(f"{blind} signal{'s were' if blind > 1 else ' was'} blind: {named}.", "yellow"))
    if number(scanned.get("rejected")):
        among = f" of {count(scanned.get('records'))}" if number(scanned.get("records")) else ""
        told = (
            f"{count(scanned.get('rejected'))}{among} records could not be read; they are in rejected.jsonl."
        )
        lines.append(_line(told, "yellow"))
    aside = scanned.get("set_aside")
    if isinstance(aside, Mapping) and aside:
        names = sorted(plain(name, limit=80) for name in cast("Mapping[str, object]", aside))
        told = f"{len(names)} of {many(scanned.get('files'), 'file')} could not be read and were set aside: "
        lines.append(_line(told + ", ".join(names[:5]) + (", …" if len(names) > 5 else "."), "yellow"))
    if number(scanned.get("duplicates")):
        lines.append(_line(f"{many(scanned.get('duplicates'), 'duplicate')}, counted once.", "dim"))
    return lines


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _next(found: list[Mapping[str, Any]], out: Path) -> RenderableType:
    folder = plain(str(out), limit=400)
    steps = [
        (f"{folder}/report.html", "the whole report, for a browser"),
        (f"{folder}/campaigns.json", "the same for programs; accounts and exchanges lie beside it"),
    ]
    if found:
        name = plain(found[0].get("campaign_id"), limit=40)
        steps.insert(0, (f"spiritsafe explain {name} --results {folder}", "the evidence in words"))
    lines = [Text.assemble((step, "bold"), "\n  ", (meaning, "dim")) for step, meaning in steps]
    return Group(*(Padding(line, (0, 0, 0, 2)) for line in lines))
