"""`mcpweft strategy`: how the work of pools is divided among their workers.

Above stands the root of the command line, which loads this module by its path. Below is `Admin`.
"""

from __future__ import annotations

from cyclopts import App

from mcpweft_coordinator.cli import page
from mcpweft_coordinator.cli.fabric import FOUND, Fabric, Json

app = App(name="strategy", help="Show and set how the work of pools is divided among their workers.")


@app.command(sort_key=0)
def show(*, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Show the strategy of each pool.

    Parameters
    ----------
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft_coordinator.receipt import plain

    pools = fabric.ask(lambda admin: admin.strategies())
    if json:
        page.print_json([plain(each) for each in pools])
    else:
        rows = [(each.pool, each.name, each.shadow or "") for each in pools]
        page.print_table(("pool", "strategy", "in the shadow"), rows, empty="There is no pool.")
    return 0


@app.command(name="set", sort_key=1)
def set_(
    *words: str,
    every: bool = False,
    shadow: str | None = None,
    reason: str = "",
    json: Json = False,
    fabric: Fabric = FOUND,
) -> int:
    """Set the strategy of a pool, while it runs: `mcpweft strategy set POOL STRATEGY`.

    Parameters
    ----------
    words
        Which pool, and its strategy: round_robin, least_connections, weighted_response_time, resource_aware,
        capability_based, predictive or adaptive; "" undoes what was set.
    every
        Set that of every pool that has none of its own: name no pool.
    shadow
        Another that decides beside it, writes what it would do into the coordinators' logs, and changes
        nothing; "" undoes it.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft_coordinator.receipt import plain
    from mcpweft_schemas.errors import InvalidConfigError

    pool, *rest = (None, *words) if every else (words or (None,))
    if len(rest) > 1 or (pool is None and not every) or (not rest and shadow is None):
        raise InvalidConfigError(
            "What to set is not clear",
            advice="Write POOL STRATEGY, or --every STRATEGY, or --shadow STRATEGY.",
        )
    name = rest[0] if rest else None
    receipt = fabric.ask(lambda admin: admin.set_strategy(pool, name, shadow=shadow, reason=reason))
    if json:
        page.print_json(plain(receipt))
    else:
        what = ", ".join(receipt.changed) or "nothing to change"
        page.print_line(f"version {receipt.version}: {what}")
    return 0
