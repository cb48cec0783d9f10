"""A plan that makes no sense is refused with the key, the file, the line and the nearest valid name."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spiritsafe.errors import UsageError
from spiritsafe.simulate import Corpus, Plan, read_orders, read_plan
from spiritsafe.tomlfile import lines

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
days = 2

[[population]]
family = "chat_users"
accounts = 20
name = "people"

[[population]]
family = "A1"
name = "one"
accounts = 30
"""

REFUSED = [
    (
        'dayz = 2\n[[population]]\nfamily = "A1"\n',
        "plan.toml:1: a plan has no key 'dayz'\n  hint: did you mean 'days'?",
    ),
    ("days = 2\n", "plan.toml:1: a plan needs at least one [[population]]"),
    (
        "days = 0\n" + GOOD.partition("\n")[2],
        "plan.toml:1: days = 0 makes no sense: a number above 0, up to 3,650 is needed",
    ),
    (
        "# a comment\ndays = inf\n" + GOOD.partition("\n")[2],
        "plan.toml:2: days = inf makes no sense: a number above 0, up to 3,650 is needed",
    ),
    (
        'start = "yesterday"\n' + GOOD,
        "plan.toml:1: start is not a time\n  hint: write it as 2026-09-30 or 2026-09-30T12:00:00Z",
    ),
    ('mode = "rick"\n' + GOOD, "plan.toml:1: there is no mode 'rick'\n  hint: did you mean 'rich'?"),
    (
        'format = "json.gz"\n' + GOOD,
        "plan.toml:1: there is no format 'json.gz'\n  hint: did you mean 'jsonl.gz'?",
    ),
    (
        'dropped = [\n "asn",\n "device",\n]\n' + GOOD,
        "plan.toml:1: no column called 'device'\n  hint: did you mean 'device_id'?",
    ),
    ('dropped = ["prompt"]\n' + GOOD, "plan.toml:1: a log without prompt cannot be scanned"),
    (
        '[[population]]\nfamily = "reasoning_harvst"\n',
        "plan.toml:2: no family called 'reasoning_harvst'\n  hint: did you mean 'reasoning_harvest'?",
    ),
    ('[[population]]\nfamily = "A17"\n', "plan.toml:2: no family called 'A17'\n  hint: did you mean 'A7'?"),
    ('[[population]]\nfamily = "a1"\n', "plan.toml:2: no family called 'a1'\n  hint: did you mean 'A1'?"),
    (
        '[[population]]\nfamily = "Chat_Users"\n',
        "plan.toml:2: no family called 'Chat_Users'\n  hint: did you mean 'chat_users'?",
    ),
    (
        GOOD + '\n[[populations]]\nfamily = "A2"\n',
        "plan.toml:13: a plan has no key 'populations'\n  hint: did you mean 'population'?",
    ),
    (
        GOOD + '\n[populations]\nfamily = "A2"\n',
        "plan.toml:13: a plan has no key 'populations'\n  hint: did you mean 'population'?",
    ),
    (
        "[[population]]\naccounts = 3\n",
        'plan.toml:1: a population needs a family, as text\n  hint: for instance family = "chat_users"',
    ),
    (
        GOOD + "acounts = 5\n",
        "plan.toml:12: reasoning_harvest has no knob 'acounts'\n  hint: did you mean 'accounts'?",
    ),
    (
        GOOD + "burst = 0.5\n",
        (
            "plan.toml:12: reasoning_harvest has no knob 'burst'\n  hint: there are: accounts, age_days, churn, client, "
            "cohort_days, cover, device, family, frames, framing, grammar, mail, name, network, nulls, organizations, overlap, "
            "paraphrase, payment, rate, refused, repeats, replace_hours, routing, share, sigma, sources, text, timing, topics, "
            "warmup_days, wording"
        ),
    ),
    (
        GOOD + "rate = -4\n",
        "plan.toml:12: rate = -4 makes no sense for reasoning_harvest: a number above 0, up to 1,000,000 is needed",
    ),
    (
        GOOD + "rate = nan\n",
        "plan.toml:12: rate = nan makes no sense for reasoning_harvest: a number above 0, up to 1,000,000 is needed",
    ),
    (
        GOOD + "rate = 90_000_000\n",
        "plan.toml:12: rate = 90000000 makes no sense for reasoning_harvest: a number above 0, up to 1,000,000 is needed",
    ),
    (
        GOOD.replace("accounts = 30", "accounts = 40_000_000"),
        (
            "plan.toml:11: 40,000,000 accounts x 26 a day x 2 days of reasoning_harvest is more than 1,000,000,000 "
            "exchanges\n  hint: lower accounts, rate or days, or cut the plan in several"
        ),
    ),
    (
        GOOD + "share = 1.5\n",
        "plan.toml:12: share = 1.5 makes no sense for reasoning_harvest: a number from 0 to 1 is needed",
    ),
    (
        GOOD + "share = true\n",
        "plan.toml:12: share = True makes no sense for reasoning_harvest: a number from 0 to 1 is needed",
    ),
    (
        GOOD + 'routing = "lur"\n',
        (
            "plan.toml:12: routing = 'lur' makes no sense for reasoning_harvest: one of round_robin, lru, random, sticky, "
            "topic_affine is needed\n  hint: did you mean 'lru'?"
        ),
    ),
    (
        GOOD + "warmup_days = 2.5\n",
        "plan.toml:12: reasoning_harvest would warm up for 2.5 of 2 days and never begin",
    ),
    (
        GOOD + 'sources = ["problem"]\n',
        (
            "plan.toml:12: no source called problem\n  hint: there are: benchmark, bfcl, emails, exercises, novel, "
            "own_builds, own_chat, own_notes, own_tickets, problems, problems_more, speeches"
        ),
    ),
    (GOOD + "sources = 3\n", "plan.toml:12: sources = 3 makes no sense: a list of texts is needed"),
    (
        GOOD + 'framing = 0.1\nframes = "peeple"\n',
        "plan.toml:13: no other population is called 'peeple'\n  hint: did you mean 'people'?",
    ),
    (GOOD + "framing = 0.1\n", "plan.toml:12: frames (whom) and framing (how much) belong together"),
    (
        GOOD + 'text = "ready"\nparaphrase = "call"\n',
        'plan.toml:13: ready text is sent as it is\n  hint: set text = "template" to paraphrase',
    ),
    (GOOD.replace('"people"', '"one"'), "plan.toml:8: two populations are called 'one'"),
    (
        GOOD + '[[orders]]\ncampaign = "won"\nresponse = "suspend"\nstart = 2026-09-07\n',
        "plan.toml:12: no campaign called 'won'\n  hint: did you mean 'one'?",
    ),
    (
        GOOD + '[[orders]]\ncampaign = "one"\nresponse = "suspent"\nstart = 2026-09-07\n',
        "plan.toml:14: response = 'suspent' makes no sense\n  hint: did you mean 'suspend'?",
    ),
    (
        GOOD + '[[orders]]\ncampaign = "one"\nresponse = "budget"\nstart = 2026-09-07\nper_day = -1\n',
        "plan.toml:16: per_day = -1 makes no sense: a number above 0, up to 3,650 is needed",
    ),
    (
        GOOD + '[[orders]]\nresponse = "suspend"\n',
        "plan.toml:12: an order is for one campaign or one account_id",
    ),
    ("days = = 2\n", "plan.toml:1: this is not TOML: Invalid value"),
    ('[[population]]\nfamily = "A1\n', "plan.toml:2: this is not TOML: Illegal character '\\n'"),
]


