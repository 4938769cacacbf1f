"""The seven presets, by name.

Each states the service time for which it states its calls a second: by Little's law these need
`most_qps * service_time` slots, and its least number of servers has them below `scaling.up_at`.
`scripts/bench presets` measures whether they are reached. A key that is not named keeps its default.

Above stand whoever chooses one: `mcpweft init --preset`, and users in Python. This module must never decide
anything: it is a table.
"""

from __future__ import annotations

from mcpweft_schemas.presets.preset import LeftOut, Load, Preset, Purpose, Setting, Size

_FIRST = LeftOut(
    "the number of servers at the start",
    "the fleet starts with `min`, or with what the last leader left, and follows the load from there",
)
_METRICS = (
    Setting(
        ("worker", "port"), 0, "Metrics and health of each worker, on any free port: one host runs several."
    ),
    Setting(
        ("coordinator", "port"),
        9464,
        "Metrics, health and /v1/scaling of the coordinator; a second one on the same host needs another.",
    ),
)


_NO_SPARE = Setting(
    key=("coordinator", "spare"),
    value=False,
    reason="80 MB less; a worker that starts anew takes a second or two more.",
)


def _slots(count: int, reason: str) -> Setting:
    return Setting(("concurrency",), count, reason)


def _strategy(name: str, reason: str) -> Setting:
    return Setting(("strategy", "name"), name, reason)


_WAITS = "Calls that one server runs at once; lower it where a tool computes instead of waiting."

DEVELOPMENT = Preset(
    name="development",
    purpose=Purpose.DEVELOPMENT,
    character="One server, small limits, errors soon",
    size=Size(1, 1, 1),
    load=Load(5, 10, 1.0),
    concurrency=_slots(50, "Small: what would flood a server is noticed here and not in production."),
    settings=(
        _strategy("round_robin", "One server: there is nothing to divide."),
        Setting(("call", "attempt_timeout"), "15s", "Somebody is waiting in front of a screen."),
        Setting(("call", "timeout"), "1m", "Three attempts of 15 s and their pauses need 48 s."),
        _NO_SPARE,
    ),
    left_out=(
        LeftOut(
            "a second server (1-2) without autoscaling",
            "without scaling the number is fixed, at 1; write `workers = 2` to see how a server takes a twin",
        ),
    ),
)

PRODUCTION_SMALL = Preset(
    name="production_small",
    purpose=Purpose.PRODUCTION,
    character="Follows the load, survives a server",
    size=Size(2, 3, 6),
    load=Load(50, 100, 1.0),
    concurrency=_slots(100, _WAITS),
    settings=(
        _strategy("weighted_response_time", "A server that grows slow takes less, without being judged."),
        *_METRICS,
    ),
    left_out=(_FIRST,),
)

PRODUCTION_LARGE = Preset(
    name="production_large",
    purpose=Purpose.PRODUCTION,
    character="Many servers, soon more of them",
    size=Size(4, 8, 12),
    load=Load(500, 1000, 0.5),
    concurrency=_slots(200, _WAITS),
    settings=(
        _strategy("adaptive", "Nobody knows which strategy fits a large mixed load: it tries them."),
        Setting(("scaling", "up_at"), 0.7, "Earlier than usual: a server more takes seconds to start."),
        Setting(("scaling", "down_at"), 0.2, "Later than usual: what is needed again costs its start."),
        Setting(("scaling", "cooldown"), "3m", "A large load moves faster than a small one."),
        Setting(("queue", "bound"), 20_000, "20 s of the full load: a burst waits and is not refused."),
        *_METRICS,
    ),
    left_out=(_FIRST,),
)

HIGH_AVAILABILITY = Preset(
    name="high_availability",
    purpose=Purpose.PRODUCTION,
    character="Judges servers soon, tries often, recovers soon",
    size=Size(3, 6, 10),
    load=Load(200, 500, 0.25),
    concurrency=_slots(100, _WAITS),
    settings=(
        _strategy("weighted_response_time", "A server that grows slow takes less before its breaker opens."),
        Setting(("breaker", "failure_threshold"), 2, "Two failures in a row: others are there to go to."),
        Setting(("breaker", "recovery"), "30s", "Half of the usual time, for it was taken out sooner."),
        Setting(("breaker", "probes"), 5, "Back after five good answers, for it would soon be out again."),
        Setting(("breaker", "window"), "2m", "What a rate is made of is what happened lately."),
        Setting(("breaker", "check_every"), "5s", "An idle server that has died is found before a call is."),
        Setting(("call", "max_attempts"), 5, "Five servers are tried before a call fails."),
        Setting(
            ("call", "backoff"),
            "500ms",
            "The pause before the same server; before another one there is none.",
        ),
        Setting(("call", "attempt_timeout"), "10s", "A server that hangs costs 10 s of a call, not 30."),
        Setting(("call", "timeout"), "2m", "Five attempts of 10 s and their pauses need 57.5 s."),
        *_METRICS,
    ),
    left_out=(
        _FIRST,
        LeftOut(
            "a recovery check every 15 s",
            "probes begin when `breaker.recovery` is over, at once and not at the next check",
        ),
    ),
)

