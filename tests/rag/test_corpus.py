"""What is read of a folder: source without running it, Markdown, text, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from retrieval.corpus import folder, standard_library
from retrieval.prose import LONGEST
from retrieval.record import Relation

if TYPE_CHECKING:
    from pathlib import Path

    from retrieval.corpus import Corpus
    from retrieval.record import Record


@pytest.fixture
def records(small: Corpus) -> dict[str, Record]:
    return {record.name: record for record in small.read().records}


def test_definitions_are_records_with_signature_docstring_and_place(records: dict[str, Record]) -> None:
    steer, floating = records["boat.hull.Hull.steer"], records["boat.hull.float_on"]
    assert steer.content == "def boat.hull.Hull.steer(self, angle)\n\nTurn the rudder by an angle."
    assert (steer.kind, steer.title, steer.source) == ("method", "Hull.steer", "boat/hull.py:10")
    assert (
        steer.about
        == "Hull Keeps the water out. hull The hull: planks, keel and rudder. boat Everything about a boat."
    )
    assert floating.content.startswith("def boat.hull.float_on(water, *, depth, **more)\n\n")
    assert (floating.kind, records["boat.rig.Mast"].kind, records["boat"].kind) == (
        "function",
        "class",
        "module",
    )
    assert records["boat.rig.Winch"].content.startswith("class boat.rig.Winch(th.Thread)\n\n")


def test_what_is_private_or_no_python_is_left_out_and_nothing_is_run(records: dict[str, Record]) -> None:
    assert not [name for name in records if "secret" in name or "broken" in name or "table" in name]
    assert "boat.sunk" in records


def test_a_relation_is_told_where_the_source_says_whom_it_means(small: Corpus) -> None:
    told = set(small.read().relations)
    assert {
        Relation("boat", "contains", "boat.hull"),
        Relation("boat.hull", "contains", "boat.hull.Hull"),
        Relation("boat.hull", "imports", "json"),
        Relation("boat.rig.Mast", "inherits", "boat.hull.Hull"),
        Relation("boat.rig.Winch", "inherits", "threading.Thread"),
        Relation("boat.rig.Mast.raise_sail", "calls", "boat.hull.float_on"),
        Relation("boat.hull.Hull.steer", "calls", "json.dumps"),
    } <= told
    assert not [one for one in told if one.verb == "calls" and "steer" in one.object]


def test_what_a_module_imports_is_another_name_of_it(small: Corpus) -> None:
    aliases = small.read().aliases
    assert aliases["boat.Hull"] == aliases["boat.rig.Body"] == "boat.hull.Hull"
    assert aliases["boat.Pole"] == "boat.rig.Mast"


def test_a_document_is_cut_at_its_headings_and_knows_its_links(
    small: Corpus, records: dict[str, Record]
) -> None:
    assert [name for name in records if name.startswith("guide.md")] == [
        "guide.md",
        "guide.md#sailing-for-beginners",
        "guide.md#knots",
        "guide.md#wind-and-sails",
    ]
    knots = records["guide.md#knots"]
    assert knots.source == "guide.md:5"
    assert "# not a heading" in knots.content
    assert records["notes/weather.md#weather"].content.startswith("Weather\n\nFalling pressure")
    assert records["notes/engine.txt#engine"].source == "notes/engine.txt:1"
    assert Relation("guide.md#knots", "links", "notes/weather.md") in small.read().relations


def test_a_long_section_is_cut_between_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"{word} " * 120 for word in ("one", "two", "three", "four", "five", "six")]
    (tmp_path / "long.txt").write_text("\n\n".join(paragraphs))
    pieces = [one for one in folder(tmp_path).read().records if one.kind == "section"]
    assert len(pieces) > 1
    assert all(len(piece.content) < LONGEST + 1000 for piece in pieces)
    assert " ".join(" ".join(piece.content for piece in pieces).split()) == " ".join(
        " ".join(paragraphs).split()
    )


def test_the_fingerprint_changes_with_any_file(small: Corpus) -> None:
    before = small.fingerprint()
    assert small.fingerprint() == before
    (small.root / "notes" / "engine.txt").write_text("Change the oil.\n")
    changed = small.fingerprint()
    (small.root / "new.md").write_text("# New\n")
    assert len({before, changed, small.fingerprint()}) == 3


def test_a_folder_that_is_none_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a folder"):
        folder(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no file that ends in \.markdown, \.md, \.py, \.rst, \.txt"):
        folder(tmp_path).read()


def test_text_of_any_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait\0\n")
    (found,) = [one for one in folder(tmp_path).read().records if one.kind == "section"]
    assert found.content == "caf\N{REPLACEMENT CHARACTER} au lait"


def test_the_standard_library_is_source_without_its_tests() -> None:
    corpus = standard_library()
    files = {path.relative_to(corpus.root).as_posix() for path in corpus.files()}
    assert {"shutil.py", "json/decoder.py", "asyncio/tasks.py"} <= files
    assert not [
        name for name in files if "site-packages" in name or ("/test" in f"/{name}" and "/tests/" in name)
    ]
