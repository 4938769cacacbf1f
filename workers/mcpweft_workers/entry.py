"""How a worker process begins and ends: options in, signals handled, an exit code out.

Above stands the command line (`mcpweft worker`), which finds the store and reads the configuration. Below:
plan.py and worker.py. It must never decide anything about requests.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import random
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config.server import ServerConfig
from mcpweft_schemas.connect import StoreRefusedError
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.logline import to_stream
from mcpweft_schemas.parent import watch_parent
from mcpweft_schemas.slug import slug
from mcpweft_workers import log
from mcpweft_workers.plan import Plan, draw_up
from mcpweft_workers.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcpweft_schemas.config import Config

OK, FAILED = 0, 1
"""The exit codes of `run_worker`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What the command line says. Exactly one of `server`, `command`, `url` and `app` is given."""

    config: Config
    store_url: str
    """Where the store is; the namespace is the configuration's."""
    server: str = ""
    """The name of a server in the configuration."""
    command: tuple[str, ...] = ()
    """A stdio server's program and arguments."""
    url: str = ""
    """An HTTP server."""
    app: str = ""
    """A Python object, `module:name`."""
    name: str = ""
    """What a server that is not in the configuration is called; empty: after its program, host or module."""
    worker_id: str = ""
    """Given by a launcher, which never uses one twice; empty: made up."""
    capabilities: tuple[str, ...] = ()
    """Pools to serve; empty: as configured, else one of the server's own name."""
    concurrency: int | None = None
    port: int | None = None
    """Of /healthz, /readyz and /metrics; 0: any free one; None: as configured."""
    log_level: str = "info"


def run_worker(options: WorkerOptions) -> int:
    """Run a worker in this process until SIGTERM or SIGINT; return its exit code.

    The first signal lets running calls finish within the grace; a second one ends at once. Returns 0 after
    either, 1 where the worker failed. Raises InvalidConfigError before anything is started.
    """
    watch_parent()  # before any process of our own is started, which must not hold the launcher's pipe
    plan = plan_of(options)
    who = plan.identity
    to_stream(sys.stderr, options.log_level, log.LOGGER.name, worker=who.worker, server=who.server)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(serve(plan))
    except StoreRefusedError as error:
        log.event(logging.ERROR, "refused", error=str(error))
        return FAILED
    except Exception:
        logging.getLogger(__name__).exception("the worker broke")
        return FAILED
    return OK


async def serve(plan: Plan) -> None:
    """Run a worker until a signal ends it: SIGTERM and SIGINT within the grace, SIGUSR1 once it is idle."""
    worker = Worker(plan, clock=time.monotonic, rng=random.SystemRandom(), epoch=time.time_ns() // 1_000_000)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, worker.stop)
    loop.add_signal_handler(signal.SIGUSR1, worker.drain)
    try:
        await worker.run()
    finally:
        for number in (*signals, signal.SIGUSR1):
            loop.remove_signal_handler(number)


def plan_of(options: WorkerOptions) -> Plan:
    """Return the plan that the options ask for. Raises InvalidConfigError."""
    given = [what for what in ("server", "command", "url", "app") if getattr(options, what)]
    if len(given) != 1:
        raise InvalidConfigError(
            f"a worker is bound to one server, and {' and '.join(given) or 'none'} was given",
            advice="Give one of --server, --command, --url and --app.",
        )
    server = _configured(options) if options.server else _ad_hoc(options)
    return draw_up(
        options.config,
        server,
        options.store_url,
        worker=options.worker_id,
        capabilities=options.capabilities,
        concurrency=options.concurrency,
        port=options.port,
    )


def _configured(options: WorkerOptions) -> ServerConfig:
    servers = options.config.servers
    found = servers.get(options.server)
    if found is None:
        names = near(options.server, servers) or sorted(servers)[:10]
        raise InvalidConfigError(
            f"no server is called {options.server!r}",
            advice=f"Known: {', '.join(names)}." if names else "The configuration names no server.",
        )
    return found


def _ad_hoc(options: WorkerOptions) -> ServerConfig:
    said: dict[str, Any] = {}
    if options.command:
        command = shlex.split(options.command[0]) if len(options.command) == 1 else list(options.command)
        said = {"command": command[0], "args": tuple(command[1:])}
        name = command[0].rpartition("/")[2]
    elif options.url:
        said = {"url": options.url}
        name = options.url.partition("://")[2].partition("/")[0]
    else:
        said = {"app": options.app}
        name = options.app.partition(":")[0].rpartition(".")[2]
    name = options.name or (options.capabilities[0] if options.capabilities else name)
    return ServerConfig.model_validate(said).named(name, slug(name))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    import uvloop  # noqa: PLC0415  # the extra [fast] may not be there

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
