"""What the audience sees: the live table while it runs, and at the end the figures and the proof."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from rich.table import Table

from mcpweft import Class
from truth import question

if TYPE_CHECKING:
    from mcpweft import Analytics, FleetStatus


def live(status: FleetStatus, accepted: int, ended: int, events: list[str]) -> Table:
    """Draw the fabric as it stands now."""
    table = Table(title=f"{accepted} calls accepted, {ended} ended", title_justify="left", expand=False)
    for column in ("pool", "critical", "high", "normal", "low", "delayed", "running", "workers"):
        table.add_column(column, justify="left" if column in {"pool", "workers"} else "right")
    for pool in status.pools:
        waiting = [str(pool.waiting[klass]) for klass in Class]
        workers = " ".join("●" if worker.usable else "○" for worker in pool.workers) or "none"
        table.add_row(pool.capability, *waiting, str(pool.delayed), str(pool.running), workers)
    table.caption = "\n".join(events[-3:])
    table.caption_justify = "left"
    return table


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def summary(calls: list[dict[str, Any]], outcomes: dict[int, dict[str, Any]]) -> Table:
    """Draw the counts and times per pool and class. Times in ms, from acceptance to answer."""
    table = Table(title="What became of them", title_justify="left")
    for column in ("pool", "class", "calls", "answered", "p50 ms", "p95 ms", "tried again"):
        table.add_column(column, justify="left" if column in {"pool", "class"} else "right")
    groups: dict[tuple[str, Class], list[dict[str, Any]]] = {}
    for call in calls:
        key = (call["capability"], Class.of(call["priority"]))
        groups.setdefault(key, []).append(outcomes.get(call["number"], {}))
    order = list(Class)
    for (capability, klass), lines in sorted(groups.items(), key=lambda g: (g[0][0], order.index(g[0][1]))):
        good = [line for line in lines if line.get("code") == "OK"]
        took = [line["queued_ms"] + (line["service_ms"] or 0.0) for line in good]
        again = sum(len(line["attempts"]) > 1 for line in good)
        figures = (f"{median(took):.0f}", f"{_p95(took):.0f}") if took else ("-", "-")
        table.add_row(capability, klass.value, str(len(lines)), str(len(good)), *figures, str(again))
    return table


def moved(outcomes: dict[int, dict[str, Any]], victims: dict[str, str]) -> Table:
    """Draw what the victims held when they died, and who answered it instead."""
    table = Table(title="Where the victims' calls went", title_justify="left")
    for column in ("victim", "held", "because", "answered by"):
        table.add_column(column, justify="right" if column == "held" else "left")
    for worker, what in victims.items():
        causes: Counter[str] = Counter()
        heirs: Counter[str] = Counter()
        for line in outcomes.values():
            tries = line["attempts"] if isinstance(line.get("attempts"), list) else []
            lost = [attempt for attempt in tries if attempt["worker"] == worker and attempt["cause"] != "OK"]
            if lost:
                causes[lost[0]["cause"]] += 1
                heirs[line["worker"]] += 1
        because = ", ".join(f"{cause} x {n}" for cause, n in causes.items()) or "it held none"
        table.add_row(what, str(causes.total()), because, ", ".join(f"{w} x {n}" for w, n in heirs.items()))
    return table


def standing(status: FleetStatus) -> str:
    """Say how the fleet is, as `mcpweft status` does."""
    rate = "unknown" if status.error_rate is None else f"{status.error_rate:.1%}"
    mean = "unknown" if status.avg_response_ms is None else f"{status.avg_response_ms:.0f} ms"
    return (
        f"mcpweft status: {'healthy' if status.is_healthy else 'not healthy'}, {status.healthy_servers} of "
        f"{status.total_servers} servers take work, {status.queue_size} requests wait, mean response {mean}, "
        f"error rate {rate}."
    )


def measured(analytics: Analytics) -> Table:
    """Draw what the fabric itself has booked, as `mcpweft analytics` tells it; failures are attempts."""
    table = Table(title="mcpweft analytics: what the fabric has booked so far", title_justify="left")
    for column in ("pool", "answers", "failed attempts", "wait p95 ms", "service p50 ms", "service p95 ms"):
        table.add_column(column, justify="left" if column == "pool" else "right")
    for pool in analytics.pools:
        total = pool.total
        times = (total.queue.p95_ms, total.service.p50_ms, total.service.p95_ms)
        told = ["?" if time is None else f"{time:.0f}" for time in times]
        table.add_row(pool.capability, str(total.answered), str(total.failed), *told)
    lost = [
        f"{each.trouble.value} of {each.server}: {each.moved} moved, back after "
        + ("?" if each.recovery_s is None else f"{each.recovery_s:.1f} s")
        for each in analytics.failovers
    ]
    table.caption = "\n".join(lost)
    table.caption_justify = "left"
    return table


@dataclass(frozen=True, slots=True)
class Proof:
    """What must be so at the end, each with its figure."""

    asked: int
    accepted: int
    ended: int
    answered: int
    right: int

    @property
    def holds(self) -> bool:
        """Whether every call was accepted once, ended once, was answered, and rightly."""
        return self.asked == self.accepted == self.ended == self.answered == self.right

    def lines(self) -> list[str]:
        """Return the proof in words."""
        return [
            f"calls made                                   {self.asked:>5}",
            f"accepted by the fabric                       {self.accepted:>5}",
            f"outcomes that reached their caller           {self.ended:>5}",
            f"of these answers                             {self.answered:>5}",
            f"the same as the server's own direct answer   {self.right:>5}",
        ]


def prove(
    calls: list[dict[str, Any]], outcomes: dict[int, dict[str, Any]], accepted: int, truth: dict[str, str]
) -> Proof:
    """Hold every outcome against the direct answer to the same question."""
    good = {number: line for number, line in outcomes.items() if line["code"] == "OK"}
    right = sum(
        good[call["number"]]["text"] == truth[question(call["capability"], call["tool"], call["arguments"])]
        for call in calls
        if call["number"] in good
    )
    return Proof(len(calls), accepted, len(outcomes), len(good), right)
