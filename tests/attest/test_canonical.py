from __future__ import annotations

import json
import struct
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from spiritsafe.attest import canonical
from spiritsafe.attest.canonical import jcs, read
from spiritsafe.errors import AttestError

#: RFC 8785, appendix B: doubles by their bits, and how they are written.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
EXACT = st.integers(-canonical.EXACT, canonical.EXACT)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | EXACT | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=24,
)


@pytest.fixture(params=["fast", "plain"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With orjson, and as where it is not installed."""
    if request.param == "plain":
        monkeypatch.setattr(canonical, "orjson", None)


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_of_appendix_b(bits: str, text: str):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert jcs(value) == text.encode()
    assert struct.pack(">d", float(text)) == struct.pack(">d", value + 0.0)


@pytest.mark.parametrize("bits", ["7fffffffffffffff", "7ff0000000000000", "fff0000000000000"])
def test_numbers_without_a_notation(bits: str):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    with pytest.raises(AttestError, match="no NaN and no infinity"):
        jcs([value])


@pytest.mark.usefixtures("both")
def test_the_example_of_section_3_2_2():
    value: dict[str, Any] = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert jcs(value).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.usefixtures("both")
def test_names_are_in_the_order_of_utf_16_as_in_section_3_2_3():
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    order = ["Carriage Return", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
    written = jcs(value).decode()
    assert [written.index(word) for word in order] == sorted(written.index(word) for word in order)


@given(VALUES)
def test_the_same_bytes_as_another_implementation(value: Any):
    assert jcs(value) == rfc8785.dumps(value) == canonical._written(value).encode()


@given(VALUES)
def test_what_is_written_is_read_back_and_written_the_same(value: Any):
    data = jcs(value)
    try:
        again = read(data)
    except AttestError as error:
        assert "beyond 2^53" in str(error)  # noqa: PT017 - a float may be that large, and its notation is an integer's
        again = json.loads(data, parse_int=float)
    assert jcs(json.loads(json.dumps(again, indent=2))) == jcs(again) == data


@given(VALUES, st.sampled_from([None, 1, "\t"]), st.sampled_from([":", " : ", ": ", "\n:", "\t:\r"]))
def test_names_are_counted_in_any_layout(value: Any, indent: Any, colon: str):
    text = json.dumps(value, indent=indent, separators=(",", colon)).encode()
    names = canonical._Shape()
    names.look(value, 64)
    assert canonical._names(text, names.names) == canonical._names(text, -1) == names.names


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a" :1}',
        b'{"a" :1,"b":{"c":1,"c"\n:2}}',
        b'{"a\\":1,"a\\"\t:1}',
        b'{"a":":","a":":"}',
        b'{"a":{"b":"\\"x\\":","b":2}}',
        b'[{"a":1,"\\u0061":2}]',
        b'{"a":NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[9007199254740992]",
        b"[18446744073709551616]",
        b"[" + b"9" * 5_000 + b"]",
        b'["\\ud800"]',
        b'["\\udc00\\ud800"]',
        b'{"\\udfff":1}',
        b'"\xff"',
        b"[" * 100 + b"]" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"",
        b"[1,]",
        b"[01]",
        b"{'a':1}",
        b'["\x01"]',
        b"[1] [2]",
        b"\xef\xbb\xbf[]",
    ],
)
def test_what_has_no_or_two_readings_is_refused(text: bytes):
    with pytest.raises(AttestError):
        read(text)


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"b\\\\","c":":","d":"\\":{\\"e\\":","f\\\\":[1.5,-0,1e3]}',
        b' {"a" : [ { } , [ ] , null , true , "\\ud83d\\ude00" ] } ',
        b"[9007199254740991,-9007199254740991]",
        b"[" * 64 + b"]" * 64,
    ],
)
def test_what_has_one_reading_is_read(text: bytes):
    assert read(text) == json.loads(text)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"},
        {"a": (1,)},
        {"a": b"b"},
        [2**53],
        [{"a": {1, 2}}],
        ["\ud800"],
        {"\udc00": 1},
        {"é": "\ud800"},
    ],
)
def test_what_is_no_json_is_not_written(value: Any):
    with pytest.raises(AttestError):
        jcs(value)


def test_nesting_ends():
    value: list[Any] = []
    for _ in range(canonical.DEPTH):
        value = [value]
    with pytest.raises(AttestError, match="too deep"):
        jcs(value)
    assert jcs(value[0]) == b"[" * canonical.DEPTH + b"]" * canonical.DEPTH
