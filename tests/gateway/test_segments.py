from __future__ import annotations

import asyncio
import fcntl
import json
import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from nursery import nursery

from spiritsafe.errors import StorageError
from spiritsafe.gateway.segments import Segments, recover, writer

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("SPIRITSAFE_KILLS", "40"))

# Writes lines of many sizes as fast as it can, and says the number of each once append has come back.
WRITER = """
import json, os, random
from pathlib import Path
from spiritsafe.gateway.segments import Segments

def begin(folder, writer):
    log = Segments(Path(folder), writer, on_failure="closed", rotate=200_000)
    dice, number = random.Random(writer), 0
    while True:
        line = json.dumps({"writer": writer, "number": number, "text": "x" * dice.randrange(9000)}) + "\\n"
        log.append(line.encode())
        os.write(1, b"%d\\n" % number)
        number += 1
"""


def line(number: int, size: int = 100) -> bytes:
    return json.dumps({"number": number, "text": "x" * size}).encode() + b"\n"


def numbers(folder: Path) -> list[int]:
    paths = sorted(folder.glob("*.jsonl"))
    return [json.loads(one)["number"] for path in paths for one in path.read_bytes().splitlines()]


@pytest.fixture
def small(tmp_path: Path):
    """A file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)  # noqa: S607
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)  # noqa: S607


def test_segments_rotate_by_size_and_keep_the_order(tmp_path: Path):
    log = Segments(tmp_path, "w1", on_failure="closed", rotate=1000)
    assert all(log.append(line(number)) for number in range(100))
    log.close()
    assert numbers(tmp_path) == list(range(100))
    assert len(list(tmp_path.iterdir())) == len(list(tmp_path.glob("*.jsonl"))) == log.figures.published > 10
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())


def test_segments_rotate_by_age_and_empty_ones_are_never_published(tmp_path: Path):
    log = Segments(tmp_path, "w1", on_failure="closed", rotate_every=20_000)
    time.sleep(0.05)
    log.tick()
    assert log.append(line(1))
    time.sleep(0.05)
    log.tick()
    log.close()
    assert numbers(tmp_path) == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_clock_set_back_breaks_no_order(tmp_path: Path):
    times = iter([1_800_000_000_000_000 - 60_000_000 * step for step in range(1000)])
    log = Segments(tmp_path, "w1", on_failure="closed", rotate=300, clock=lambda: next(times))
    for number in range(50):
        log.append(line(number))
    log.close()
    assert numbers(tmp_path) == list(range(50))


def test_what_is_no_single_line_is_not_taken(tmp_path: Path):
    log = Segments(tmp_path, "w1", on_failure="closed")
    for wrong in (b"", b"{}", b"{}\n{}\n", b"\n{}"):
        with pytest.raises(ValueError, match="one line"):
            log.append(wrong)
    log.close()


def test_a_living_writer_is_passed_over_and_a_torn_tail_is_kept_apart(tmp_path: Path):
    log = Segments(tmp_path, "w1", on_failure="closed")
    log.append(line(1))
    (tmp_path / "20260101T000000.000000Z-w0-000001.jsonl.open").write_bytes(line(7) + b'{"numb')
    (tmp_path / "20260101T000000.000000Z-w0-000002.jsonl.open").write_bytes(b"")
    found = recover(tmp_path)
    assert [(one.kept, one.torn, one.problem) for one in found] == [(len(line(7)), 6, None), (0, 0, None)]
    assert numbers(tmp_path) == [7]
    assert [path.read_bytes() for path in tmp_path.glob("*.torn")] == [b'{"numb']
    log.append(line(2))
    log.close()
    assert numbers(tmp_path) == [7, 1, 2]


def test_those_who_wait_for_the_disk_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = Segments(tmp_path, "w1", on_failure="closed", sync="disk", rotate=3000)
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(handle), real(handle))[1])

    async def one(number: int) -> None:
        log.append(line(number))
        await log.durable()

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(500)))

    asyncio.run(all_of_them())
    log.close()
    assert numbers(tmp_path) == list(range(500))
    assert 0 < len(synced) < 250


def test_a_full_disk_closes_before_a_record_is_lost(small: Path):
    log = Segments(small, "w1", on_failure="closed", room=200_000)
    number = 0
    while log.ready():
        assert log.append(line(number, 5000))
        number += 1
    assert log.figures.lost == 0
    assert log.append(line(number, 5000))  # a request taken before still finds its room
    sizes = iter(range(number + 1, 1000))

    def fill() -> None:
        for more in sizes:
            log.append(line(more, 5000))

    with pytest.raises(StorageError, match="No space left"):
        fill()
    refused = next(sizes) - 1
    log.close()
    recover(small)
    assert numbers(small) == list(range(refused))


def test_a_full_disk_counts_what_is_lost_and_goes_on_once_there_is_room(small: Path):
    ballast = small / "_ballast"
    ballast.write_bytes(b"x" * 700_000)
    log = Segments(small, "w1", on_failure="open", room=50_000)
    written = [number for number in range(200) if log.append(line(number, 5000))]
    assert log.ready()
    assert log.figures.lost == 200 - len(written) > 0
    assert log.figures.failure == "No space left on device"
    ballast.unlink()
    deadline = time.monotonic() + 60
    while not log.append(line(1000)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert log.figures.failure is None
    log.close()
    recover(small)
    assert sorted(numbers(small)) == [*written, 1000]


def test_writers_of_one_process_id_do_not_meet(tmp_path: Path):
    logs = [Segments(tmp_path, writer(), on_failure="closed") for _ in range(3)]  # as in three containers
    for number, log in enumerate(logs):
        log.append(line(number))
    for log in logs:
        log.close()
    assert sorted(numbers(tmp_path)) == [0, 1, 2]


def test_a_folder_that_vanishes_is_like_a_full_disk(tmp_path: Path):
    folder = tmp_path / "log"
    log = Segments(folder, "w1", on_failure="closed")
    log.append(line(1))
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    with pytest.raises(StorageError):
        log.append(line(2))
    assert not log.ready()
    assert log.figures.lost == 2  # what was in the removed segment, and this one
    folder.mkdir()
    deadline = time.monotonic() + 30
    while not log.ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log.append(line(3))
    log.close()
    assert numbers(folder) == [3]


def test_what_was_acknowledged_outlives_every_kill(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    dice, told = random.Random(4), tmp_path_factory.mktemp("told")
    acknowledged: dict[str, int] = {}
    with nursery(WRITER) as one, nursery(WRITER) as other:
        for turn in range(KILLS // 2):
            crowd = [(f"w{turn}{half}", child) for half, child in (("a", one), ("b", other))]
            for name, child in crowd:
                child.begin(told / name, str(tmp_path), name)
            for name, child in crowd:
                while not (told / name).exists() or not (told / name).stat().st_size:
                    assert child.alive()
                    time.sleep(0.005)
                time.sleep(dice.uniform(0, 0.06))
                assert child.kill() == -signal.SIGKILL
                # Only whole lines: the last one may be cut, as the log's may.
                acknowledged[name] = (told / name).read_bytes().count(b"\n")
                recover(tmp_path)  # one writer may live on meanwhile
    assert recover(tmp_path) == []
    seen: dict[str, list[int]] = {}
    for path in sorted(tmp_path.glob("*.jsonl")):
        for one in path.read_bytes().splitlines():
            whole = json.loads(one)
            seen.setdefault(whole["writer"], []).append(whole["number"])
    assert len(acknowledged) == KILLS
    for name, count in acknowledged.items():
        assert count > 0
        # Each once and in order; at most one more than was said, written just before the kill.
        assert seen[name] == list(range(len(seen[name])))
        assert count <= len(seen[name]) <= count + 1
    assert not list(tmp_path.glob("*.open"))


def test_a_gateway_that_starts_beside_a_new_segment_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real, done = fcntl.flock, list[int]()

    def flock(handle: int, how: int) -> None:
        if not done:
            done.append(1)
            recover(tmp_path)  # between the new file and its lock
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    log = Segments(tmp_path, "w1", on_failure="closed")
    assert log.append(b"x\n") is True
    assert log.figures.failures == 0
    assert [path.read_bytes().rstrip(b"\0") for path in tmp_path.glob("2*")] == [b"x\n"]
