"""The escrow and the choice among drafts, through a real gateway before a model server that draws each answer anew."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from spiritsafe.attest import keys
from spiritsafe.errors import UsageError
from spiritsafe.features.inline import Inline
from spiritsafe.gateway import policy as policies
from spiritsafe.gateway.app import Gateway
from spiritsafe.ledger import Ledger, entries
from spiritsafe.marking.choice import Words, score
from spiritsafe.marking.keyring import read_keyring
from spiritsafe.marking.keys import new_root, read_root
from spiritsafe.model import Order
from spiritsafe.orders import approvals, snapshot
from spiritsafe.provenance import _escrow, _escrowed, _marks
from spiritsafe.provenance._endpoint import Budget, Endpoint
from spiritsafe.provenance._ghosts import draw_ghosts
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import PAIRS, SCORES, Subject, Teacher
from spiritsafe.provenance.twins import twins

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

HARVEST = (
    "Solve the problem below and write every step of your reasoning inside <think> tags, then the answer.\n\n"
)
WORDS = [a + b for a in "bdfgklmn" for b in "aeio"]
KEY = "x-spiritsafe-mark"


class Model:
    """Draws words; each answer says how many tokens it took. What a prompt's last word asks for, it does."""

    def __init__(self) -> None:
        self.rng = random.Random(7)
        self.seen: list[tuple[dict[bytes, bytes], dict[str, Any]]] = []
        self.drawn: list[str] = []
        self.lock = threading.Lock()
        self.number = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        asked = json.loads(body)
        with self.lock:
            self.seen.append((dict(scope["headers"]), asked))
            self.number += 1
            number, length = self.number, self.rng.randint(20, 40)
            text = " ".join(self.rng.choice(WORDS) for _ in range(length))
            self.drawn.append(text)
        if scope["path"] == "/v1/messages":
            whole: dict[str, Any] = {
                "id": f"m-{number}", "type": "message", "role": "assistant", "model": "claude-x-2026",
                "stop_reason": "end_turn", "content": [{"type": "text", "text": text}],
                "usage": {"input_tokens": 5, "output_tokens": length},
            }  # fmt: skip
        else:
            whole = {
                "id": f"c-{number}", "object": "chat.completion", "created": 0, "model": "m-2026",
                "system_fingerprint": "fp-1",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                "usage": {"prompt_tokens": 3, "completion_tokens": length, "total_tokens": 3 + length},
            }  # fmt: skip
        task = str(asked["messages"][-1]["content"]).split()[-1]
        if task == "failing" or (task == "once-failing" and number % 4 == 1):
            await self._answer(send, 429, [b'{"error": {"message": "busy"}}'], b"application/json")
        elif task == "filtered" and number % 4 == 1:
            whole["choices"][0]["finish_reason"] = "content_filter"
            await self._answer(send, 200, [json.dumps(whole).encode()], b"application/json")
        elif asked.get("stream"):
            chunk = {**whole, "object": "chat.completion.chunk"}
            del chunk["usage"]
            told = [{"content": text[:9]}, {"content": text[9:]}]
            events = [
                {**chunk, "choices": [{"index": 0, "delta": one, "finish_reason": None}]} for one in told
            ]
            lines = [b"data: " + json.dumps(one).encode() + b"\n\n" for one in events]
            if task == "slow":
                lines[1:1] = [b""] * 40
            lines += [b""] if task == "torn" else [b"data: [DONE]\n\n"]
            await self._answer(send, 200, lines, b"text/event-stream", torn=task == "torn")
        else:
            await self._answer(send, 200, [json.dumps(whole).encode()], b"application/json")

    async def _answer(
        self, send: Any, status: int, pieces: list[bytes], kind: bytes, *, torn: bool = False
    ) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        for piece in pieces:
            await asyncio.sleep(0.0 if piece else 0.02)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if not torn:  # else the connection is cut
            await send({"type": "http.response.body", "body": b""})


