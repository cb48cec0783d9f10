"""Where a folder of this machine is needed an address is refused: it would become a folder of that name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

LOGS = Path(__file__).parents[1] / "demo" / "logs"
ADDRESS = "s3://KEY:hush@bucket/there"
PLAN = """
[[population]]
family = "chat_users"
accounts = 3
"""


@pytest.mark.parametrize(
    "words",
    [
        ("scan", LOGS, "--out", ADDRESS),
        ("scan", LOGS, "--out", "out", "--checkpoint", ADDRESS),
        ("watch", ADDRESS, "--out", "out", "--once"),
        ("watch", "segments", "--out", ADDRESS, "--once"),
        ("watch", "segments", "--out", "out", "--state", ADDRESS, "--once"),
        ("calibrate", LOGS, "--out", ADDRESS),
        ("simulate", "--plan", "plan.toml", "--out", ADDRESS),
        ("scan", LOGS, "--out", ADDRESS.replace("s3:", "gs:")),
    ],
    ids=lambda words: " ".join("LOGS" if isinstance(word, Path) else word for word in words),
)
def test_an_address_is_refused_before_anything_is_written_and_not_repeated(
    words: tuple[Any, ...], ran: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    Path("segments").mkdir()
    Path("plan.toml").write_text(PLAN, "utf-8")
    ended = ran(*words)
    assert ended.returncode == 2, ended.stderr
    assert "must be a folder of this machine" in " ".join(ended.stderr.split())
    assert "docs/object-storage.md" in ended.stderr
    assert "hush" not in ended.stdout + ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.toml", "segments"]
    assert not any(Path("segments").iterdir())
