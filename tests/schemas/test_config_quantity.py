"""Durations and sizes are read as people write them, and told in the same form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas import duration, size


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("20s", 20),
        ("500ms", 0.5),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        (" 7d ", 604_800),
        ("1.5s", 1.5),
        ("20", 20),
        (0.25, 0.25),
        (3, 3),
        ("0", 0),
    ],
)
def test_a_duration_is_read_in_each_form(text: object, span: float) -> None:
    assert duration.seconds(text) == span


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1 y", "1h-2m", "1e3", "inf", True, None, -1, float("nan"), []]
)
def test_what_is_no_duration_is_refused_with_what_to_write(text: object) -> None:
    with pytest.raises(ValueError, match=r"^Write a duration"):
        duration.seconds(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_that_is_told_reads_back_as_it_was(milliseconds: int) -> None:
    span = milliseconds / 1000
    assert duration.seconds(duration.spoken(span)) == pytest.approx(span, abs=1e-6)


def test_a_duration_is_told_short() -> None:
    spans = (0, 0.25, 1.5, 30, 93, 5400, 86_400, 604_800, 0.0001)
    told = ["0s", "250ms", "1.5s", "30s", "1m33s", "1h30m", "1d", "7d", "0.0001s"]
    assert [duration.spoken(span) for span in spans] == told


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8MiB", 8 << 20),
        ("1 kib", 1024),
        ("1.5KiB", 1536),
        ("2GB", 2 * 10**9),
        ("10", 10),
        ("10B", 10),
        (7, 7),
    ],
)
def test_a_size_is_read_in_each_form(text: object, count: int) -> None:
    assert size.octets(text) == count


@pytest.mark.parametrize("text", ["", "8M", "MiB", "-1", "1.5", "1.0001KiB", 1.5, True, None, -1])
def test_what_is_no_size_is_refused_with_what_to_write(text: object) -> None:
    with pytest.raises(ValueError, match=r"^Write a size"):
        size.octets(text)


@given(st.integers(min_value=0, max_value=1 << 50))
def test_a_size_that_is_told_reads_back_as_it_was(count: int) -> None:
    assert size.octets(size.spoken(count)) == count
