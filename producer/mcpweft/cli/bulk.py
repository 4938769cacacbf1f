"""`mcpweft map`: the calls that a file of JSON lines asks for, many at a time, to be continued after any end.

    {"call": "time.get_current_time", "arguments": {"timezone": "UTC"}}     a call
    {"timezone": "UTC"}                                                     where CAP.TOOL was given

Out comes a JSON line for each, as they are completed: {"line": 1, "hash": …, "ok": true, "data": …} or
{"line": 2, "hash": …, "ok": false, "error": {…}}. A line is finished when its tool ran or may have run; one
whose tool did not run is tried again by the next run.

Below are the client and the journal. This module must never know how a request travels.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  # the parser reads the annotations
from typing import IO, TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mcpweft.cli import answer
from mcpweft.cli.exits import Exit, UsageError
from mcpweft.cli.journal import Journal, print_of
from mcpweft.cli.line import Reading
from mcpweft.cli.option import FOUND, Fabric
from mcpweft.cli.output import Output, is_finished
from mcpweft.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mcpweft import Client


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every line that does not say otherwise."""

    priority: str = "low"
    """0 to 10, or critical, high, normal, low."""
    timeout: str | None = None
    """Total time of each call."""
    attempt_timeout: str | None = None
    """Time of one attempt."""
    max_attempts: int | None = None
    """Attempts of each call at most."""
    idempotent: Annotated[bool | None, Parameter(negative="--no-idempotent")] = None
    """Whether running a call twice does no harm. Unset: as the operator or the tool says."""
    tenant: str | None = None
    """Whose calls they are."""

    def said(self) -> dict[str, Any]:
        """Return what was said."""
        fields = {name: getattr(self, name) for name in Terms.__slots__}
        return {name: value for name, value in fields.items() if value is not None}


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Where outcomes go, and where is written what was done."""

    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None
    """Append the outcomes to this file. Unset: standard output."""
    journal: Path | None = None
    """Where finished lines are noted. Unset: FILE.journal; deleted when all are finished."""
    restart: bool = False
    """Begin anew instead of continuing."""


EACH = Terms()
PLAIN = Files()


def bulk(
    file: Annotated[Path, Parameter(name="FILE", allow_leading_hyphen=True)],
    target: Annotated[str | None, Parameter(name="CAP.TOOL")] = None,
    /,
    *,
    window: int = 256,
    files: Files = PLAIN,
    terms: Terms = EACH,
    fabric: Fabric = FOUND,
) -> int:
    """Make the calls that a file of JSON lines asks for. Run it again to continue after any interruption.

    Parameters
    ----------
    file
        Lines as {"call": "CAP.TOOL", "arguments": {…}}; - for standard input.
    target
        What each line calls; then a line is the arguments alone.
    window
        Calls in flight at most.
    files
        Where outcomes go.
    terms
        What holds for every line.
    fabric
        Which fabric to call.

    """
    if window < 1:
        raise UsageError("--window is below 1.")
    path = None if str(file) == "-" else file
    journal = files.journal or (path.with_name(path.name + ".journal") if path else None)
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(path.open(encoding="utf-8")) if path else sys.stdin
        kept = stack.enter_context(Journal(journal, restart=files.restart))
        out = stack.enter_context(Output(files.output, kept, restart=files.restart))
        total = _count(path) if path else None
        bar = stack.enter_context(_bar(total, shown=sys.stderr.isatty() and not out.on_terminal))
        work = _Bulk(kept, out, bar, Reading(target, terms.said()), window)
        try:
            return run(work.run(fabric, source))
        finally:
            work.conclude()


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip())


@contextlib.contextmanager
def _bar(total: int | None, *, shown: bool) -> Generator[Callable[[int, int], None]]:
    """Give what moves the progress bar on standard error: (finished, failed)."""
    if not shown:
        yield lambda _finished, _failed: None
        return
    from rich.console import Console  # slow to import, and needed for a drawing only
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=total, failed=0)
        yield lambda finished, failed: progress.update(task, completed=finished, failed=failed)


class _Bulk:
    """One run over one input."""

    def __init__(
        self, journal: Journal, out: Output, bar: Callable[[int, int], None], reading: Reading, window: int
    ) -> None:
        self._journal = journal
        self._out = out
        self._bar = bar
        self._reading = reading
        self._slots = asyncio.Semaphore(window)
        self._skipped = self._ok = self._failed = self._unrun = 0
        self._whole = False

    async def run(self, fabric: Fabric, source: IO[str]) -> int:
        """Make the calls; return the exit code."""
        from mcpweft import Client  # once the command line is known to be right

        place = fabric.place()
        async with Client(place.url, namespace=place.namespace) as client:
            try:
                async with asyncio.TaskGroup() as group:
                    for number, line in enumerate(source, 1):
                        if not line.strip():
                            continue
                        if self._journal.has(number, line):
                            self._skipped += 1
                            continue
                        await self._slots.acquire()
                        group.create_task(self._one(client, number, line))
            except BaseExceptionGroup as group_:
                raise group_.exceptions[0] from None  # the others follow from it, or are the same
        self._whole = True
        return Exit.FAILED if self._failed else Exit.OK

    async def _one(self, client: Client, number: int, line: str) -> None:
        from mcpweft_schemas.errors import ConnectionFailedError, McpweftError  # with the client

        try:
            try:
                call = self._reading.read(line)
                if key := self._journal.key(number, line):
                    # Whoever continues joins what was in flight, so that it must go on without us.
                    call.options["idempotency_key"] = key
                    call.options["on_cancel"] = "detach"
                outcome = answer.result_json(await client.call(call.target, call.arguments, **call.options))
            except ConnectionFailedError:
                raise  # the store is gone: every other line would say the same
            except McpweftError as error:
                outcome = answer.error_json(error)
            self._write(number, line, outcome)
        finally:
            self._slots.release()

    def _write(self, number: int, line: str, outcome: dict[str, Any]) -> None:
        self._out.write({"line": number, "hash": print_of(line), **outcome})
        if is_finished(outcome):
            self._journal.note(number, line)
        else:
            self._unrun += 1
        self._ok += bool(outcome["ok"])
        self._failed += not outcome["ok"]
        self._bar(self._skipped + self._ok + self._failed, self._failed)

    def conclude(self) -> None:
        """Say what came of it, and forget the journal where nothing is left to do."""
        done = f"{self._ok} done, {self._failed} failed"
        if self._skipped:
            done += f", {self._skipped} were done before"
        if self._whole and not self._unrun:
            self._journal.forget()
            sys.stderr.write(f"{done}\n")
            return
        left = f"{self._unrun} did not run" if self._whole else "not all were reached"
        again = "; the same command continues" if self._journal.path else ""
        sys.stderr.write(f"{done}; {left}{again}\n")
