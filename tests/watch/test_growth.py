"""Decayed counts: the closed form, whatever the order of segments; each segment once; what they may and may not do."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.watch.growth import Growth

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000


def closed_form(log: pa.Table, column: str, now: int, half_life: int) -> dict[str, tuple[float, float, int]]:
    """Decayed parties, decayed exchanges and holders of each value, straight from the definition."""
    times = pc.cast(log.column("time"), pa.int64()).to_pylist()
    total: dict[str, float] = {}
    latest: dict[str, dict[str, float]] = {}
    for value, org, account, time in zip(
        *(log.column(name).to_pylist() for name in (column, "organization_id", "account_id")),
        times,
        strict=True,
    ):
        if value is not None:
            weight = 2.0 ** ((time - now) / half_life)
            total[value] = total.get(value, 0.0) + weight
            party = f"o:{org}" if org is not None else f"a:{account}"
            mine = latest.setdefault(value, {})
            mine[party] = max(mine.get(party, 0.0), weight)
    return {value: (sum(latest[value].values()), total[value], len(latest[value])) for value in total}


def stored(path: Path, layer: int) -> dict[str, tuple[float, float, int]]:
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT name, parties, exchanges, holders FROM grown WHERE layer = ?", (layer,))
        found = {name: (parties, exchanges, holders) for name, parties, exchanges, holders in rows}
    db.close()
    return found


@pytest.mark.parametrize(
    ("backwards", "half_life"), [(False, 6 * HOUR), (True, 6 * HOUR), (False, HOUR // 60)]
)
def test_decayed_counts_are_the_closed_form_in_any_order(
    parts: list[pa.Table], field: Any, *, backwards: bool, half_life: int
):
    log = pa.concat_tables(parts[:6])
    for number, part in enumerate(parts[:6]):
        field.write(part, f"{number}.parquet")
    times = pc.cast(log.column("time"), pa.int64()).to_numpy()
    now = int(times.max())
    with field.watch(half_life=half_life) as watch:
        watch.look()
        fresh = watch.look()
        watch.take(fresh[::-1] if backwards else fresh, now=now)
        # With minutes for a half-life the landmark moves on the way; seen from now, nothing changes.
        power = watch.growth._power(now)
    for layer, column in ((2, "payment_id"), (4, "client_ip")):
        wanted, found = (
            closed_form(log, column, now, half_life),
            stored(field.folder / "state" / "growth.db", layer),
        )
        assert found.keys() == wanted.keys()
        for value, (parties, exchanges, holders) in wanted.items():
            assert found[value][0] * 2.0**-power == pytest.approx(parties, rel=1e-9, abs=1e-100)
            assert found[value][1] * 2.0**-power == pytest.approx(exchanges, rel=1e-9, abs=1e-100)
            assert found[value][2] == holders


def test_the_store_is_made_again_from_partitions(parts: list[pa.Table], field: Any):
    for number, part in enumerate(parts[:4]):
        field.write(part, f"{number}.parquet")
    now = int(pc.cast(parts[3].column("time"), pa.int64()).to_numpy().max())
    with field.watch() as watch:
        field.take(watch, now=now)
        before = [stored(watch.growth.path, layer) for layer in range(5)]
        groups = watch.growth.growing(now)
    for path in (field.folder / "state").glob("growth.db*"):
        path.unlink()
    with field.watch() as watch:
        assert [stored(watch.growth.path, layer) for layer in range(5)] == before
        assert watch.growth.growing(now) == groups


def test_parties_that_decayed_are_forgotten(parts: list[pa.Table], field: Any):
    field.write(parts[0], "0.parquet")
    now = int(pc.cast(parts[0].column("time"), pa.int64()).to_numpy().max())
    with field.watch(half_life=HOUR) as watch:
        field.take(watch, now=now)
        assert stored(watch.growth.path, 4)
        watch.growth.told(now)
        assert stored(watch.growth.path, 4)
        watch.growth.told(now + 2_000 * HOUR)
        assert [stored(watch.growth.path, layer) for layer in range(5)] == [{}] * 5


def test_work_for_a_segment_does_not_grow_with_what_was_taken(
    parts: list[pa.Table], tmp_path: Path, field: Any
):
    """Counted in rows that SQLite visits, not in seconds: a step of its virtual machine is a step of work."""
    for number, part in enumerate(parts[:24]):
        field.write(part, f"{number:02}.parquet")
    with field.watch() as watch:
        now = int(pc.cast(parts[23].column("time"), pa.int64()).to_numpy().max())
        field.take(watch, now=now)
        taken = [watch.partitions.segments[f"{number:02}.parquet"].parts for number in range(24)]
        growth = Growth(tmp_path / "other.db", half_life=6 * HOUR)
        steps: list[int] = []
        with DuckDB(tmp_path, memory="1GB", threads=1) as engine:
            for number, mine in enumerate(taken):
                ticks = [0]

                def tick(ticks: list[int] = ticks) -> int:
                    ticks[0] += 1
                    return 0

                growth._db.set_progress_handler(tick, 100)
                growth.add(engine, str(number), mine, now=now)
                steps.append(ticks[0])
        growth.close()
    assert sum(steps[-6:]) < 1.5 * sum(steps[:6])


def test_links_tell_what_grows_and_accuse_nobody(parts: list[pa.Table], field: Any):
    times = pc.cast(parts[9].column("time"), pa.int64()).to_numpy()
    with field.watch() as watch:
        watch.campaigns(now=int(times.min()))
        for number, part in enumerate(parts[:10]):
            field.write(part, f"{number}.parquet")
        field.take(watch, now=int(times.max()))
        watch.links(now=int(times.max()))
    told = json.loads((field.out / "links.json").read_text("utf-8"))
    assert "nobody is accused" in told["note"]
    # A text of the campaign gained half of its 80 accounts; no campaign step was made on them.
    text = [group for group in told["growing"] if group["layer"] == "text"]
    assert max(group["new_holders"] for group in text) >= 40
    assert "label" not in json.dumps(told)
    assert json.loads((field.out / "campaigns.json").read_text("utf-8"))["campaigns"] == []


def test_requests_sent_on_after_a_refusal_are_noticed_over_the_edge_of_segments(field: Any):
    begin = 1_790_000_000_000
    rows = [
        # Refused to r0 … r29, sent on by s0 … s29 twenty seconds later; to u0 … u29, sent on after two minutes.
        *((index * 1000, f"r{index}", f"question {index}", 429) for index in range(30)),
        *((20_000 + index * 1000, f"s{index}", f"question {index}", 200) for index in range(30)),
        *((index * 1000, f"u{index}", f"riddle {index}", 429) for index in range(30)),
        *((120_000 + index * 1000, f"v{index}", f"riddle {index}", 200) for index in range(30)),
        # A server's failure is no refusal; and who tries again is the same party.
        *((index * 1000, f"w{index}", f"puzzle {index}", 500) for index in range(30)),
        *((20_000 + index * 1000, f"x{index}", f"puzzle {index}", 200) for index in range(30)),
    ]
    for name, part in (
        ("0", [row for row in rows if row[0] < 25_000]),
        ("1", [row for row in rows if row[0] >= 25_000]),
    ):
        lines = [
            json.dumps({"time": begin + at, "account_id": account, "prompt": prompt, "status": status})
            for at, account, prompt, status in sorted(part)
        ]
        (field.segments / f"{name}.jsonl").write_text("\n".join(lines))
    with field.watch() as watch:
        field.take(watch, now=(begin + 200_000) * 1000)
        (retry,) = [one for one in watch.growth.growing((begin + 200_000) * 1000) if one.layer == "retry"]
    assert (retry.holders, retry.fresh) == (60, 60)
    assert retry.exchanges == pytest.approx(30, rel=0.01)
