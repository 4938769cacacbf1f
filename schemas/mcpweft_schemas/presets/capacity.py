"""Whether there are servers enough, and whether the work is divided so that it fits them.

Above stands `review`. Below is what every rule returns: `finding`. This module must never know how
long anything takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcpweft_schemas.config import State, StrategyName
from mcpweft_schemas.presets.finding import error, key, recommendation, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.config import ServerConfig
    from mcpweft_schemas.presets.finding import Finding, Subject

_MANY = 4
"""Workers from which a fixed number is worth scaling, and the range from which its width matters."""
_SLOW_S = 600.0
_NEAR = 0.25
_RUNNERS = {"uvx", "npx", "pipx", "bunx"}


def present(subject: Subject) -> Iterator[Finding]:
    """Find that there are no servers, or some that cannot run."""
    if not subject.config.active:
        yield error("servers", "No server is configured.", "A [servers.<name>] table, or an mcp.json.")
    for broken in subject.config.broken:
        yield error(key("servers", broken.name), f"It cannot run: {broken.reason}.", broken.advice)


def routed(subject: Subject) -> Iterator[Finding]:
    """Find rules that send requests where no server of this file is."""
    pools = subject.pools
    carried = {tag for server in subject.config.active.values() for tag in server.tags}
    for rule in subject.config.rules:
        where, to = f"{key('rules', rule.name)}.then", rule.then.capability
        if to is not None and to not in pools:
            yield warning(f"{where}.capability", f"No server here serves {to}.", f"One of {', '.join(pools)}")
        if lost := sorted(set(rule.then.tags or ()) - carried):
            yield warning(
                f"{where}.tags",
                f"No server here carries {', '.join(lost)}: a request of this rule waits for one in vain.",
                "Tags that a server has, or such a server",
            )


def twice(subject: Subject) -> Iterator[Finding]:
    """Find capabilities with fewer than two servers, of which none may die."""
    for capability, servers in subject.pools.items():
        if sum(number_of(server) for server in servers) >= 2:  # noqa: PLR2004  # one may die: the rule itself
            continue
        server = servers[0]
        where = key("servers", server.name)
        if server.state is not State.NONE:
            yield warning(
                f"{where}.state",
                f"{capability} has one server, which must not run twice: nobody serves while it starts.",
                '"none", if it may run several times at once; else short outages are to be expected.',
            )
        elif server.url:
            yield warning(
                where,
                f"{capability} has one URL. Whether several processes answer behind it is not known here.",
                "A second server with another URL and the same capabilities, unless a balancer stands there.",
            )
        elif server.scaled:
            yield error(
                f"{where}.min",
                f"{capability} has {server.least} server at least: nobody serves when it dies.",
                f"2, and max = {max(2, server.most)}",
            )
        else:
            yield error(f"{where}.workers", f"{capability} has one server: nobody serves when it dies.", "2")


def number_of(server: ServerConfig) -> int:
    """Return how many servers there are of it at least: workers of one URL are one."""
    if server.url:
        return 1
    return server.least if server.scaled else server.workers


def scaled(subject: Subject) -> Iterator[Finding]:
    """Find where the number of workers should follow the load and does not, or would swing."""
    scaling = subject.config.scaling
    for server in subject.config.active.values():
        where = key("servers", server.name)
        if not server.url and not server.scaled and server.workers >= _MANY:
            yield recommendation(
                f"{where}.workers",
                f"{server.workers} workers run for {server.name} however little there is to do.",
                f"min = {max(2, server.workers // 2)} and max = {server.workers} in place of workers",
            )
        if server.scaled and server.most >= _MANY * max(1, server.least) and scaling.cooldown >= _SLOW_S:
            yield recommendation(
                "scaling.cooldown",
                f"{server.name} has {server.least} to {server.most} workers, and steps up "
                f"{scaling.cooldown:g} s apart.",
                '"3m", so that it is soon where the load is',
            )
    if any(server.scaled for server in subject.config.active.values()):
        if scaling.up_at - scaling.down_at < _NEAR:
            yield warning(
                "scaling.down_at",
                f"It is {scaling.down_at:g}, and scaling.up_at {scaling.up_at:g}: a step is soon undone.",
                f"{max(0.05, scaling.up_at / 2 - 0.05):.2g}",
            )
        if scaling.target_wait >= subject.config.call.timeout:
            yield warning(
                "scaling.target_wait",
                "A request may wait for longer than a call has: it ends before a worker is asked for.",
                f'"{min(5.0, subject.config.call.timeout / 10):g}s"',
            )


def awake(subject: Subject) -> Iterator[Finding]:
    """Find calls that would wait for a server to be started, or to be downloaded."""
    for server in subject.config.active.values():
        where = key("servers", server.name)
        asleep = "min" if server.scaled and server.least == 0 else "start" if server.start == "lazy" else ""
        if asleep:
            yield recommendation(
                f"{where}.{asleep}",
                f"{server.name} sleeps when idle, so the first call after that waits for its start.",
                "2" if asleep == "min" else '"eager"',
            )
        pinned = any("==" in word or "@" in word[1:] or "--offline" in word for word in server.args)
        if server.command in _RUNNERS and not pinned:
            yield recommendation(
                f"{where}.args",
                f"{server.command} takes the newest version that it finds: workers that start at different "
                "times may differ, and none starts without the registry.",
                "A version behind the name, as name==1.2.3 or name@1.2.3",
            )


def fitting(subject: Subject) -> Iterator[Finding]:
    """Find strategies that do not fit what is to be divided."""
    for capability, servers in subject.pools.items():
        strategy = subject.config.strategy.of(capability)
        where = (
            key("strategy", "pools", capability)
            if capability in subject.config.strategy.pools
            else "strategy.name"
        )
        if strategy is StrategyName.ROUND_ROBIN and _differ(servers):
            yield warning(
                where,
                f"{capability} has servers that differ, and under round_robin each takes all that it can: a "
                "call that a slow one takes waits although a fast one is free.",
                '"weighted_response_time", or "predictive" where each has few slots',
            )
        lone = len(servers) == 1 and (servers[0].most if servers[0].scaled else servers[0].workers) == 1
        if strategy is not StrategyName.ROUND_ROBIN and lone:
            yield recommendation(
                where, f"{capability} has one worker: {strategy} has nothing to divide.", '"round_robin"'
            )
        if strategy is StrategyName.CAPABILITY_BASED and not _overlap(subject):
            yield recommendation(
                where,
                "No server serves several capabilities, so capability_based has nobody to hold back.",
                '"weighted_response_time"',
            )


def _differ(servers: list[ServerConfig]) -> bool:
    return len({(one.transport, one.command, one.url, one.app, one.concurrency) for one in servers}) > 1


def _overlap(subject: Subject) -> bool:
    return any(len(server.capabilities) > 1 for server in subject.config.active.values())
