"""Strict base64url and strict JSON, each against a slow reference that is obviously right."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit.errors import MalformedToken
from admit.jose.encoding import MAX_DEPTH, MAX_INTEGER, b64url_decode, b64url_encode, json_object, prepare

SOAK = pytest.param(10_000, marks=pytest.mark.soak)
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def reference_decode(text: bytes) -> bytes | None:
    """The bytes of canonical base64url, or None: what encodes to exactly this text."""
    try:
        data = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if base64.urlsafe_b64encode(data).rstrip(b"=") == text else None


def decoded(text: bytes) -> bytes | None:
    try:
        return b64url_decode(text)
    except MalformedToken:
        return None


@pytest.mark.parametrize("examples", [300, SOAK])
def test_base64url_is_read_as_the_reference_reads_it(examples: int) -> None:
    near = st.lists(st.sampled_from([*ALPHABET, *b'+/= \n\r\t.\0"\\\xff\x80']), max_size=12).map(bytes)

    @settings(max_examples=examples)
    @given(text=st.binary(max_size=40) | near | st.binary(max_size=20).map(b64url_encode))
    def same(text: bytes) -> None:
        assert decoded(text) == reference_decode(text)

    same()


def test_every_short_text_of_the_alphabet_is_read_as_the_reference_reads_it() -> None:
    for first in ALPHABET:
        for second in ALPHABET:
            for text in (bytes((first, second)), b"A" + bytes((first, second)), b"AA" + bytes((first, second))):
                assert decoded(text) == reference_decode(text)
    for byte in range(256):
        for text in (
            bytes((byte,)),
            b"A" + bytes((byte,)),
            b"AA" + bytes((byte,)),
            bytes((byte,)) + b"AAA",
            b"AA" + bytes((byte,)) + b"A",
        ):
            assert decoded(text) == reference_decode(text)


@given(data=st.binary(max_size=200))
@settings(max_examples=100)
def test_what_is_encoded_is_decoded_to_the_same(data: bytes) -> None:
    text = b64url_encode(data)
    assert b64url_decode(text) == data
    assert not set(text) - set(ALPHABET)


@pytest.mark.parametrize(
    "text",
    [
        b"A",
        b"AAAAA",
        b"AB",
        b"AAB",
        b"AA=",
        b"AA==",
        b"AAA=",
        b"AA\n",
        b" AA",
        b"A+AA",
        b"A/AA",
        b"AAA\xff",
        b"====",
        b'"',
    ],
)
def test_base64url_has_one_spelling(text: bytes) -> None:
    with pytest.raises(MalformedToken):
        b64url_decode(text)
    assert [b64url_decode(good) for good in (b"", b"AA", b"AAA", b"AAAA", b"-_8")] == [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\0",
        b"\xfb\xff",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":1,"a":1}',
        '{ "a":1, "a":2}',
        '{"a":1,"\\u0061":2}',
        '{"x":{"a":1,"a":2}}',
        '{"x":[{"a":1,"b":2},{"a":1,"a":2}]}',
        '{"a":18446744073709551616}',
        '{"a":-18446744073709551616}',
        '{"a":[1e5,{"b":18446744073709551616}]}',
        '{"a":NaN}',
        '{"a":1e400}',
        '{"a":"\\ud800"}',
        '{"a":1}{"b":2}',
        '[{"a":1}]',
        '"a"',
        "null",
        "",
    ],
)
def test_what_is_no_strict_object_is_refused(text: str) -> None:
    with pytest.raises(MalformedToken):
        json_object(text.encode())
    assert json_object(b'{"a":[18446744073709551615,-18446744073709551615],"b":{"a":1}, "c":":"}') == {
        "a": [2**64 - 1, -(2**64) + 1],
        "b": {"a": 1},
        "c": ":",
    }


def test_a_type_that_msgspec_cannot_learn_is_told_of_beforehand() -> None:
    prepare(dict[str, int])
    with pytest.raises(TypeError):
        prepare(dict[str, int] | dict[str, str])


def reference_json(data: bytes) -> dict[str, Any] | None:
    """The object, or None where strict JSON refuses: slow, by the standard library's hooks."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in members}) != len(members):
            raise ValueError("a duplicate")
        return dict(members)

    def integer(text: str) -> int:
        if len(text) > 25 or not -MAX_INTEGER < int(text) < MAX_INTEGER:
            raise ValueError("too many bits")
        return int(text)

    def floating(text: str) -> float:
        if float(text) in (float("inf"), float("-inf")):
            raise ValueError("overflow")
        return float(text)

    def constant(text: str) -> float:
        raise ValueError(text)

    def depth(value: Any) -> int:
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if below is None else 1 + max(map(depth, below), default=0)

    try:
        text = data.decode("utf-8")
        if text.startswith("\ufeff"):
            return None
        value = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_float=floating, parse_constant=constant
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate cannot be written
        return value if isinstance(value, dict) and depth(value) <= MAX_DEPTH else None
    except (ValueError, RecursionError):
        return None


def read(data: bytes) -> dict[str, Any] | None:
    try:
        return json_object(data)
    except MalformedToken:
        return None


