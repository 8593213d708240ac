"""Reading JSON that may be anything."""

from __future__ import annotations

import sys

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automation.errors import InputError
from automation.sources import payload

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "there is nothing to read; send JSON"),
        (b"  \n", "there is nothing to read"),
        (b'{"a": 1', "it ends too early (byte 7); was it cut off?"),
        (b"[1,]", "trailing comma in array (byte 3)"),
        (b'{"a": NaN}', "it has NaN or Infinity (byte 6), which JSON does not have; send null"),
        (b'{"a": "\\ud83d"}', "it has half of a surrogate pair (byte 7), which is no character; send both halves"),
        (b'["\\ud83d\\ude00 \\\\ud83d", "\\ude00"]', "it has half of a surrogate pair (byte 26)"),
        (b'["\\ud83d\\u0041 and more"]', "it has half of a surrogate pair (byte 2)"),
        (b'["\\ud83d\\u', "it ends too early (byte 10)"),
        (b"[1, -Infinity]", "it has NaN or Infinity (byte 5)"),
        (b"[1e999]", "it has a number that is too large; send it as text"),
        (b"[" + b"9" * 5000 + b"]", "it has a number that is too large"),
        (b'["\xff"]', "it is not UTF-8 (byte 2); send UTF-8"),
        (b'"\\ud800 lonely"', "surrogate"),
        (b"{} {}", "trailing characters"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(body: bytes, says: str) -> None:
    with pytest.raises(InputError) as caught:
        payload.parse_json(body, max_depth=8)
    assert says in caught.value.message


def test_a_byte_order_mark_is_no_reason_to_refuse() -> None:
    assert payload.parse_json(b"\xef\xbb\xbf[1]", max_depth=1) == [1]


@pytest.mark.parametrize("shape", ["[{}]", '{{"a": {}}}'])
def test_as_deep_as_allowed_and_one_deeper(shape: str) -> None:
    text = "1"
    for _ in range(64):
        text = shape.format(text)
    assert payload.parse_json(text.encode(), max_depth=64) is not None
    with pytest.raises(InputError, match=r"nested deeper than 64 levels \(byte \d+\); send it flatter"):
        payload.parse_json(shape.format(text).encode(), max_depth=64)


@pytest.mark.parametrize("depth", [sys.getrecursionlimit(), 100_000])
def test_absurd_depth_is_an_input_error_and_not_a_recursion_error(depth: int) -> None:
    for body in (b"[" * depth + b"]" * depth, b"[" * depth, b'{"a":' * depth):
        with pytest.raises(InputError, match="nested deeper than 64 levels"):
            payload.parse_json(body, max_depth=64)


def test_finding_the_place_takes_linear_time_whatever_the_quotes() -> None:
    # Deep enough to be refused while reading, then a million quotes, none of which ends the string.
    body = b"[" * 30 + b'"' + b'\\"' * 500_000 + b"\\"
    assert payload._too_deep(body, 500).message == "the JSON is nested deeper than 500 levels; send it flatter"


def test_brackets_in_texts_do_not_count() -> None:
    assert payload.parse_json(b'["[[[[[[{{{{\\"[[["]', max_depth=1) == ['[[[[[[{{{{"[[[']


@settings(deadline=None)
@given(values)
def test_json_comes_back_as_it_was(value: object) -> None:
    body = msgspec.json.encode(value)
    assert payload.parse_json(body, max_depth=100) == msgspec.json.decode(body)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='[]{}":,1eE-.\\un null', max_size=60).map(str.encode))
@example(b"[" * 3000)
def test_any_bytes_are_a_value_or_an_input_error(body: bytes) -> None:
    try:
        value = payload.parse_json(body, max_depth=5)
    except InputError:
        return
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


def test_errors_say_the_path() -> None:
    body = {"alerts": [{"labels": {"a": 1}}], "n": True}
    with pytest.raises(InputError, match=r"^alert: is required$"):
        payload.require(body, "alert", list)
    with pytest.raises(InputError, match=r"^alerts\[0\]\.labels\.a: must be text, not a whole number$") as caught:
        payload.texts(body["alerts"][0], "labels", "alerts[0]")  # type: ignore[index]
    assert caught.value.path == "alerts[0].labels.a"
    with pytest.raises(InputError, match=r"^n: must be a whole number, not true or false$"):
        payload.optional(body, "n", 0)
    with pytest.raises(InputError, match=r"^x\['odd key'\]: must be a list, not null$"):
        payload.require({"odd key": None}, "odd key", list, "x")
    assert payload.optional({"n": None}, "n", 7) == 7


@pytest.mark.parametrize("text", ["yesterday", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", ""])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^at: (must be a time such as|is outside of the years)"):
        payload.moment(text, "at")


def test_times_are_read_with_and_without_a_zone_and_with_nanoseconds() -> None:
    assert payload.moment("2026-11-23T01:25:06.5Z", "at") == payload.moment("2026-11-23T02:25:06.5+01:00", "at")
    assert payload.moment("2026-11-23T01:25:06.632123456Z", "at") == pytest.approx(1795397106.632123)
    with pytest.raises(InputError, match="outside of the years"):
        payload.in_range(10**400, "at")
