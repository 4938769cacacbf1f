"""What a coordinator's port tells Prometheus.

    mcpweft_coordinator_leader                  gauge     1 while this one leads
    mcpweft_coordinator_epoch                   gauge     of its last term
    mcpweft_coordinator_terms_total             counter   terms begun
    mcpweft_coordinator_rounds_total            counter   rounds over all pools
    mcpweft_coordinator_requests_total          counter   by outcome: reclaimed, lost, expired, unserved
    mcpweft_coordinator_workers_retired_total   counter   dead workers removed
    mcpweft_coordinator_link_cuts_total         counter   times that the store stopped answering
    mcpweft_coordinator_faults_total            counter   moves that the store refused
    mcpweft_coordinator_events_dropped_total    counter   events of the fleet that were not told
    mcpweft_launcher_workers                    gauge     by server: ready for work, of this launcher
    mcpweft_launcher_restarts_total             counter   by server: workers that ended by themselves
    mcpweft_wanted_workers                      gauge     by server with min or max: workers it should have
    mcpweft_pool_wanted_workers                 gauge     by pool: the same of all such servers that serve it

Above stands `endpoint`. Below are the doers' figures. This module must never change anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from mcpweft_coordinator.wanted import by_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from mcpweft_coordinator.view import ServerView
    from mcpweft_coordinator.wanted import Wanted
    from mcpweft_schemas.herald import Herald
    from mcpweft_schemas.sweeper import Sweeper


class Gauges(Collector):
    """Reads the figures off a sweeper, a launcher and a scaler whenever somebody asks."""

    def __init__(
        self,
        sweeper: Sweeper,
        views: Callable[[], Sequence[ServerView]],
        wanted: Callable[[], Mapping[str, Wanted]],
        herald: Herald,
    ) -> None:
        self._sweeper = sweeper
        self._views = views
        self._wanted = wanted
        self._herald = herald

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        figures = self._sweeper.figures
        room = "mcpweft_coordinator_"
        yield GaugeMetricFamily(room + "leader", "1 while this coordinator leads", int(figures.leading))
        yield GaugeMetricFamily(room + "epoch", "Epoch of its last term", figures.epoch)
        yield CounterMetricFamily(room + "terms", "Terms begun", figures.terms)
        yield CounterMetricFamily(room + "rounds", "Rounds over all pools", figures.rounds)
        requests = CounterMetricFamily(room + "requests", "Requests acted on, by outcome", labels=["outcome"])
        for outcome, count in (
            ("reclaimed", figures.moved), ("lost", figures.lost),
            ("expired", figures.expired), ("unserved", figures.unserved),
        ):  # fmt: skip
            requests.add_metric([outcome], count)
        yield requests
        yield CounterMetricFamily(room + "workers_retired", "Dead workers removed", figures.retired)
        yield CounterMetricFamily(room + "link_cuts", "Times the store stopped answering", figures.cuts)
        yield CounterMetricFamily(room + "faults", "Moves that the store refused", figures.faults)
        dropped = self._herald.dropped
        yield CounterMetricFamily(room + "events_dropped", "Events of the fleet that were not told", dropped)
        workers = GaugeMetricFamily(
            "mcpweft_launcher_workers", "Workers of this launcher that are ready", labels=["server"]
        )
        restarts = CounterMetricFamily(
            "mcpweft_launcher_restarts", "Workers that ended by themselves", labels=["server"]
        )
        for view in self._views():
            workers.add_metric([view.name], view.up)
            restarts.add_metric([view.name], view.restarts)
        yield workers
        yield restarts
        yield from self._scaling()

    def _scaling(self) -> Iterator[Metric]:
        wanted = self._wanted()
        servers = GaugeMetricFamily(
            "mcpweft_wanted_workers", "Workers that a server should have", labels=["server"]
        )
        pools = GaugeMetricFamily(
            "mcpweft_pool_wanted_workers", "Workers that a pool's servers should have", labels=["pool"]
        )
        for name, each in wanted.items():
            servers.add_metric([name], each.wanted)
        for name, pool in by_pool(wanted).items():
            pools.add_metric([name], pool["wanted"])
        yield servers
        yield pools
