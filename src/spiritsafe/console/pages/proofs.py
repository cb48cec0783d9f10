"""Proofs: tests of suspects that ``spiritsafe prove`` ran, with what they find, under which nulls, and what limits them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from spiritsafe.cases._proof import sheet as sheets
from spiritsafe.console.guard import Refused, needs
from spiritsafe.console.render import respond
from spiritsafe.errors import SpiritsafeError, UsageError
from spiritsafe.provenance import _prereg

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

_LONGEST = 64 << 20
_STAGES = ("plan.json", "result.json")


@dataclass(frozen=True, slots=True)
class Folder:
    """A case of provenance: its name in addresses, where it lies, and whether it has come to a result."""

    name: str
    path: Path
    done: bool


def routes() -> list[Route]:
    """The list of cases, and one."""
    return [Route("/proofs", proofs), Route("/proofs/{proof}", proof)]


@needs("read")
async def proofs(request: Request) -> Response:
    """All cases of the folders in the settings."""
    rows = await run_in_threadpool(_listed, request.app.state.settings.proofs)
    return respond(request, "proofs.html", {"rows": rows, "named": bool(request.app.state.settings.proofs)})


@needs("read")
async def proof(request: Request) -> Response:
    """One case: claim, verdict, each test."""
    found = await run_in_threadpool(_one, request.app.state.settings.proofs, request.path_params["proof"])
    if request.state.json:
        return respond(request, "proof.html", {key: found[key] for key in ("name", "result", "trouble")})
    return respond(request, "proof.html", found)


def folders(named: Sequence[Path]) -> list[Folder]:
    """The cases in the folders that the settings name: each is one, or holds some."""
    places: list[Path] = []
    for place in named:
        if any((place / name).exists() for name in _STAGES):
            places.append(place)
        elif place.is_dir():
            places += sorted({one.parent for name in _STAGES for one in place.glob(f"*/{name}")})
    found: list[Folder] = []
    for path in dict.fromkeys(places):
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", path.name).strip("-") or "case"
        if any(one.name == name for one in found):
            name = f"{name}-{crc32(str(path).encode()):08x}"
        found.append(Folder(name, path, (path / "result.json").exists()))
    return found


def _listed(named: Sequence[Path]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in folders(named):
        row: dict[str, Any] = {
            "name": one.name, "done": one.done, "trouble": "", "suspect": one.name, "claim": "", "verdict": "", "findings": [],
        }  # fmt: skip
        try:
            told = _object(one.path / ("result.json" if one.done else "plan.json"))
            row |= _summary(told, done=one.done)
        except (SpiritsafeError, KeyError, TypeError, ValueError) as error:
            row["trouble"] = f"cannot be read: {error}"
        rows.append(row)
    return rows


def _summary(told: dict[str, Any], *, done: bool) -> dict[str, Any]:
    suspect = told["suspect"] if done else told["suspect"]["name"]
    if not done:
        return {
            "case": told["case"],
            "claim": told["claim"],
            "suspect": suspect,
            "verdict": "",
            "findings": [],
        }
    return {
        "case": told["case"],
        "claim": told["claim"],
        "suspect": suspect,
        "verdict": told["verdict"],
        "quiet": told["sound"]["quiet"],
        "alpha": told["alpha"],
        "findings": [
            {
                "test": one["test"], "tier": one["tier"], "verdict": one["verdict"], "p_value": one["p_value"],
                "holm_p": one["holm_p"], "n": one["n"], "power": one["power"],
            }
            for one in told["findings"]
        ],
    }  # fmt: skip


def _one(named: Sequence[Path], name: str) -> dict[str, Any]:
    folder = next((one for one in folders(named) if one.name == name), None)
    if folder is None:
        raise Refused(404, "there is no such proof", "console.toml names the folders: proofs = [...]")
    if not folder.done:
        raise Refused(404, "this case has no result yet", f"spiritsafe prove run {folder.path.name}")
    result = _object(folder.path / "result.json")
    trouble = ""
    try:
        plan, entries = _prereg.open_plan(folder.path, None)
    except SpiritsafeError as error:
        # A plan that was changed after it was registered is the first thing to be said.
        trouble, entries = f"{error.message}", []
        plan = _object(folder.path / "plan.json")
    told = [{"kind": one.kind, "time": one.time, "hash": one.hash, "body": dict(one.body)} for one in entries]
    try:
        shown = sheets.sheet(result, plan, told)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            422, f"this result lacks or confuses {error}", "run `spiritsafe prove run` again"
        ) from error
    return {
        "name": name,
        "result": result,
        "trouble": trouble,
        "sheet": replace(shown, command=f"spiritsafe prove check {folder.path.name}"),
    }


def _object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST:
            raise UsageError("this file is too long to be shown", where=path.name)
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path.name} cannot be read", hint="is it the folder of `spiritsafe prove`?"
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path.name} is no result")
    return cast("dict[str, Any]", found)
