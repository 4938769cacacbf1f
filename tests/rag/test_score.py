"""What a score means: the same in all three servers, and measured without anybody's questions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from mcp.server.mcpserver.exceptions import ToolError

from retrieval.answer import LONGEST, search
from retrieval.corpus import folder
from retrieval.fusion import Fusion, K, reciprocal
from retrieval.latent import Latent
from retrieval.library import Library, open_library
from retrieval.searcher import Probe, Scale, measure, probes
from retrieval.words import words

if TYPE_CHECKING:
    from pathlib import Path

    from retrieval.answer import Answer
    from retrieval.searcher import Strengths

WAYS = ("vector", "words", "hybrid", "relations")


class Fixed:
    """A searcher with the same strengths whatever is asked."""

    def __init__(self, *strengths: float) -> None:
        self._strengths = np.array(strengths)

    def strengths(self, query: str) -> Strengths:
        assert query
        return self._strengths


def ask(
    library: Library, way: str, query: str, most: int = 5, least: float = 0.7, about: str | None = None
) -> Answer:
    return search(library, getattr(library, way), query, most, least, about)


def named(answer: Answer) -> list[str]:
    return [result.metadata["name"] for result in answer.results]


def test_a_scale_runs_from_nothing_over_a_right_answer_to_the_records_own_words() -> None:
    scale = Scale(right=0.2, own=0.5)
    given = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 9.0])
    assert scale.scores(given) == pytest.approx([0, 0.35, 0.7, 0.85, 1, 1])


@pytest.mark.parametrize("scale", [Scale(0, 0), Scale(0.5, 0.1), Scale(0, 1)])
def test_a_scale_keeps_the_order_even_where_it_was_measured_on_nothing(scale: Scale) -> None:
    found = scale.scores(np.linspace(0, 1, 50))
    assert (np.diff(found) >= 0).all()
    assert (found[0], found[-1]) == (0, 1)


def test_a_scale_is_measured_by_what_was_found_for_half_a_records_words() -> None:
    asked = [Probe(at, "own", "half") for at in (0, 0, 0, 3, 9)]
    assert measure(Fixed(0.9, 0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.1), asked) == Scale(
        right=0.3, own=0.9
    )
    assert measure(Fixed(0.0, 0.0), [Probe(0, "own", "half")]) == Scale(right=0.0, own=0.0)


def test_what_is_asked_to_measure_is_always_the_same(sailing: Library) -> None:
    made = probes(sailing.index.records)
    assert made == probes(sailing.index.records)
    for probe in made:
        record = sailing.index.records[probe.at]
        own = words(record.summary or record.content)
        assert set(probe.own.split()) <= set(own)
        assert set(probe.half.split()) & set(own)


@pytest.mark.parametrize("way", WAYS)
def test_a_record_asked_for_with_its_own_words_reaches_the_top(way: str, sailing: Library) -> None:
    (first, *_) = ask(sailing, way, "Hoist a sail up the mast", least=0.0).results
    assert first.metadata["name"] == "boat.rig.Mast.raise_sail"
    assert first.score >= 0.7


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_found_for_what_the_corpus_does_not_speak_of(way: str, sailing: Library) -> None:
    assert ask(sailing, way, "mortgage interest for first-time buyers").results == []


@pytest.mark.parametrize("way", WAYS)
def test_a_threshold_of_zero_takes_everything(way: str, sailing: Library) -> None:
    everything = ask(sailing, way, "rudder", most=100, least=0)
    assert len(everything.results) == everything.total_results == len(sailing.index.records)
    scores = [result.score for result in everything.results]
    assert scores == sorted(scores, reverse=True)
    assert ask(sailing, way, "the", most=3, least=0).total_results == len(sailing.index.records)


@pytest.mark.parametrize("way", WAYS)
def test_a_context_raises_what_fits_it_and_brings_nothing_in(way: str, sailing: Library) -> None:
    plain = {r.metadata["name"]: r.score for r in ask(sailing, way, "water", 100, 0).results}
    about = {
        r.metadata["name"]: r.score for r in ask(sailing, way, "water", 100, 0, "rudder and keel").results
    }
    assert all(about[name] >= plain[name] for name in plain)
    assert all(about[name] == 0 for name in plain if plain[name] == 0)
    assert ask(sailing, way, "water", 100, 0, " ") == ask(sailing, way, "water", 100, 0)


@pytest.mark.timeout(240)  # the first of them makes the index, on a machine that may be busy
@pytest.mark.parametrize("way", WAYS)
def test_the_default_threshold_means_the_same_in_a_large_corpus(way: str, stdlib: Library) -> None:
    answer = ask(
        stdlib, way, "ExitStack" if way == "relations" else "recursively copy an entire directory tree"
    )
    assert answer.results
    expected = "contextlib.ExitStack" if way == "relations" else "shutil.copytree"
    assert expected in named(answer)
    assert ask(stdlib, way, "recipe for vegetable curry with coconut milk").results == []


@pytest.mark.parametrize("way", WAYS)
def test_words_that_only_some_scripts_write_break_nothing(way: str, sailing: Library) -> None:
    for query in ("帆船", '" OR * NEAR( -', "x" * 10_000, "word " * 2000, "🙂", "'; DROP TABLE record"):
        ask(sailing, way, query, least=0.0)


def test_an_answer_says_where_it_stands_and_what_it_is_related_to(sailing: Library) -> None:
    (found, *_) = ask(sailing, "hybrid", "carries the sails").results
    assert found.metadata["name"] == "boat.rig.Mast"
    assert found.metadata["kind"] == "class"
    assert found.source == "boat/rig.py:7"
    related = {(one.relation, one.direction, one.entity) for one in found.relationships}
    assert {("inherits", "out", "boat.hull.Hull"), ("contains", "in", "boat.rig")} <= related


def test_what_is_shown_of_a_long_record_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("sail " * 2000)
    library = open_library(folder(tmp_path), Latent(), tmp_path / "cache")
    shown = [len(result.content) for result in ask(library, "words", "sail", least=0).results]
    assert max(shown) == LONGEST


def test_blank_text_and_nul_characters_are_refused(sailing: Library) -> None:
    for blank in ("", " ", "\n\t"):
        with pytest.raises(ToolError, match="query is blank"):
            ask(sailing, "words", blank)
    with pytest.raises(ToolError, match="query holds a NUL character at position 3"):
        ask(sailing, "words", "sai\0l")
    with pytest.raises(ToolError, match="context holds a NUL character at position 0"):
        ask(sailing, "words", "sail", about="\0")


def test_ranks_are_fused_not_strengths() -> None:
    assert reciprocal(np.array([0.2, 0.0, 5.0])) == pytest.approx([1 / (K + 2), 0, 1 / (K + 1)])
    scale = Scale(0.7, 1)
    fused = Fusion([(Fixed(0.9, 0.8, 0.1, 0.0), scale), (Fixed(0.0, 0.2, 0.9, 0.0), scale)]).strengths("any")
    assert list(np.argsort(-fused, kind="stable")) == [2, 1, 0, 3]
    assert fused[3] == 0
    assert (np.diff(fused[[2, 1, 0]]) < 0).all()
