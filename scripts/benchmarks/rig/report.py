"""What a benchmark leaves behind: a table, on request the raw data and a picture, and one JSON line at last.

    parser = options(__doc__)                 the flags that all benchmarks share
    publish(Report(name="queue", …), asked)   the last thing a benchmark does

Nothing is written unless asked for: `--record` writes to docs/benchmarks/ in the checkout, `--out DIR`
elsewhere. Above stand the benchmarks. This module must never measure.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import platform
import shlex
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.rig.harness import summarise

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping

    from benchmarks.rig.harness import Figures, Rounds

RECORDS = Path(__file__).resolve().parents[3] / "docs" / "benchmarks"
"""Where `--record` writes to."""
Plot: TypeAlias = "Callable[[Any], None]"
"""Draws on a matplotlib Figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a benchmark found."""

    name: str
    rounds: Rounds
    figures: Mapping[str, Any]
    """What the last line says, by the names that the documentation uses."""
    goals: Mapping[str, str] = field(default_factory=dict[str, str])
    """The figures that are aimed at, as people write them: `>= 10`."""
    store: str = ""
    """Which store it was measured on."""
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Raw data that are no rounds."""
    plot: Plot | None = None


def options(description: str | None, *, rounds: bool = True) -> ArgumentParser:
    """Return a parser with the flags that all benchmarks share, or all that have `rounds`.

    From here on SIGTERM ends this process as Ctrl-C does, so that what it has started is ended too.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    if rounds:
        parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more warms up")
        parser.add_argument("--cold", action="store_true", help="leave the warm-up out")
    parser.add_argument("--record", action="store_true", help=f"write data and plot to {RECORDS}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write data and plot to this folder")
    parser.add_argument("--no-plot", action="store_true", help="write data only")
    parser.add_argument(
        "--redis", action="store_true", help="measure on the redis-server on PATH, not on the bundled Valkey"
    )
    return parser


def show(number: int, arm: str, figures: Figures) -> None:
    """Print one measurement as it comes."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
    print(f"{f'round {number}' if number else 'warm-up':>8}  {arm:<14} {values}", flush=True)


def table(rounds: Rounds) -> str:
    """Return a table of each arm's figures over the rounds: median and range."""
    lines = [f"{'arm':<14} {'figure':<22} {'median':>11} {'low':>11} {'high':>11}"]
    for arm, first in {arm: of for row in rounds for arm, of in row.items()}.items():
        for figure in first:
            found = summarise(row[arm][figure] for row in rounds if figure in row.get(arm, ()))
            lines.append(
                f"{arm:<14} {figure:<22} {found.median:>11.4g} {found.low:>11.4g} {found.high:>11.4g}"
            )
    return "\n".join(lines)


def last_line(report: Report) -> str:
    """Return the line that other programs read."""
    return json.dumps({"benchmark": report.name, "rounds": len(report.rounds), **_rounded(report.figures)})


def publish(report: Report, asked: Namespace) -> None:
    """Print the table, write what was asked for, print the last line."""
    print()
    if report.rounds:
        print(table(report.rounds))
    for name, goal in report.goals.items():
        print(f"{name:<30} {_rounded(report.figures[name])}   (aim {goal})")
    for folder in [RECORDS] * asked.record + [asked.out] * (asked.out is not None):
        write(report, folder, plot=not asked.no_plot)
    print(last_line(report))


def write(report: Report, folder: Path, *, plot: bool) -> None:
    """Write NAME.json, NAME.csv where there were rounds, and NAME.png where there is a plot."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "benchmark": report.name,
        "command": command(),
        "machine": {
            "processors": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "store": report.store,
        },
        "figures": _rounded(report.figures),
        "goals": dict(report.goals),
        "rounds": _rounded(report.rounds),
        **_rounded(report.extra),
    }
    (folder / f"{report.name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    if report.rounds:
        write_rounds(report.rounds, folder / f"{report.name}.csv")
    if plot and report.plot is not None:
        draw(report.plot, folder / f"{report.name}.png", f"{command()}, {report.store}")


def write_rounds(rounds: Rounds, path: Path) -> None:
    """Write each round's figures, a line each."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["round", "arm", "figure", "value"])
        for number, row in enumerate(rounds, 1):
            for arm, figures in row.items():
                lines.writerows([number, arm, name, f"{value:.6g}"] for name, value in figures.items())


def command() -> str:
    """Return the command line that this is."""
    return shlex.join(["scripts/bench", Path(sys.argv[0]).stem, *sys.argv[1:]])


def draw(plot: Plot, path: Path, caption: str) -> None:
    """Let `plot` draw on a figure and write it down."""
    canvas: Any = importlib.import_module("matplotlib.figure")  # only those who want a picture have it
    figure = canvas.Figure(figsize=(9, 4.5), layout="constrained")
    plot(figure)
    figure.text(0.995, 0.005, caption, ha="right", va="bottom", fontsize=6, color="grey")
    figure.savefig(path, dpi=110)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return value
