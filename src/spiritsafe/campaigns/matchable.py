"""What a scan tested, and what of it another provider could hold as well: nothing leaves by being written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from spiritsafe.campaigns import candidates, identifiers, naming, skeletons

if TYPE_CHECKING:
    from pathlib import Path

    from spiritsafe.campaigns.links import Layer
    from spiritsafe.campaigns.log import Log
    from spiritsafe.campaigns.stored import Ingest
    from spiritsafe.campaigns.verdict import Verdict
    from spiritsafe.settings import Settings


class Outcome(Protocol):
    """What a scan ended with: the content of ``campaigns.json``, and what it was told from."""

    record: dict[str, Any]
    log: Log | None
    verdicts: list[Verdict]
    heard: list[Verdict]
    layers: dict[str, Layer]


def write(folder: Path, taken: Ingest, result: Outcome, settings: Settings, *, version: int) -> None:
    """Write ``candidates.json`` and ``identifiers.jsonl`` to ``folder``. ``taken`` is what stage A left.

    ``version``: that of the fingerprints.
    """
    log, heard = result.log, result.heard
    if log is None:
        ids, mine, runs, seen = {}, {}, {}, {}
    else:
        ids, mine = naming.names(log, heard), candidates.templates(log, heard)
        runs, seen = skeletons.skeletons(taken, log, candidates.every(mine)), identifiers.samples(log, heard)
    tested = candidates.candidates(
        log, heard, result.record, result.verdicts, ids, mine, runs, seen, settings=settings, version=version
    )
    with (folder / "candidates.json").open("w", encoding="utf-8") as file:
        file.writelines(candidates.text(*tested))
    with (folder / "identifiers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(identifiers.identifiers(heard, ids, mine, runs, seen, result.layers, version=version))
