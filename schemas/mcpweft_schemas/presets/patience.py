"""Whether times add up, failures are tried again, and servers are judged sanely.

Above stands `review`. Below is what every rule returns: `finding`. This module must never count servers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mcpweft_schemas import duration
from mcpweft_schemas.presets.finding import error, key, recommendation, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.presets.finding import Finding, Subject

_JUMPY, _STOIC = 2, 20
"""Failures in a row: fewer than the one are no sign, more than the other are no breaker."""
_LONG_OUT_S = 600.0
_LONG_DEAD_S = 10.0
_LONG_CHECK_S = 60.0


def summed(subject: Subject) -> Iterator[Finding]:
    """Find attempts that a call's time does not hold, with the pauses between them."""
    call, say = subject.config.call, duration.spoken
    pauses = duration.longest_wait(call.backoff, call.backoff_max, call.max_attempts)
    spans = {"call.attempt_timeout": call.attempt_timeout}
    for server in subject.config.active.values():
        where = key("servers", server.name)
        if server.attempt_timeout is not None:
            spans[f"{where}.attempt_timeout"] = server.attempt_timeout
        spans |= {key("servers", server.name, "tool_timeouts", tool): span
                  for tool, span in server.tool_timeouts.items()}  # fmt: skip
    for where, span in spans.items():
        need = span * call.max_attempts + pauses
        if need >= call.timeout:
            most = (call.timeout - pauses) / call.max_attempts
            mend = f', or at most "{say(math.ceil(most * 10 - 1) / 10)}" there' if most > 1 else ""
            yield error(
                where,
                f"{call.max_attempts} attempts of {say(span)} and {say(pauses)} of pauses need {say(need)}, "
                f"and call.timeout is {say(call.timeout)}: a call ends before its last attempt does.",
                f'call.timeout = "{say(math.ceil(need * 1.1))}"{mend}',
            )


def ruled(subject: Subject) -> Iterator[Finding]:
    """Find rules that give a request more attempts than its time holds."""
    call, say = subject.config.call, duration.spoken
    for rule in subject.config.rules:
        if rule.then.max_attempts is None and rule.then.timeout is None:
            continue
        attempts, span = rule.then.max_attempts or call.max_attempts, rule.then.timeout or call.timeout
        need = call.attempt_timeout * attempts + duration.longest_wait(
            call.backoff, call.backoff_max, attempts
        )
        if need >= span:
            yield warning(
                f"{key('rules', rule.name)}.then",
                f"{attempts} attempts of {say(call.attempt_timeout)} and their pauses need {say(need)}, and "
                f"its time is {say(span)}: a call ends before its last attempt does.",
                f'timeout = "{say(math.ceil(need * 1.1))}", or fewer max_attempts',
            )


def retried(subject: Subject) -> Iterator[Finding]:
    """Find failures that would not be tried again."""
    call, queue = subject.config.call, subject.config.queue
    if call.max_attempts < 2:  # noqa: PLR2004  # a second attempt is what failover is
        yield error(
            "call.max_attempts",
            "It is 1: a call ends with the first server that fails. There is no failover.",
            "3",
        )
    if queue.retry_ratio == 0 and queue.retry_floor == 0:
        yield error(
            "queue.retry_ratio",
            "It is 0, and queue.retry_floor too: no retry is ever earned.",
            "0.1, and a floor of 10",
        )
    for server in subject.config.active.values():
        where = key("servers", server.name)
        if queue.retry_burst <= server.concurrency:
            yield warning(
                "queue.retry_burst",
                f"The death of one {server.name} cuts off {server.concurrency} calls, and "
                f"{queue.retry_burst} retries are saved up at most.",
                str(2 * server.concurrency),
            )
        if not server.idempotent and not server.trust_annotations:
            yield warning(
                f"{where}.idempotent",
                f"No tool of {server.name} counts as safe to run twice, so a call that is cut off ends as "
                "OUTCOME_UNKNOWN and is not tried elsewhere.",
                'The tools that are, such as ["get_*", "search_*"]; or trust_annotations = true',
            )


def judged(subject: Subject) -> Iterator[Finding]:
    """Find breakers that open for nothing, never, or for too long."""
    breaker, call = subject.config.breaker, subject.config.call
    if breaker.failure_threshold < _JUMPY:
        yield warning(
            "breaker.failure_threshold", "It is 1: one lost packet takes a server out.", "2 to 10; 5 is usual"
        )
    if breaker.failure_threshold > _STOIC:
        yield warning(
            "breaker.failure_threshold",
            f"It is {breaker.failure_threshold}: a dead server gets as many calls before it is taken out.",
            "2 to 10; 5 is usual",
        )
    if not breaker.failures:
        yield error(
            "breaker.failures", "It is empty: nothing is a failure, so no breaker ever opens.",
            '["died", "unreachable", "timeout", "protocol"]',
        )  # fmt: skip
    if breaker.slow_call is not None and breaker.slow_call >= call.attempt_timeout:
        yield warning(
            "breaker.slow_call",
            "It is no less than call.attempt_timeout: such a call has timed out, so none is ever slow.",
            f'"{duration.spoken(call.attempt_timeout / 2)}"',
        )
    if breaker.recovery > _LONG_OUT_S:
        yield warning(
            "breaker.recovery",
            f"A server that was taken out is not asked again for {duration.spoken(breaker.recovery)}.",
            '"1m"',
        )
    if breaker.check_every > _LONG_CHECK_S:
        yield recommendation(
            "breaker.check_every", "An idle server that has died is only found by the next call.", '"10s"'
        )


def noticed(subject: Subject) -> Iterator[Finding]:
    """Find deaths that would be noticed late, and stops that would cost calls."""
    worker, call = subject.config.worker, subject.config.call
    if worker.dead_after > _LONG_DEAD_S:
        yield warning(
            "worker.dead_after",
            f"A worker that stands still keeps its calls for {duration.spoken(worker.dead_after)}.",
            '"1s"',
        )
    if worker.grace < min(1.0, call.attempt_timeout):
        yield recommendation(
            "worker.grace",
            "Calls that run when a worker is told to stop are cut off at once; those that are not safe to "
            "repeat end as OUTCOME_UNKNOWN.",
            '"10s"',
        )
    if worker.hung_after is not None and worker.hung_after < 2:  # noqa: PLR2004  # a busy server is not a dead one
        yield warning(
            "worker.hung_after",
            "A server that is busy for so long is restarted with the calls that it works on.",
            '"5s", or unset',
        )