PERFORMANCE_OPTIMIZED = Preset(
    name="performance_optimized",
    purpose=Purpose.PRODUCTION,
    character="Few fast servers, many calls at once",
    size=Size(2, 6, 6),
    load=Load(1000, 1000, 0.25),
    concurrency=_slots(300, _WAITS),
    settings=(
        _strategy("predictive", "A slow server takes what a faster one would not answer sooner."),
        Setting(("call", "attempt_timeout"), "5s", "A call that takes longer is of no use any more."),
        Setting(("call", "timeout"), "30s", "Three attempts of 5 s and their pauses need 18 s."),
        Setting(("queue", "bound"), 20_000, "20 s of the full load: a burst waits and is not refused."),
        Setting(("queue", "retry_burst"), 1000, "Above the 300 calls that the death of one server cuts off."),
        *_METRICS,
    ),
    left_out=(
        _FIRST,
        LeftOut(
            "a prediction's confidence of 0.8",
            "`predictive` has no threshold to set: it goes by the service time as soon as one is measured",
        ),
    ),
)

COST_OPTIMIZED = Preset(
    name="cost_optimized",
    purpose=Purpose.PRODUCTION,
    character="As few servers as will do",
    size=Size(2, 3, 4),
    load=Load(100, 200, 0.5),
    concurrency=_slots(100, _WAITS),
    settings=(
        _strategy("least_connections", "Busy servers are full ones: who has the fewest calls goes first."),
        Setting(("scaling", "up_at"), 0.9, "Servers are filled before another one is started."),
        Setting(("scaling", "down_at"), 0.2, "Far from 0.9, so that the number does not swing."),
        Setting(("scaling", "cooldown"), "10m", "A short peak is waited out rather than paid for."),
        _NO_SPARE,
        *_METRICS,
    ),
    left_out=(_FIRST,),
)

TESTING = Preset(
    name="testing",
    purpose=Purpose.TESTING,
    character="Everything happens within seconds",
    size=Size(2, 2, 3),
    load=Load(10, 20, 0.1),
    concurrency=_slots(10, "Few, so that a test fills a server without much ado."),
    settings=(
        _strategy("round_robin", "The plainest: a test knows what to expect."),
        Setting(("call", "attempt_timeout"), "2s", "A test of a server that hangs is over in seconds."),
        Setting(("call", "timeout"), "10s", "Three attempts of 2 s and their pauses need 6.3 s."),
        Setting(("call", "submit_timeout"), "1m", "What a test leaves behind is over soon."),
        Setting(("call", "backoff"), "100ms", "A second attempt on the same server comes at once, about."),
        Setting(("breaker", "failure_threshold"), 2, "Two failures show what a breaker does."),
        Setting(("breaker", "recovery"), "1s", "And a second later it is seen to recover."),
        Setting(("breaker", "probes"), 1, "One good answer closes it."),
        Setting(("breaker", "window"), "10s", "One test's failures are forgotten in the next."),
        Setting(("breaker", "check_every"), "1s", "A dead idle server is noticed within a test."),
        Setting(("worker", "heartbeat"), "100ms", "A death is noticed within half a second."),
        Setting(("worker", "dead_after"), "500ms", "Five missed beats."),
        Setting(("worker", "grace"), "2s", "A test's teardown does not wait."),
        Setting(("scaling", "cooldown"), "2s", "A step up or down happens within a test."),
        Setting(("scaling", "target_wait"), "500ms", "A short queue is enough to ask for a worker."),
        Setting(("queue", "result_ttl"), "1m", "Outcomes of one run are gone before the next one."),
        Setting(("queue", "idempotency_ttl"), "1m", "As are its keys."),
        Setting(("queue", "dead_ttl"), "10m", "As are its dead letters."),
        _NO_SPARE,
    ),
    left_out=(_FIRST,),
)

PRESETS: dict[str, Preset] = {
    each.name: each
    for each in (
        DEVELOPMENT,
        PRODUCTION_SMALL,
        PRODUCTION_LARGE,
        HIGH_AVAILABILITY,
        PERFORMANCE_OPTIMIZED,
        COST_OPTIMIZED,
        TESTING,
    )
}
"""Each preset by its name."""
