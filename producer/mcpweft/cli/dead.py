"""`mcpweft dead`: the requests that will not be tried again: list, show, replay, purge.

Below are the store's own moves; a client has no part in this. This module must never decide which request is
dead.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from cyclopts import App

from mcpweft.cli import answer
from mcpweft.cli.exits import Exit, UsageError
from mcpweft.cli.option import FOUND, Fabric, Json, capability_of
from mcpweft.cli.running import run
from mcpweft.cli.table import ago, print_table

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from mcpweft_schemas.store import DeadLetter, Store

app = App(
    name="dead", help="List, show, replay or purge dead letters: requests that will not be tried again."
)

_PAGE = 100


@asynccontextmanager
async def _opened(fabric: Fabric) -> AsyncGenerator[Store]:
    from mcpweft_schemas.connect import Link  # once the command line is known to be right
    from mcpweft_schemas.store import Store

    place = fabric.place()
    async with Link.to(place.url) as link:
        yield Store(link, place.namespace)


async def _letters(store: Store, capability: str, most: int) -> list[DeadLetter]:
    """Return the newest `most` dead letters of a pool."""
    found: list[DeadLetter] = []
    while len(found) < most:
        page = await store.dead(capability, len(found), min(_PAGE, most - len(found)))
        found += page
        if len(page) < _PAGE:
            break
    return found


@app.command(name="list", sort_key=0)
def list_(
    capability: str | None = None, /, *, limit: int = 50, json: Json = False, fabric: Fabric = FOUND
) -> int:
    """List dead letters, newest first.

    Parameters
    ----------
    capability
        Whose; unset: every pool's.
    limit
        How many at most.
    json
        Print JSON, a line each.
    fabric
        Which fabric.

    """
    letters, now = run(_list(fabric, capability, limit))
    if json:
        for letter in letters:
            answer.print_json(_letter_json(letter))
        return Exit.OK
    rows = [
        (
            letter.id,
            letter.tool,
            str(letter.code),
            str(letter.executed),
            str(len(letter.attempts)),
            ago(now, letter.ended_ms),
        )
        for letter in letters
    ]
    print_table(("id", "tool", "code", "ran", "attempts", "ended"), rows, empty="There are no dead letters.")
    return Exit.OK


async def _list(fabric: Fabric, capability: str | None, limit: int) -> tuple[list[DeadLetter], int]:
    async with _opened(fabric) as store:
        pools = [capability] if capability else await store.pools()
        found, now = list["DeadLetter"](), 0
        for pool in pools:
            status = await store.status(pool)
            if status is None:
                await _unknown(store, pool)
            else:
                now = max(now, status.now_ms)
                found += await _letters(store, pool, limit)
    found.sort(key=lambda letter: letter.ended_ms, reverse=True)
    return found[:limit], now


async def _unknown(store: Store, capability: str) -> None:
    """Refuse a capability that is not there. Raises UnknownCapabilityError."""
    from mcpweft_schemas.errors import UnknownCapabilityError, near  # once it is wrong

    known = await store.pools()
    close = near(capability, known)
    hint = f"Did you mean {' or '.join(close)}?" if close else f"There are {', '.join(known) or 'none'}."
    raise UnknownCapabilityError(f"there is no capability {capability!r}", advice=hint)


def _letter_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "tool": letter.tool,
        "class": str(letter.klass),
        "code": str(letter.code),
        "executed": str(letter.executed),
        "ended_ms": letter.ended_ms,
        "tenant": letter.tenant,
        "attempts": answer.attempts_json(letter.attempts),
    }


@app.command(sort_key=1)
def show(request_id: str, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Show one dead letter: what was called, and each attempt.

    Parameters
    ----------
    request_id
        Its id.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft.cli.request import inspect  # the same picture

    return inspect(request_id, json=json, fabric=fabric)


@app.command(sort_key=2)
def replay(
    *ids: str,
    all_of: str | None = None,
    timeout: str = "1h",
    keep: str = "1h",
    json: Json = False,
    fabric: Fabric = FOUND,
) -> int:
    """Accept dead letters anew, under new ids, which are printed. `mcpweft result ID` waits for one.

    Parameters
    ----------
    ids
        Which.
    all_of
        All those of this capability.
    timeout
        The time that each has from now on.
    keep
        How long its outcome is kept.
    json
        Print JSON, a line each.
    fabric
        Which fabric.

    """
    spans = tuple(_ms(name, text) for name, text in (("--timeout", timeout), ("--keep", keep)))
    outcomes = run(_replay(fabric, ids, all_of, spans))
    for old, new in outcomes:
        if json:
            answer.print_json({"id": old, "replayed_as": new})
        else:
            answer.print_line(f"{old} → {new}" if new else f"{old} is no dead letter (any more)")
    return Exit.FAILED if any(new is None for _, new in outcomes) else Exit.OK


def _ms(name: str, text: str) -> int:
    from mcpweft_schemas import duration  # not needed for --help

    try:
        return max(1, round(duration.seconds(text) * 1000))
    except ValueError as error:
        raise UsageError(f"{name} is {text!r}. {error}.") from None


async def _replay(
    fabric: Fabric, ids: Sequence[str], all_of: str | None, spans: tuple[int, ...]
) -> list[tuple[str, str | None]]:
    from mcpweft_schemas.ident import request_id  # once the command line is known to be right
    from mcpweft_schemas.word import Word

    timeout_ms, keep_ms = spans
    outcomes: list[tuple[str, str | None]] = []
    async with _opened(fabric) as store:
        for old in await _chosen(store, ids, all_of):
            pool = capability_of(old)
            new = request_id(pool)
            word = await store.replay(pool, old, new, timeout_ms=timeout_ms, keep_ms=keep_ms)
            outcomes.append((old, new if word in {Word.OK, Word.REPEAT} else None))
    return outcomes


@app.command(sort_key=3)
def purge(*ids: str, all_of: str | None = None, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Forget dead letters for good; print how many there were.

    Parameters
    ----------
    ids
        Which.
    all_of
        All those of this capability.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    gone = run(_purge(fabric, ids, all_of))
    if json:
        answer.print_json({"purged": gone})
    else:
        answer.print_line(f"{gone} purged")
    return Exit.OK


async def _purge(fabric: Fabric, ids: Sequence[str], all_of: str | None) -> int:
    gone = 0
    async with _opened(fabric) as store:
        by_pool: dict[str, list[str]] = {}
        for each in await _chosen(store, ids, all_of):
            by_pool.setdefault(capability_of(each), []).append(each)
        for pool, chosen in by_pool.items():
            for start in range(0, len(chosen), _PAGE):
                gone += await store.purge(pool, chosen[start : start + _PAGE])
    return gone


async def _chosen(store: Store, ids: Sequence[str], all_of: str | None) -> list[str]:
    if bool(ids) == bool(all_of):
        raise UsageError("Which dead letters is not clear. Write their ids, or --all-of CAPABILITY.")
    if all_of is None:
        return list(ids)
    status = await store.status(all_of)
    if status is None:
        await _unknown(store, all_of)
        return []
    return [letter.id for letter in await _letters(store, all_of, status.dead)]
