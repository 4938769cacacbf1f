"""Records benchmarks anew, one after the other, and their figures in docs/benchmarks/README.md.

    scripts/bench all [NAME…] [--figures-only]

About two hours on an idle machine. Above stand docs/benchmarks/ and whoever publishes a version;
below are the benchmarks. What it writes of their figures is what their JSON says, misses included.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from typing import Any

from benchmarks.rig.party import module
from benchmarks.rig.report import RECORDS

NAMES = (
    "queue",
    "overhead",
    "scale",
    "idle",
    "memory",
    "profile",
    "chaos",
    "strategies",
    "strategies_real",
    "tenants",
    "failover",
    "coordinators",
    "presets",
    "rag_quality",
    "claims",
)
BEGIN, END = "<!-- figures: written by scripts/bench all -->", "<!-- end of figures -->"


def met(value: Any, goal: str) -> str:
    """Return `yes` or `no`, or nothing for an aim that is not a bound; of several values all must meet it."""
    bound = re.match(r"(<=|>=|<) ([0-9.]+)", goal)
    if bound is None:
        return ""
    sign, limit = bound[1], float(bound[2])
    values: list[float] = list(value.values()) if isinstance(value, dict) else [value]
    within = [v >= limit if sign == ">=" else v < limit or (v == limit and sign == "<=") for v in values]
    return "yes" if all(within) else "no"


def lines(record: dict[str, Any]) -> list[str]:
    """Return the table rows of one record, figures with an aim first."""
    goals: dict[str, str] = record["goals"]
    figures: dict[str, Any] = record["figures"]
    rows: list[str] = []
    for name in [*goals, *(name for name in figures if name not in goals)]:
        value, goal = figures[name], goals.get(name, "")
        inner: list[Any] = (
            [each for each in value.values() if isinstance(each, dict)] if isinstance(value, dict) else []
        )
        if any(isinstance(one, dict) for each in inner for one in each.values()):
            continue  # its own page has it as a table
        if inner:
            rows += [
                f"| {record['benchmark']} | `{name}.{key}` | {told(each)} |  |  |"
                for key, each in value.items()
            ]
        else:
            rows.append(f"| {record['benchmark']} | `{name}` | {told(value)} | {goal} | {met(value, goal)} |")
    return rows


def told(value: Any) -> str:
    """Return a figure as the table shows it."""
    return ", ".join(f"{key}: {v}" for key, v in value.items()) if isinstance(value, dict) else str(value)


def figures_section() -> str:
    """Return the section of the page that holds all records' figures."""
    found = [json.loads(path.read_text()) for name in NAMES if (path := RECORDS / f"{name}.json").exists()]
    if not found:
        return "Nothing is recorded yet."
    machine = found[0]["machine"]
    where = f"{machine['processors']} processors, {machine['system']}, Python {machine['python']}"
    rows = [row for record in found for row in lines(record)]
    commands = [f"`{record['command']}` ({record['machine']['store']})" for record in found]
    head = ["| benchmark | figure | measured | aim | reached |", "|---|---|---|---|---|"]
    return "\n".join([f"Measured on {where}, with " + ", ".join(commands) + ".", "", *head, *rows])


def write_figures() -> None:
    """Write the figures into the page."""
    page = RECORDS / "README.md"
    before, _, rest = page.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{figures_section()}\n\n{END}{after}")


def main() -> None:
    """Run them and write the page; end with 1 where one of them failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; all by default"
    )
    parser.add_argument("--figures-only", action="store_true", help="only write the page anew")
    parser.add_argument("--record", action="store_true", help="as the benchmarks have it; always so here")
    asked = parser.parse_args()
    failed: list[str] = []
    for name in () if asked.figures_only else asked.names or NAMES:
        print(f"== {name}", flush=True)
        if subprocess.run(module(name, "--record"), check=False).returncode:
            failed.append(name)
    write_figures()
    print(json.dumps({"benchmark": "all", "failed": failed}))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
