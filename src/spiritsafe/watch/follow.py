"""Following a folder: what is done with a look, a links step and a campaign step. Time is an argument everywhere."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, Self

from spiritsafe import pipeline
from spiritsafe.campaigns.exhibits import iso
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import InputError
from spiritsafe.staging import check_target, publish, recover, staging
from spiritsafe.state.folder import stored
from spiritsafe.state.join import joined
from spiritsafe.watch import state as state_folder
from spiritsafe.watch.changes import Case, follow
from spiritsafe.watch.growth import Group, Growth
from spiritsafe.watch.partitions import Partitions, told
from spiritsafe.watch.segments import Looks, Seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from spiritsafe.campaigns.intent import Reference
    from spiritsafe.settings import Settings

MINUTE = 60_000_000
_NOTE = (
    "Provisional: values that many parties came to share lately. No test was made; nobody is accused here."
)


class Tell(Protocol):
    """Told what happens: ``event`` is one word, ``facts`` plain values."""

    def __call__(self, event: str, /, **facts: Any) -> None:
        """Take note."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How far back a campaign step looks, and how often things are done, in microseconds of ``now``."""

    window: int = 7 * 24 * 60 * MINUTE
    links: int = 5 * MINUTE
    campaigns: int = 60 * MINUTE
    half_life: int = 6 * 60 * MINUTE


