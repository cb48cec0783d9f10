"""Keys are derived, told by id, committed to, and kept from others."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from spiritsafe.errors import UsageError
from spiritsafe.marking.keys import derive, new_root, read_root

if TYPE_CHECKING:
    from pathlib import Path

ROOT = bytes(range(32))


def test_each_campaign_and_epoch_has_a_key_of_its_own():
    keys = [derive(ROOT, campaign, epoch) for campaign in ("c-1", "c-2") for epoch in (0, 1)]
    assert len({one.secret for one in keys}) == len({one.key_id for one in keys}) == 4
    assert derive(ROOT, "c-1", 0) == keys[0]
    assert derive(bytes(32), "c-1", 0).secret != keys[0].secret


def test_a_commitment_binds_the_secret_and_how_it_marks():
    key = derive(ROOT, "c-1", 0)
    others = [
        derive(ROOT, "c-1", 0, scheme="gumbel"),
        derive(ROOT, "c-1", 0, share=0.5),
        derive(ROOT, "c-1", 1),
    ]
    assert len({key.commitment, *(one.commitment for one in others)}) == 4


def test_no_secret_is_shown():
    key = derive(ROOT, "c-1", 0)
    for shown in (repr(key), str(key), key.key_id, key.commitment):
        assert key.secret.hex() not in shown
        assert repr(key.secret) not in shown


def test_a_root_key_is_written_once_and_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "root.key"
    new_root(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = read_root(path)
    with pytest.raises(UsageError, match="already"):
        new_root(path)
    assert read_root(path) == first
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others can read"):
        read_root(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(UsageError, match="32 bytes"):
        read_root(path)


@pytest.mark.parametrize("how", [{"scheme": "pink"}, {"width": 0}, {"share": 1.0}])
def test_ways_to_mark_that_make_no_sense_are_refused(how: dict[str, object]):
    with pytest.raises(UsageError):
        derive(ROOT, "c-1", 0, **how)
