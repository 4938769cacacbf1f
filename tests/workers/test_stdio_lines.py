"""Cutting bytes into lines, by every way of cutting them into chunks."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_workers.lines import Lines, Overlong, reply_id

CAP = 2000


def fed(data: bytes, cuts: list[int], cap: int = CAP) -> list[bytes | Overlong]:
    lines = Lines(cap)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [line for start, end in pairwise(places) for line in lines.feed(data[start:end])]


@given(
    st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b""))),
    st.lists(st.integers(0, 10_000)),
)
def test_chunks_do_not_matter(lines: list[bytes], cuts: list[int]) -> None:
    assert fed(b"".join(line + b"\n" for line in lines), cuts) == [line for line in lines if line]


@given(st.integers(0, 3000), st.lists(st.integers(0, 100_000), max_size=8))
def test_a_line_over_the_cap_is_told_with_both_ends_and_the_next_is_whole(size: int, cuts: list[int]) -> None:
    data = b"first\n" + b"h" * 600 + b"x" * (CAP + size) + b"t" * 600 + b"\nlast\n"
    found = fed(data, cuts)
    assert [line for line in found if isinstance(line, bytes)] == [b"first", b"last"]
    ends = [line for line in found if isinstance(line, Overlong) and line.ended]
    assert len(ends) == 1
    assert set(ends[0].head) == {ord("h")}
    assert set(ends[0].tail) == {ord("t")}


def test_a_long_line_in_small_chunks_costs_linear_time() -> None:
    lines = Lines(1 << 26)
    began = time.monotonic()
    for _ in range(20_000):
        lines.feed(b"x" * 1000)
    assert len(lines.feed(b"\n")) == 1
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("head", "tail", "rid"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"conte', b"xxx", 7),
        (b' {"id" : 7 , "jsonrpc"', b"", 7),
        (b'{"result":{"a', b'}]},"jsonrpc":"2.0","id":7}', 7),
        (b'{"result":{"a', b'}]},"id":7,"jsonrpc":"2.0"}\r', 7),
        (b'{"result":{"a', b'"id":7}}', None),
        (b'{"result":{"id":7,"a', b"x", None),
        (b'{"jsonrpc":"2.0","id":"7","result"', b"", None),
        (b"", b"", None),
    ],
)
def test_a_reply_s_id_is_read_where_it_is_plain_only(head: bytes, tail: bytes, rid: int | None) -> None:
    assert reply_id(head, tail) == rid
