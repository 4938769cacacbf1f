"""How well the reference servers answer questions about the standard library whose answers are known.

    scripts/bench rag_quality [--half tuning] [--cache DIR] [--record]

The questions (rag_questions.toml) were written before anything was tuned. Half of them may be used to tune
by; what is published is about the other half, so ask for `--half tuning` while you change something. Four
ways are asked: those of the three servers, and the words alone that hybrid_search fuses with the vectors.

recall_at_5       which part of the questions has a right answer among the first five
mrr               the mean of 1 / rank of the first right answer, 0 beyond the tenth
related_*         the same for questions that ask for a relation, which graph_query is for
kept              which part of the right answers among the first five reach the default threshold, 0.7
strangers         which part of questions about something else altogether gets a result at that threshold
results           how many results reach it, median
hybrid_over_best  hybrid_search over the better of its two parts, for recall_at_5 and for mrr
lead              by how much its mrr exceeds that of the words alone: 95 % of what drawing the same number of
                  these questions at random (with repetition, 10,000 times) gives
build_s, load_s   processor seconds to make the index and to load it, with what that imports
"""

from __future__ import annotations

import random
import tempfile
import time
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from benchmarks.rig.harness import Figures, Rounds, percentile
from benchmarks.rig.report import Report, options, publish, show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from retrieval.answer import Answer
    from retrieval.library import Library

QUESTIONS = Path(__file__).parent / "rag_questions.toml"
WAYS = {
    "vector_search": "vector",
    "words alone": "words",
    "hybrid_search": "hybrid",
    "graph_query": "relations",
}
FIRST, DEEP, DEFAULT = 5, 10, 0.7
GOALS = {"hybrid_over_best": ">= 1 each", "build_s": "<= 12", "load_s": "<= 1"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and what came."""

    rank: int
    """Of the first right answer; 0: not among the first `DEEP`."""
    score: float
    """Of that answer."""
    results: int
    """How many reach the default threshold."""
    seconds: float


def halves(questions: Sequence[Any], half: str) -> Sequence[Any]:
    """Return every other question: the first of them is one to tune by."""
    return questions[0::2] if half == "tuning" else questions[1::2]


def ask(library: Library, way: str, question: Mapping[str, Any]) -> Asked:
    """Ask as the servers do, without a threshold."""
    began = time.perf_counter()
    found = answer_of(library, way, question["ask"])
    seconds = time.perf_counter() - began
    right = {library.index.aliases.get(name, name) for name in question["answers"]}
    ranks = [at for at, result in enumerate(found.results, start=1) if result.metadata["name"] in right]
    rank = ranks[0] if ranks else 0
    score = found.results[rank - 1].score if rank else 0.0
    return Asked(rank, score, answer_of(library, way, question["ask"], DEFAULT).total_results, seconds)


def answer_of(library: Library, way: str, query: str, threshold: float = 0.0) -> Answer:
    """Return what a server answers."""
    from retrieval.answer import search  # noqa: PLC0415  # its imports are part of what is measured

    return search(library, getattr(library, way), query, DEEP, threshold, None)


def figures(library: Library, way: str, questions: Mapping[str, Sequence[Any]]) -> Figures:
    """Ask one way all questions."""
    what = [ask(library, way, question) for question in questions["what"]]
    related = [ask(library, way, question) for question in questions["related"]]
    strangers = [
        answer_of(library, way, query, DEFAULT).total_results > 0 for query in questions["elsewhere"]
    ]
    right = [one.score >= DEFAULT for one in (*what, *related) if 0 < one.rank <= FIRST]
    return {
        "recall_at_5": recall(what), "mrr": mrr(what),
        "related_recall_at_5": recall(related), "related_mrr": mrr(related),
        "kept": mean(right) if right else 0.0, "strangers": mean(strangers),
        "results": median(one.results for one in what),
        "p50_ms": 1000 * percentile([one.seconds for one in what], 0.5),
    }  # fmt: skip


def lead(library: Library, questions: Sequence[Any]) -> dict[str, float]:
    """Return the interval in which the lead of hybrid_search over the words alone lies."""
    ranks = [[ask(library, way, question).rank for question in questions] for way in ("hybrid", "words")]
    ahead = [(1 / one if one else 0) - (1 / other if other else 0) for one, other in zip(*ranks, strict=True)]
    rng = random.Random(0)  # noqa: S311  # the same for the same answers
    drawn = [mean(rng.choices(ahead, k=len(ahead))) for _ in range(10_000)]
    return {"from": percentile(drawn, 0.025), "to": percentile(drawn, 0.975)}


def recall(asked: Sequence[Asked]) -> float:
    """Return the part with a right answer among the first five."""
    return mean(0 < one.rank <= FIRST for one in asked)


def mrr(asked: Sequence[Asked]) -> float:
    """Return the mean reciprocal rank."""
    return mean(1 / one.rank if one.rank else 0.0 for one in asked)


def judge(found: Mapping[str, Figures], build_s: float, load_s: float) -> dict[str, Any]:
    """Return the figures of the last line."""
    hybrid, parts = found["hybrid_search"], (found["vector_search"], found["words alone"])
    over = {name: hybrid[name] / max(part[name] for part in parts) for name in ("recall_at_5", "mrr")}
    by_figure = {name: {way: found[way][name] for way in found} for name in hybrid}
    return {"hybrid_over_best": over, "build_s": build_s, "load_s": load_s, **by_figure}


def opened(folder: Path) -> tuple[Library, float]:
    """Return the library, and the processor seconds that it took."""
    began = time.process_time()
    from retrieval.corpus import standard_library  # noqa: PLC0415  # its imports are part of what is measured
    from retrieval.latent import Latent  # noqa: PLC0415  # likewise
    from retrieval.library import open_library  # noqa: PLC0415  # likewise

    library = open_library(standard_library(), Latent(), folder)
    return library, time.process_time() - began


def main() -> None:
    """Ask everything once, and publish."""
    parser = options(__doc__, rounds=False)
    parser.add_argument("--half", choices=("held-out", "tuning"), default="held-out")
    parser.add_argument(
        "--cache", type=Path, help="where an index may lie already; by default it is made anew"
    )
    asked = parser.parse_args()
    questions = tomllib.loads(QUESTIONS.read_text())
    chosen = {kind: halves(listed, asked.half) for kind, listed in questions.items()}
    with ExitStack() as stack:
        folder = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _, build_s = opened(folder)
        library, load_s = opened(folder)
        found: dict[str, Figures] = {}
        for way, name in WAYS.items():
            getattr(library, name)  # the graph is made when it is first asked for
            found[way] = figures(library, name, chosen)
            show(1, way, found[way])
    told = {**judge(found, build_s, load_s), "lead": lead(library, chosen["what"])}
    rounds: Rounds = [found]
    publish(
        Report(
            name="rag_quality", rounds=rounds, figures=told, goals=GOALS,
            store=f"{len(library.index.records)} records",
            extra={"half": asked.half, "questions": {kind: len(listed) for kind, listed in chosen.items()}},
        ),
        asked,
    )  # fmt: skip


if __name__ == "__main__":
    main()
