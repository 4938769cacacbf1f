"""`mcpweft config`: what is set for the whole fleet, over each process's own files.

Above stands the root of the command line, which loads this module by its path. Below is `Admin`.
"""

from __future__ import annotations

import json as json_
from pathlib import Path  # noqa: TC003  # the command line reads the annotation
from typing import TYPE_CHECKING, Any

from cyclopts import App

from mcpweft_coordinator.cli import page
from mcpweft_coordinator.cli.fabric import FOUND, Fabric, Json

if TYPE_CHECKING:
    from mcpweft_coordinator.receipt import ConfigReceipt

app = App(name="config", help="Show and change the configuration of the whole fleet, while it runs.")


@app.command(sort_key=0)
def get(key: str | None = None, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Print what is in force: a coordinator's own files, and over them what is set for the fleet.

    Parameters
    ----------
    key
        A key or a table, such as queue.bound; unset: everything.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    value = fabric.ask(lambda admin: admin.config_get(key))
    if json or not isinstance(value, dict):
        page.print_json(value)
    else:
        from mcpweft_schemas.config.fault import dotted
        from mcpweft_schemas.config.layer import leaves

        above = (key,) if key else ()
        for path, each in leaves(value):
            name = ".".join((*above, dotted(path)))
            page.print_line(f"{name} = {json_.dumps(each, ensure_ascii=False)}")
    return 0


@app.command(name="set", sort_key=1)
def set_(key: str, value: str, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Set one key for the whole fleet, at once.

    Parameters
    ----------
    key
        Such as queue.bound or servers.git.workers.
    value
        As in the environment: a list is a,b or JSON, a table JSON, everything else itself.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return told(fabric.ask(lambda admin: admin.config_set(key, value, reason)), json=json)


@app.command(sort_key=2)
def unset(key: str, /, *keys: str, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Leave keys, or tables, to each process's own files again, all of them in one version.

    Parameters
    ----------
    key
        Which.
    keys
        More of them.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return told(fabric.ask(lambda admin: admin.config_unset(key, *keys, reason=reason)), json=json)


@app.command(sort_key=3)
def apply(
    file: Path, /, *, replace: bool = False, reason: str = "", json: Json = False, fabric: Fabric = FOUND
) -> int:
    """Merge a file in the form of mcpweft.toml into what is set for the whole fleet.

    Parameters
    ----------
    file
        The file; `.json` is read as JSON.
    replace
        Let it be all that is set: what it does not say is each process's own again.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    tree = _read(file)
    return told(fabric.ask(lambda admin: admin.config_apply(tree, reason, replace=replace)), json=json)


def _read(file: Path) -> dict[str, Any]:
    from mcpweft_schemas import tomlfile
    from mcpweft_schemas.errors import InvalidConfigError

    if file.suffix != ".json":
        return tomlfile.read(file).tree
    try:
        tree = json_.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(tree, dict):
        raise InvalidConfigError(f"{file} holds no table of settings")
    return tree


@app.command(sort_key=4)
def history(*, json: Json = False, fabric: Fabric = FOUND) -> int:
    """List the last versions of what is set for the whole fleet, newest first.

    Parameters
    ----------
    json
        Print JSON, with what each version sets.
    fabric
        Which fabric.

    """
    from mcpweft_coordinator.receipt import plain
    from mcpweft_schemas.config.fault import dotted
    from mcpweft_schemas.config.layer import leaves

    versions = fabric.ask(lambda admin: admin.config_history())
    if json:
        page.print_json([plain(each) for each in versions])
        return 0
    rows = [
        (
            str(each.version),
            page.at(each.at_ms),
            each.by,
            each.reason,
            ", ".join(dotted(path) for path, _ in leaves(each.document)) or "nothing",
        )
        for each in versions
    ]
    heads = ("version", "when", "by", "why", "sets")
    page.print_table(heads, rows, empty="Nothing was ever set for the fleet.")
    return 0


@app.command(sort_key=5)
def rollback(
    version: int | None = None, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND
) -> int:
    """Set what an earlier version set, as a new version.

    Parameters
    ----------
    version
        Which; 0 sets nothing at all. Unset: the one before the present.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return told(fabric.ask(lambda admin: admin.config_rollback(version, reason)), json=json)


def told(receipt: ConfigReceipt, *, json: bool) -> int:
    """Print what came of a change of the configuration; return the exit code."""
    from mcpweft_coordinator.receipt import plain

    if json:
        page.print_json(plain(receipt))
        return 0
    what = ", ".join(receipt.changed) or "nothing to change"
    page.print_line(f"version {receipt.version}: {what}")
    for key, who in receipt.needs_restart.items():
        page.print_line(f"{key} needs a restart of {who}")
    return 0
