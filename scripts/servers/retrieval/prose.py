"""Reads Markdown, reStructuredText and plain text: documents, their sections, and the links between them.

A Markdown heading (`## Setup`) or an underlined line begins a section; one that is longer than `LONGEST`
characters is cut between paragraphs. Above stands corpus.py. This module must never know how things are
searched.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from retrieval.record import Reading, Record, Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LONGEST = 2000
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*\s*$")
_RULE = re.compile(r"^([=\-~^\"*+#])\1{2,}\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


def read_prose(root: Path, files: Iterable[Path]) -> Reading:
    """Read those files of `root`, whatever their encoding: what is no UTF-8 in them is shown as `�`."""
    records: list[Record] = []
    relations: list[Relation] = []
    for path in files:
        place = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8", errors="replace").replace("\0", "")
        sections = list(_sections(text))
        title = sections[0][1] if sections and sections[0][1] else path.stem
        told = {"title": title}
        records.append(Record(place, "document", _beginning(title, text), f"{place}:1", title, metadata=told))
        names: set[str] = set()
        for line, heading, body in sections:
            name = _free(f"{place}#{_slug(heading or title)}", names)
            content = f"{heading}\n\n{body}".strip()
            records.append(Record(name, "section", content, f"{place}:{line}", heading, title, told))
            relations.append(Relation(place, "contains", name))
            relations += [Relation(name, "links", target) for target in _links(body, place)]
    return Reading(records, list(dict.fromkeys(relations)))


def _sections(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield first line, heading and body of each section that says something."""
    heading, start, lines, fenced = "", 1, list[str](), False
    for number, line in enumerate(text.splitlines(), start=1):
        fenced ^= bool(_FENCE.match(line))
        found = None if fenced else _HEADING.match(line)
        underlined = not fenced and _RULE.match(line) and len(lines) > 0 and lines[-1].strip()
        if found is None and not underlined:
            lines.append(line)
            continue
        new = found["text"] if found else lines.pop().strip()
        yield from _cut(start, heading, lines)
        heading, start, lines = new, number - bool(underlined), []
    yield from _cut(start, heading, lines)


def _cut(start: int, heading: str, lines: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield a section in pieces of `LONGEST` characters or little more, cut at empty lines."""
    piece: list[str] = []
    first = start
    for number, line in enumerate(lines, start=start + bool(heading)):
        if not line.strip() and sum(map(len, piece)) > LONGEST:
            yield first, heading, "\n".join(piece).strip()
            piece, first = [], number
        piece.append(line)
    if heading or any(line.strip() for line in piece):
        yield first, heading, "\n".join(piece).strip()


def _beginning(title: str, text: str) -> str:
    return f"{title}\n\n{text.strip()[: LONGEST // 4]}"


def _slug(heading: str) -> str:
    return re.sub(r"[^\w]+", "-", heading.lower()).strip("-") or "section"


def _free(name: str, taken: set[str]) -> str:
    """Return the name, or the first of name-2, name-3, … that is not taken; take it."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def _links(body: str, place: str) -> Iterator[str]:
    for found in _LINK.finditer(body):
        target, _, anchor = found["target"].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        whole = posixpath.normpath(posixpath.join(posixpath.dirname(place), target)) if target else place
        yield f"{whole}#{anchor}" if anchor else whole
