"""`mcpweft servers`: which there are, and orders to them.

Above stands the root of the command line, which loads this module by its path. Below is `Admin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cyclopts import App, Parameter

from mcpweft_coordinator.cli import page
from mcpweft_coordinator.cli.fabric import FOUND, Fabric, Json

if TYPE_CHECKING:
    from mcpweft_coordinator.receipt import Order, OrderReceipt, ServerReceipt

app = App(name="servers", help="List the fleet's servers, add and remove them, drain them, take them out.")


@app.command(name="list", sort_key=0)
def list_(*, json: Json = False, fabric: Fabric = FOUND) -> int:
    """List the servers: those that are configured, and those that workers brought along.

    Parameters
    ----------
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft_coordinator.receipt import plain

    rows = fabric.ask(lambda admin: admin.servers())
    if json:
        page.print_json([plain(row) for row in rows])
        return 0
    heads = (
        "server", "kind", "capabilities", "state", "health", "breaker", "workers", "in flight", "order",
        "why it takes no work",
    )  # fmt: skip
    lines = [
        (
            row.name, row.kind, ", ".join(row.capabilities), row.state, row.health or "?", row.breaker,
            f"{row.usable} of {row.workers}", str(row.in_flight), _order(row.order), row.reason,
        )
        for row in rows
    ]  # fmt: skip
    page.print_table(heads, lines, empty="There is no server.")
    return 0


def _order(order: Order | None) -> str:
    if order is None:
        return ""
    why = f": {order.reason}" if order.reason else ""
    return f"{order.state} by {order.by or '?'} at {page.at(order.at_ms)}{why}"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """The server that is added."""

    command: str | None = None
    """Run this stdio server, written as in a shell: --command "uvx mcp-server-git"."""
    url: str | None = None
    """Connect to this HTTP server."""
    app: str | None = None
    """Run this Python object in the worker, as module:name."""
    capability: tuple[str, ...] = ()
    """A pool to serve; may be repeated. Unset: one of its own name."""
    workers: int | None = None
    """Workers that each launcher keeps for it."""
    concurrency: int | None = None
    """Calls at once."""
    env: tuple[str, ...] = ()
    """NAME=VALUE for its environment; may be repeated. It lies in the store: write secrets as ${NAME}."""
    set: tuple[str, ...] = ()
    """KEY=VALUE of any other key of a server, such as idempotent=get_*; may be repeated."""

    def said(self, name: str) -> dict[str, Any]:
        """Return what `[servers.NAME]` would say. Raises InvalidConfigError."""
        import shlex

        from mcpweft_schemas.config import overlay

        said: dict[str, Any] = {}
        if self.command is not None:
            said["command"], *args = shlex.split(self.command) or [""]
            said |= {"args": args} if args else {}
        plain = {"url": self.url, "app": self.app, "workers": self.workers, "concurrency": self.concurrency}
        said |= {key: value for key, value in plain.items() if value is not None}
        if self.capability:
            said["capabilities"] = list(self.capability)
        if self.env:
            said["env"] = dict(_pair("--env", each) for each in self.env)
        for key, value in (_pair("--set", each) for each in self.set):
            said[key] = overlay.value_of(("servers", name, key), value)
        return said


def _pair(flag: str, text: str) -> tuple[str, str]:
    from mcpweft_schemas.errors import InvalidConfigError

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InvalidConfigError(f"{flag} is {text!r}", advice="Write KEY=VALUE.")
    return key, value


NOTHING = What()


@app.command(sort_key=1)
def add(
    name: str,
    /,
    *,
    what: What = NOTHING,
    ready_within: float = 60.0,
    reason: str = "",
    json: Json = False,
    fabric: Fabric = FOUND,
) -> int:
    """Have the fleet's launchers run a server, and wait until it is ready.

    Parameters
    ----------
    name
        What to call it. One that was removed needs nothing more.
    what
        What it is.
    ready_within
        Seconds that it has to become ready.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    said = what.said(name)
    receipt = fabric.ask(lambda admin: admin.add_server(name, said, reason, ready_within_s=ready_within))
    workers = f"{receipt.workers} of its workers take work" if receipt.workers else "it starts when asked for"
    return _done(receipt, f"in service, {workers}", json=json)


@app.command(sort_key=2)
def remove(name: str, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Have a server run no more: its workers finish within their grace, hand back the rest and end.

    Parameters
    ----------
    name
        Which server.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    receipt = fabric.ask(lambda admin: admin.remove_server(name, reason))
    left = f"; {receipt.workers} workers that somebody started live on" if receipt.workers else ""
    return _done(receipt, f"removed{left}", json=json)


def _done(receipt: ServerReceipt, what: str, *, json: bool) -> int:
    from mcpweft_coordinator.receipt import plain

    if json:
        page.print_json(plain(receipt))
    else:
        same = "" if receipt.changed else " (nothing to change)"
        page.print_line(f"{receipt.server}: {what}{same}, configuration {receipt.version}")
    return 0


@app.command(sort_key=3, alias="cordon")
def drain(name: str, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Let a server finish what it has and take nothing more. Its workers stay; `uncordon` undoes it.

    Parameters
    ----------
    name
        Which server.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return _told(fabric.ask(lambda admin: admin.drain(name, reason)), json=json)


@app.command(sort_key=4)
def uncordon(name: str, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Let a drained server take work again.

    Parameters
    ----------
    name
        Which server.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return _told(fabric.ask(lambda admin: admin.uncordon(name, reason)), json=json)


@app.command(sort_key=5)
def failover(name: str, /, *, reason: str, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Take a server out at once, until `reset`. Its work goes to the others; calls that may run twice, too.

    Parameters
    ----------
    name
        Which server.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return _told(fabric.ask(lambda admin: admin.failover(name, reason)), json=json)


@app.command(sort_key=6)
def reset(name: str, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Undo every order to a server and close its breaker.

    Parameters
    ----------
    name
        Which server.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return _told(fabric.ask(lambda admin: admin.reset(name, reason)), json=json)


def _told(receipt: OrderReceipt, *, json: bool) -> int:
    from mcpweft_coordinator.receipt import plain

    if json:
        page.print_json(plain(receipt))
    else:
        stands = _order(receipt.order) or receipt.state
        page.print_line(f"{receipt.server}: {stands}{'' if receipt.changed else ' (nothing to change)'}")
    return 0