class Watch:
    """Follows the finished segments of ``folder`` and writes to ``out``; a context manager.

    ``state`` is kept between runs and belongs to one watch at a time. Raises UsageError when it belongs to another
    folder or version, StorageError when another watch has it or it cannot be written, InputError when there is no folder.
    """

    def __init__(
        self,
        folder: Path,
        out: Path,
        state: Path,
        *,
        settings: Settings,
        rhythm: Rhythm,
        tell: Tell,
        format: str | None = None,
        reference: Reference | None = None,
        progress: pipeline.Progress = pipeline.silent,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        state_folder.apart(folder, out, state)
        if not folder.is_dir():
            raise InputError("there is no such folder", where=str(folder), hint="name the folder of segments")
        recover(out)
        check_target(out, "campaigns.json")
        self.folder, self.out, self.state = folder, out, state
        self.settings, self.rhythm, self.tell = settings, rhythm, tell
        self.format, self.reference, self.progress = format, reference, progress
        self.stopped = stopped
        with stored(state):
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = state_folder.locked(state / "lock")
        try:
            state_folder.checked(state / "state.json", folder)
            self.partitions = Partitions(state, folder, format)
            self.growth = Growth(state / "growth.db", half_life=rhythm.half_life)
        except BaseException:
            os.close(self._lock)
            raise
        self._looks = Looks(folder)
        self._tried: set[str] = set()
        self._warned: dict[str, tuple[int, int]] = {}
        self._links_at: int | None = None
        self._news = False
        for path in sorted(set(self.partitions.state.damaged)):
            self.tell(
                "damaged",
                segment=path,
                hint="what was kept of it is removed; a file that is there is read again",
            )
        self.cases, self._campaigns_at = _earlier(out)
        self._catch_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the state back."""
        self.growth.close()
        self.partitions.close()
        os.close(self._lock)

    @property
    def last(self) -> int:
        """Microseconds of the latest exchange that was taken; 0 without any."""
        return max((one.last for one in self.partitions.segments.values()), default=0)

    def look(self) -> list[Seen]:
        """The segments that are finished and not yet taken, by path. Raises InputError when the folder cannot be listed."""
        finished = self._looks.look()
        self.partitions.forget(self._looks.names)
        for path in set(self._looks.misnamed) - self._tried:
            self._tried.add(path)
            self.tell("set_aside", segment=path, reason="its name is not valid UTF-8", hint="rename the file")
        fresh: list[Seen] = []
        for seen in finished:
            known = self.partitions.knows(seen.name)
            one = self.partitions.segments.get(seen.name)
            if known is None or (one and one.reason is not None and seen.name not in self._tried):
                fresh.append(seen)
            elif known != seen.facts:
                if one is not None and not one.rows:
                    fresh.append(seen)  # nothing of it was counted
                elif self._warned.get(seen.name) != seen.facts:
                    self._warned[seen.name] = seen.facts
                    self.tell(
                        "changed",
                        segment=seen.name,
                        hint="it was taken before and is not read again; write new exchanges to a new file",
                    )
        return fresh

    def take(self, fresh: list[Seen], *, now: int) -> int:
        """Take segments, each in one step, until all are taken or the watch is ``stopped``. Returns how many."""
        if not fresh:
            return 0
        count = 0
        with staging(self.state / "work") as work, self._engine(work) as engine:
            for seen in fresh:
                if self.stopped():
                    break
                count += self._take_one(seen, engine, now)
        return count

    def links(self, *, now: int) -> list[Group]:
        """The links step: which values gain parties. Written to ``links.json`` beside the last campaigns."""
        groups = self.growth.growing(now)
        self._links_at, self._news = now, False
        if (self.out / "campaigns.json").exists():
            half = self.out / ".links.json.partial"
            with stored(half):
                half.write_text(_links(groups, now, self.rhythm.half_life), "utf-8")
                half.replace(self.out / "links.json")
        self.tell("links", growing=len(groups), parties=max((group.fresh for group in groups), default=0))
        return groups

    def campaigns(self, *, now: int, reason: str = "due") -> dict[str, Any]:
        """The campaign step over the window that ends at ``now``: same stages, same files as a scan. Returns the record.

        Whole or not at all. Afterwards segments older than the window are let go.
        """
        since = now - self.rhythm.window
        with staging(self.out) as work:
            with self._engine(work) as engine:
                entries = self.partitions.entries(self.folder)
                taken = joined(engine, entries, work, since=since, until=now, skipped=self._looks.skipped)
                result = pipeline.conclude(
                    engine, taken, settings=self.settings, reference=self.reference, progress=self.progress
                )
            cases, changed = follow(self.cases, result.record["campaigns"], since=iso(since), now=iso(now))
            self._beside(work / "final", cases, changed, since, now)
            publish(work / "final", self.out)
        self.cases, self._campaigns_at = cases, now
        self._links_at, self._news = now, False
        self.growth.told(now)
        self.tell("campaigns", reason=reason, **_counts(result.record, cases, since, now))
        for change in changed:
            self.tell("case", **{name: value for name, value in change.items() if name != "time"})
        self._expire(since)
        return result.record

    def due(self, *, now: int) -> str | None:
        """Do the links step if it is time, then tell why a campaign step is: "first", "due", "growth"; None if not."""
        if self._campaigns_at is None:
            return "first"
        if not 0 <= now - self._campaigns_at < self.rhythm.campaigns:
            return "due"
        if self._news and (self._links_at is None or not 0 <= now - self._links_at < self.rhythm.links):
            groups = self.links(now=now)
            if any(group.doubled for group in groups):
                return "growth"
        return None

    def steps(self, *, now: int) -> dict[str, Any] | None:
        """Do what is due. Returns the record of a campaign step if there was one."""
        reason = self.due(now=now)
        return self.campaigns(now=now, reason=reason) if reason else None

    def _take_one(self, seen: Seen, engine: DuckDB, now: int) -> int:
        made = self.partitions.take(seen, engine, settings=self.settings, now=now)
        if made is None:
            return 0
        self._tried.add(made.name)
        if made.reason is not None:
            self.tell(
                "set_aside",
                segment=made.name,
                reason=made.reason,
                hint="mend the file or write it anew: it is then taken; the watch goes on",
            )
            return 0
        if made.rows:
            self.growth.add(engine, made.name, made.parts, now=now)
            self._news = True
        self.tell("segment", **told(made))
        return 1

    def _catch_up(self) -> None:
        """Count the partitions that a killed watch did not."""
        counted = self.growth.counted()
        there = {name for name, one in self.partitions.segments.items() if one.rows}
        missing = sorted(there - counted)
        if missing:
            with staging(self.state / "work") as work, self._engine(work) as engine:
                for name in missing:
                    one = self.partitions.segments[name]
                    self.growth.add(engine, name, one.parts, now=one.taken)
        self.growth.forget(sorted(counted - there))

    def _expire(self, since: int) -> None:
        """Let go what holds nothing from ``since`` on, or holds nothing at all and was taken before; pack what is small."""
        ends = {name: one.last if one.rows else one.taken for name, one in self.partitions.segments.items()}
        names = [name for name, end in ends.items() if end < since]
        self.partitions.expire(names)
        self.growth.forget(names)
        if names:
            self.tell("expired", segments=len(names))
        self.partitions.pack(self.growth.counted())

    def _beside(
        self, final: Path, cases: list[Case], changed: list[dict[str, Any]], since: int, now: int
    ) -> None:
        """What a watch adds to the outputs of a scan; it appears with them."""
        head = {
            "schema": 1,
            "time": iso(now),
            "window": {"since": exactly(since), "until": exactly(now)},
            "segments": len(self.partitions.segments),
            "set_aside": sorted(n for n, one in self.partitions.segments.items() if one.reason is not None),
            "changed_after_taken": sorted(self._warned),
            "cases": [case.record for case in cases if case.ended is None],
            "ended": [asdict(case) for case in cases if case.ended],
            "now": now,
        }
        (final / "watch.json").write_text(json.dumps(head, indent=1, sort_keys=True) + "\n", "utf-8")
        (final / "links.json").write_text(
            _links(self.growth.growing(now), now, self.rhythm.half_life), "utf-8"
        )
        history = self.out / "changes.jsonl"
        before = history.read_text("utf-8") if history.exists() else ""
        lines = "".join(json.dumps(change, sort_keys=True, ensure_ascii=False) + "\n" for change in changed)
        (final / "changes.jsonl").write_text(before + lines, "utf-8")

    def _engine(self, work: Path) -> DuckDB:
        return DuckDB(work, memory=self.settings.memory, threads=self.settings.threads)


def exactly(time: int) -> str:
    """RFC 3339 with microseconds, so that `scan --since --until` takes the same window."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat(
        timespec="microseconds"
    )


