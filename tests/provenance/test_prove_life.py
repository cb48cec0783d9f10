"""A case from plan to page on real servers: what is found, what is refused, what survives being killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from spiritsafe.errors import InputError, LedgerError, StorageError, UsageError
from spiritsafe.ledger import Ledger, entries
from spiritsafe.provenance import _casefile, _escrow, _gather, _marks, _prereg, _run, _seal, _tables
from spiritsafe.provenance._endpoint import Budget, Endpoint, Spent, Unreachable
from spiritsafe.provenance._holm import holm
from spiritsafe.provenance._lines import Lines
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._reruns import false_labels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000_000_000
SNAPSHOT = _escrow.snapshot("m", {"temperature": 1.0}, None)
PAIRS = 24
ASKED = 2 + PAIRS + 2 * PAIRS
"""Of the suspect: two prompts and those of the pairs to answer, both sides of each pair to score; no canary is looked for."""
CASE = """
[case]
name = "a test"
claim = "the suspect was trained on our answers"
tests = ["tiny_signs"]
seed = 7
reruns = 8

[teacher]
name = "our model"
marks = "marks"
campaigns = ["c-1"]

[prompts]
file = "prompts.jsonl"
max_tokens = 16

[budget]
per_minute = 1000000
retries = 1

[suspect]
name = "suspect"
kind = "openai"
url = "{suspect}"
model = "m"
key_env = "SUSPECT_KEY"
score = true
before = "Q: {{prompt}} A: "
"""
CONTROL = """
[[control]]
name = "{name}"
kind = "openai"
url = "{url}"
model = "m"
score = true
before = "Q: {{prompt}} A: "
"""


@dataclass
class Bench:
    """A folder with marks, an escrow with ghosts, and a ledger that has it all."""

    folder: Path
    served: set[str]
    ghosts: set[str]

    @property
    def book(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def case(self) -> Path:
        return self.folder / "case"

    def write(self, suspect: str, controls: tuple[str, ...] = (), more: str = "", **change: str) -> Path:
        text = CASE.format(suspect=suspect)
        for old, new in change.items():
            text = text.replace(OLD[old], new)
        text += "".join(CONTROL.format(name=f"control-{at}", url=url) for at, url in enumerate(controls))
        (self.folder / "case.toml").write_text(text + more)
        return self.folder / "case.toml"

    def plan(self, *words: Any, **change: Any) -> dict[str, Any]:
        case = _casefile.read(self.write(*words, **change))
        with Ledger(self.book) as ledger:
            return _prereg.register(case, self.case, ledger, now=NOW + 10)

    def query(self, **settings: Any) -> dict[str, dict[str, int]]:
        plan, _ = _prereg.open_plan(self.case, self.book)
        told = {**json.loads((self.case / _prereg.SETTINGS).read_bytes()), "first_pause": 0.01, **settings}
        counts = {
            one["name"]: _gather.gather(self.case, plan, one, told, progress=quiet)
            for one in _gather.models(plan)
        }
        with Ledger(self.book) as ledger:
            _gather.close(self.case, plan, ledger, now=NOW + 20)
        return counts

    def run(self) -> dict[str, Any]:
        plan, found = _prereg.open_plan(self.case, self.book)
        result = _run.compute(self.case, plan, found, progress=quiet)
        with Ledger(self.book) as ledger:
            _run.keep(self.case, result, ledger, now=NOW + 30)
        return result


OLD = {
    "tests": 'tests = ["tiny_signs"]', "stopping": "seed = 7", "budget": "per_minute = 1000000",
    "prompts": 'file = "prompts.jsonl"', "score": "score = true", "kind": 'kind = "openai"',
}  # fmt: skip


@pytest.fixture
def bench(tmp_path: Path, extension: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("SUSPECT_KEY", "sk-very-secret")
    marks, book = tmp_path / "marks", tmp_path / "ledger.jsonl"
    plan = _marks.write(
        marks, ["c-1"], now=NOW, epochs=1, lasts="30d", scheme="green", canaries=1, variants=4, decoys=3,
        share=0.01,
    )  # fmt: skip
    root = _marks.root_key(marks)
    with Ledger(book) as ledger:
        _marks.commit(plan, ledger, now=NOW)
    served, ghosts = (
        {f"{word} answer number {at} of some length" for at in range(PAIRS)} for word in ("one", "two")
    )
    with _escrow.Escrow(marks / "escrow", book, root=root, share=1.0, clock=lambda: NOW + 1) as escrow:
        rows: list[dict[str, Any]] = []
        for at, (text, ghost) in enumerate(zip(sorted(served), sorted(ghosts), strict=True)):
            ticket = escrow.ticket()
            said = [{"role": "user", "content": f"question {at}"}]
            escrow.keep(ticket, messages=said, snapshot=SNAPSHOT, served=text, campaign_id="c-1")
            rows.append({"pair_id": ticket.pair_id, "status": "ok", "text": ghost, "snapshot": SNAPSHOT})
    (batch,) = (marks / "escrow").glob("*.jsonl")
    with Lines(batch.with_name(f"{batch.stem}.ghosts.jsonl")) as out:
        out.append(rows)
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": text}) + "\n" for text in ("hello", "hello ", "and you?"))
    )
    return Bench(tmp_path, served, ghosts)


def quiet(_stage: str, _done: int, _total: int) -> None:
    return


def test_a_copy_is_found_reported_and_computed_again_by_a_stranger(
    bench: Bench,
    model_server: Callable[..., Any],
    command: Callable[..., Any],
    stranger: Callable[..., subprocess.CompletedProcess[str]],
):
    # A tokenizer of single letters and one of words: each scorer counts its own tokens, pairs are compared within one.
    copy, control = model_server(known=bench.served, letters=True, echo_key=True), model_server()
    case = bench.write(copy.url, (control.url,))
    folder, book = bench.case, bench.book
    planned = command("prove", "plan", case, "--ledger", book, "--out", folder)
    assert planned.returncode == 0, planned.stderr
    assert "no curve measured" in planned.stdout
    assert "1 prompts were there twice" in planned.stdout
    assert not copy.seen
    asked = command("prove", "query", folder, "--ledger", book, "--json")
    assert asked.returncode == 0, asked.stderr
    counts = json.loads(asked.stdout)["counts"]
    assert (
        counts["suspect"]
        == counts["control-0"]
        == {"ok": ASKED, "truncated": 0, "refused": 0, "empty": 0, "failed": 0}
    )
    assert {one["authorization"] for one in copy.headers} == {"Bearer sk-very-secret"}
    assert command("prove", "query", folder, "--ledger", book).returncode == 2
    ran = command("prove", "run", folder, "--ledger", book, "--json", "--exit-code")
    assert ran.returncode == 3, ran.stderr
    result = json.loads(ran.stdout)
    (finding,) = result["findings"]
    assert result["verdict"] == finding["verdict"] == "supports derivation"
    assert finding["p_value"] == pytest.approx(0.5**PAIRS)
    assert sum(finding["counts"].values()) == PAIRS
    assert [one["p_value"] for one in result["controls"]] == [1.0]
    assert len(result["false_labels"]) == 8
    assert result["sound"]["quiet"]
    assert command("prove", "report", folder).returncode == 0
    # Elsewhere, without ledger, marks and key.
    away = bench.folder / "away"
    folder.rename(away)
    again = stranger("prove", "check", away, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["verdict"] == "supports derivation"
    for path in away.rglob("*"):
        assert path.is_dir() or b"sk-very-secret" not in path.read_bytes(), path
    assert _marks.root_key(bench.folder / "marks").hex() not in (away / "teacher" / "reveal.json").read_text()
    page = (away / "report.html").read_text()
    for said in (
        "supports that suspect",
        "coins are independent",
        "No curve measured",
        "rewording of the",
        "prove check",
    ):
        assert said in page, said
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_a_suspect_that_answers_at_random_is_inconclusive_without_power(
    bench: Bench, model_server: Callable[..., Any]
):
    rng = np.random.default_rng(1)
    liked = {one for one in sorted(bench.served | bench.ghosts) if rng.random() < 0.5}
    bench.plan(model_server(known=liked).url)
    bench.query()
    result = bench.run()
    (finding,) = result["findings"]
    assert finding["p_value"] > 0.01
    assert finding["said_by_test"] == "does not support derivation"
    assert result["verdict"] == finding["verdict"] == "inconclusive"
    assert finding["reasons"] == ["the power of this run is not known"]


def test_with_known_power_silence_says_something(
    bench: Bench, model_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    from spiritsafe.provenance import _power  # noqa: PLC0415

    points = [
        {"test": "tiny_signs", "access": "logprobs", "unit": "pairs", "alpha": 0.01, "exposure": 0.25, "n": n,
         "hits": hits, "runs": 100, "source": "made for this test"}
        for n, hits in ((5, 40), (10, 90), (40, 100))
    ]  # fmt: skip
    data = json.dumps({"schema": 1, "points": points}).encode()
    monkeypatch.setattr(_power, "committed", lambda: data)
    liked = {one for at, one in enumerate(sorted(bench.served)) if at % 2} | {
        one for at, one in enumerate(sorted(bench.ghosts)) if not at % 2
    }
    plan = bench.plan(model_server(known=liked).url)
    assert plan["power"]["tests"]["tiny_signs"]["needed"] <= 40
    bench.query()
    result = bench.run()
    assert result["verdict"] == "does not support derivation"
    assert 0.9 < result["findings"][0]["power"] <= 1.0


def test_a_plan_or_file_changed_after_the_query_is_refused(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url)
    path = bench.case / "plan.json"
    was = path.read_bytes()
    path.write_bytes(was.replace(b'"alpha":0.01', b'"alpha":0.05'))
    with pytest.raises(LedgerError, match="not in the ledger"):
        bench.query()
    path.write_bytes(was)
    bench.query()
    path.write_bytes(was.replace(b'"alpha":0.01', b'"alpha":0.05'))
    with pytest.raises(LedgerError, match="a plan changed after the query"):
        bench.run()
    path.write_bytes(was)
    (bench.case / "teacher" / "pairs.parquet").write_bytes(b"other")
    with pytest.raises(LedgerError, match=r"pairs\.parquet.* not the one that was registered"):
        bench.run()


def test_answers_changed_after_they_were_gathered_are_refused(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url)
    bench.query()
    path = _gather.file_of(bench.case, "suspect")
    path.write_bytes(path.read_bytes().replace(b"I say", b"I lie"))
    with pytest.raises(LedgerError, match="not those that were gathered"):
        bench.run()


@pytest.mark.parametrize("name", ["result.json", "gathered", "entries.jsonl", "teacher/reveal.json"])
def test_a_stranger_sees_what_was_altered(bench: Bench, model_server: Callable[..., Any], name: str):
    bench.plan(model_server(known=bench.served).url)
    bench.query()
    bench.run()
    path = _gather.file_of(bench.case, "suspect") if name == "gathered" else bench.case / name
    data = path.read_bytes()
    at = data.index(b'"') + 2
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])
    with pytest.raises((LedgerError, InputError)):
        _run.check(bench.case, None, progress=quiet)
    _run.manifest(
        bench.case
    )  # whoever alters a file can make the manifest anew; the ledger's hashes he cannot
    with pytest.raises((LedgerError, InputError, UsageError)):
        _run.check(bench.case, None, progress=quiet)


def test_a_coin_that_is_not_the_committed_one_is_refused(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url)
    plan, found = _prereg.open_plan(bench.case, bench.book)
    from spiritsafe.provenance import _reveal  # noqa: PLC0415

    reveal = _reveal.load(bench.case / "teacher" / "reveal.json")
    teacher = _tables.teacher(bench.case, plan, reveal)
    assert _reveal.check(reveal, found, teacher.pairs, teacher.canaries) == 1 + 3 + 1 + PAIRS
    false = false_labels(teacher, ["pairs", "canaries"], seed=1)
    assert false is not None
    for pairs, canaries in ((false.pairs, teacher.canaries),):
        with pytest.raises(LedgerError, match="coin of pair"):
            _reveal.check(reveal, found, pairs, canaries)
    key = {**reveal["keys"][0], "secret": "00" * 16}
    with pytest.raises(LedgerError, match="the key c-1#0 is not"):
        _reveal.check({**reveal, "keys": [key]}, found, teacher.pairs, teacher.canaries)


def test_canaries_that_no_test_looks_for_are_neither_asked_nor_given_away(
    bench: Bench, model_server: Callable[..., Any]
):
    root = _marks.root_key(bench.folder / "marks")
    (canary,) = _marks.read(bench.folder / "marks").canaries(root)
    model = model_server(known=bench.served)
    plan = bench.plan(model.url)
    bench.query()
    assert plan["asked"]["texts"] == 2 * PAIRS
    told = json.dumps([body for _, body in model.seen])
    kept = b"".join(path.read_bytes() for path in bench.case.rglob("*") if path.is_file()).decode(
        "utf-8", "replace"
    )
    assert canary.prompt not in told + kept
    assert canary.answers[canary.served] not in told + kept
    assert json.loads((bench.case / "teacher" / "reveal.json").read_bytes())["canaries"] == []
    assert bench.run()["commitments_checked"] == 1 + 3 + 1 + PAIRS


def test_a_query_killed_at_any_moment_goes_on_and_asks_nothing_twice(
    bench: Bench, model_server: Callable[..., Any]
):
    model = model_server(known=bench.served, pause=0.05)
    bench.plan(model.url)
    code = "from spiritsafe.cli import main; main()"
    words = [
        sys.executable,
        "-c",
        code,
        "prove",
        "query",
        str(bench.case),
        "--ledger",
        str(bench.book),
        "--json",
    ]
    path = _gather.file_of(bench.case, "suspect")
    acknowledged = 0
    for least in (5, 20):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while len(read_lines(path)) < least and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert len(read_lines(path)) >= max(least, acknowledged)
        acknowledged = len(read_lines(path))
    with path.open("ab") as file:
        file.write(b'{"kind":"answer","prom')
    model.pause = 0.0
    bench.query()
    rows = read_lines(path)
    keys = [_gather.key_of(row) for row in rows]
    assert len(keys) == len(set(keys)) == ASKED
    # What was on its way when the process was killed is asked again; nothing that was put down is.
    assert len(model.seen) <= len(keys) + 2
    assert bench.run()["verdict"] == "supports derivation"


def test_an_endpoint_that_fails_half_way_ends_the_run_and_gives_up_only_with_a_reason(
    bench: Bench, model_server: Callable[..., Any]
):
    model = model_server(known=bench.served, fail_after=10)
    bench.plan(model.url)
    with pytest.raises(Unreachable, match=r"status 503, 2 times in a row"):
        bench.query(at_once=2)
    kept = len(read_lines(_gather.file_of(bench.case, "suspect")))
    assert kept == 10
    with pytest.raises(UsageError, match="not everything was asked"):
        bench.run()
    plan, _ = _prereg.open_plan(bench.case, bench.book)
    with Ledger(bench.book) as ledger:
        assert _gather.close(bench.case, plan, ledger, now=NOW) is None
        body = _gather.close(bench.case, plan, ledger, now=NOW, gave_up="it blocked us")
    assert body is not None
    assert body["missing"] == {"suspect": ASKED - 10}
    result = bench.run()
    assert result["gave_up"] == "it blocked us"
    assert not result["complete"]
    assert result["answers"]["suspect"]["scores"]["failed"] == 2 * PAIRS
    assert (result["verdict"], result["findings"][0]["p_value"]) == ("inconclusive", 1.0)


def test_with_e_values_one_may_look_before_the_end_and_only_they_count(
    bench: Bench, model_server: Callable[..., Any]
):
    model = model_server(known=bench.served, fail_after=2 + PAIRS + PAIRS + 10)
    bench.plan(model.url, stopping='seed = 7\nstopping = "e-process"')
    with pytest.raises(Unreachable):
        bench.query()
    result = bench.run()
    (finding,) = result["findings"]
    assert not result["complete"]
    assert finding["n"] == 10
    assert finding["e_value"] == pytest.approx(1.8**10)
    assert finding["p_value"] < finding["holm_p"] == pytest.approx(1.8**-10)
    assert result["verdict"] == "supports derivation"
    model.fail_after = None
    bench.query()
    assert bench.run()["findings"][0]["holm_p"] == pytest.approx(0.5**PAIRS)


def test_the_teachers_endpoint_is_asked_for_scores_of_the_pairs_and_for_nothing_else(
    bench: Bench, model_server: Callable[..., Any]
):
    ours = model_server(known=bench.ghosts, fail_after=5)
    scorer = f"""