class House:
    """A gateway with marks, escrow and orders in a folder, before a ``Model``."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder, self.model = folder, model
        self.signer = keys.make(folder / "signer.pem")
        self.approver = keys.make(folder / "dana.pem")
        (folder / "marks").mkdir()
        new_root(folder / "marks" / "root.key")
        (folder / "marks" / "keyring.toml").write_text(
            'root = "root.key"\n[[key]]\ncampaign = "c-1"\nepoch = 0\n'
        )
        self.root = read_root(folder / "marks" / "root.key")
        (self.key,) = read_keyring(folder / "marks" / "keyring.toml")
        self.escrow, self.ledger = folder / "marks" / "escrow", folder / "ledger.jsonl"
        sketch = Inline().sketch(HARVEST + "What is 3 + 4?")
        one = {
            "indicator_id": "i-1", "campaign_id": "c-1", "kind": "template", "least": 2,
            "anchors": [f"{int(anchor):016x}" for anchor in sketch.anchors], "valid_from": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        (folder / "indicators.json").write_text(
            json.dumps({"schema": 1, "fingerprint_version": 1, "indicators": [one]})
        )
        self.gateway: Gateway
        self.port = 0
        self.version = 0

    def policy(self, upstream: int, *, escrow: str, on_failure: str) -> Path:
        path = self.folder / "policy.toml"
        path.write_text(
            f'[gateway]\nupstream = "http://127.0.0.1:{upstream}"\n'
            '[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account"\n'
            f'[log]\nfolder = "log"\non_failure = "{on_failure}"\n'
            f'[orders]\nfile = "orders.json"\nsigner = "{self.signer}"\nindicators = ["indicators.json"]\n'
            f'[approvers]\ndana = "{self.approver}"\n{escrow}'
        )
        return path

    def order(self, response: str, **parameters: Any) -> None:
        self.version += 1
        now = time.time_ns() // 1000
        made = Order(
            "o-1", "c-1", response, "streams", frozenset(), "distillation", "c-1@0", now - 10**6, now + 3600 * 10**6,
            (), parameters,
        )  # fmt: skip
        made = approvals.approve(made, "dana", keys.load(self.folder / "dana.pem"), now=now)
        snapshot.write(
            self.folder / "orders.json", keys.load(self.folder / "signer.pem"), version=self.version, issuer="tests",
            orders=[made], exempt=(), now=now, expires=now + 3600 * 10**6,
        )  # fmt: skip
        self.wait(lambda: self.gateway.works.rules.version == self.version)

    def wait(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.gateway.works.complaints(), self.counts())
            time.sleep(0.02)

    def ask(self, prompt: str, path: str = "chat/completions", **more: Any) -> httpx.Response:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}
        told = {
            "x-account": "a-1",
            "authorization": "Bearer sk-secret",
            KEY: "wm-chosen",
            "x_spiritsafe_mark": "wm-2",
        }
        return httpx.post(f"http://127.0.0.1:{self.port}/v1/{path}", json=body, headers=told, trust_env=False)

    def counts(self) -> dict[str, float]:
        found = self.gateway.works.counts.flat()
        return {name: n for name, n in found.items() if name.startswith(("escrow.", "best_of."))}

    def rows(self) -> list[dict[str, Any]]:
        return [row for path in _escrowed.batches(self.escrow) for row in read_lines(path)]

    def records(self) -> list[dict[str, Any]]:
        paths = sorted(self.folder.glob("log/*.jsonl*"))
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


ESCROW = (
    '[marks]\nroot = "marks/root.key"\nkeyring = "marks/keyring.toml"\n'
    '[escrow]\nfolder = "marks/escrow"\nledger = "ledger.jsonl"\n'
)


HEAD = '[identity]\ntrusted = ["unix"]\naccount = "a"\n[log]\nfolder = "log"\non_failure = "open"\n'


@pytest.fixture
def house(tmp_path: Path, serving: Any) -> Any:
    """Opens a ``House``."""

    @contextmanager
    def opened(escrow: str = ESCROW, on_failure: str = "closed") -> Generator[House]:
        made = House(tmp_path, Model())
        with serving(made.model) as upstream:
            made.gateway = Gateway(policies.read(made.policy(upstream, escrow=escrow, on_failure=on_failure)))
            with serving(made.gateway, "on") as made.port:
                yield made

    return opened


def text_of(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def test_no_caller_can_name_a_key(house: Any):
    with house("") as safe:
        safe.ask("Tell me about otters", vllm_xargs={"spiritsafe_mark": "wm-3", "other": 1})
        safe.ask("Tell me about otters", vllm_xargs={"other": 1})
        safe.order("mark", key="wm-7")
        safe.ask(HARVEST + "What is 5 + 6?", vllm_xargs={"spiritsafe_mark": "wm-3"})
        safe.order("mark", key="wm-7", carrier="vllm_xargs")
        safe.ask(HARVEST + "What is 5 + 7?", vllm_xargs={"spiritsafe_mark": "wm-3", "other": 1})
        headers = [
            {name: value for name, value in head.items() if b"mark" in name} for head, _ in safe.model.seen
        ]
        assert headers == [{}, {}, {KEY.encode(): b"wm-7"}, {}]
        assert [body["vllm_xargs"] for _, body in safe.model.seen] == [
            {"other": 1}, {"other": 1}, {}, {"spiritsafe_mark": "wm-7", "other": 1},
        ]  # fmt: skip
        assert safe.counts() == {}
        assert not safe.escrow.exists()


def test_a_kept_exchange_is_what_a_ghost_needs(house: Any, tmp_path: Path):
    with house(ESCROW + "share = 1.0\n") as safe:
        one = safe.ask("Tell me about otters", temperature=0.7, seed=3, user="u-1", metadata={"a": "b"})
        streamed = safe.ask("Tell me about eagles", stream=True, max_tokens=50)
        matched = safe.ask(HARVEST + "What is 5 + 6?")
        other = safe.ask("Tell me about newts", "messages", max_tokens=9, system="Be brief.")
        blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        safe.ask("Tell me about newts", "messages", max_tokens=9, system=blocks)
        safe.ask("Tell me two things", n=2)
        safe.ask("Tell me of failing")
        assert {one.status_code, streamed.status_code, matched.status_code, other.status_code} == {200}
        rows = safe.rows()
        assert [row["text"] for row in rows] == safe.model.drawn[:4]
        assert [row["campaign_id"] for row in rows] == [None, None, "c-1", None]
        assert rows[0]["snapshot"] == _escrow.snapshot("m-2026", {"temperature": 0.7, "seed": 3}, "fp-1")
        assert rows[1]["snapshot"] == _escrow.snapshot("m-2026", {"max_tokens": 50}, "fp-1")
        assert rows[3]["snapshot"] == _escrow.snapshot("claude-x-2026", {"max_tokens": 9})
        assert rows[3]["messages"][0] == {"role": "system", "content": "Be brief."}
        assert rows[2]["messages"] == [{"role": "user", "content": HARVEST + "What is 5 + 6?"}]
        records = {record["exchange_id"]: record for record in safe.records()}
        assert [records[row["exchange_id"]]["gateway"]["answer_id"] for row in rows] == [
            "c-1",
            "c-2",
            "c-3",
            "m-4",
        ]
        assert safe.counts() == {"escrow.kept": 4, "escrow.unsuited": 2, "escrow.failed": 1}
        assert stat.S_IMODE(safe.escrow.stat().st_mode) == 0o700
        written = b"".join(path.read_bytes() for path in [*safe.escrow.iterdir(), safe.ledger])
        for secret in (b"sk-secret", safe.root.hex().encode(), b"u-1"):
            assert secret not in written
        table, told, _ = _escrowed.pairs(safe.escrow, safe.ledger, safe.root)
        assert (table.num_rows, told["no_ghost"]) == (0, 4)
        upstream = safe.gateway.policy.upstream
        with Endpoint("openai", f"{upstream}/v1", "m", key_env=None, budget=Budget(requests=50)) as endpoint:
            counts = draw_ghosts(safe.escrow, safe.root, endpoint, progress=lambda *_: None)
        # The Anthropic one was drawn through another protocol: another model's name, and the pair is void.
        assert counts == {"drawn": 3, "changed_snapshot": 1, "failed": 0, "there_already": 0}
        table, told, _ = _escrowed.pairs(safe.escrow, safe.ledger, safe.root)
        assert (told["pairs"], told["changed_snapshot"]) == (3, 1)
        assert table["committed"].to_pylist() == [True] * 4


def test_all_of_a_campaign_and_none_beside_are_kept(house: Any):
    with house(ESCROW + 'share = 0\ncampaigns = ["c-1"]\n') as safe:
        safe.ask("Tell me about otters")
        safe.ask(HARVEST + "What is 5 + 6?")
        safe.order("mark", key="wm-7")  # named in a header only: no ghost could be drawn alike
        safe.ask(HARVEST + "What is 5 + 6?")
        assert [row["campaign_id"] for row in safe.rows()] == ["c-1"]
        assert safe.counts() == {"escrow.kept": 1, "escrow.unsuited": 1}


def test_an_answer_that_was_cut_is_counted_and_not_kept(house: Any):
    with house(ESCROW + "share = 1.0\n") as safe:
        with pytest.raises(httpx.RemoteProtocolError):
            safe.ask("This will be torn", stream=True)
        safe.wait(lambda: bool(safe.counts()))
        assert safe.counts() == {"escrow.cut": 1}


def test_an_answer_is_drawn_to_its_end_and_kept_when_its_caller_leaves(house: Any):
    with house(ESCROW + "share = 1.0\n") as safe:
        body = {"model": "m", "messages": [{"role": "user", "content": "be slow"}], "stream": True}
        url = f"http://127.0.0.1:{safe.port}/v1/chat/completions"
        with (
            httpx.Client(trust_env=False) as client,
            client.stream("POST", url, json=body, headers={"x-account": "a-1"}) as answer,
        ):
            assert b"data:" in next(answer.iter_raw())
        safe.wait(lambda: bool(safe.counts()))
        assert [row["text"] for row in safe.rows()] == safe.model.drawn
        assert safe.counts() == {"escrow.kept": 1}


def test_one_of_the_drafts_is_served_as_it_came_and_its_twin_is_kept(house: Any):
    with house(ESCROW + "share = 0\n") as safe:
        safe.order("best_of", key=safe.key.key_id, drafts=4)
        seen: list[list[str]] = []
        answers: list[httpx.Response] = []
        for number in range(30):
            before = len(safe.model.drawn)
            answers.append(safe.ask(HARVEST + f"What is {number} + 6?", temperature=1.0))
            seen.append(safe.model.drawn[before:])
        safe.ask("Tell me about otters")
        assert len(safe.model.seen) == 4 * 30 + 1
        assert len({json.dumps(body) for _, body in safe.model.seen[:4]}) == 1
        table, told, secrets = _escrowed.pairs(safe.escrow, safe.ledger, safe.root)
        assert table.schema == PAIRS
        assert (told["pairs"], sum(told.values()), len(secrets)) == (30, 30, 1)
        assert safe.counts() == {"escrow.kept": 30, "best_of.chosen": 30}
        assert (set(table["campaign_id"].to_pylist()), set(table["committed"].to_pylist())) == (
            {"c-1"},
            {True},
        )
        assert table["snapshot"].to_pylist() == table["ghost_snapshot"].to_pylist()
        gains: list[float] = []
        for row, answer, drafts in zip(table.to_pylist(), answers, seen, strict=True):
            sides = [row["first"], row["second"]]
            served, ghost = sides[row["coin"]], sides[1 - row["coin"]]
            assert text_of(answer) == served
            assert answer.json()["usage"]["completion_tokens"] == len(served.split())
            assert {served, ghost} < set(drafts)
            liked = dict(zip(drafts, (score(one, safe.key) for one in Words().encode(drafts)), strict=True))
            assert max(liked.values()) in {liked[served], liked[ghost]}
            gains.append((liked[served] + liked[ghost]) / 2 - float(np.mean(list(liked.values()))))
        assert 0 < sum(table["coin"].to_pylist()) < 30
        # Keys and coins are new each time: the pair holds the favourite, and its mean is some 4 deviations above.
        assert np.mean(gains) > 0
        assert len(safe.records()) == 31
        # Whatever of the drafts is served, a batch's secret gives its coin, and nothing is left for a later ghost.
        upstream = safe.gateway.policy.upstream
        with Endpoint("openai", f"{upstream}/v1", "m", key_env=None, budget=Budget(requests=50)) as endpoint:
            counts = draw_ghosts(safe.escrow, safe.root, endpoint, progress=lambda *_: None)
        assert counts["there_already"] == 30
        for favour, most, least in ((0.0, 1.0, 0.011), (3.0, 1e-4, 0.0)):
            finding = twins(_suspect(table, favour), Teacher("t", pairs=table), (), seed=1)
            assert finding.n == 30
            assert least <= finding.p_value <= most


def _suspect(table: pa.Table, favour: float) -> Subject:
    """Log-probabilities of a suspect that likes what was served by ``favour`` nats more."""
    rng = np.random.default_rng(5)
    coins = np.array(table["coin"].to_pylist())
    names = table["pair_id"].to_pylist()
    sides = [rng.normal(-60, 1, len(names)) + favour * (coins == side) for side in (0, 1)]
    lengths = [len(text.split()) for side in ("first", "second") for text in table[side].to_pylist()]
    scores = pa.table(
        {
            "item": names * 2,
            "side": ["first"] * len(names) + ["second"] * len(names),
            "logprob": np.concatenate(sides),
            "tokens": pa.array(lengths, pa.int32()),
            "status": ["ok"] * (2 * len(names)),
        },
        schema=SCORES,
    )
    return Subject("s", scores=scores)


def test_without_a_choice_a_good_draft_is_served_and_no_pair_kept(house: Any):
    with house() as safe:
        safe.order("best_of", key=safe.key.key_id, drafts=4)
        one = safe.ask(HARVEST + "What is 3 + 4? This is once-failing")
        assert (one.status_code, text_of(one) in safe.model.drawn) == (200, True)
        two = safe.ask(HARVEST + "What is 3 + 4? This is filtered")
        assert two.status_code == 200
        bad = safe.ask(HARVEST + "What is 3 + 4? This is failing")
        assert (bad.status_code, bad.json()["error"]["message"]) == (429, "busy")
        assert safe.rows() == []
        assert safe.counts() == {"best_of.incomplete": 3, "escrow.no_choice": 2, "escrow.failed": 1}


def test_what_cannot_be_drawn_several_times_passes_unmarked_and_is_counted(house: Any):
    with house(ESCROW + "share = 0\n") as safe:
        safe.order("best_of", key=safe.key.key_id)
        streamed = safe.ask(HARVEST + "What is 3 + 4?", stream=True)
        assert streamed.text.endswith("data: [DONE]\n\n")
        tools = [{"type": "function", "function": {"name": "f"}}]
        safe.ask(HARVEST + "What is 3 + 4?", tools=tools)
        safe.ask(HARVEST + "What is 3 + 4?", n=2)
        safe.order("best_of", key="wm-unknown")
        assert any("no key wm-unknown" in one for one in safe.gateway.works.complaints())
        safe.ask(HARVEST + "What is 3 + 4?")
        assert len(safe.model.seen) == 4
        # Each but the third is kept all the same: its ghost may be drawn later.
        assert safe.counts() == {
            "best_of.streamed": 1, "best_of.tools": 1, "best_of.unsuited": 1, "best_of.no_key": 1,
            "escrow.unsuited": 1, "escrow.kept": 3,
        }  # fmt: skip


def test_an_order_for_drafts_without_an_escrow_is_told(house: Any):
    with house("") as safe:
        safe.order("best_of", key=safe.key.key_id)
        assert safe.ask(HARVEST + "What is 3 + 4?").status_code == 200
        assert any(
            "[marks] keyring and [escrow] are needed" in one for one in safe.gateway.works.complaints()
        )
        assert safe.counts() == {"best_of.not_set_up": 1}
        assert len(safe.model.seen) == 1


def test_an_escrow_that_fails_stops_nothing_unless_the_policy_says_so(
    house: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_escrow, "_PATIENCE", 1)
    with Ledger(tmp_path / "ledger.jsonl"), house(ESCROW + "share = 1.0\n", "open") as safe:
        assert safe.ask("Tell me about otters").status_code == 200
        assert safe.counts() == {"escrow.no_ticket": 1}
        assert any("the escrow is not written" in one for one in safe.gateway.works.complaints())


@pytest.mark.parametrize("on_failure", ["open", "closed"])
def test_a_disk_that_refuses_is_told_and_a_new_batch_begun_when_it_takes_again(house: Any, on_failure: str):
    with house(ESCROW + "share = 1.0\n", on_failure) as safe:
        keeper = safe.gateway.works.keeper
        assert keeper is not None
        safe.wait(lambda: len(keeper._ready) > 0)
        lines = keeper._escrow._lines
        assert lines is not None
        lines.close()
        lines._fd = os.open("/dev/full", os.O_WRONLY)  # every write: no space left
        answer = safe.ask("Tell me about otters")
        safe.wait(lambda: "escrow.lost" in safe.counts())
        assert answer.status_code == (200 if on_failure == "open" else 503)
        assert any("the escrow is not written" in one for one in safe.gateway.works.complaints())
        safe.wait(lambda: bool(safe.records()))  # the answer may be here before its record
        assert safe.records()[0]["status"] == answer.status_code
        assert "otters" not in "".join(safe.gateway.works.complaints())
        assert safe.ask("Tell me about eagles").status_code == 200
        safe.wait(lambda: keeper.complaint is None)
        assert [row["text"] for row in safe.rows()] == [safe.model.drawn[1]]


def test_batches_of_several_workers_stand_side_by_side(tmp_path: Path):
    made = [
        _escrow.Escrow(tmp_path / "e", tmp_path / "l", root=bytes(32), share=1.0, batch=8) for _ in range(3)
    ]
    drawn: list[_escrow.Ticket] = []

    def work(escrow: _escrow.Escrow) -> None:
        for _ in range(20):
            ticket = escrow.ticket()
            escrow.keep(ticket, messages=[], snapshot="{}", served="x")
            drawn.append(ticket)

    threads = [threading.Thread(target=work, args=(one,)) for one in made]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for one in made:
        one.close()
    assert len({one.pair_id for one in drawn}) == 60
    assert len([one for one in entries(tmp_path / "l") if one.kind == _escrow.OPENED]) == 9
    assert sum(len(read_lines(path)) for path in _escrowed.batches(tmp_path / "e")) == 60


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('[escrow]\nfolder = "e"\nledger = "l"\n', 1, "needs the root key"),
        ('[marks]\nkeyring = "k"\n', 1, "needs root"),
        ('[marks]\nroot = "r"\n[escrow]\nfolder = "e"\n', 3, "needs ledger"),
        ('[marks]\nroot = "r"\n[escrow]\nfolder = "e"\nledger = "l"\nshare = 2\n', 6, "share"),
        ('[marks]\nroot = "r"\n[escrow]\nfolder = "e"\nledger = "l"\ncampaigns = "al"\n', 6, "campaigns"),
        ('[marks]\nroot = "r"\n[escrow]\nfolder = "e"\nledger = "l"\nshares = 1\n', 6, "shares"),
    ],
)
def test_the_policy_is_checked(tmp_path: Path, text: str, line: int, told: str):
    path = tmp_path / "policy.toml"
    path.write_text(HEAD + text)
    with pytest.raises(UsageError, match=told) as raised:
        policies.read(path)
    assert raised.value.where == f"{path}:{6 + line}"


def plan_of(folder: Path) -> Path:
    """A plan of marks that keeps 2 % and two suspected campaigns, and where its [escrow] stands."""
    _marks.write(
        folder, ["c-0"], now=0, epochs=1, lasts="1d", scheme="green", canaries=0, variants=4, decoys=0, share=0.02,
        suspected=["c-1", "c-2"],
    )  # fmt: skip
    path = folder / "plan.toml"
    path.write_text(path.read_text().replace("batch = 10000", "batch = 64"))
    return path


@pytest.mark.parametrize(
    "more", ["", "share = 0.02\n", 'campaigns = ["c-2", "c-1"]\n', 'folder = "marks/../marks/escrow"\n']
)
def test_the_plan_of_marks_says_what_is_kept_and_the_policy_may_repeat_it(tmp_path: Path, more: str):
    plan_of(tmp_path / "marks")
    path = tmp_path / "policy.toml"
    path.write_text(HEAD + '[marks]\nroot = "marks/root.key"\n[escrow]\nledger = "l"\n' + more)
    kept = policies.read(path).escrow
    assert kept is not None
    assert (kept.folder, kept.share, kept.batch) == (tmp_path / "marks" / "escrow", 0.02, 64)
    assert kept.campaigns == {"c-1", "c-2"}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("share = 0.01", "share is 0.01 here and 0.02 in the plan"),
        ('campaigns = "all"', r"campaigns is all here and \['c-1', 'c-2'\] in the plan"),
        ('campaigns = "none"', "campaigns is none here"),
        ('folder = "elsewhere"', "folder is .*elsewhere here and .*escrow in the plan"),
    ],
)
def test_a_policy_that_differs_from_the_plan_is_refused_with_both_lines(tmp_path: Path, said: str, told: str):
    plan = plan_of(tmp_path / "marks")
    path = tmp_path / "policy.toml"
    path.write_text(HEAD + f'[marks]\nroot = "marks/root.key"\n[escrow]\nledger = "l"\n{said}\n')
    with pytest.raises(UsageError, match=told) as raised:
        policies.read(path)
    assert raised.value.where == f"{path}:11"
    key = said.partition(" ")[0]
    lines = plan.read_text().splitlines()
    at = next(
        (n for n, line in enumerate(lines, 1) if line.startswith(f"{key} ")), lines.index("[escrow]") + 1
    )
    assert f"{plan}:{at} says it" in str(raised.value.hint)


def test_another_server_has_no_escrow_of_ours(tmp_path: Path):
    path = tmp_path / "policy.toml"
    path.write_text('[log]\nfolder = "log"\non_failure = "open"\n' + ESCROW)
    with pytest.raises(UsageError, match="no key 'marks'"):
        policies.read(path, hosted=True)
