"""A model server finds keys by the ids that orders name, and tells nobody what they are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from spiritsafe.errors import UsageError
from spiritsafe.marking.keyring import Keyring, read_keyring
from spiritsafe.marking.keys import derive, new_root, read_root

if TYPE_CHECKING:
    from pathlib import Path

KEY = derive(bytes(range(32)), "c-1", 0)
TOML = """\
root = "root.key"
[[key]]
campaign = "c-1"
[[key]]
campaign = "c-1"
epoch = 1
scheme = "gumbel"
width = 2
[[key]]
campaign = "c-2"
share = 0.5
strength = 1
"""


def written(folder: Path, text: str) -> Path:
    if not (folder / "root.key").exists():
        new_root(folder / "root.key")
    path = folder / "keyring.toml"
    path.write_text(text, "utf-8")
    return path


def test_keys_are_derived_as_the_file_says(tmp_path: Path):
    ring = read_keyring(written(tmp_path, TOML))
    root = read_root(tmp_path / "root.key")
    expected = [
        derive(root, "c-1", 0),
        derive(root, "c-1", 1, scheme="gumbel", width=2),
        derive(root, "c-2", 0, share=0.5, strength=1.0),
    ]
    assert list(ring) == expected
    assert [ring.get(one.key_id) for one in expected] == expected


def test_no_id_means_no_mark():
    ring = Keyring([KEY])
    assert ring.get(None) is ring.get("") is None


def test_an_unknown_id_is_an_error_unless_it_may_pass(caplog: pytest.LogCaptureFixture):
    with pytest.raises(UsageError, match="no mark key here has the id 'wm-9'"):
        Keyring([KEY]).get("wm-9")
    ring = Keyring([KEY], unknown="pass")
    with caplog.at_level(logging.WARNING):
        assert ring.get("wm-9") is None
        assert ring.get("wm-9") is None
        assert ring.get("x\n" * 400) is None
    assert caplog.records[0].getMessage() == ("no mark key has the id 'wm-9': answers pass unmarked")
    # One line for each id, whatever is in it.
    assert len(caplog.records) == 2
    assert all(
        "\n" not in record.getMessage() and len(record.getMessage()) < 200 for record in caplog.records
    )
    assert KEY.secret.hex() not in caplog.text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('scheme = "gumbel"', 'scheme = "gumbell"', r"keyring.toml:7: .*(?s:.*)did you mean 'gumbel'"),
        ("width = 2", "width = 2.5", r"keyring.toml:8: .*whole number"),
        ("width = 2", "width = 9", r"keyring.toml:4: .*width from 1 to 8"),
        ("share = 0.5", "share = 2", r"keyring.toml:11: .*from 0 to 1"),
        ('campaign = "c-2"', "epoch = 3", r"keyring.toml:9: .*needs campaign"),
        ("strength = 1", "strenght = 1", r"(?s)keyring.toml:12: .*did you mean 'strength'"),
        ('campaign = "c-2"', 'campaign = "c-1"', "stands twice"),
        ("root.key", "gone.key", "cannot be read"),
    ],
)
def test_a_keyring_that_makes_no_sense_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, said: str
):
    with pytest.raises(UsageError, match=said):
        read_keyring(written(tmp_path, TOML.replace(old, new)))