def read(text: str, folder: Path, corpus: Corpus) -> Plan:
    path = folder / "plan.toml"
    path.write_text(text, "utf-8")
    return read_plan(path, corpus)


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_a_fault_is_named_with_its_line(text: str, message: str, corpus: Corpus, tmp_path: Path):
    with pytest.raises(UsageError) as refusal:
        read(text, tmp_path, corpus)
    assert str(refusal.value).replace(f"{tmp_path}/", "") == message


def test_a_plan_is_read_as_it_is_written(corpus: Corpus, tmp_path: Path):
    plan = read(
        'days = 0.5\nstart = 2026-10-01\nformat = "jsonl.zst"\ndropped = "infrastructure"\nmode = "naive"\n'
        '[[population]]\nfamily = "A3"\nname = "x"\nsources = ["problems"]\nrate = 4\n'
        '[[orders]]\ncampaign = "x"\nresponse = "refuse"\nstart = "2026-10-01T06:00:00+02:00"\n',
        tmp_path,
        corpus,
    )
    assert (plan.days, plan.start, plan.format, plan.mode) == (
        0.5,
        1_790_812_800_000_000,
        "jsonl.zst",
        "naive",
    )
    assert "client_ip" in plan.dropped
    (one,) = plan.populations
    assert (one.family, one.name, one.sources, dict(one.options)) == ("A3", "x", ("problems",), {"rate": 4})
    (order,) = plan.orders
    assert (order.campaign, order.response) == ("x", "refuse")
    assert order.start - plan.start == 4 * 3_600_000_000


