from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.errors import StorageError, UsageError
from spiritsafe.gateway.keys import DAY, DELAY, KeyFile, KeyRing, load, make, rotate, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_772_366_400_000_000


def test_a_made_file_is_for_its_owner_only_and_reads_back(tmp_path: Path):
    path = tmp_path / "keys.json"
    ring = make(path, now=NOW)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path).keys == ring.keys
    assert {file.name for file in tmp_path.iterdir()} == {"keys.json", "keys.json.lock"}
    with pytest.raises(UsageError, match="exists"):
        make(path, now=NOW)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int):
    path = tmp_path / "keys.json"
    make(path, now=NOW)
    path.chmod(mode)
    with pytest.raises(UsageError, match="others may read"):
        load(path)


def test_rotation_overlaps_and_drops_only_what_ended_long_ago(tmp_path: Path):
    path = tmp_path / "keys.json"
    first = make(path, now=NOW).keys[0]
    later = NOW + 10 * DAY
    ring = rotate(path, now=later, lifetime=30 * DAY)
    old, new = ring.keys
    assert (old.id, old.not_after) == (first.id, later + DELAY + 30 * DAY)
    assert ring.issuing(later).id == first.id
    assert ring.issuing(later + DELAY).id == new.id
    assert new.not_after is None
    again = rotate(path, now=later + 31 * DAY, lifetime=30 * DAY)
    assert [key.state(later + 31 * DAY) for key in again.keys] == ["expired", "current", "future"]
    assert first.id not in {key.id for key in rotate(path, now=later + 500 * DAY).keys}


def test_rotation_never_gives_a_key_a_longer_life(tmp_path: Path):
    path = tmp_path / "keys.json"
    make(path, now=NOW, not_after=NOW + DAY)
    assert rotate(path, now=NOW, lifetime=30 * DAY).keys[0].not_after == NOW + DAY


@pytest.mark.parametrize("jump", [-400 * DAY, 400 * DAY])
def test_a_clock_that_jumps_still_has_a_key_and_says_so(tmp_path: Path, jump: int):
    ring = make(tmp_path / "keys.json", now=NOW, not_after=NOW + 90 * DAY)
    assert ring.complaint(NOW) is None
    assert ring.issuing(NOW + jump) is ring.keys[0]
    assert "by this clock" in (ring.complaint(NOW + jump) or "")


def test_hot_reload_keeps_the_good_keys_when_the_file_turns_bad(tmp_path: Path):
    path = tmp_path / "keys.json"
    first = make(path, now=NOW).keys[0].id
    followed = KeyFile(path)
    assert followed.refresh() is False
    rotate(path, now=NOW)
    assert followed.refresh() is True
    assert len(followed.ring.keys) == 2
    path.write_text('{"schema": 1, "keys": [')
    assert followed.refresh() is False
    assert "not JSON" in (followed.complaint or "")
    assert followed.ring.get(first) is not None
    path.unlink()
    assert followed.refresh() is False
    assert followed.ring.get(first) is not None
    make(path, now=NOW)
    assert followed.refresh() is True
    assert followed.complaint is None


def test_rotations_at_once_lose_no_key(tmp_path: Path):
    path = tmp_path / "keys.json"
    make(path, now=NOW)
    threads = [threading.Thread(target=rotate, args=(path,), kwargs={"now": NOW}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(load(path).keys) == 9


def test_no_secret_in_repr_show_or_errors(tmp_path: Path):
    path = tmp_path / "keys.json"
    ring = make(path, now=NOW)
    entry = json.loads(path.read_text())["keys"][0]
    secret = entry["secret"]
    told = [repr(ring), repr(ring.keys), str(show(path, now=NOW))]
    for broken in (
        f'{{"schema": 1, "keys": [{json.dumps(entry)}',
        json.dumps({"schema": 1, "keys": [{**entry, "not_before": "soon"}]}),
        json.dumps({"schema": 1, "keys": [{**entry, "secret": secret[:-8]}]}),
        json.dumps({"schema": 1, "keys": [{**entry, "more": 1}]}),
        json.dumps({"schema": 1, "keys": [entry, entry]}),
        json.dumps({"schema": 2, "keys": [entry]}),
    ):
        path.write_text(broken)
        # What an operator sees at worst: the full traceback of a process that dies of it.
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                "import pathlib, sys; from spiritsafe.gateway.keys import load; load(pathlib.Path(sys.argv[1]))",
                str(path),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 1
        assert "UsageError" in ended.stderr
        told.append(ended.stderr)
    for text in told:
        assert secret[:12] not in text
        assert ring.keys[0].secret.hex()[:12] not in text
        assert repr(ring.keys[0].secret)[2:12] not in text


def test_missing_and_odd_files_are_clear_errors(tmp_path: Path):
    with pytest.raises(StorageError, match="cannot be read"):
        load(tmp_path / "none.json")
    with pytest.raises(StorageError):
        make(tmp_path / "no" / "keys.json", now=NOW)
    if os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        with pytest.raises(StorageError):
            make(locked / "keys.json", now=NOW)


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(HOSTILE, st.sampled_from(["whole", "keys", "entry"]))
def test_any_json_is_a_clear_error(tmp_path_factory: pytest.TempPathFactory, value: Any, where: str):
    shapes: dict[str, Callable[[], Any]] = {
        "whole": lambda: value,
        "keys": lambda: {"schema": 1, "keys": value},
        "entry": lambda: {
            "schema": 1,
            "keys": [{"id": value, "secret": value, "not_before": value, "not_after": value}],
        },
    }
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(json.dumps(shapes[where]()))
    path.chmod(0o600)
    with pytest.raises(UsageError):
        load(path)


def test_a_ring_needs_keys():
    with pytest.raises(UsageError):
        KeyRing([])
