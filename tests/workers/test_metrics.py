"""The metrics that a worker has are those that docs/metrics.md lists, and they count what happened."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.life import Class
from mcpweft_workers.metrics import Metrics
from waiting import until
from workbench import POOL

if TYPE_CHECKING:
    from workbench import Bench

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(mcpweft_worker_\w+)` \| (\w+) \| [^|]+ \| ([\w, ]+) \| (.+) \|$", re.MULTILINE)
LABELS = {"pool", "server", "class", "outcome"}


def described() -> dict[str, tuple[str, tuple[str, ...], str]]:
    """Name → (type, labels, meaning), as the worker has them."""
    registry: Any = Metrics("s", ["p"]).registry
    found: dict[str, tuple[str, tuple[str, ...], str]] = {}
    for collector in registry._collector_to_names:
        metric = next(iter(collector.describe()))
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        found[name] = (metric.type, tuple(collector._labelnames), metric.documentation)
    return found


def test_the_page_lists_every_metric_with_its_type_labels_and_meaning() -> None:
    rows = ROW.findall(PAGE.read_text())
    listed = {name: (kind, tuple(labels.split(", ")), text) for name, kind, labels, text in rows}
    assert listed == described()


def test_no_label_can_grow_without_bound() -> None:
    for name, (_, labels, _) in described().items():
        assert set(labels) <= LABELS, name


def test_every_count_reaches_the_text() -> None:
    metrics = Metrics("s", ["p"])
    metrics.ended("p", Class.HIGH, "OK")
    metrics.served("p", "OK", 0.5, 20.0, 100)
    text = metrics.text().decode()
    line = 'mcpweft_worker_attempts_total{class="high",outcome="OK",pool="p",server="s"} 1.0'
    assert line in text
    assert 'mcpweft_worker_service_seconds_sum{pool="p",server="s"} 0.02' in text


async def test_a_workers_metrics_count_its_calls(bench: Bench) -> None:
    async with bench.worker() as worker:
        for _ in range(3):
            await bench.outcome(await bench.enqueue("echo", {"text": "x"}))
        await until(lambda: worker.report.backlog == 0)
        text = worker.report.prometheus(0.0).decode()
    where = f'pool="{POOL}",server="echo"'
    assert f'mcpweft_worker_attempts_total{{class="normal",outcome="OK",{where}}} 3.0' in text
    assert f'mcpweft_worker_settles_total{{outcome="OK",{where}}} 3.0' in text
    assert f"mcpweft_worker_service_seconds_count{{{where}}} 3.0" in text
    assert 'mcpweft_worker_ready{server="echo"} 1.0' in text
