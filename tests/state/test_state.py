"""A state between scans: text is read once, whatever dies, is damaged, changes or goes away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spiritsafe import pipeline, sources, state
from spiritsafe.engine.duckdb import DuckDB
from spiritsafe.errors import InputError, MalformedRecord
from spiritsafe.settings import Settings
from spiritsafe.state import pack as packs
from spiritsafe.state import parts, plan
from spiritsafe.state.folder import Folder
from spiritsafe.state.join import joined
from spiritsafe.state.scan import fill, planned

SETTINGS = Settings(memory="200MB", threads=1)
ASKED: dict[str, Any] = {
    "format": None, "since": None, "until": None, "batch_rows": 50, "memory": "200MB", "taken": 7,
}  # fmt: skip
START = 1_788_825_600_000
#: Takes what is missing and packs it, and kills itself at the n-th change of a folder or opening of a file for writing.
DRIVER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_state as mine
events = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
mine.packs.SMALL, mine.packs.FULL = 50, 35
for limit in range(1, 400, 19):
    pid = os.fork()
    if pid == 0:
        count = 0
        def hook(event, args):
            global count
            if event in events or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax")):
                count += 1
                if count == limit:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        root = Path(sys.argv[2])
        with mine.Folder(root) as kept, mine.DuckDB(root.parent / "work", memory="200MB", threads=1) as engine:
            entries, _ = mine.read(kept, Path(sys.argv[1]), engine)
            mine.packs.pack(kept, [part for entry in entries for part in entry.parts])
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    print("killed" if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status), flush=True)
    if not os.WIFSIGNALED(status):
        break
"""


