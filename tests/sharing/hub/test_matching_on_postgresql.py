"""The relay of private matching in a real PostgreSQL: the same SQL, the same way of two laboratories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matchforum import NOW, Forum, identity, signer
from matchhub import serving
from spiritsafe.sharing.matching.epoch import DAY
from spiritsafe.sharing.matching.identifiers import Identifiers
from spiritsafe.sharing.matching.statements import sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_two_laboratories_match_over_postgresql(postgresql: Callable[[], str], tmp_path: Path):
    with serving(tmp_path, "abcd", "abc", url=postgresql()) as hub:
        body = Forum("abc", 3, 2).body(forum="forum.example/log", by=identity("a"))
        hub.remote("a").propose(sign("proposal", body, signer("a")))
        workers = [hub.worker(name) for name in "abc"]
        for _ in range(5):
            for one in workers:
                one.round()
        held = Identifiers()
        held.add("ipv4", "9.9.9.9", "c-1")
        sessions = {name: hub.session(name) for name in "ad"}
        with hub.holding(*workers):
            own = {name: one.own(held) for name, one in sessions.items()}
        for name, one in sessions.items():
            one.post(own[name])
        sessions["a"].collect(own["a"], {"c-1": {"exchanges": 3}})
        found = sessions["d"].collect(own["d"], {}).content
        assert found["groups"][0]["counterparts"][0]["disclosed"][0]["facts"] == {"exchanges": 3}
        assert hub.remote("d").counts(sessions["d"].epoch.id)[0]["count"] == 64
        sessions["a"].withdraw()
        assert sessions["d"].collect(own["d"], {}).content["groups"] == []
        hub.clock.now = NOW + 30 * DAY
        assert sum(one.round() for one in workers) == 3
        assert len(hub.remote("d").destructions(sessions["d"]._epoch.id if sessions["d"]._epoch else "")) == 3
