from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mcpweft import errors
from mcpweft.terms import Defaults, read_terms
from mcpweft_schemas.config import load_config
from mcpweft_schemas.life import Class

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Defaults()


def test_the_defaults_are_those_of_the_configuration() -> None:
    assert Defaults.of(load_config(environ={})) == PLAIN


def test_the_nearest_file_and_the_environment_set_the_defaults(tmp_path: Path) -> None:
    assert Defaults.found(tmp_path, {}) == PLAIN
    (tmp_path / "mcpweft.toml").write_text('[call]\ntimeout = "300s"\n[queue]\nresult_ttl = "2h"\n')
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    found = Defaults.found(inner, {"MCPWEFT_CALL__OUTSTANDING": "7"})
    assert (found.timeout, found.result_ttl, found.outstanding) == (300, 7200, 7)
    assert Defaults.found(tmp_path, {"MCPWEFT_CALL__TIMEOUT": "200s"}).timeout == 200


def test_a_time_is_seconds_text_or_a_timedelta() -> None:
    for span in (90, 90.0, "90", "1m30s", timedelta(seconds=90)):
        assert read_terms({"timeout": span}, PLAIN).timeout == 90
    assert read_terms({}, PLAIN, stored=True).timeout == 3600


def test_what_is_asked_for_reaches_the_wire() -> None:
    terms = read_terms(
        {
            "priority": 9, "timeout": 100, "start_within": 2, "attempt_timeout": "10s", "max_attempts": 2,
            "idempotency_key": "k", "idempotent": True, "delay": 5, "when_unavailable": "raise",
            "tenant": "t", "metadata": {"m": 1}, "trace": "00-ab-cd-01", "on_progress": print,
        },
        PLAIN,
    )  # fmt: skip
    sent = terms.submission("cap~x", "tool", {"a": 1}, waiter="w")
    assert (sent.klass, sent.timeout_ms, sent.start_within_ms, sent.delay_ms) == (
        Class.CRITICAL, 105_000, 7000, 5000,
    )  # fmt: skip
    assert (sent.attempt_timeout_ms, sent.max_attempts, sent.safe) == (10_000, 2, True)
    assert set(sent.flags) == {"s", "u", "p"}
    assert (sent.tenant, sent.trace, sent.waiter) == ("t", "00-ab-cd-01", "w")
    assert (sent.keep_ms, sent.key_keep_ms) == (86_400_000, 86_400_000)
    assert len(sent.key) == len(sent.print) == 32
    assert terms.submission("cap~y", "tool", {"a": 1}, waiter="", flags="sdp").flags == "sdpu"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeot": 1}, "no option 'timeot'. Did you mean timeout?"),
        ({"timeout": "soon"}, "timeout is 'soon'. Write a duration"),
        ({"timeout": -1}, "timeout is -1"),
        ({"timeout": 0}, "timeout is 0"),
        ({"priority": 11}, "priority is 11. Write 0 to 10, or one of critical"),
        ({"priority": "urgent"}, "priority is 'urgent'"),
        ({"priority": True}, "priority is True"),
        ({"max_attempts": 0}, "max_attempts is 0"),
        ({"idempotency_key": ""}, "idempotency_key is empty"),
        ({"when_full": "drop"}, "when_full is 'drop'. Write 'wait' or 'raise'"),
        ({"on_cancel": "x"}, "on_cancel is 'x'"),
        ({"when_unavailable": "wait"}, "Write 'queue' or 'raise'"),
        (
            {"attempt_timeout": 60},
            "timeout (2m) is shorter than its attempts: 3 times 1m and 3s of backoff make 3m3s",
        ),
    ],
)
def test_a_wrong_option_is_named_with_what_to_write(options: Any, said: str) -> None:
    with pytest.raises(errors.InvalidConfigError) as caught:
        read_terms(options, PLAIN)
    assert said in str(caught.value)


def test_attempts_are_only_checked_against_a_time_that_was_given() -> None:
    assert read_terms({"timeout": 20}, PLAIN).attempt_timeout == 0
    assert read_terms({"timeout": 20, "attempt_timeout": 20, "max_attempts": 1}, PLAIN).timeout == 20


@pytest.mark.parametrize("name", ["tenant", "trace"])
def test_what_is_no_text_where_text_is_asked_for_is_refused_before_anything_is_sent(name: str) -> None:
    options: Any = {name: None}
    with pytest.raises(errors.InvalidConfigError, match=f"{name} is None"):
        read_terms(options, Defaults())
