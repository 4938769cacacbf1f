"""What may travel and what may not: sizes, depth, types; sent by us, or written by anyone else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.errors import InvalidArgumentsError
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Attempt, Executed
from mcpweft_schemas.packing import MAX_DEPTH, pack, unpack
from mcpweft_schemas.wire import (
    MAX_BODY,
    Delivery,
    Reply,
    Submission,
    fingerprint,
    key_digest,
    pack_request,
    paired,
    read_attempts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# -- bodies ------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=30,
)


@given(JSON)
def test_whatever_is_like_json_travels_and_comes_back_the_same(value: Any) -> None:
    assert unpack(pack(value)) == value


@given(st.binary())
def test_no_bytes_at_all_break_the_reader(data: bytes) -> None:
    try:
        value = unpack(data)
    except ValueError:
        return
    pack(value)  # whatever is read may be sent on


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(("value", "why"), [
    ({"a": [1, {"b": math.nan}]}, r"\$\.a\[1\]\.b is nan"),
    ([math.inf], r"\$\[0\] is inf"),
    ({"a": b"bytes"}, r"\$\.a is of type bytes"),
    ({"a": {1: 2}}, r"\$\.a has the key 1"),
    ({"a": {1, 2}}, r"\$\.a is of type set"),
    ({"a": 2**64}, "more than 64 bits"),
    ({"a": -(2**63) - 1}, "more than 64 bits"),
    ({"a": object()}, "cannot travel"),
    ({"a": "\ud800"}, "half of a surrogate pair"),
    ({"\udfff": 1}, "half of a surrogate pair"),
    (_deep(MAX_DEPTH + 1), f"more than {MAX_DEPTH} deep"),
])  # fmt: skip
def test_what_json_cannot_hold_is_refused_with_its_path(value: Any, why: str) -> None:
    with pytest.raises(InvalidArgumentsError, match=why):
        pack(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(InvalidArgumentsError, match="deep"):
        pack(value)


def test_the_deepest_value_that_may_be_sent_may_be_read() -> None:
    assert unpack(pack(_deep(MAX_DEPTH))) == _deep(MAX_DEPTH)


@pytest.mark.parametrize("data", [
    pytest.param(msgpack.packb(math.nan), id="NaN"),
    pytest.param(msgpack.packb([math.inf]), id="infinity"),
    pytest.param(msgpack.packb(b"bin"), id="bytes"),
    pytest.param(msgpack.packb(msgpack.ExtType(5, b"x")), id="extension"),
    pytest.param(msgpack.packb(msgpack.Timestamp(1)), id="timestamp"),
    pytest.param(msgpack.packb({1: 2}), id="integer key"),
    pytest.param(b"\x81\xc4\x01a\x01", id="bytes key"),
    pytest.param(b"\x82\xa1a\x01\xa1a\x02", id="key twice"),
    pytest.param(b"\x91\x82\xa1a\x01\xa1a\x01", id="key twice inside"),
    pytest.param(b"\x91" * (MAX_DEPTH + 1) + b"\x01", id="too deep"),
    pytest.param(b"\x91" * 100_000 + b"\x01", id="far too deep"),
    pytest.param(b"\xdd\xff\xff\xff\xff", id="length without content"),
    pytest.param(b"\xa2a", id="cut off"),
    pytest.param(b"\x01\x02", id="something behind"),
    pytest.param(b"\xa1\xff", id="no UTF-8"),
    pytest.param(b"", id="nothing"),
    pytest.param(b"\xc1", id="no such type"),
])  # fmt: skip
def test_bytes_that_are_no_body_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(data)


def test_a_body_over_its_size_is_not_even_looked_at() -> None:
    with pytest.raises(ValueError, match="11 bytes, where at most 10"):
        unpack(b"\xc1" * 11, 10)


def test_a_request_over_its_size_is_refused_and_the_largest_is_not() -> None:
    frame = len(pack_request({"a": "x" * 100_000}, None)) - 100_000
    assert len(pack_request({"a": "x" * (MAX_BODY - frame)}, None)) == MAX_BODY
    with pytest.raises(InvalidArgumentsError, match=f"{MAX_BODY + 1} bytes, where at most {MAX_BODY}"):
        pack_request({"a": "x" * (MAX_BODY - frame + 1)}, None)


# -- keys and prints ---------------------------------------------------------------------------------------


def test_the_order_of_arguments_does_not_change_their_print() -> None:
    one = fingerprint("t", {"a": 1, "b": {"c": [{"d": 1, "e": 2}], "f": 3}})
    two = fingerprint("t", {"b": {"f": 3, "c": [{"e": 2, "d": 1}]}, "a": 1})
    assert one == two
    assert len(one) == 32


@pytest.mark.parametrize(
    "other", [("u", {"a": 1}), ("t", {"a": 2}), ("t", {"b": 1}), ("t", {"a": "1"}), ("t", {})]
)
def test_other_arguments_have_another_print(other: tuple[str, dict[str, Any]]) -> None:
    assert fingerprint("t", {"a": 1}) != fingerprint(*other)


def test_two_tenants_never_share_a_key() -> None:
    assert key_digest("a", "bc") != key_digest("ab", "c")
    assert key_digest("", "k") != key_digest("k", "")


# -- what enqueue, fetch and replies hold ------------------------------------------------------------------


def test_a_submission_is_the_20_values_that_the_script_reads() -> None:
    plain = Submission("c~1", "t", Class.LOW, b"b", 1000)
    assert plain.arguments() == [
        "c~1", "1", "t", "low", 1000, 0, 0, 3, 0, "", "", "", "", "", "", "", 0, 0, b"", b"b",
    ]  # fmt: skip


def _delivery(body: bytes) -> Delivery:
    raw: list[Any] = [b"s", b"1-1", b"c~1", b"low", b"1", b"1", b"3", b"1000", b"0", b"0", b"", b"5"]
    return Delivery.read([*raw, [b"v", b"1", b"id", b"c~1", b"body", body]])


@pytest.mark.parametrize("body", [
    b"", b"\xc1", pack([1]), pack({}), pack({"arguments": [1]}), pack({"arguments": None}),
])  # fmt: skip
def test_a_delivery_whose_body_is_none_says_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        _delivery(body).request()


@pytest.mark.parametrize("metadata", [None, 5, "x", {"k": "v"}])
def test_metadata_that_is_none_is_empty(metadata: Any) -> None:
    delivery = _delivery(pack({"arguments": {"a": 1}, "metadata": metadata}))
    assert delivery.request() == ({"a": 1}, metadata if isinstance(metadata, dict) else {})


def test_fields_that_are_missing_are_empty() -> None:
    delivery = _delivery(b"")
    assert (delivery.tool, delivery.tenant, delivery.trace) == ("", "", "")


def test_a_hello_and_an_empty_entry_are_no_replies() -> None:
    assert Reply.read(paired([b"v", b"1", b"kind", b"hello"])) is None
    assert Reply.read(paired([])) is None


def test_an_empty_log_has_no_attempts_and_a_longer_one_has_them_in_order() -> None:
    assert list(read_attempts("")) == []
    log = "a\tw1\tWORKER_DIED\tmaybe\t5\t7\nb\tw2\tOK\tyes\t20\t3"
    assert list(read_attempts(log)) == [
        Attempt("a", "w1", "WORKER_DIED", Executed.MAYBE, 5, 7),
        Attempt("b", "w2", "OK", Executed.YES, 20, 3),
    ]


@pytest.mark.parametrize("write", [lambda: pack_request({"a": 1}, {}), lambda: pack_request({"a": 1}, None)])
def test_empty_metadata_is_left_out(write: Callable[[], bytes]) -> None:
    assert unpack(write()) == {"arguments": {"a": 1}}
