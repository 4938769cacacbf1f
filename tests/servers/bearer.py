"""A worker in little: holds a stdio session until it is killed; prints the server's pid.

python tests/servers/bearer.py COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import asyncio
import random
import sys

from mcpweft_workers.session import ServerSpec, Session


async def main(command: list[str]) -> None:
    session = Session(ServerSpec("borne", command=tuple(command)), rng=random.Random(7))
    running = asyncio.create_task(session.run())
    await session.ready.wait()
    print(session.pids, flush=True)  # noqa: T201  # how the test hears
    await running


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