def same_json(data: bytes) -> None:
    ours, theirs = read(data), reference_json(data)
    assert repr(ours) == repr(theirs), data[:200]


# Text in JSON's own words, so that names repeat, strings hold colons and quotes, and spaces are everywhere.
WORDS = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"a"',
        b'"b"',
        b'"\\u0061"',
        b'"\\"',
        b'":',
        b'"\\":"',
        b'"{\\"a\\":1}"',
        b'"\\\\"',
        b'"x:y"',
        b"1",
        b"-0",
        b"0",
        b"1.5",
        b"1e5",
        b"-1E-2",
        b"18446744073709551615",
        b"18446744073709551616",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"-18446744073709551616",
        b"00000000000000000000",
        b"1" * 21,
        b"true",
        b"null",
        b"NaN",
        b" ",
        b"\n",
        b"\t",
        b'"\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\xc3\xa9"',
        b'"\xff"',
        b'"',
        b"\\",
        b"0.00000000000000000000001",
        b"1e400",
        b'"\x00"',
    ]
)
VALUES = st.recursive(
    st.sampled_from(
        [
            b"1",
            b"1.0",
            b'"a"',
            b'"\\":"',
            b'":"',
            b'",\\"a\\":"',
            b"null",
            b"true",
            b"[]",
            b"{}",
            b"1" * 20,
            b"1e30",
            b"-0.0",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: b"[" + b",".join(items) + b"]")
        | st.lists(
            st.tuples(st.sampled_from([b'"a"', b'"b"', b'"\\u0061"', b'"a "', b'"a:"', b'""', b'"\\""']), inner),
            max_size=3,
        ).map(lambda members: b"{" + b",".join(name + b":" + value for name, value in members) + b"}")
    ),
    max_leaves=10,
)
MEMBERS = st.lists(
    st.tuples(st.sampled_from([b'"a"', b'"b"', b'"c"', b'"\\u0061"', b'"\\":"']), VALUES), max_size=4
).map(lambda members: b"{" + b",".join(name + b":" + value for name, value in members) + b"}")


@pytest.mark.parametrize("examples", [1500, SOAK])
def test_json_is_read_as_the_reference_reads_it(examples: int) -> None:
    spaced = st.builds(
        lambda data, space: data.replace(b",", b"," + space).replace(b":", space + b":"),
        MEMBERS,
        st.sampled_from([b" ", b"\n", b"\t"]),
    )

    @settings(max_examples=examples)
    @given(
        data=MEMBERS
        | spaced
        | st.lists(WORDS, max_size=12).map(b"".join)
        | st.lists(WORDS, max_size=9).map(lambda w: b'{"a":' + b"".join(w) + b"}")
        | st.binary(max_size=30)
    )
    def same(data: bytes) -> None:
        same_json(data)

    same()


@pytest.mark.parametrize("examples", [150, SOAK])
def test_json_written_by_others_is_read_as_the_reference_reads_it(examples: int) -> None:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
    )
    trees = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
        max_leaves=15,
    )

    @settings(max_examples=examples)
    @given(
        value=st.dictionaries(st.text(max_size=4), trees, max_size=4),
        ascii_only=st.booleans(),
        indent=st.sampled_from([None, 0, 2]),
    )
    def same(value: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
        separators = (",", ":") if indent is None else None
        same_json(
            json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators).encode(
                "utf-8", "surrogatepass"
            )
        )

    same()


@pytest.mark.parametrize("depth", [*range(28, 37), 100, 900, 5000])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"), (b"[ ", b" ]")])
@pytest.mark.parametrize("core", [b"1", b"{}", b"[]", b"[{}]"])
def test_depth_is_bounded_however_it_is_made(depth: int, brackets: tuple[bytes, bytes], core: bytes) -> None:
    opened, closed = brackets
    same_json(b'{"a":' + opened * depth + core + closed * depth + b"}")
    same_json(b'{"a":{},"b":' + opened * depth + core + closed * depth + b"}")


@pytest.mark.parametrize("number", ["1e308", "5e-324", "1E-320", "1.5e+300", "1e000000308", "-1e290"])
@pytest.mark.parametrize("shape", ['{"x":[%s],"y":[[]]}', '{"x":[%s]}', '{"a\\"b":"\\\\","x":[ %s ]}', '{"x":[%s'])
def test_many_numbers_that_are_slow_to_read_are_not_read(number: str, shape: str) -> None:
    with pytest.raises(MalformedToken, match="exponent"):
        json_object((shape % ",".join([number] * 500)).encode())
    with pytest.raises(MalformedToken, match="exponent"):
        json_object((shape % ",".join(["1"] * 500 + [number])).encode())


def test_one_such_number_and_what_only_looks_like_one_are_read() -> None:
    assert json_object(b'{"x":1e300}') == {"x": 1e300}
    assert json_object(b"{" + b",".join(b'"%d":"%d1e308"' % (n, n) for n in range(500)) + b"}")["7"] == "71e308"
    text = '{"x":[' + ",".join(["1e99", "1e-99", "12e10", '"1e308"', '"\\"1e308"'] * 100) + "]}"
    assert json_object(text.encode())["x"][:5] == [1e99, 1e-99, 12e10, "1e308", '"1e308']
