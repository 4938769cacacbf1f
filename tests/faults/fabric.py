"""A whole fabric of real processes on one store, to be hurt, and the evidence that they leave.

Workers, coordinators and producers are started here as an operator starts them; the worker that is to die at
a point is `dying_worker.py`, which runs the same command. All of them carry the test's folder in PATH, by
which the last one is found. `verdict` ends everything in good order, gathers what was written down, and hands
it to `checker`.

Above stand the fault tests. It must never know a fault: those are the tests' own.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import checker
import leak
import realredis
from faults import calling, evidence
from mcpweft_schemas.connect import Link
from mcpweft_schemas.store import Store
from mcpweft_schemas.word import Word
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

HERE = Path(__file__).parent
DEAD_AFTER = 1.0
START_WITHIN = 60.0  # a worker loads the SDK: a second of a processor that many others may use too
END_WITHIN = calling.TIMEOUT

_CONFIG = """
namespace = "{namespace}"
[redis]
url = "{url}"
[worker]
heartbeat = "250ms"
dead_after = "{dead_after}s"
grace = "3s"
[call]
attempt_timeout = "5s"
backoff = "50ms"
backoff_max = "200ms"
[breaker]
failure_threshold = 1000
min_calls = 1000
{breaker}
[coordinator]
lease = "400ms"
"""
_SERVER = """
[servers.{name}]
command = {python}
args = [{script}, "--ledger", {ledger}{more}]
mode = "legacy"
capabilities = ["{name}"]
"""


class Lines:
    """A JSON lines file that others write: each look reads what has come since the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: list[dict[str, Any]] = []
        self._offset = 0

    def all(self) -> list[dict[str, Any]]:
        """Return the whole lines that are there."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole + newline)
            self._read += [json.loads(line) for line in whole.splitlines()]
        return self._read


@dataclass
class Process:
    """A process of the fabric."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    """What it says on standard error."""
    stopped: bool = False

    def ended(self) -> bool:
        return self.popen.poll() is not None

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(5)

    def pause(self) -> None:
        self.popen.send_signal(signal.SIGSTOP)
        self.stopped = True

    def resume(self) -> None:
        self.popen.send_signal(signal.SIGCONT)
        self.stopped = False

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Producer(Process):
    """A producer: takes calls on its standard input, logs what becomes of them."""

    log_lines: Lines

    def tell(self, calls: Iterable[Mapping[str, Any]]) -> None:
        """Have it make calls."""
        pipe = self.popen.stdin
        assert pipe is not None
        for call in calls:
            pipe.write(json.dumps(call).encode() + b"\n")
        pipe.flush()

    def stall(self, seconds: float) -> None:
        """Have its event loop stand still."""
        self.tell([{"stall": seconds}])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return what it has logged of one kind; fail where it broke."""
        assert self.popen.poll() in {None, 0, -signal.SIGKILL}, self.said()
        return [event for event in self.log_lines.all() if event["event"] == kind]

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """Return nonce → the outcome that it was told."""
        return {event["nonce"]: event for event in self.events("outcome")}

    async def told(self, *nonces: str, count: int = 0, within: float = 15.0) -> None:
        """Wait until it has these outcomes, and so many altogether."""
        await until(lambda: len(self.outcomes()) >= count and {*nonces} <= self.outcomes().keys(), within)

    def ids(self) -> dict[str, str]:
        """Return nonce → the id under which it was accepted."""
        return {event["nonce"]: event["id"] for event in self.events("accepted")}


_P = TypeVar("_P", bound=Process)