def _links(groups: list[Group], now: int, half_life: int) -> str:
    shown = [
        {
            "layer": group.layer,
            "value": group.name,
            "alike": group.alike,
            "parties": round(group.parties, 1),
            "exchanges": round(group.exchanges, 1),
            "holders": group.holders,
            "new_holders": group.fresh,
        }
        for group in groups
    ]
    head = {"schema": 1, "note": _NOTE, "time": iso(now), "half_life_hours": half_life / (60 * MINUTE)}
    return json.dumps({**head, "growing": shown}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _counts(record: dict[str, Any], cases: list[Case], since: int, now: int) -> dict[str, Any]:
    scanned = record["scanned"]
    return {
        "since": iso(since),
        "until": iso(now),
        "exchanges": scanned["accepted"],
        "accounts": scanned.get("accounts", 0),
        "duplicates": scanned.get("duplicates", 0),
        "found": sum(case.label == "campaign" and case.ended is None for case in cases),
    }


def _earlier(out: Path) -> tuple[list[Case], int | None]:
    """The cases of the last campaign step, and when it was; nothing if there is none that can be read."""
    try:
        head = json.loads((out / "watch.json").read_text("utf-8"))
        record = json.loads((out / "campaigns.json").read_text("utf-8"))
        members = {
            entry["campaign_id"]: [account["account_id"] for account in entry["accounts"]]
            for entry in record["campaigns"]
        }
        cases = [_case({**case, "accounts": members[case["campaign_id"]]}) for case in head["cases"]]
        return [*cases, *map(_case, head["ended"])], int(head["now"])
    except (OSError, ValueError, KeyError, TypeError):
        return [], None


def _case(told: dict[str, Any]) -> Case:
    return Case(**told)
