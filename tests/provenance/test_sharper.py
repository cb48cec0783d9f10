"""What makes tests sharper: the teacher's scores of the pairs, and what an open suspect predicts while it reads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from spiritsafe.errors import UsageError
from spiritsafe.ledger import Ledger
from spiritsafe.marking.keys import MarkKey
from spiritsafe.provenance import _casefile, _escrow, _gather, _marks, _prereg, _run, _tables
from spiritsafe.provenance._lines import Lines
from spiritsafe.provenance._lines import read as read_lines
from spiritsafe.provenance._subject import Subject, Teacher
from spiritsafe.provenance._tokenizer import FileTokenizer
from spiritsafe.provenance.radioactivity import radioactivity

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_800_000_000_000_000
PAIRS = 6
WORDS = [f"w{at}" for at in range(60)]
CASE = """
[case]
name = "a test"
tests = ["twins", "radioactivity"]
seed = 7
reruns = 2

[teacher]
name = "our model"
marks = "marks"
tokenizer = "suspect/tokenizer.json"
{teacher}

[prompts]
max_tokens = 8
ask_pairs = false
file = "prompts.jsonl"

[suspect]
name = "suspect"
kind = "transformers"
folder = "suspect"

[[control]]
name = "control"
kind = "transformers"
folder = "control"
"""
SCORER = """
[teacher.scorer]
kind = "transformers"
folder = "teacher"
"""


@pytest.fixture
def house(tmp_path: Path, weights: Callable[..., Path]) -> Path:
    """Three models, the control with its words in another order; marks of two widths, pairs, and a ledger."""
    for seed, name in enumerate(("suspect", "teacher")):
        weights(tmp_path / name, WORDS, room=64, seed=seed)
    weights(tmp_path / "control", WORDS[::-1], room=64, seed=9)
    marks, book = tmp_path / "marks", tmp_path / "ledger.jsonl"
    plan = _marks.write(
        marks,
        ["c-1"],
        now=NOW,
        epochs=1,
        lasts="30d",
        scheme="green",
        canaries=1,
        variants=4,
        decoys=3,
        share=0.01,
    )
    with Ledger(book) as ledger:
        _marks.commit(plan, ledger, now=NOW)
    rng = np.random.default_rng(0)
    snapshot = _escrow.snapshot("m", {"temperature": 1.0}, None)
    rows: list[dict[str, Any]] = []
    with _escrow.Escrow(
        marks / "escrow", book, root=_marks.root_key(marks), share=1.0, clock=lambda: NOW + 1
    ) as escrow:
        for at in range(PAIRS):
            ticket = escrow.ticket()
            served, ghost = (" ".join(rng.choice(WORDS, 12)) for _ in range(2))
            said = [{"role": "user", "content": f"w{at} w1"}]
            escrow.keep(ticket, messages=said, snapshot=snapshot, served=served, campaign_id="c-1")
            rows.append({"pair_id": ticket.pair_id, "status": "ok", "text": ghost, "snapshot": snapshot})
    (batch,) = (marks / "escrow").glob("*.jsonl")
    with Lines(batch.with_name(f"{batch.stem}.ghosts.jsonl")) as out:
        out.append(rows)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "w2 w3"}\n')
    return tmp_path


def planned(house: Path, teacher: str = SCORER, **change: str) -> dict[str, Any]:
    text = CASE.format(teacher=teacher)
    for old, new in change.items():
        text = text.replace(OLD[old], new)
    (house / "case.toml").write_text(text)
    with Ledger(house / "ledger.jsonl") as ledger:
        return _prereg.register(_casefile.read(house / "case.toml"), house / "case", ledger, now=NOW + 10)


OLD = {
    "tests": 'tests = ["twins", "radioactivity"]',
    "tokenizer": 'tokenizer = "suspect/tokenizer.json"',
    "control": 'kind = "transformers"\nfolder = "control"',
}


def quiet(_stage: str, _done: int, _total: int) -> None:
    return


def asked(house: Path, name: str | None = None) -> dict[str, dict[str, int]]:
    """Ask all, or one, and end asking where all is there."""
    plan, _ = _prereg.open_plan(house / "case", house / "ledger.jsonl")
    settings = json.loads((house / "case" / _prereg.SETTINGS).read_bytes())
    counts = {
        one["name"]: _gather.gather(house / "case", plan, one, settings, progress=quiet)
        for one in _gather.models(plan)
        if name in {None, one["name"]}
    }
    with Ledger(house / "ledger.jsonl") as ledger:
        _gather.close(house / "case", plan, ledger, now=NOW + 20)
    return counts


def tables(house: Path) -> tuple[Subject, Teacher]:
    from spiritsafe.provenance import _reveal  # noqa: PLC0415

    plan, _ = _prereg.open_plan(house / "case", house / "ledger.jsonl")
    teacher = _tables.teacher(house / "case", plan, _reveal.load(house / "case" / "teacher" / "reveal.json"))
    return _tables.subject(house / "case", plan["suspect"], (*teacher.keys, *teacher.decoys)), teacher


@pytest.mark.long
def test_a_case_gathers_the_teachers_scores_and_what_the_suspect_predicts(
    house: Path, command: Callable[..., Any], stranger: Callable[..., subprocess.CompletedProcess[str]]
):
    planned(house)
    folder, book = house / "case", house / "ledger.jsonl"
    ran = command("prove", "query", folder, "--ledger", book, "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["counts"]["our model"] == {
        "ok": 2 * PAIRS,
        "truncated": 0,
        "refused": 0,
        "empty": 0,
        "failed": 0,
    }
    assert told["ended"]["missing"] == {"suspect": 0, "control": 0, "our model": 0}
    suspect, teacher = tables(house)
    # The teacher says what its own folder says, and only of pairs.
    from spiritsafe.provenance._local import Local  # noqa: PLC0415

    row = teacher.pairs.to_pylist()[0]
    (said,) = Local(house / "teacher").score([row["prompt"]], [row["first"]])
    scores = {(one["item"], one["side"]): one["logprob"] for one in teacher.scores.to_pylist()}
    assert len(scores) == 2 * PAIRS
    assert scores[row["pair_id"], "first"] == pytest.approx(said.logprob, abs=1e-4)
    # Twelve tokens a text, keys of width 3: contexts end at the third to the last.
    readings = suspect.readings
    assert readings.num_rows == 2 * PAIRS * 10
    texts = {
        f"{one['pair_id']}/{side}": one[side]
        for one in teacher.pairs.to_pylist()
        for side in ("first", "second")
    }
    words = FileTokenizer(house / "suspect" / "tokenizer.json")
    for one in readings.slice(0, 10).to_pylist():
        (ids,) = words.encode([texts[one["text_id"]]])
        assert one["context"] == ids[one["position"] - 3 : one["position"]]
        assert (one["weight"], one["seen"]) == (1.0, False)
    ran = command("prove", "run", folder, "--ledger", book, "--json")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    found = {one["test"]: one for one in result["findings"]}
    assert found["radioactivity"]["access"] == "logprobs"
    assert found["radioactivity"]["counts"]["readings used"] == readings.num_rows
    assert result["answers"]["our model"]["scores"]["ok"] == 2 * PAIRS
    (beside,) = [one for one in result["controls"] if one["test"] == "radioactivity"]
    assert (beside["readings"], beside["by_readings"], beside["access"]) == (0, None, "text")
    # The control has other tokens: none of its readings counts, and the page says so.
    assert result["answers"]["control"]["readings"]["failed"] == 2 * PAIRS
    assert command("prove", "report", folder).returncode == 0
    assert "control: 12 marked texts could not be read" in re.sub(
        r"\s+", " ", (folder / "report.html").read_text()
    )
    assert stranger("prove", "check", folder).returncode == 0
    # The teacher's scores are sealed as all else is.
    path = _gather.file_of(folder, "our model")
    path.write_bytes(path.read_bytes().replace(b"-", b"-1", 1))
    refused = command("prove", "run", folder, "--ledger", book)
    assert "not those that were gathered" in refused.stderr


def test_reading_goes_on_where_it_was_stopped(house: Path):
    planned(house)
    asked(house, "suspect")
    path = _gather.file_of(house / "case", "suspect")
    whole = path.read_bytes().splitlines(keepends=True)
    reads = [at for at, line in enumerate(whole) if b'"kind":"reading"' in line]
    assert len(reads) == 2 * PAIRS
    path.write_bytes(b"".join(whole[: reads[5]]) + whole[reads[5]][:20])
    asked(house)
    rows = read_lines(path)
    assert [_gather.key_of(row) for row in rows] == [_gather.key_of(json.loads(line)) for line in whole]
    assert [row["reading"] for row in rows] == [json.loads(line)["reading"] for line in whole]
    assert _run.compute(
        house / "case", *_prereg.open_plan(house / "case", house / "ledger.jsonl"), progress=quiet
    )["complete"]


@pytest.mark.parametrize("change", [{"tests": 'tests = ["twins"]'}, {"tokenizer": ""}])
def test_nothing_is_read_where_nobody_looks_for_marks_or_the_teachers_tokens_are_not_known(
    house: Path, change: dict[str, str]
):
    plan = planned(house, **change)
    assert not plan["suspect"]["read"]
    assert {one["kind"] for one in _gather.asks(house / "case", plan["suspect"])} == {"answer", "score"}


def test_the_file_of_the_teachers_answers_may_hold_its_scores(house: Path):
    scores = "".join(
        json.dumps({"item": f"{row['pair_id']}", "side": side, "logprob": -1.5, "tokens": 12}) + "\n"
        for row in _pairs(house)[1:]
        for side in ("first", "second")
    )
    (house / "ours.jsonl").write_text('{"prompt":"w2 w3","text":"w4"}\n' + scores)
    plan = planned(house, 'answers = "ours.jsonl"')
    assert plan["teacher"]["scorer"]["kind"] == "answers"
    counts = asked(house)["our model"]
    assert (counts["ok"], counts["failed"]) == (2 * PAIRS - 2, 2)
    _, teacher = tables(house)
    assert teacher.answers["text"].to_pylist() == ["w4"]
    assert sorted(teacher.scores["logprob"].drop_null().to_pylist()) == [-1.5] * (2 * PAIRS - 2)


def _pairs(house: Path) -> list[dict[str, Any]]:
    from spiritsafe.provenance._escrowed import pairs  # noqa: PLC0415

    table, _, _ = pairs(house / "marks" / "escrow", house / "ledger.jsonl", _marks.root_key(house / "marks"))
    return table.to_pylist()


@pytest.mark.parametrize(
    ("teacher", "said"),
    [
        ('[teacher.scorer]\nkind = "anthropic"\nurl = "http://x"\nmodel = "m"', "gives no log-probabilities"),
        ('[teacher.scorer]\nkind = "openai"\nurl = "http://x"\nmodel = "m"', "needs the model's template"),
        ('[teacher.scorer]\nkind = "transformers"\nfolder = "nowhere"', "is not there"),
        ('[teacher.scorer]\nkind = "transformers"\nfolder = "teacher"\nscore = false', "no key 'score'"),
    ],
)
def test_a_scorer_that_makes_no_sense_is_refused(house: Path, teacher: str, said: str):
    with pytest.raises(UsageError, match=said):
        planned(house, teacher)


def test_only_weights_can_be_read_and_names_tell_models_apart(house: Path):
    with pytest.raises(UsageError, match="only a folder of weights"):
        planned(house, control='kind = "answers"\nfile = "prompts.jsonl"\nread = true')
    text = CASE.format(teacher=SCORER).replace('name = "suspect"', 'name = "our model"')
    (house / "case.toml").write_text(text)
    with pytest.raises(UsageError, match="one name"), Ledger(house / "ledger.jsonl") as ledger:
        _prereg.register(_casefile.read(house / "case.toml"), house / "case", ledger, now=NOW)


def test_a_context_that_stood_before_is_seen_for_every_width():
    told = {"before": [1, 2, 3], "shown": [4, 5, 2, 3, 4, 5, 6], "predicted": [10, 11, 12, 13, 14, 15, 16]}
    one = _tables.reading("t", told, [1]).to_pylist()
    assert [row["context"] for row in one] == [[4], [5], [2], [3], [4], [5], [6]]
    assert [row["seen"] for row in one] == [False, False, True, True, True, True, False]
    assert [row["token"] for row in one] == told["predicted"]
    two = _tables.reading("t", told, [2]).to_pylist()
    # (2, 3) stands in the prompt, (3, 4) across its border, (4, 5) in the text.
    assert [(row["context"], row["seen"]) for row in two] == [
        ([4, 5], False), ([5, 2], False), ([2, 3], True), ([3, 4], True), ([4, 5], True), ([5, 6], False),
    ]  # fmt: skip
    assert [row["position"] for row in two] == [2, 3, 4, 5, 6, 7]
    both = _tables.reading("t", told, [3, 2])
    assert both["context"].to_pylist() == [told["shown"][at : at + 3] for at in range(5)]
    assert both["seen"].to_pylist() == [False, True, True, True, False]
    assert both["token"].to_pylist() == told["predicted"][2:]
    assert _tables.reading("t", {**told, "shown": [4], "predicted": [9]}, [2]).num_rows == 0


def test_what_an_innocent_model_reads_gives_uniform_p(weights: Callable[..., Path], tmp_path: Path):
    """It reads text that repeats itself and was drawn under the very keys that are looked for."""
    from spiritsafe.marking.prf import seeds, uniforms  # noqa: PLC0415
    from spiritsafe.provenance._local import Local  # noqa: PLC0415

    local = Local(weights(tmp_path / "model", WORDS, room=64))
    found: list[float] = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        key = MarkKey("c", 0, rng.bytes(16), width=1)
        texts: list[str] = []
        for _ in range(8):
            ids = [int(rng.integers(3, 63))]
            while len(ids) < 24:
                drawn = rng.integers(3, 63, 8)
                green = uniforms(seeds(key.words, np.array([[ids[-1]]])).repeat(8), drawn) < key.share
                ids.append(int(drawn[np.argmax(green)]))
            texts.append(" ".join(WORDS[one - 3] for one in ids))
        said = local.read(["w0"] * 8, texts)
        parts = [_tables.reading(str(at), one.reading, [1]) for at, one in enumerate(said) if one.reading]
        suspect = Subject("s", readings=pa.concat_tables(parts))
        found.append(radioactivity(suspect, Teacher("t", keys=(key,)), (), seed=0, fresh=0).p_value)
    # Ties of a discrete statistic only make p larger.
    assert stats.kstest(found, "uniform", alternative="greater").pvalue > 1e-3
    assert np.mean(found) < 0.65
