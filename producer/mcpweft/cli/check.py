"""`mcpweft check`: read the configuration as the fabric would, and say what is wrong or odd.

With `--production` it is looked at as before people depend on it. Below are the config loader and the
presets' review, whose findings it prints. This module must never connect to anything.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft.cli.exits import Exit
from mcpweft.cli.option import Json  # noqa: TC001  # the parser reads the annotation

if TYPE_CHECKING:
    from mcpweft_schemas.config import Config, ServerConfig
    from mcpweft_schemas.presets import Finding, Review


def check(*files: Path, production: bool = False, json: Json = False) -> int:
    """Check mcpweft.toml and the mcp.json files that it includes. Exit code 2 tells of an error.

    Parameters
    ----------
    files
        A mcpweft.toml, or mcp.json files, or both. Unset: the nearest mcpweft.toml, else ./mcp.json.
    production
        Look for what an operator would change before people depend on it.
    json
        Print JSON.

    """
    config = read(files)
    if production:
        return _production(config, json=json)
    if json:
        print_json(config)
    else:
        print_text(config)
    return Exit.USAGE if config.broken else Exit.OK


def read(files: tuple[Path, ...]) -> Config:
    """Return the configuration that `files` make, the nearest one where none is given."""
    from mcpweft_schemas import tomlfile  # nothing below is needed for --help
    from mcpweft_schemas.config import load_config
    from mcpweft_schemas.errors import InvalidConfigError

    here = Path.cwd()
    tables = [path for path in files if path.suffix == ".toml"]
    imports = [str(path) for path in files if path.suffix != ".toml"]
    if len(tables) > 1:
        raise InvalidConfigError("Two mcpweft.toml were given", advice="Check them one at a time.")
    path = tables[0] if tables else tomlfile.nearest(here) if not imports else None
    if not files and path is None and not (here / "mcp.json").is_file():
        raise InvalidConfigError(
            "There is no mcpweft.toml here or above, and no mcp.json here",
            advice="Write one with `mcpweft init`, or name the file to check.",
        )
    return load_config(path, {"include": imports} if imports else None, directory=here)


def _production(config: Config, *, json: bool) -> int:
    """Print what an operator would change; tell whether any of it must be."""
    from mcpweft_schemas import tomlfile  # as above
    from mcpweft_schemas.presets import validate_production

    review = validate_production(config, tomlfile.read(config.path).tree if config.path else None)
    if json:
        print_review_json(config, review)
    else:
        print_review(review)
    return Exit.OK if review.passed else Exit.USAGE


def print_review(review: Review) -> None:
    """Print a review, for people."""
    from mcpweft.cli.table import print_table  # not needed for --help

    rows = [(each.severity.value, each.key, each.reason, each.suggestion) for each in review.findings]
    print_table(("severity", "key", "reason", "write"), rows, empty="Nothing was found.")
    counts = [
        f"{len(some)} {name}{'' if len(some) == 1 else 's'}"
        for name, some in (
            ("error", review.errors),
            ("warning", review.warnings),
            ("recommendation", review.recommendations),
        )
    ]
    sys.stderr.write(", ".join(counts) + "\n")


def print_review_json(config: Config, review: Review) -> None:
    """Print a review, for programs."""
    found = {
        "path": str(config.path) if config.path else None,
        "passed": review.passed,
        "errors": [_told(each) for each in review.errors],
        "warnings": [_told(each) for each in review.warnings],
        "recommendations": [_told(each) for each in review.recommendations],
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _told(finding: Finding) -> dict[str, str]:
    return {"key": finding.key, "reason": finding.reason, "suggestion": finding.suggestion}


def print_text(config: Config) -> None:
    """Print what was found, for people."""
    out = [f"{config.path or 'no mcpweft.toml'}: namespace {config.namespace}, store {_store(config)}"]
    out += [f"  ok       {name}: {_way(server)}" for name, server in config.active.items()]
    out += [f"  off      {name}" for name, server in config.servers.items() if server.disabled]
    out += [f"  broken   {server}" for server in config.broken]
    out += [f"  warning  {text}" for text in config.warnings]
    if not config.active:
        out.append("  warning  No server is configured: put one in mcpweft.toml or mcp.json.")
    broken = f", {len(config.broken)} broken" if config.broken else ""
    out.append(f"{len(config.active)} servers{broken}, {len(config.warnings)} warnings")
    sys.stdout.write("\n".join(out) + "\n")


def print_json(config: Config) -> None:
    """Print what was found, for programs."""
    from mcpweft_schemas.locate import redacted  # not needed for --help

    found: dict[str, Any] = {
        "path": str(config.path) if config.path else None,
        "namespace": config.namespace,
        "store": redacted(config.redis.url) if config.redis.url else None,
        "servers": {
            name: {
                "transport": str(server.transport),
                "capabilities": list(server.capabilities),
                "workers": server.workers,
                "disabled": server.disabled,
            }
            for name, server in config.servers.items()
        },
        "broken": [
            {
                "name": one.name,
                "file": str(one.file),
                "line": one.line,
                "reason": one.reason,
                "advice": one.advice,
            }
            for one in config.broken
        ],
        "warnings": list(config.warnings),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _store(config: Config) -> str:
    from mcpweft_schemas.locate import redacted  # not needed for --help

    return redacted(config.redis.url) if config.redis.url else "one of its own (`mcpweft up`)"


def _way(server: ServerConfig) -> str:
    target = server.url or server.app or " ".join((server.command or "", *server.args))
    pools = ", ".join(server.capabilities)
    return f"{server.transport} {target} → {pools}, {server.workers} x {server.concurrency} at once"
