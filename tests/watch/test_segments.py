"""What is taken when, what is set aside, what is warned of, what is let go, and who may have the state."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from spiritsafe.errors import InputError, StorageError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

HOUR = 3_600_000_000


def taken(field: Any) -> list[str]:
    return [facts["segment"] for facts in field.told.of("segment")]


def test_a_file_is_taken_once_two_looks_saw_the_same(parts: list[pa.Table], field: Any):
    field.write(parts[0], "a.jsonl")
    with field.watch() as watch:
        assert watch.look() == []
        with (field.segments / "a.jsonl").open("a") as file:
            file.write('{"time": "2026-09-07T00:00:00Z", "account_id": "late", "prompt": "more"}\n')
        assert watch.look() == []
        fresh = watch.look()
        assert [seen.name for seen in fresh] == ["a.jsonl"]
        assert watch.take(fresh, now=0) == 1
        assert watch.look() == []
    assert field.told.of("segment")[0]["exchanges"] == len(parts[0]) + 1


def test_unfinished_and_hidden_files_are_left_alone_until_they_are_renamed(parts: list[pa.Table], field: Any):
    for name in ("a.parquet.open", "b.parquet.partial", "c.tmp", ".d.parquet", "_e.parquet"):
        field.write(parts[0], "x.parquet").rename(field.segments / name)
    with field.watch() as watch:
        assert field.take(watch, now=0) == 0
        (field.segments / "a.parquet.open").rename(field.segments / "a.parquet")
        assert field.take(watch, now=0) == 1
    assert taken(field) == ["a.parquet"]


def test_a_segment_that_changes_later_is_told_and_not_counted_again(
    parts: list[pa.Table], moments: Any, field: Any
):
    path = field.write(parts[0], "a.jsonl")
    now = int(moments.max()) + 1
    with field.watch() as watch:
        field.take(watch, now=now)
        with path.open("a") as file:
            file.write('{"time": "2026-09-07T00:00:00Z", "account_id": "late", "prompt": "more"}\n')
        assert field.take(watch, now=now) == 0
        assert field.take(watch, now=now) == 0
        assert watch.campaigns(now=now)["scanned"]["accepted"] == len(parts[0])
    (warning,) = field.told.of("changed")
    assert warning["segment"] == "a.jsonl"
    assert "new file" in warning["hint"]
    assert json.loads((field.out / "watch.json").read_text("utf-8"))["changed_after_taken"] == ["a.jsonl"]


def test_a_broken_segment_is_set_aside_named_and_taken_once_it_is_mended(
    parts: list[pa.Table], moments: Any, field: Any
):
    good = field.write(parts[0], "b.parquet")
    whole = good.read_bytes()
    (field.segments / "a.parquet").write_bytes(whole[:-100])
    (field.segments / "c.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00 cut off")
    (field.segments / "d.jsonl").write_text("")
    now = int(moments.max()) + 1
    with field.watch() as watch:
        assert field.take(watch, now=now) == 2
        scanned = watch.campaigns(now=now)["scanned"]
        assert {os.path.basename(path) for path in scanned["set_aside"]} == {"a.parquet", "c.jsonl.gz"}  # noqa: PTH119
        assert scanned["accepted"] == len(parts[0])
        assert [facts["segment"] for facts in field.told.of("set_aside")] == ["a.parquet", "c.jsonl.gz"]
        assert field.take(watch, now=now) == 0
        assert len(field.told.of("set_aside")) == 2
    with field.watch() as watch:  # once more for each run: it may know the format now
        assert field.take(watch, now=now) == 0
        assert field.take(watch, now=now) == 0
    assert len(field.told.of("set_aside")) == 4
    field.write(parts[1], "a.parquet")
    field.write(parts[2], "d.jsonl")
    with field.watch() as watch:
        assert field.take(watch, now=now) == 2
        assert watch.campaigns(now=now)["scanned"]["accepted"] == sum(map(len, parts[:3]))
    assert field.told.of("changed") == []


def test_a_name_that_is_no_text_is_set_aside_and_the_watch_goes_on(parts: list[pa.Table], field: Any):
    name = b"a\xff.parquet".decode("utf-8", "surrogateescape")
    field.write(parts[0], "b.parquet").rename(field.segments / name)
    field.write(parts[1], "b.parquet")
    with field.watch() as watch:
        assert field.take(watch, now=HOUR) == 1
        watch.campaigns(now=HOUR)
    assert taken(field) == ["b.parquet"]
    (aside,) = field.told.of("set_aside")
    assert aside["segment"].endswith("a\\udcff.parquet")
    with pytest.raises(InputError, match="not valid UTF-8"):
        field.differ(since=0, until=HOUR)


def test_rejected_records_of_all_segments_are_kept(parts: list[pa.Table], moments: Any, field: Any):
    for number in range(2):
        path = field.write(parts[number], f"{number}.jsonl")
        path.write_text("broken\n" + path.read_text())
    with field.watch() as watch:
        field.take(watch, now=int(moments.max()))
        watch.campaigns(now=int(moments.max()))
    kept = [json.loads(line) for line in (field.out / "rejected.jsonl").read_text("utf-8").splitlines()]
    assert [(os.path.basename(one["file"]), one["line"]) for one in kept] == [("0.jsonl", 1), ("1.jsonl", 1)]  # noqa: PTH119


def test_old_segments_are_let_go_and_not_taken_again(parts: list[pa.Table], moments: Any, field: Any):
    for number in (0, 20, 40):
        field.write(parts[number], f"{number:02}.parquet")
    now = int(moments.max()) + 1
    with field.watch(window=20 * HOUR) as watch:
        field.take(watch, now=now)
        assert watch.campaigns(now=now)["scanned"]["accepted"] == len(parts[40])
        assert set(watch.partitions.segments) == {"40.parquet"}
        assert len(list((field.folder / "state" / "parts").iterdir())) == 1
    assert field.told.of("expired") == [{"segments": 2}]
    with field.watch(window=20 * HOUR) as watch:
        assert field.take(watch, now=now) == 0
        # Once the file is gone nothing of it is remembered: the note of old segments does not grow for ever.
        (field.segments / "00.parquet").unlink()
        watch.look()
        assert set(watch.partitions.expired) == {"20.parquet"}
    with field.watch(window=20 * HOUR) as watch:
        assert set(watch.partitions.expired) == {"20.parquet"}


def test_a_second_watch_is_refused_while_the_first_runs(field: Any):
    with field.watch(), pytest.raises(StorageError, match="another watch"):
        field.watch()
    field.watch().close()


@pytest.mark.parametrize("key", ["spiritsafe", "fingerprint_version", "folder"])
def test_a_state_of_another_version_or_folder_is_refused(field: Any, key: str):
    field.watch().close()
    path = field.folder / "state" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: "other"}), "utf-8")
    with pytest.raises(UsageError, match=f"another {key}") as error:
        field.watch()
    assert "remove" in (error.value.hint or "")


def test_the_watched_folder_must_be_there_and_hold_nothing_of_ours(field: Any):
    field.out = field.segments / "out"
    with pytest.raises(UsageError, match="--out would lie in the watched folder"):
        field.watch()
    field.out = field.folder / "state" / "out"
    with pytest.raises(UsageError, match="--out would lie in --state"):
        field.watch()
    field.segments = field.folder / "nowhere"
    field.out = field.folder / "out"
    with pytest.raises(InputError, match="no such folder"):
        field.watch()


def test_the_state_is_for_its_owner_alone_since_it_keeps_text(parts: list[pa.Table], field: Any):
    with field.watch():
        assert stat.S_IMODE((field.folder / "state").stat().st_mode) == 0o700


def test_steps_come_when_they_are_due_and_early_when_a_group_doubles(
    parts: list[pa.Table], moments: Any, field: Any
):
    start = int(moments.min())
    with field.watch(links=5 * 60_000_000, campaigns=12 * HOUR) as watch:
        assert watch.steps(now=start) is not None
        for number in range(8):
            field.write(parts[number], f"{number:02}.parquet")
            field.take(watch, now=start + (number + 1) * HOUR)
            watch.steps(now=start + (number + 1) * HOUR)
        watch.steps(now=start + 24 * HOUR)
    reasons = [facts["reason"] for facts in field.told.of("campaigns")]
    assert reasons[0] == "first"
    assert reasons[-1] == "due"
    # From nothing, 440 accounts double a few times: once for each step, not once for each segment.
    assert 1 <= reasons.count("growth") <= 6


def test_a_result_lost_in_the_moment_of_replacement_is_put_back(field: Any):
    with field.watch() as watch:
        watch.campaigns(now=HOUR)
    before = (field.out / "campaigns.json").read_bytes()
    # As a kill between the two renames of publishing leaves it; no process has this number.
    (field.folder / ".out.partial-999999999").mkdir()
    field.out.rename(field.folder / ".out.partial-999999999" / "replaced")
    with field.watch() as watch:
        assert (field.out / "campaigns.json").read_bytes() == before
        assert watch.due(now=HOUR + 1) is None
    assert not list(field.folder.glob(".out*"))