[teacher.scorer]
kind = "openai"
url = "{ours.url}"
model = "m"
before = "Q: {{prompt}} A: "
"""
    bench.plan(model_server(known=bench.served).url, more=scorer)
    with pytest.raises(Unreachable):
        bench.query()
    with pytest.raises(UsageError, match="not everything was asked"):
        bench.run()
    ours.fail_after = None
    assert bench.query()["our model"]["ok"] == 2 * PAIRS
    assert {path for path, _ in ours.seen} == {"/v1/completions"}
    plan, _ = _prereg.open_plan(bench.case, bench.book)
    teacher = _tables.teacher(bench.case, plan, {"keys": [], "decoys": []})
    each = {(one["item"], one["side"]): one for one in teacher.scores.to_pylist()}
    for pair in teacher.pairs.to_pylist():
        for side in ("first", "second"):
            one = each[pair["pair_id"], side]
            assert one["logprob"] / one["tokens"] == (-0.5 if pair[side] in bench.ghosts else -1.0)
    result = bench.run()
    assert result["answers"]["our model"]["scores"]["ok"] == 2 * PAIRS
    assert sum(result["answers"]["our model"]["answers"].values()) == 0
    assert result["verdict"] == "supports derivation"


def test_a_case_shows_nothing_of_another(bench: Bench, model_server: Callable[..., Any]):
    other = _casefile.read(bench.write("http://x"))
    with Ledger(bench.book) as ledger:
        _prereg.register(other, bench.folder / "other", ledger, now=NOW)
        ledger.append("evidence", {"account": "somebody"}, time=NOW)
    bench.plan(model_server(known=bench.served).url)
    kinds = [one.kind for one in _prereg.kept_entries(bench.case)]
    assert kinds == [_marks.KIND, _escrow.OPENED, _prereg.PLAN]


def test_missing_log_probabilities_are_counted_and_inconclusive(
    bench: Bench, model_server: Callable[..., Any]
):
    bench.plan(model_server(known=bench.served, logprobs=False).url)
    assert bench.query()["suspect"]["failed"] == 2 * PAIRS
    result = bench.run()
    (finding,) = result["findings"]
    assert (finding["verdict"], finding["p_value"], finding["n"]) == ("inconclusive", 1.0, 0)
    assert finding["details"] == {"why": "no pair was scored"}


def test_trouble_that_passes_is_tried_again_and_what_the_endpoint_rejects_is_recorded(
    bench: Bench, model_server: Callable[..., Any]
):
    model = model_server(known=bench.served, trouble=[429, 200, 500, 200, 400])
    bench.plan(model.url)
    counts = bench.query()["suspect"]
    assert counts["failed"] == 1
    assert sum(counts.values()) == ASKED
    failed = [row for row in read_lines(_gather.file_of(bench.case, "suspect")) if row["status"] == "failed"]
    assert failed[0]["detail"].startswith("status 400")


def test_an_endpoint_that_rejects_everything_is_told_at_once_and_nothing_recorded(
    bench: Bench, model_server: Callable[..., Any]
):
    bench.plan(model_server(trouble=[400] * 100, echo_key=True).url)
    with pytest.raises(InputError, match=r"each of the first 10 requests was refused: status 400") as told:
        bench.query()
    assert "sk-very-secret" not in str(told.value)
    assert read_lines(_gather.file_of(bench.case, "suspect")) == []


@pytest.mark.parametrize("status", [401, 404])
def test_an_endpoint_that_knows_us_not_is_told_without_the_key(
    bench: Bench, model_server: Callable[..., Any], status: int
):
    bench.plan(model_server(trouble=[status], echo_key=True).url)
    with pytest.raises(InputError, match=f"status {status}") as told:
        bench.query()
    assert "sk-very-secret" not in str(told.value)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("text", "finish", "status"),
    [
        ("fine", None, "ok"),
        ("cut", {"openai": "length", "anthropic": "max_tokens"}, "truncated"),
        ("no", {"openai": "content_filter", "anthropic": "refusal"}, "refused"),
        ("  ", None, "empty"),
        (None, {"openai": "length", "anthropic": "max_tokens"}, "empty"),
    ],
)
def test_each_answer_has_its_status(
    model_server: Callable[..., Any], kind: Any, text: str | None, finish: dict[str, str] | None, status: str
):
    model = model_server(answer=lambda _: text, finish=finish and finish[kind])
    with Endpoint(kind, model.url, "m", key_env=None, budget=Budget()) as endpoint:
        said = endpoint.ask(
            [{"role": "system", "content": "be brief"}, {"role": "user", "content": "q"}],
            {"max_tokens": 5, "seed": 1},
        )
    assert said.status == status
    assert (said.tokens_in, said.tokens_out) == (5, 7)
    path, body = model.seen[0]
    if kind == "anthropic":
        assert path == "/v1/messages"
        assert body["system"] == "be brief"
        assert "seed" not in body
        assert model.headers[0]["anthropic-version"]
    else:
        assert path == "/v1/chat/completions"
        assert body["seed"] == 1


def test_a_budget_ends_asking_and_what_was_answered_stays(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url)
    with pytest.raises(Spent, match="requests"):
        bench.query(requests=7)
    assert len(read_lines(_gather.file_of(bench.case, "suspect"))) == 7
    with pytest.raises(Spent, match="tokens"):
        bench.query(tokens=200)
    case = _casefile.read(bench.write("http://x", budget="requests = 3"))
    with Ledger(bench.book) as ledger, pytest.raises(UsageError, match=r"would be asked .* times"):
        _prereg.register(case, bench.folder / "other", ledger, now=NOW)


def test_a_file_of_answers_is_a_suspect_too_and_what_is_not_in_it_failed(bench: Bench):
    rows: list[dict[str, Any]] = [
        {"prompt": "hello", "text": "hi"}, {"prompt": "and you?", "text": ""},
        {"prompt": "never asked", "text": "x"}, {"prompt": "question 1", "text": "cut", "status": "truncated"},
        {"prompt": "question 2", "status": "refused", "text": None},
    ]  # fmt: skip
    (bench.folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (
        CASE[: CASE.index("[suspect]")]
        + '[suspect]\nname = "suspect"\nkind = "answers"\nfile = "answers.jsonl"\n'
    )
    (bench.folder / "case.toml").write_text(text)
    with Ledger(bench.book) as ledger:
        _prereg.register(_casefile.read(bench.folder / "case.toml"), bench.case, ledger, now=NOW)
    assert bench.query()["suspect"] == {
        "ok": 1, "truncated": 1, "refused": 1, "empty": 1, "failed": ASKED - 4,
    }  # fmt: skip
    plan, _ = _prereg.open_plan(bench.case, bench.book)
    subject = _tables.subject(bench.case, plan["suspect"])
    assert subject.answers.num_rows == 2 + PAIRS
    assert subject.answers.filter(subject.answers["text"].is_valid())["text"].to_pylist() == ["hi", "cut"]
    assert bench.run()["verdict"] == "inconclusive"


def test_two_prompts_of_one_name_are_refused_and_a_prompt_asked_twice_is_asked_once(
    bench: Bench, model_server: Callable[..., Any]
):
    path = bench.folder / "prompts.jsonl"
    path.write_text('{"prompt_id":"a","prompt":"x"}\n{"prompt_id":"a","prompt":"y"}\n')
    with pytest.raises(UsageError, match="two prompts are called 'a'"):
        bench.plan("http://x")
    path.write_text('{"prompt_id":"a","prompt":"x"}\n{"prompt":""}\n')
    with pytest.raises(InputError, match=r"prompts\.jsonl:2"):
        bench.plan("http://x")


def test_the_teachers_answers_have_the_names_of_the_prompts_that_are_asked(bench: Bench):
    (bench.folder / "ours.jsonl").write_text(
        '{"prompt":"and you?","text":"fine"}\n{"prompt":"and you?","text":"well"}\n{"prompt_id":"x","text":"?"}\n'
    )
    case = bench.write("http://x")
    case.write_text(case.read_text().replace('marks = "marks"', 'marks = "marks"\nanswers = "ours.jsonl"'))
    with Ledger(bench.book) as ledger:
        _prereg.register(_casefile.read(case), bench.folder / "other", ledger, now=NOW)
    plan, _ = _prereg.open_plan(bench.folder / "other", bench.book)
    teacher = _tables.teacher(bench.folder / "other", plan, {"keys": [], "decoys": []})
    asked = _tables.subject(bench.folder / "other", plan["suspect"]).answers
    names = dict(zip(asked["prompt"].to_pylist(), asked["prompt_id"].to_pylist(), strict=True))
    assert teacher.answers["prompt_id"].to_pylist() == [names["and you?"]] * 2 + ["x"]
    assert teacher.answers["sample"].to_pylist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('tests = ["tiny_signs"]', 'tests = ["tiny_sings"]', "did you mean 'tiny_signs'"),
        ("max_tokens = 16", "max_token = 16", "no key 'max_token'"),
        ('before = "Q: {prompt} A: "', "", "needs the model's template"),
        ('kind = "openai"', 'kind = "antropic"', "did you mean 'anthropic'"),
        ('campaigns = ["c-1"]', 'campaigns = ["c-9"]', "no campaign 'c-9'"),
        ('marks = "marks"', 'marks = "nowhere"', "is not there"),
    ],
)
def test_a_case_that_makes_no_sense_is_refused(bench: Bench, old: str, new: str, said: str):
    path = bench.write("http://x")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=said), Ledger(bench.book) as ledger:
        _prereg.register(_casefile.read(path), bench.case, ledger, now=NOW)


def test_a_test_that_breaks_counts_and_takes_no_other_along(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url, tests='tests = ["tiny_broken", "tiny_signs"]')
    bench.query()
    result = bench.run()
    broken, good = result["findings"]
    assert broken["details"]["why"] == "the test broke: RuntimeError: out of luck"
    assert (broken["p_value"], broken["verdict"]) == (1.0, "inconclusive")
    assert good["holm_p"] == pytest.approx(2 * good["p_value"])
    assert result["verdict"] == "supports derivation"


def test_a_control_that_is_found_too_makes_the_run_unsound(bench: Bench, model_server: Callable[..., Any]):
    copy = model_server(known=bench.served)
    bench.plan(copy.url, (copy.url,))
    bench.query()
    result = bench.run()
    assert result["sound"]["controls_found"] == ["control-0"]
    assert result["verdict"] == "inconclusive"
    assert "control-0 is found too" in result["findings"][0]["reasons"][0]


def test_a_folder_in_use_is_not_planned_into_and_two_writers_never_share_a_file(
    bench: Bench, model_server: Callable[..., Any]
):
    model = model_server()
    bench.plan(model.url)
    with pytest.raises(UsageError, match="not empty"):
        bench.plan(model.url)
    with Lines(_gather.file_of(bench.case, "suspect")), pytest.raises(StorageError, match="another process"):
        bench.query()


def test_the_same_folder_gives_the_same_result_and_each_look_is_in_the_ledger(
    bench: Bench, model_server: Callable[..., Any]
):
    bench.plan(model_server(known=bench.served).url)
    bench.query()
    bench.run()
    first = (bench.case / "result.json").read_bytes()
    bench.run()
    assert (bench.case / "result.json").read_bytes() == first
    looks = [one.body["result"] for one in entries(bench.book) if one.kind == _prereg.RESULT]
    assert looks == [_seal.digest(first)] * 2


def test_under_false_labels_p_is_uniform_even_for_a_copy(bench: Bench, model_server: Callable[..., Any]):
    bench.plan(model_server(known=bench.served).url, stopping="seed = 3\nstopping = 'fixed'")
    bench.query()
    plan, _ = _prereg.open_plan(bench.case, bench.book)
    from spiritsafe.provenance import _reveal  # noqa: PLC0415

    teacher = _tables.teacher(bench.case, plan, _reveal.load(bench.case / "teacher" / "reveal.json"))
    suspect = _tables.subject(bench.case, plan["suspect"])
    test = _run._extension("tiny_signs")
    wins: list[float] = []
    for seed in range(400):
        false = false_labels(teacher, ["pairs"], seed=seed)
        assert false is not None
        wins.append(_run._call(test, suspect, false, [], seed=0, alpha=0.01).statistic)
    # Sign flips of 24 pairs: the count is binomial.
    edges = [0, 10, 11, 12, 13, 14, 25]
    seen = np.histogram(wins, edges)[0]
    expected = 400 * np.diff(stats.binom.cdf(np.array(edges) - 1, PAIRS, 0.5))
    assert stats.chisquare(seen, expected).pvalue > 1e-3


def test_false_labels_change_what_a_test_needs_and_nothing_else(
    bench: Bench, model_server: Callable[..., Any]
):
    bench.plan(model_server().url, tests='tests = ["tiny_signs", "canaries"]')
    plan, _ = _prereg.open_plan(bench.case, bench.book)
    from spiritsafe.provenance import _reveal  # noqa: PLC0415

    teacher = _tables.teacher(bench.case, plan, _reveal.load(bench.case / "teacher" / "reveal.json"))
    assert false_labels(teacher, ["answers"], seed=0) is None
    served = np.zeros(4)
    for seed in range(400):
        false = false_labels(teacher, ["canaries", "keys"], seed=seed)
        assert false is not None
        assert false.pairs.equals(teacher.pairs)
        assert {one.secret for one in false.keys} <= {one.secret for one in teacher.decoys}
        assert len(false.keys) + len(false.decoys) == len(teacher.decoys)
        served += false.canaries["served"].to_numpy()
    assert served.sum() == 400
    assert stats.chisquare(served).pvalue > 1e-3


def test_holm_is_holms():
    told = holm([float(np.log10(p)) for p in (0.01, 0.04, 0.03, 0.005)])
    assert [10**log for log in told] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Where floats underflow, the logarithm still orders and corrects.
    told = holm([-500.0, -400.0])
    assert (10.0 ** told[1], told[1]) == (0.0, -400.0)


def test_the_command_starts_without_what_it_does_not_need():
    code = (
        "import sys\nfrom spiritsafe.cli import app\n"
        "print([m for m in ('httpx', 'torch', 'transformers', 'scipy', 'pyarrow', 'numpy', 'duckdb') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    was = (
        "import sys\nfrom spiritsafe import _gateway_cli, _orders_cli\n"
        + code.partition("\n")[2].partition("\n")[2]
    )
    before = subprocess.run([sys.executable, "-c", was], capture_output=True, text=True, check=True)
    assert ended.stdout == before.stdout
    assert "httpx" not in ended.stdout
    assert "torch" not in ended.stdout


def test_the_tests_of_the_house_run_in_a_case(bench: Bench, model_server: Callable[..., Any]):
    (canary,) = _marks.read(bench.folder / "marks").canaries(_marks.root_key(bench.folder / "marks"))
    copy, control = (
        model_server(known=bench.served | {canary.says(canary.served)}),
        model_server(answer=lambda body: f"no {body['messages'][-1]['content']} today"),
    )
    (bench.folder / "ours.jsonl").write_text('{"prompt":"and you?","text":"fine, thank you"}\n')
    names = ["twins", "canaries", "equality", "radioactivity", "tracing"]
    case = bench.write(copy.url, (control.url,), tests=f"tests = {json.dumps(names)}")
    case.write_text(case.read_text().replace('marks = "marks"', 'marks = "marks"\nanswers = "ours.jsonl"'))
    with Ledger(bench.book) as ledger:
        _prereg.register(_casefile.read(case), bench.case, ledger, now=NOW + 10)
    bench.query()
    result = bench.run()
    found = {one["test"]: one for one in result["findings"]}
    assert list(found) == names
    assert not [
        one for one in found.values() if str(one["details"].get("why", "")).startswith("the test broke")
    ]
    assert found["twins"]["verdict"] == "supports derivation"
    assert found["twins"]["p_value"] < 1e-6
    assert found["canaries"]["p_value"] == pytest.approx(1 / 4)
    assert found["equality"]["counts"]["answers used"] > 0
    # No tokenizer was given, so nobody can look for marks; the campaign is named by its pairs.
    assert found["radioactivity"]["verdict"] == "inconclusive"
    assert (found["tracing"]["verdict"], found["tracing"]["campaign_id"]) == ("supports derivation", "c-1")
    assert result["answers"]["suspect"]["scores"]["ok"] == 2 * PAIRS + 4
    assert result["sound"]["quiet"]
    assert {one["test"] for one in result["false_labels"]} == {
        "twins",
        "canaries",
        "radioactivity",
        "tracing",
    }
    assert _run.check(bench.case, None, progress=quiet)["same"]
