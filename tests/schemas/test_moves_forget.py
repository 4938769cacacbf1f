"""The move `forget`: a removed server's tools are listed no more, and nobody else's are touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import realredis
from mcpweft_schemas.packing import pack
from mcpweft_schemas.store import Reader

if TYPE_CHECKING:
    from pool import Pool

pytestmark = realredis.every_store


async def join(pool: Pool, worker: str, server: str) -> None:
    reader = Reader(worker, server, worker, pool.incarnation, 1)
    info = pack({"server": server, "instance": worker})
    await pool.store.register("echo", reader, info, [("say", True, b"x"), ("add", False, b"y")])


async def test_a_server_s_tools_are_forgotten_once_its_last_worker_is_gone(pool: Pool) -> None:
    await join(pool, "w1", "git")
    await join(pool, "w2", "git-two")
    assert await pool.store.forget("echo", "git") == 0
    assert len(await pool.store.tools("echo")) == 4, "a worker of it is there"
    await pool.store.retire("echo", "w1")
    before = await pool.shot()
    assert await pool.store.forget("echo", "git") == 2
    after = await pool.shot()
    assert sorted(await pool.store.tools("echo")) == ["git-two/add", "git-two/say"]
    changed = {name for name in before.hashes if before.hashes[name] != after.hashes.get(name)}
    assert changed == {"tools"}
    assert await pool.store.forget("echo", "git") == 0
    await join(pool, "w1", "git")
    assert len(await pool.store.tools("echo")) == 4, "and it says anew what it offers"


async def test_in_a_pool_that_was_never_declared_there_is_nothing_to_forget(pool: Pool) -> None:
    assert await pool.store.forget("nowhere", "git") == 0
