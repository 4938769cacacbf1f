"""The scripts: how their texts are put together, known by their hashes, and what each file says of itself."""

from __future__ import annotations

import hashlib
import inspect
import re
from importlib import resources

import pytest

import realredis
from mcpweft_schemas import store
from mcpweft_schemas.connect import Link
from mcpweft_schemas.script import script

FILES = {
    entry.name: entry.read_text(encoding="utf-8")
    for entry in resources.files("mcpweft_schemas").joinpath("lua").iterdir()
    if entry.name.endswith(".lua")
}
MOVES = sorted(name.removesuffix(".lua") for name in FILES if not name.startswith("_"))
PARTS = sorted(name for name in FILES if name.startswith("_"))


@pytest.mark.parametrize("move", MOVES)
def test_each_move_says_what_it_needs_takes_gives_and_why_it_is_atomic(move: str) -> None:
    head = re.match(r"(?:--[^\n]*\n)+", FILES[f"{move}.lua"])
    assert head is not None
    lines = head[0].splitlines()
    assert lines[0].startswith("-- needs ")
    assert lines[1].startswith(f"-- {move}: ")
    said = [line[3:].split(" ")[0].rstrip(":") for line in lines]
    assert "KEYS" in said
    assert "ARGV" in said
    assert "Gives" in said
    assert "Atomic" in head[0] or "Reads only" in head[0]


@pytest.mark.parametrize("move", MOVES)
def test_each_move_has_its_method_and_each_part_its_use(move: str) -> None:
    source = inspect.getsource(store)
    assert re.search(rf'(?:script|_run)\(\s*"{move}"', source)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_needed_by_a_move(part: str) -> None:
    name = part.removeprefix("_").removesuffix(".lua")
    assert any(name in FILES[f"{move}.lua"].splitlines()[0].split() for move in MOVES)


def test_a_text_is_its_parts_in_order_and_then_its_own() -> None:
    found = script("cancel")
    own = FILES["cancel.lua"].partition("\n")[2]
    assert found.text == "\n".join([FILES["_ground.lua"], FILES["_record.lua"], FILES["_signal.lua"], own])
    assert found.sha == hashlib.sha1(found.text.encode(), usedforsecurity=False).hexdigest()
    assert script("cancel") is found


def test_a_move_that_needs_nothing_has_only_its_own_text() -> None:
    assert script("hear").text == FILES["hear.lua"].partition("\n")[2]


def test_a_move_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(FileNotFoundError):
        script("conjure")


@realredis.every_store
async def test_every_store_takes_every_script_and_knows_it_by_our_hash(store_url: str) -> None:
    async with Link.to(store_url) as link:
        waiter = link.waiter("x")
        for move in MOVES:
            found = script(move)
            assert await waiter.run("SCRIPT", "LOAD", found.text) in {found.sha, found.sha.encode()}
        await waiter.close()


@realredis.every_store
async def test_a_script_that_the_store_does_not_know_is_sent_and_known_from_then_on(
    store_url: str, namespace: str
) -> None:
    async with Link.to(store_url) as link:
        waiter = link.waiter(key := f"mcpweft:{namespace}:{{x}}:reply:one")
        await waiter.run("SCRIPT", "FLUSH")
        hear = script("hear")
        assert [await hear.run(link, key, 60_000, "") for _ in range(2)] == [0, 1]
        assert await waiter.run("SCRIPT", "EXISTS", hear.sha) == [True]
        await waiter.close()
