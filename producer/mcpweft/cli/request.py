"""`mcpweft result`, `cancel` and `inspect`: one request by its id, from any process.

Below is the client. This module must never know how a request travels.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from mcpweft.cli import answer
from mcpweft.cli.exits import Exit
from mcpweft.cli.option import FOUND, Fabric, Json, capability_of
from mcpweft.cli.running import run

if TYPE_CHECKING:
    from mcpweft.inquiry import Inquiry


def result(
    request_id: str, /, *, timeout: str | None = None, json: Json = False, fabric: Fabric = FOUND
) -> int:
    """Wait for the outcome of a submitted call, and print it as `mcpweft call` does.

    Parameters
    ----------
    request_id
        Its id, as `mcpweft submit` printed it.
    timeout
        How long to wait, such as 20s (0: only look). Unset: until it ends. The request goes on.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    capability_of(request_id)
    return run(_result(fabric, request_id, timeout, as_json=json))


async def _result(fabric: Fabric, request_id: str, timeout: str | None, *, as_json: bool) -> int:  # noqa: ASYNC109  # the client's own word
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        got = await client.result(request_id, timeout)
    if as_json:
        answer.print_json(answer.result_json(got))
    else:
        answer.print_result(got)
    return Exit.OK


def cancel(request_id: str, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Cancel a call for everybody who waits for it. Exit code 1 tells that it had ended already.

    Parameters
    ----------
    request_id
        Its id.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    capability_of(request_id)
    stopped = run(_cancel(fabric, request_id))
    if json:
        answer.print_json({"id": request_id, "cancelled": stopped})
    else:
        answer.print_line("cancelled" if stopped else "it had ended already")
    return Exit.OK if stopped else Exit.FAILED


async def _cancel(fabric: Fabric, request_id: str) -> bool:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.cancel(request_id)


def inspect(request_id: str, /, *, json: Json = False, fabric: Fabric = FOUND) -> int:
    """Show where a call stands: state, place in the queue, deadline, each attempt, and what comes next.

    Parameters
    ----------
    request_id
        Its id.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    capability_of(request_id)
    found = run(_inspect(fabric, request_id))
    if json:
        answer.print_json(asdict(found) | {"attempts": answer.attempts_json(found.attempts)})
    else:
        _print(found)
    return Exit.OK


async def _inspect(fabric: Fabric, request_id: str) -> Inquiry:
    from mcpweft import Client  # once the command line is known to be right

    place = fabric.place()
    async with Client(place.url, namespace=place.namespace) as client:
        return await client.inspect(request_id)


_SAFE = {True: "yes", False: "no", None: "not known yet"}


def _print(found: Inquiry) -> None:
    lines = [
        ("id", found.id),
        ("tool", f"{found.capability}.{found.tool}"),
        ("state", f"{found.state}" + (f" ({found.code})" if found.code else "")),
        ("next", found.next),
        ("class", str(found.klass)),
        ("accepted", f"{found.age:.1f} s ago"),
        ("may run twice", _SAFE[found.safe]),
        ("tool ran", str(found.executed)),
        ("attempts", f"{found.attempt} of {found.max_attempts}, {found.deliveries} deliveries"),
        ("waiters", str(found.waiters)),
    ]
    if found.tenant:
        lines.append(("tenant", found.tenant))
    if found.rules:
        lines.append(("rules", f"{', '.join(found.rules.names)} (version {found.rules.version})"))
    for number, one in enumerate(found.attempts, 1):
        told = f"{one.server}, worker {one.worker}: {one.cause}, ran: {one.executed}, {one.took_ms} ms"
        lines.append((f"attempt {number}", told))
    for name, text in lines:
        answer.print_line(f"{name:<13}  {text}")