class Fabric:
    """All processes of one namespace; leave its block to end them."""

    def __init__(self, url: str, namespace: str, folder: Path, pools: tuple[str, ...] = ("echo",)) -> None:
        self.url = url
        self.namespace = namespace
        self.pools = pools
        self.store = Store(Link.to(url), namespace)
        self.ledger = Lines(folder / "ledger")
        self._folder = folder
        self._config = folder / "mcpweft.toml"
        self.serve_with()
        self._processes: list[Process] = []
        self._producers: list[Producer] = []
        self._killed: set[str] = set()
        self._count = 0

    def serve_with(self, *more: str) -> None:
        """Have the MCP servers that start from here on run with these arguments."""
        text = ""
        for name in self.pools:
            script, python = json.dumps(str(HERE / "server.py")), json.dumps(sys.executable)
            text += _SERVER.format(
                name=name,
                python=python,
                script=script,
                ledger=json.dumps(str(self.ledger.path)),
                more="".join(f", {json.dumps(word)}" for word in more),
            )
        self._configure(text)

    def serve_app(self, app: str) -> None:
        """Have workers that start from here on serve a Python object of this folder, `module:attribute`."""
        self._configure(
            "".join(f'\n[servers.{name}]\napp = "{app}"\ncapabilities = ["{name}"]\n' for name in self.pools)
        )

    def serve_url(self, url: str) -> None:
        """Have workers that start from here on be bound to one HTTP server, probing it one call at a time."""
        text = "".join(
            f'\n[servers.{name}]\nurl = "{url}"\ncapabilities = ["{name}"]\n' for name in self.pools
        )
        self._configure(text, breaker='probes = 1\nrecovery = "500ms"')

    def _configure(self, servers: str, breaker: str = "") -> None:
        text = _CONFIG.format(namespace=self.namespace, url=self.url, dead_after=DEAD_AFTER, breaker=breaker)
        self._config.write_text(text + servers)

    # -- processes -----------------------------------------------------------------------------------------

    def _start(self, name: str, words: list[str], cls: type[_P]) -> _P:
        log = self._folder / f"{name}.err"
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MCPWEFT_")}
        environ["PATH"] += os.pathsep + str(self._folder)
        environ["PYTHONPATH"] = str(HERE)
        with log.open("wb") as stderr:
            popen = subprocess.Popen(
                [sys.executable, *words],
                stdin=subprocess.PIPE if cls is Producer else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environ,
                cwd=self._folder,
            )
        process = cls(name, popen, log)
        self._processes.append(process)
        return process

    def worker(
        self, name: str, *, at: str = "", each: bool = False, url: str = "", server: str = ""
    ) -> Process:
        """Start a worker; with `at`, one that dies there (see dying_worker.py)."""
        words = ["worker", "--config", str(self._config), "--server", server or self.pools[0], "--id", name]
        words += self._where(url)
        if not at:
            return self._start(name, ["-m", "mcpweft.cli.main", *words], Process)
        dying = [str(HERE / "dying_worker.py"), "--at", at, "--ledger", str(self.ledger.path)]
        return self._start(name, [*dying, *(["--each"] if each else []), "--", *words], Process)

    def coordinator(self, name: str = "coordinator", *, url: str = "") -> Process:
        """Start a coordinator."""
        words = ["coordinator", "--config", str(self._config), "--id", name]
        return self._start(name, ["-m", "mcpweft.cli.main", *words, *self._where(url)], Process)

    def _where(self, url: str) -> list[str]:
        return ["--store", url or self.url, "--namespace", self.namespace]

    def producer(self, name: str = "producer", *, url: str = "") -> Producer:
        """Start a producer."""
        events = self._folder / f"{name}.events"
        words = ["--url", url or self.url, "--namespace", self.namespace, "--log", str(events)]
        producer = self._start(name, [str(HERE / "producing.py"), *words], Producer)
        producer.log_lines = Lines(events)
        self._producers.append(producer)
        return producer

    async def usable(self, *workers: Process, within: float = START_WITHIN) -> None:
        """Wait until workers take work."""
        await until(lambda: self._usable({worker.name for worker in workers}), within)

    async def _usable(self, names: set[str]) -> bool:
        ended = [p for p in self._processes if p.name in names and p.ended()]
        assert not ended, "\n".join(p.said() for p in ended)
        found: set[str] = set()
        for pool in self.pools:
            status = await self.store.status(pool)
            if status is not None:
                found |= {name for name, end in status.usable.items() if end > status.now_ms}
        return names <= found

    async def bury(self, worker: Process) -> None:
        """Report a worker's exit, as the launcher that started it does."""
        assert worker.ended()
        for pool in self.pools:
            while True:
                got = await self.store.reclaim(pool, 0, worker.name, confirmed=True, dead_after_ms=0)
                if got.word is not Word.MORE:
                    break
            await self.store.retire(pool, worker.name)

    @property
    def producers(self) -> list[Producer]:
        """Every producer there was."""
        return list(self._producers)

    def kill_producer(self, producer: Producer) -> None:
        """End a producer as a crash would."""
        producer.kill()
        self._killed.add(producer.name)

    # -- work ----------------------------------------------------------------------------------------------

    def call(
        self, tool: str, *, how: str = "call", pool: str = "", ms: float | None = None,
        arguments: Mapping[str, Any] | None = None, **options: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return one call, with a nonce of its own that its answer must say."""
        self._count += 1
        pool = pool or self.pools[0]
        nonce = f"n{self._count:05}.{pool}.{tool}"
        return calling.made(nonce, pool, tool, how=how, ms=ms, arguments=arguments, **options)

    def again(self, call: Mapping[str, Any], how: str, **more: Any) -> dict[str, Any]:
        """Return the same call for another producer: made `how`, or followed by its id."""
        return {**call, **more, "how": how}

    def load(self, count: int, seed: int = 1) -> list[dict[str, Any]]:
        """Return mixed calls: safe and not, quick and slow, of all priorities and three tenants."""
        rng = random.Random(seed)
        return [
            self.call(
                rng.choice(["echo", "ask", "say", "say", "fail"]),
                how=rng.choice(["call", "call", "submit"]),
                pool=rng.choice(self.pools),
                ms=rng.uniform(1, 40),
                priority=rng.randint(0, 10),
                tenant=rng.choice(["", "red", "blue"]),
            )
            for _ in range(count)
        ]

    def executed(self) -> list[str]:
        """Return the nonce of each execution, as the MCP servers wrote them down."""
        return [line["nonce"] for line in self.ledger.all()]

    async def begun(self, producer: Producer, *calls: Mapping[str, Any]) -> None:
        """Wait until servers have begun on calls, and their producer knows that they were accepted.

        The first may come before the second: a worker does not wait for a producer to read its answer.
        """
        nonces = {call["nonce"] for call in calls}
        await until(lambda: nonces <= {*self.executed()} & producer.ids().keys(), 10.0)

    def servers(self) -> set[int]:
        """Return the MCP servers that have run a tool, by process id."""
        return {line["pid"] for line in self.ledger.all()}

    async def holder(self, request_id: str) -> str:
        """Return the worker that has (or had last) a request in its hands."""
        seen = await self.store.inspect(request_id.partition("~")[0], request_id)
        assert seen is not None
        return seen.fields["worker"]

    # -- the end -------------------------------------------------------------------------------------------

    async def finish(self, within: float = END_WITHIN) -> None:
        """Wait until every producer has its outcomes and nothing is open in the store."""
        living = [one for one in self._producers if one.name not in self._killed]
        for producer in living:
            assert producer.popen.stdin is not None
            producer.popen.stdin.close()
        await until(lambda: all(producer.ended() for producer in living), within)
        await until(self._at_rest, within)

    async def _at_rest(self) -> bool:
        for pool in self.pools:
            status = await self.store.status(pool)
            if status and (status.running or status.delayed or any(status.waiting.values())):
                return False
        return True

    async def verdict(self) -> checker.Evidence:
        """End everything, and fail if what was written down proves a fault; return it."""
        await self.finish()
        found = await self.evidence()
        faults = checker.faults(found)
        assert not faults, "\n".join(faults)
        return found

    async def evidence(self, seen: Iterable[checker.Stored] = ()) -> checker.Evidence:
        """End everything, and return what was written down; `seen`: records that may have gone since."""
        stored: dict[str, checker.Stored] = {}
        with contextlib.closing(realredis.connect(self.url)) as client:
            for pool in self.pools:
                records = evidence.records(client, self.store.keys(pool), self.names())
                stored |= {record.id: record for record in records}
            broken = await self._stop()
            leaked = leak.delete_keys(client, self.namespace)
        stored |= {record.id: record for record in seen}
        told = [one for p in self._producers for one in evidence.of_producer(p.name, p.log_lines.all())]
        return checker.Evidence(
            sent=[one for one in told if isinstance(one, checker.Sent)],
            accepted=[one for one in told if isinstance(one, checker.Accepted)],
            outcomes=[one for one in told if isinstance(one, checker.Outcome)],
            ledger=self.executed(),
            stored=list(stored.values()),
            leaked_keys=leaked,
            broken=broken,
            left_processes=leak.end_processes(self.left),
            dead_producers=frozenset(self._killed),
        )

    async def _stop(self) -> list[str]:
        """End all processes in good order; return a line about each that did not, or broke before."""
        for process in self._processes:
            if process.stopped:
                process.resume()
            process.popen.terminate()
        return [line for process in self._processes async for line in _ended(process)]

    def left(self) -> set[int]:
        """Return the living processes of this fabric."""
        return leak.marked(str(self._folder))

    def names(self) -> dict[str, str]:
        """Return each producer's id on the wire → its name here."""
        return {
            event["producer_id"]: one.name
            for one in self._producers
            for event in one.log_lines.all()
            if event["event"] == "ready"
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.link.close()
        for process in self._processes:
            if not process.ended():
                process.kill()
            if process.popen.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.popen.stdin.close()


async def _ended(process: Process) -> AsyncIterator[str]:
    """Wait until a process has ended; give a line about each thing that is not as it should be."""
    try:
        await until(process.ended, 10.0)
    except AssertionError:
        yield f"{process.name} did not end when it was told to"
        process.kill()
    code, said = process.popen.returncode, process.said()
    unborn = code == -signal.SIGTERM and not said  # told to end before it had begun
    if code not in {0, -signal.SIGKILL} and not unborn:
        yield f"{process.name} ended with {code}: {said[-2000:]}"
    elif "Traceback" in said:
        yield f"{process.name} broke: {said[said.index('Traceback') :][:2000]}"