def write(folder: Path, number: int, count: int = 20, *, account: str = "a") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{number:02}.jsonl"
    rows = [
        {
            "time": START + 1_000 * (100 * number + i),
            "account_id": f"{account}{i % 7}",
            "prompt": f"What is {number} and {i}?",
        }
        for i in range(count)
    ]
    path.write_text("broken\n" + "".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def taken(
    logs: Path, root: Path, *, pack: bool = False, history: bool = False
) -> tuple[Any, pa.Table, bytes]:
    """Stage A through a state: what was counted, the sketches, and the records set aside."""
    work = root.parent / f"work-{os.getpid()}-{len(list(root.parent.iterdir()))}"
    work.mkdir()
    packs.SMALL, packs.FULL = (50, 35) if pack else (0, 1)
    with Folder(root) as kept, DuckDB(work, memory="200MB", threads=1) as engine:
        entries, skipped = read(kept, logs, engine, history=history)
        found = joined(engine, entries, work, since=None, until=None, skipped=skipped)
        packs.pack(kept, [part for entry in entries for part in entry.parts])
    return found.scanned, pq.read_table(work / "sketch.parquet"), (work / "rejected.jsonl").read_bytes()


def read(
    kept: Folder, logs: Path, engine: DuckDB, *, history: bool = False
) -> tuple[list[plan.Entry], list[str]]:
    entries, skipped = planned(kept, [logs], ASKED, history=history, check=True)
    for entry in entries:
        fill(entry, engine, threads=1)
    return entries, skipped


def batch(logs: Path, work: Path) -> tuple[Any, pa.Table, bytes]:
    """The same without a state."""
    work.mkdir()
    with DuckDB(work, memory="200MB", threads=1) as engine:
        found = pipeline.ingest(engine, [logs], work, settings=SETTINGS)
    sketch = pq.read_table(work / "sketch.parquet").drop_columns(["source_file"])
    return found.scanned, sketch, (work / "rejected.jsonl").read_bytes()


def made(root: Path) -> set[Path]:
    return set((root / "parts").iterdir())


def test_killed_while_it_takes_and_packs(tmp_path: Path):
    for number in range(3):
        write(tmp_path / "logs", number)
    command = [
        sys.executable,
        "-c",
        DRIVER,
        str(tmp_path / "logs"),
        str(tmp_path / "state"),
        str(Path(__file__).parent),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = ended.stdout.split()
    assert (lines[-1], ended.stderr) == ("0", "")
    assert lines.count("killed") >= 3
    # One more that nobody kills tidies up and reads no text: all is in one pack, but for the last file.
    wanted = batch(tmp_path / "logs", tmp_path / "batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "make", lambda *_, **__: pytest.fail("text is read twice"))
        assert same(taken(tmp_path / "logs", tmp_path / "state"), wanted)
    assert len([path for path in made(tmp_path / "state") if path.name.startswith(parts.PACK)]) == 1
    assert len(made(tmp_path / "state")) == 2


def same(one: tuple[Any, pa.Table, bytes], other: tuple[Any, pa.Table, bytes]) -> bool:
    columns = sorted(other[1].column_names)
    return (
        one[0] == other[0] and one[1].select(columns).equals(other[1].select(columns)) and one[2] == other[2]
    )


@pytest.mark.parametrize("spoiled", ["sketch.parquet", "text.parquet", "projection.bin", "part.json"])
def test_a_damaged_part_is_named_and_made_anew(tmp_path: Path, spoiled: str):
    for number in range(2):
        write(tmp_path / "logs", number)
    first = taken(tmp_path / "logs", tmp_path / "state")
    victim = min(made(tmp_path / "state")) / spoiled
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(data[:-1] if spoiled == "part.json" else data)
    with Folder(tmp_path / "state") as kept:
        entries, _ = planned(kept, [tmp_path / "logs"], ASKED, history=False, check=True)
        assert [bool(entry.missing) for entry in entries].count(True) == 1
        (named,) = kept.damaged
    assert named == str(victim.parent) if spoiled == "part.json" else Path(named).parent == tmp_path / "logs"
    assert same(taken(tmp_path / "logs", tmp_path / "state"), first)


def test_files_that_changed_are_read_again_and_gone_ones_count_with_history(tmp_path: Path):
    logs, root = tmp_path / "logs", tmp_path / "state"
    for number in range(4):
        write(logs, number)
    taken(logs, root, pack=True)
    write(logs, 1, account="b", count=25)
    whole = batch(logs, tmp_path / "whole")
    assert same(taken(logs, root), whole)
    for number in (0, 1, 3):
        (logs / f"{number:02}.jsonl").unlink()
    assert same(taken(logs, root, history=True), whole), "of the changed one its last state counts"
    assert same(taken(logs, root), batch(logs, tmp_path / "rest"))
    (logs / "02.jsonl").unlink()
    assert same(taken(logs, root, history=True), whole)
    with pytest.raises(InputError, match="holds no log files"):
        taken(logs, root)


def test_what_stops_a_scan_stops_one_with_a_state_in_the_same_words(tmp_path: Path):
    logs = tmp_path / "logs"
    write(logs, 0)
    (logs / "01.parquet").write_bytes(b"PAR1 is not enough")
    told: list[list[str]] = []
    for number, scan in enumerate(
        (pipeline.scan, lambda *a, **k: state.scan(*a, checkpoint=tmp_path / "state", **k))
    ):
        errors: list[str] = []
        for inputs, strict in (
            ([logs / "00.jsonl"], True),
            ([logs / "01.parquet"], False),
            ([logs / "01.parquet"] * 2, False),
        ):
            with pytest.raises(InputError) as stopped:
                scan(inputs, tmp_path / f"out-{number}", settings=SETTINGS, strict=strict)
            errors.append(str(stopped.value))
            assert isinstance(stopped.value, MalformedRecord) == strict
        told.append(errors)
        result = scan([logs], tmp_path / f"out-{number}", settings=SETTINGS)
        assert list(result["scanned"]["set_aside"]) == [str(logs / "01.parquet")]
        told[-1].append(json.dumps(result["scanned"]))
    assert told[0] == told[1]


def test_nothing_is_taken_away_while_another_uses_the_state(tmp_path: Path):
    for number in range(3):
        write(tmp_path / "logs", number)
    with Folder(tmp_path / "state") as other:
        half = other.parts / f"{parts.MAKING}of-another"
        half.mkdir()
        taken(tmp_path / "logs", tmp_path / "state", pack=True)
        assert half.exists()
        assert len([path for path in made(tmp_path / "state") if not path.name.startswith(".")]) == 4
    assert same(taken(tmp_path / "logs", tmp_path / "state"), batch(tmp_path / "logs", tmp_path / "batch"))
    assert not half.exists()
    assert len(made(tmp_path / "state")) == 2
    with Folder(tmp_path / "state") as kept:
        left = kept.root / ".run-of-a-killed-one"
        left.mkdir()
        with kept.scratch() as mine:
            assert kept.tidy()
            assert mine.is_dir()
        assert not left.exists()
        assert not mine.exists()


def test_a_part_has_one_name_by_whatever_path_it_is_reached(tmp_path: Path):
    path = write(tmp_path / "logs", 0)
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    with Folder(tmp_path / "state") as kept:
        names = {
            plan.entry(kept, file, ASKED, check=False).items[0]["name"]
            for given in (path, tmp_path / "link" / path.name)
            for file in sources.expand([given])[0]
        }
        assert len(names) == 1
        other = {**ASKED, "format": "canonical_jsonl"}
        assert (
            plan.entry(kept, sources.expand([path])[0][0], other, check=False).items[0]["name"] not in names
        )


def test_parts_of_another_version_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "logs", 0)
    taken(tmp_path / "logs", tmp_path / "state")
    monkeypatch.setattr(parts, "MADE_BY", (parts.FORMAT, "another", 1))
    with Folder(tmp_path / "state") as kept:
        (entry,), _ = planned(kept, [tmp_path / "logs"], ASKED, history=True, check=True)
        assert entry.missing
        assert (kept.all(), kept.damaged) == ([], [])
