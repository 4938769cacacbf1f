"""The move `amend`: the fleet's settings become another edition, decided on the one in force, never twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft_schemas.edition import KEEP, Edition, Trial
from mcpweft_schemas.rules.bulletin import Bulletin
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from mcpweft_schemas.store import Store

pytestmark = realredis.every_store


def edition(turn: int, by: str = "ann", reason: str = "why", **document: Any) -> Edition:
    return Edition(0, document, by, reason, turn=turn)


async def test_before_anybody_set_anything_there_is_version_0(store: Store) -> None:
    assert await store.edition() == Edition()
    assert await store.edition_version() == (0, False)
    assert await store.editions() == ()


async def test_an_edition_is_read_as_it_was_written_with_the_time_of_the_store(store: Store) -> None:
    settings: dict[str, Any] = {"queue": {"bound": 7}, "servers": {"my git": {"args": ["ä", "b"]}}}
    assert await store.amend(edition(0, **settings), "m1") == (Word.OK, 1)
    read = await store.edition()
    assert (read.version, read.document, read.by, read.reason) == (1, settings, "ann", "why")
    assert abs(read.at_ms - int((await store.link.run("TIME"))[0]) * 1000) < 60_000
    assert await store.edition_version() == (1, False)
    assert await store.editions() == (replace(read, turn=0),)


async def test_what_was_decided_on_another_turn_is_stale_and_writes_nothing(store: Store) -> None:
    await store.amend(edition(0, queue={"bound": 7}), "m1")
    before = await store.edition()
    for turn in (0, 2):
        assert await store.amend(edition(turn, queue={"bound": 9}), "m2") == (Word.STALE, 1)
    assert await store.edition() == before
    assert len(await store.editions()) == 1


async def test_a_repeat_after_a_lost_answer_writes_nothing_twice(store: Store) -> None:
    first = edition(0, queue={"bound": 7})
    await store.amend(first, "m1")
    assert await store.amend(first, "m1") == (Word.REPEAT, 1)
    assert len(await store.editions()) == 1
    await store.amend(edition(1, queue={"bound": 8}), "m2")
    assert await store.amend(first, "m1") == (Word.STALE, 2), "another one has followed"


async def test_of_many_who_change_it_at_once_each_version_is_written_by_one(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.amend(edition(0, by=f"p{n}", queue={"bound": n + 1}), f"m{n}") for n in range(8))
    )
    assert [word for word, _ in answers].count(Word.OK) == 1
    assert {version for _, version in answers} == {1}


async def test_a_trial_begins_with_a_version_and_ends_without_a_new_one(store: Store) -> None:
    trial = Trial("git", 30.0, "ann", "m1")
    added = replace(edition(0, servers={"git": {"command": "x"}}), trials=(trial,))
    assert await store.amend(added, "m1") == (Word.OK, 1)
    assert (await store.edition()).trials == (trial,)
    assert await store.edition_version() == (1, True)
    passed = replace(await store.edition(), trials=())
    assert await store.amend(passed, "m2") == (Word.OK, 1)
    assert await store.edition_version() == (1, False)
    assert len(await store.editions()) == 1
    assert await store.amend(passed, "m3") == (Word.STALE, 1), "a trial that another has ended meanwhile"


async def test_producers_read_the_rules_of_the_edition_in_force_and_the_version_with_which_they_changed(
    store: Store,
) -> None:
    assert (await store.rules_version(), await store.rules()) == (0, Bulletin())
    rules: list[dict[str, Any]] = [{"name": "ä"}]
    documents: list[dict[str, Any]] = [
        {"queue": {"bound": 1}},
        {"queue": {"bound": 1}, "rules": rules},
        {"queue": {"bound": 2}, "rules": rules, "servers": {"git": {"command": "secret"}}},
        {"rules": rules, "rules_match": "all"},
        {"rules": []},
        {},
    ]
    told: list[tuple[int, dict[str, Any]]] = []
    for turn, document in enumerate(documents):
        await store.amend(edition(turn, **document), f"m{turn}")
        bulletin = await store.rules()
        assert bulletin.version == await store.rules_version()
        told.append((bulletin.version, dict(bulletin.said)))
    assert told == [
        (0, {}),
        (2, {"rules": rules}),
        (2, {"rules": rules}),
        (4, {"rules": rules, "rules_match": "all"}),
        (5, {"rules": []}),
        (6, {}),
    ]


async def test_a_stale_or_repeated_amendment_leaves_the_rules_as_they_are(store: Store) -> None:
    await store.amend(edition(0, rules=[{"name": "a"}]), "m1")
    before = await store.rules()
    assert (await store.amend(edition(0, rules=[{"name": "b"}]), "m2"))[0] is Word.STALE
    assert (await store.amend(edition(0, rules=[{"name": "b"}]), "m1"))[0] is Word.REPEAT
    assert await store.rules() == before


async def test_the_history_keeps_so_many_and_no_more(store: Store) -> None:
    for version in range(KEEP + 3):
        await store.amend(edition(version, queue={"bound": version + 1}), f"m{version}")
    kept = await store.editions()
    assert [each.version for each in kept] == list(range(4, KEEP + 4))
    assert kept[-1] == replace(await store.edition(), turn=0)


@pytest.mark.parametrize("document", ["[]", "{", json.dumps({"a": "x" * 300_000})])
async def test_what_is_no_edition_is_told_and_not_believed(store: Store, document: str) -> None:
    fields = (
        "version",
        1,
        "document",
        document,
        "by",
        "",
        "reason",
        "",
        "at",
        1,
        "mark",
        "m",
        "trials",
        "",
        "turn",
        1,
    )
    await store.link.run("HSET", store.fleet.config, *fields)
    with pytest.raises(ValueError, match=r"no document|Expecting"):
        await store.edition()
