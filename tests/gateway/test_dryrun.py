"""``spiritsafe gateway check``: what it says is what the gateway's own lookup and book say, row by row."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spiritsafe import pipeline
from spiritsafe.attest import keys
from spiritsafe.features.inline import Sketch
from spiritsafe.features.lookup import Index, token
from spiritsafe.gateway.state import Buckets
from spiritsafe.model import Caller, Exemption, Indicator, Order
from spiritsafe.orders import snapshot
from spiritsafe.orders.book import Book
from spiritsafe.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

# One day of four: each of its exchanges is matched and judged one by one here, too.
LOGS = str(Path(__file__).parent.parent.parent / "demo" / "logs" / "2026-09-07.jsonl.gz")
NOW = time.time_ns() // 1_000
DAY = 86_400_000_000
COMMAND = (sys.executable, "-c", "from spiritsafe.cli import main; main()", "gateway", "check")


@pytest.fixture(scope="module")
def batches() -> list[pa.RecordBatch]:
    return list(pipeline.replay([LOGS], settings=Settings(batch_rows=2_048)))


def sketch_of(row: dict[str, Any]) -> Sketch:
    return Sketch(
        row["exact"], row["skeleton"], row["item"], row["marks"], np.array(row["anchors"], np.uint64), b"",
        0, 0, 0, 0, 0, row["system_skeleton"], np.array(row["system_anchors"], np.uint64),
    )  # fmt: skip


def indicators_of(batches: list[pa.RecordBatch]) -> list[Indicator]:
    """Some of every kind, made of what the log holds; some hold no longer."""
    rows = [row for batch in batches for row in batch.slice(0, 400).to_pylist()]
    found: list[Indicator] = []
    for number, row in enumerate(rows[::9]):
        campaign, end = f"c-{number % 7}", NOW - 1 if number % 5 == 0 else None
        anchors = tuple(f"{one:016x}" for one in row["anchors"] + row["system_anchors"])
        values: dict[str, tuple[str, ...]] = {
            "template": anchors,
            "skeleton": (f"{row['skeleton']:016x}",),
            "device": (token(row["device_id"] or "none"),),
            "network": (token(row["client_ip"] or "none"),),
        }
        kind: Any = [*values][number % 4]
        least = min(3, len(anchors)) if kind == "template" else 1
        if values[kind]:
            found.append(Indicator(f"i-{number}", campaign, kind, values[kind], least, 0, end))
    return found


def test_a_batch_is_matched_as_its_rows_are(batches: list[pa.RecordBatch]):
    index = Index(indicators_of(batches))
    for batch in [*(one.slice(100, 700) for one in batches), batches[0].slice(0, 0)]:
        rows, numbers = index.match_batch(batch, now=NOW)
        got: dict[int, list[int]] = defaultdict(list)
        for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
            got[row].append(number)
        expected = {
            place: list(found)
            for place, row in enumerate(batch.to_pylist())
            if (
                found := index.match(
                    sketch_of(row), device=row["device_id"], network=row["client_ip"], now=NOW
                )
            )
        }
        assert {row: sorted(one) for row, one in got.items()} == expected
        assert expected or not batch.num_rows
    assert [one.size for one in Index([]).match_batch(batches[0], now=NOW)] == [0, 0]


def test_the_report_counts_what_the_book_says_of_each_exchange(  # noqa: PLR0915 - one log, one story
    tmp_path: Path, batches: list[pa.RecordBatch], ran: Any
):
    rows = [row for batch in batches for row in batch.to_pylist()]
    known = indicators_of(batches)
    index = Index(known)
    matched = [
        {
            known[number].campaign_id
            for number in index.match(
                sketch_of(row), device=row["device_id"], network=row["client_ip"], now=NOW
            )
        }
        for row in rows
    ]
    hit = [row for row, one in zip(rows, matched, strict=True) if one]
    accounts = sorted({row["account_id"] for row in hit})
    organizations = sorted({row["organization_id"] for row in hit if row["organization_id"]})
    common: dict[str, Any] = {
        "reason": "campaign",
        "evidence": "c@0",
        "start": NOW - DAY,
        "expires": NOW + DAY,
    }
    later: dict[str, Any] = {**common, "start": NOW + DAY // 2}
    few = {"exchanges": 5, "seconds": 3600}
    orders = [
        Order("o-1", "c-1", "budget", "streams", frozenset(), parameters=few, **common),
        Order("o-2", "c-1", "observe", "accounts", frozenset(accounts[:30]), **common),
        Order("o-3", "c-2", "strip_logprobs", "streams", frozenset(), **common),
        Order("o-4", "c-3", "suspend", "accounts", frozenset(accounts[:5]), **common),
        Order("o-5", "c-4", "observe", "streams", frozenset(), **later),
    ]
    exempt = [
        Exemption(None, accounts[0], "ours", "anna", NOW - DAY, NOW + DAY),
        Exemption(organizations[0], None, "ours", "anna", NOW - DAY, NOW + DAY),
    ]
    signer = keys.make(tmp_path / "signer.key")
    snapshot.write(
        tmp_path / "orders.json", keys.load(tmp_path / "signer.key"), version=3, issuer="desk", orders=orders,
        exempt=exempt, now=NOW - DAY, expires=NOW + DAY,
    )  # fmt: skip
    listed = [
        {
            "indicator_id": one.indicator_id, "campaign_id": one.campaign_id, "kind": one.kind,
            "values": list(one.values), "least": one.least,
            **({"valid_until": "2020-01-01T00:00:00Z"} if one.valid_until else {}),
        }
        for one in [*known, Indicator("i-m", "c-1", "minhash", ("0000000000000007",), 1, 0)]
    ]  # fmt: skip
    (tmp_path / "indicators.json").write_text(
        json.dumps({"schema": 1, "fingerprint_version": 1, "indicators": listed})
    )
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[gateway]\n[identity]\ntrusted = ["127.0.0.1/32"]\naccount = "x-account"\n'
        '[log]\nfolder = "log"\non_failure = "open"\n'
        f'[orders]\nfile = "orders.json"\nsigner = "{signer}"\nindicators = ["indicators.json"]\n'
    )
    done = subprocess.run(
        [*COMMAND, str(policy), LOGS, "--json"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)

    # The same again, exchange by exchange.
    book, bare = (
        Book(orders[:3] + orders[4:], exempt, untouched=UNTOUCHED, streams_only=STREAMS),
        Book(orders[:3]),
    )
    touched: dict[str, list[dict[str, Any]]] = defaultdict(list)
    spared: dict[str, int] = defaultdict(int)
    any_touched, any_spared = 0, 0
    for row, campaigns in zip(rows, matched, strict=True):
        caller = Caller(row["account_id"], row["organization_id"], relation=row["relation"])
        applied = {one.order_id for one in book.applying(sorted(campaigns), caller, NOW)}
        without = {one.order_id for one in bare.applying(sorted(campaigns), caller, NOW)}
        any_touched += bool(applied)
        any_spared += bool(without - applied)
        for name in applied:
            touched[name].append(row)
        for name in without - applied:
            spared[name] += 1
    told = {one["order_id"]: one for one in report["orders"]}
    assert [*told] == ["o-2", "o-5", "o-1", "o-3"]  # by rung
    assert (report["seen"]["requests"], report["touched"]["requests"]) == (len(rows), any_touched)
    assert any_touched > len(touched["o-1"]) > len(touched["o-2"]) > 0
    for name, one in told.items():
        assert one["requests"] == len(touched[name])
        assert one["accounts"] == len({row["account_id"] for row in touched[name]})
        assert one["organizations"] == len({row["organization_id"] for row in touched[name]} - {None})
        assert one["spared"]["requests"] == spared[name]
    assert spared["o-1"] + spared["o-2"] > 0
    assert report["spared"]["exempt"]["accounts"] > 0
    members = set(accounts[:30])
    assert (
        told["o-1"]["unlisted_accounts"] == len({row["account_id"] for row in touched["o-1"]} - members) > 0
    )
    assert (told["o-2"]["unlisted_accounts"], told["o-3"]["unlisted_accounts"]) == (0, None)
    assert (told["o-5"]["state"], told["o-5"]["requests"]) == ("later", 0)
    buckets = Buckets()
    times = sorted(row["time"] for row in touched["o-1"])
    refused = sum(not buckets.take("b", 5 / 3600, 5, one).allowed for one in times)
    assert told["o-1"]["over_budget"] == refused > 0
    assert told["o-3"]["over_budget"] is None
    assert [(one["order_id"], "2" in one["why"]) for one in report["withheld"]] == [("o-4", True)]
    assert report["indicators"]["loaded"] == len(listed)
    assert report["indicators"]["not_tried"] == 1
    assert 0 < report["indicators"]["matched"] < len(listed)
    assert not (tmp_path / "log").exists()

    done = ran("gateway", "check", policy, LOGS)
    assert done.returncode == 0, done.stderr
    assert f"{any_touched:,} of {len(rows):,} requests" in " ".join(done.stdout.split())
    assert "Withheld: o-4 (suspend)" in done.stdout

    # What the gateway would not believe is no basis for a dry run.
    text = (tmp_path / "orders.json").read_text()
    (tmp_path / "orders.json").write_text(text.replace('"desk"', '"disk"'))
    done = ran("gateway", "check", policy, LOGS)
    assert (done.returncode, "the signature does not fit" in done.stderr) == (2, True)


UNTOUCHED = ("distillation-licence", "evaluation", "research")
STREAMS = ("aggregator", "byo-key")
