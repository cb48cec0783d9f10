"""The ledger's promises: the chain holds, no flipped byte passes, nothing acknowledged is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.errors import LedgerError, StorageError
from spiritsafe.ledger import GENESIS, Ledger, alone, entries, line_of, verify

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=6)

# Appends until it is killed and prints each number after append() has returned.
WRITER = """
import sys
from pathlib import Path
from spiritsafe.ledger import Ledger
with Ledger(Path(sys.argv[1])) as ledger:
    while True:
        entry = ledger.append("evidence", {"value": "x" * 2000}, time=0)
        print(entry.seq, flush=True)
"""


def write(path: Path, bodies: list[dict[str, Any]]) -> None:
    with Ledger(path) as ledger:
        for number, body in enumerate(bodies):
            ledger.append("evidence", body, time=number)


@pytest.fixture
def three(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.jsonl"
    write(path, [{"subject": "account-1"}, {"subject": "счёт-2"}, {"subject": "账户-3", "value": 0.25}])
    return path


@given(BODIES, BODIES)
def test_what_goes_in_comes_out_chained_over_sessions(first: list[Any], second: list[Any]):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        write(path, first)
        write(path, second)
        found = list(entries(path))
        assert [dict(entry.body) for entry in found] == first + second
        assert [entry.seq for entry in found] == list(range(len(found)))
        assert [entry.prev for entry in found] == [GENESIS, *(entry.hash for entry in found)][: len(found)]
        assert verify(path) == (found[-1].hash if found else GENESIS)


@given(st.data())
def test_any_flipped_bit_is_found_with_its_line(data: st.DataObject):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        write(path, [{"subject": "account-1"}, {"order": "observe"}, {"opinion": "benign"}])
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        line = content[:at].count(b"\n") + 1
        content[at] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        with pytest.raises(LedgerError) as caught:
            verify(path)
        assert caught.value.where == f"{path}:{line}"
        with pytest.raises(LedgerError):
            Ledger(path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (1, 2), (0, 1, 1, 2), (2, 1, 0)])
def test_moved_removed_and_repeated_lines_are_found(three: Path, order: tuple[int, ...]):
    lines = three.read_bytes().splitlines(keepends=True)
    three.write_bytes(b"".join(lines[index] for index in order))
    with pytest.raises(LedgerError, match="does not follow the line before"):
        verify(three)


def test_a_cut_end_is_found_by_a_head_kept_elsewhere(three: Path):
    head = verify(three)
    lines = three.read_bytes().splitlines(keepends=True)
    three.write_bytes(b"".join(lines[:2]))
    earlier = verify(three)
    assert verify(three, head=earlier) == earlier
    with pytest.raises(LedgerError, match="the end was cut off"):
        verify(three, head=head)


@given(st.data())
def test_wherever_the_last_write_was_torn_the_rest_stays(data: st.DataObject):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        write(path, [{"number": 0}, {"number": 1}, {"number": 2}])
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        # A last line that lacks only its newline is kept: it may have been acknowledged.
        complete = whole[: cut + 1].count(b"\n")
        torn = whole[:cut].rpartition(b"\n")[2] if complete == whole[:cut].count(b"\n") else b""
        with Ledger(path) as ledger:
            assert ledger.count == complete
            assert ledger.set_aside == len(torn)
            ledger.append("evidence", {"number": "next"}, time=9)
        assert [entry.seq for entry in entries(path)] == list(range(complete + 1))
        aside = path.with_name("ledger.jsonl.torn")
        assert (aside.read_bytes() if aside.exists() else b"") == (torn + b"\n" if torn else b"")


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path, acknowledged: int):
    path = tmp_path / "ledger.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    seen = [int(writer.stdout.readline()) for _ in range(acknowledged)]
    writer.send_signal(signal.SIGKILL)
    seen += [int(line) for line in writer.stdout.read().splitlines()]
    assert writer.wait() == -signal.SIGKILL
    writer.stdout.close()
    with Ledger(path) as ledger:
        assert ledger.count >= len(seen)
        ledger.append("evidence", {"after": "the fall"}, time=1)
    assert [entry.seq for entry in entries(path)][: len(seen)] == seen


def test_a_reader_names_a_torn_line_and_leaves_it(three: Path):
    three.write_bytes(three.read_bytes()[:-20])
    with pytest.raises(LedgerError, match="torn") as caught:
        verify(three)
    assert caught.value.where == f"{three}:3"


def test_one_writer_at_a_time_and_readers_any_time(three: Path):
    with Ledger(three), pytest.raises(StorageError, match="another process is writing"):
        Ledger(three)
    with Ledger(three) as ledger:
        assert verify(three) == ledger.head
    with pytest.raises(StorageError, match="closed"):
        ledger.append("order", {}, time=0)


@pytest.mark.parametrize(
    "body", [{"x": float("nan")}, {"x": {1, 2}}, {1: "key"}, {"x": (1, 2)}, ["no mapping"], {"x": 10**5000}]
)
def test_a_body_that_is_not_json_is_refused_and_nothing_written(three: Path, body: Any):
    before = three.read_bytes()
    with Ledger(three) as ledger, pytest.raises(LedgerError):
        ledger.append("evidence", body, time=0)
    assert three.read_bytes() == before


def test_a_full_disk_is_told_and_the_ledger_stays_whole(tmp_path: Path):
    # The shell's limit on file size stands in for a full disk: the kernel refuses the write either way.
    path = tmp_path / "ledger.jsonl"
    limited = f'ulimit -f 8; exec "{sys.executable}" -c "$0" "{path}"'
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    ended = subprocess.run(
        ["/bin/bash", "-c", limited, ignore + WRITER], capture_output=True, text=True, check=False
    )
    assert "StorageError" in ended.stderr
    assert "the entry was not written: File too large" in ended.stderr
    assert [str(entry.seq) for entry in entries(path)] == ended.stdout.split()


def test_a_missing_folder_is_named(tmp_path: Path):
    path = tmp_path / "absent" / "ledger.jsonl"
    with pytest.raises(StorageError, match="No such file") as caught:
        Ledger(path)
    assert caught.value.where == str(path)
    with pytest.raises(StorageError, match="cannot be read"):
        verify(path)


def test_one_entry_shown_alone_is_checked_by_its_own_hash(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    write(path, [{"a": 1}, {"b": "é"}])
    lines = path.read_bytes().splitlines(keepends=True)
    told = list(entries(path))
    assert [line_of(one) for one in told] == lines
    assert [alone(line) for line in lines] == told
    for at in range(len(lines[1]) - 1):
        changed = lines[1][:at] + bytes([lines[1][at] ^ 1]) + lines[1][at + 1 :]
        with pytest.raises(
            ValueError,
            match=r"hash|canonical|Expecting|ledger|follow|decode|control|Invalid|escape|delimiter|Extra|kind",
        ):
            alone(changed)