def test_a_file_that_cannot_be_read_is_named(corpus: Corpus, tmp_path: Path):
    with pytest.raises(UsageError, match=r"nothing\.toml: cannot be read"):
        read_plan(tmp_path / "nothing.toml", corpus)
    (tmp_path / "plan.toml").write_bytes(b"days = 1\n# \xff\n")
    with pytest.raises(UsageError, match=r"plan\.toml:2: this is not UTF-8 text"):
        read_plan(tmp_path / "plan.toml", corpus)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{]", "orders.json:1: this is not JSON: Expecting property name enclosed in double quotes"),
        ('{"campaign": "one"}', "orders.json:1: an order file is a JSON list of objects"),
        (
            (
                '[\n {"campaign": "one", "response": "suspend", "start": "2026-09-07"},\n {"campaign": "one",\n'
                '  "reponse": "suspend"}\n]'
            ),
            "orders.json:4: an order has no key 'reponse'\n  hint: did you mean 'response'?",
        ),
        (
            '[\n {"campaign": "one",\n  "response": "suspend",\n  "start": "noon"}]',
            "orders.json:4: start is not a time\n  hint: write it as 2026-09-30 or 2026-09-30T12:00:00Z",
        ),
        (
            '[{"campaign": "one", "response": "suspend", "start": "2026-09-07",\n "expires": "2026-09-06"}]',
            "orders.json:2: an order expires after its start",
        ),
    ],
)
def test_a_fault_in_an_order_file_is_named_with_its_line(text: str, message: str, tmp_path: Path):
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(UsageError) as refusal:
        read_orders(tmp_path / "orders.json")
    assert str(refusal.value).replace(f"{tmp_path}/", "") == message


KEYS = st.text("abcdef_", min_size=1, max_size=6)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(-5, 5) | TEXT,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    top=st.dictionaries(KEYS, VALUES, max_size=4),
    tables=st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=3),
)
def test_the_line_of_every_key_is_found_however_the_values_look(
    top: dict[str, Any], tables: list[dict[str, Any]]
):
    rows: list[str] = []
    expected: dict[tuple[str | int, ...], int] = {(): 1}

    def put(keys: tuple[str | int, ...], table: dict[str, Any]) -> None:
        for key, value in table.items():
            expected[(*keys, key)] = len(rows) + 1
            rows.extend(f"{key} = {spread(value)}".split("\n"))

    put((), {key: value for key, value in top.items() if key != "population"})
    for number, table in enumerate(tables):
        rows.append("# a table  [[not one]]")
        expected.setdefault(("population",), len(rows) + 1)
        expected[("population", number)] = len(rows) + 1
        rows.append("[[population]] # and a remark")
        put(("population", number), table)
    text = "\n".join(rows)
    tomllib.loads(text)
    assert lines(text) == expected


def spread(value: Any) -> str:
    """A value in TOML, lists over several lines."""
    if isinstance(value, list):
        return "[\n" + "".join(f"  {spread(one)}, # [x]\n" for one in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.dictionaries(
        st.sampled_from(
            ("family", "name", "sources", "accounts", "rate", "share", "routing", "timing", "sigma", "raet")
        ),
        VALUES | st.sampled_from(("A1", "chat_users", "random", "sync", 5, 0.5)),
    )
)
def test_a_plan_is_read_or_refused_with_a_place_and_nothing_else_happens(
    table: dict[str, Any], corpus: Corpus, tmp_path: Path
):
    text = "[[population]]\n" + "\n".join(f"{key} = {spread(value)}" for key, value in table.items()) + "\n"
    try:
        plan = read(text, tmp_path, corpus)
    except UsageError as error:
        place = error.where or ""
    else:
        assert dict(plan.populations[0].options) == {
            key: value for key, value in table.items() if key not in {"family", "name", "sources"}
        }
        return
    assert place.startswith(f"{tmp_path / 'plan.toml'}:")


PEOPLE = '[[population]]\nfamily = "chat_users"\naccounts = 3\n'
HOSTILE = {
    "a start beyond all dates": ("days = 1\nstart = 1000000000000000000\n" + PEOPLE, r"2: start is no time"),
    "a start before all dates": ("days = 1\nstart = -100000000000000000\n" + PEOPLE, r"2: start is no time"),
    "nested too deep": ("x = " + "[" * 3000 + "]" * 3000 + "\n", "nested too deep"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_plan_is_refused_and_nothing_is_written(case: str, corpus: Corpus, tmp_path: Path):
    text, message = HOSTILE[case]
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_plan(path, corpus)
    assert re.search(message, str(refused.value))
    assert [one.name for one in tmp_path.iterdir()] == ["plan.toml"]


def test_a_byte_order_mark_is_read_past(corpus: Corpus, tmp_path: Path):
    path = tmp_path / "plan.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f"days = 2\n{PEOPLE}".encode())
    assert read_plan(path, corpus).days == 2


def test_orders_nested_too_deep_are_refused(tmp_path: Path):
    path = tmp_path / "orders.json"
    path.write_text("[" * 5000)
    with pytest.raises(UsageError, match="nested too deep"):
        read_orders(path)
