"""`mcpweft servers`: which there are, and orders to them.

Above stands the root of the command line, which loads this module by its path. Below is `Admin`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import App

from mcpweft_coordinator.cli import page
from mcpweft_coordinator.cli.fabric import FOUND, Fabric, Json

if TYPE_CHECKING:
    from mcpweft_coordinator.receipt import Order, OrderReceipt

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
