"""Any mix of good and broken lines is accounted for, line by line, and good records come through unchanged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.sampled_from(
    [
        '"',
        "\\",
        "\x00",
        "\ud7ff\U0001f600",
        "{",
        '{"a": [1',
        "null",
        "12",
        "\u2028\u0085\r\n",
        "\\ud83d",
        "\\u0000",
    ]
)
GOOD = st.fixed_dictionaries(
    {
        "time": st.sampled_from(
            ["2026-03-01T12:00:00Z", "2026-03-01t14:00:00.000+02:00", 1772366400000, "1772366400000"]
        ),
        "account_id": TEXT.filter(bool),
        "prompt": TEXT,
    },
    optional={
        "exchange_id": TEXT.filter(bool),
        "response": TEXT,
        "turns": st.integers(0, 1 << 40),
        "temperature": st.floats(0, 2),
        "logprobs": st.booleans(),
        "tools": st.lists(TEXT, max_size=3),
        "plan": st.none(),
        "something_else": st.integers(),
    },
)
BROKEN = st.sampled_from(
    [
        (b"{nope", "not valid JSON"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": "a", "prompt": "cut', "not valid JSON"),
        (b"\xff\xfe\xfd", "not valid JSON"),
        (b"\x00\x00\x00", "not valid JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": "a"}', "prompt is missing"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": "a", "prompt": ["x"]}', "prompt is not a string"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": 7, "prompt": "x"}', "account_id is not a string"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": "", "prompt": "x"}', "account_id is empty"),
        (b'{"time": "2026-03-01T12:00:00Z", "account_id": null, "prompt": "x"}', "account_id is missing"),
        (b'{"account_id": "a", "prompt": "x"}', "time is missing"),
        (b'{"time": "yesterday", "account_id": "a", "prompt": "x"}', "time is neither"),
        (b'{"time": 1772366400, "account_id": "a", "prompt": "x"}', "time is neither"),
    ]
)
BLANK = st.sampled_from([b"", b"  ", b"\t", b"\r"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.tuples(st.just("good"), GOOD) | st.tuples(st.just("bad"), BROKEN) | st.tuples(st.just(""), BLANK),
                   max_size=25),
    ascii_only=st.booleans(),
    last_newline=st.booleans(),
    batch_rows=st.sampled_from([4, 65_536, 65_536]),
)  # fmt: skip
def test_every_line_is_accounted_for(
    lines: list[tuple[str, Any]],
    ascii_only: bool,
    last_newline: bool,
    batch_rows: int,
    take: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    raw: list[bytes] = []
    for kind, value in lines:
        if kind == "good":
            raw.append(json.dumps(value, ensure_ascii=ascii_only).encode())
        else:
            raw.append(value[0] if kind == "bad" else value)
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_bytes(b"\n".join(raw) + (b"\n" if last_newline else b""))
    result = take(path, format="canonical_jsonl", batch_rows=batch_rows)

    bad = [(number, value) for number, (kind, value) in enumerate(lines, 1) if kind == "bad"]
    assert [(item["file"], item["line"]) for item in result.rejects] == [
        (str(path), number) for number, _ in bad
    ]
    for item, (_, (_, reason)) in zip(result.rejects, bad, strict=True):
        assert item["reason"].startswith(reason)

    good = [(number, value) for number, (kind, value) in enumerate(lines, 1) if kind == "good"]
    assert len(result.rows) == len(good)
    for row, (number, value) in zip(result.rows, good, strict=True):
        assert (row["source_file"], row["source_line"]) == (str(path), number)
        assert row["time"] == 1772366400000000
        for name in set(value) - {"time", "plan", "something_else"}:
            assert row[name] == value[name], name
    scanned = result.scanned
    assert (scanned["records"], scanned["accepted"], scanned["rejected"]) == (
        len(good) + len(bad), len(good), len(bad),
    )  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=st.lists(
        st.binary(max_size=12).filter(lambda part: not set(part) & set(b'\n"\\')), min_size=1, max_size=6
    )
)
def test_bytes_that_are_no_text_are_mended_and_counted(
    junk: list[bytes], take: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    lines = [b'{"time": 1772366400000, "account_id": "a", "prompt": "' + part + b'"}' for part in junk]
    path.write_bytes(b"\n".join(lines))
    expected = [part.decode("utf-8", "replace").replace("\0", "\ufffd") for part in junk]
    whole = [all(ord(letter) >= 32 for letter in text) for text in expected]
    result = take(path, format="canonical_jsonl")
    assert [row["prompt"] for row in result.rows] == [
        text for text, ok in zip(expected, whole, strict=True) if ok
    ]
    assert result.scanned["rejected"] == whole.count(False)
    mended = sum(text.encode() != part for text, part in zip(expected, junk, strict=True))
    assert result.scanned["repaired"] == mended


def test_half_surrogates_become_the_replacement_character(take: Callable[..., Any], tmp_path: Any) -> None:
    path = tmp_path / "log.jsonl"
    start = '{"time": 1772366400000, "account_id": "a", "prompt": "'
    prompts = [r"cut \ud83d", r"whole \ud83d\ude00", r"\\ud83d is text", r"\ude00\ud83d\ud83d\ude00 \\\ud83d"]
    path.write_text("".join(f'{start}{prompt}"}}\n' for prompt in prompts))
    result = take(path)
    assert [row["prompt"] for row in result.rows] == [
        "cut \ufffd", "whole \U0001f600", r"\ud83d is text", "\ufffd\ufffd\U0001f600 \\\ufffd",
    ]  # fmt: skip
    assert result.scanned["repaired"] == 2


def test_optional_values_of_a_wrong_type_are_null_and_counted(
    take: Callable[..., Any], tmp_path: Any
) -> None:
    path = tmp_path / "log.jsonl"
    good = {"time": 1772366400000, "account_id": "a", "prompt": "p"}
    odd = {"temperature": "hot", "turns": "3", "tools": "x", "n": [1], "extra": 1, "account_created": "never"}
    path.write_text("".join(json.dumps(item) + "\n" for item in (good, {**good, **odd})))
    result = take(path)
    assert result.scanned["unread"] == {"temperature": 1, "tools": 1, "n": 1, "account_created": 1}
    assert result.scanned["unknown_columns"] == {"extra": 1}
    assert result.rows[1]["turns"] == 3
    assert result.present == {"time", "account_id", "prompt", "exchange_id", "turns"}


def test_an_id_is_made_from_content_and_only_from_content(take: Callable[..., Any], tmp_path: Any) -> None:
    good = {"time": 1772366400000, "account_id": "a", "prompt": "p"}
    lines = [good, {**good, "prompt": "q"}, dict(reversed(good.items())), {**good, "exchange_id": "mine"}]
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    paths[0].write_text("".join(json.dumps(item) + "\n" for item in lines))
    paths[1].write_text("".join(json.dumps(item) + "\n" for item in reversed(lines)))
    first, second = ([row["exchange_id"] for row in take(path).rows] for path in paths)
    assert first == second[::-1]
    assert first[0] == first[2]
    assert len(set(first)) == 3
    assert first[3] == "mine"


def test_a_time_without_a_zone_is_utc_wherever_it_is_read(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    times = (
        "2026-09-07T10:00:00",
        "2026-09-07 10:00:00",
        "2026-09-07T10:00:00Z",
        "2026-09-07T19:00:00+09:00",
    )
    log.write_text(
        "".join(
            json.dumps({"exchange_id": str(n), "time": time, "account_id": "a", "prompt": "hello"}) + "\n"
            for n, time in enumerate(times)
        )
    )
    program = (
        "import sys; from pathlib import Path; from spiritsafe import sources; from spiritsafe.engine.duckdb import DuckDB\n"
        "with DuckDB(Path(sys.argv[2]), memory='300MB', threads=2) as engine:\n"
        "    for batch in sources.read([Path(sys.argv[1])], engine=engine, rejects=Path(sys.argv[2], 'rejected.jsonl')):\n"
        "        print(*batch.column('time').to_pylist())"
    )
    for zone in ("UTC", "Asia/Tokyo", "America/New_York"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(log), str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TZ": zone},
        )
        assert set(done.stdout.split()) == {"1788775200000000"}, zone
