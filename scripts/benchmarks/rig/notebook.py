"""What experiments have found so far, in a folder: each arm of each repetition a file, so that runs resume.

    book = Notebook(Path(".claims/1"))
    book.write("scaling", 1, "bare 4", Found(…)); book.read("scaling", 1, "bare 4")

Above stands claims.py. It must never know what the figures mean.
"""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.rig.harness import Figures


@dataclass(frozen=True, slots=True)
class Found:
    """What one arm of one repetition found."""

    figures: Figures
    void: list[str] = field(default_factory=list[str])
    """Why it does not count; empty where it does."""


class Notebook:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, part: str, repetition: int, arm: str, kind: str) -> Path:
        """Return where something of an arm lies."""
        slug = re.sub(r"[^a-z0-9]+", "-", arm.lower())
        return self._folder / part / f"{repetition}.{slug}.{kind}"

    def has(self, part: str, repetition: int, arm: str) -> bool:
        """Whether it was measured."""
        return self.place(part, repetition, arm, "json").exists()

    def write(self, part: str, repetition: int, arm: str, found: Found) -> None:
        """Keep what was found."""
        place = self.place(part, repetition, arm, "json")
        place.parent.mkdir(parents=True, exist_ok=True)
        part_written = place.with_suffix(".part")
        part_written.write_text(json.dumps(asdict(found)) + "\n")
        part_written.replace(place)

    def read(self, part: str, repetition: int, arm: str) -> Found | None:
        """Return what was found; None where it was not measured."""
        place = self.place(part, repetition, arm, "json")
        return Found(**json.loads(place.read_text())) if place.exists() else None

    def pack(self, target: Path) -> None:
        """Write all that was found into one file, `.jsonl.xz`, seconds to a ten-thousandth.

        A line is one arm of one repetition: `part`, `repetition`, `arm`, `figures`, `void`, and `requests`,
        what became of each of them: a list for each name.
        """
        with lzma.open(target, "wt", preset=9) as out:
            for file in sorted(self._folder.glob("*/*.json")):
                repetition, arm, _ = file.name.split(".")
                raw = file.with_suffix(".jsonl")
                lines: list[dict[str, Any]] = _lines(raw)
                columns = {name: [_rounded(line[name]) for line in lines] for name in (lines or [{}])[0]}
                about = {"part": file.parent.name, "repetition": int(repetition), "arm": arm}
                found = json.loads(file.read_text())
                out.write(json.dumps(about | found | {"requests": columns}) + "\n")

    def unpack(self, source: Path) -> None:
        """Take over what another run has packed, but for what was found here."""
        with lzma.open(source, "rt") as packed:
            for line in map(json.loads, packed):
                at = line["part"], line["repetition"], line["arm"]
                if self.has(*at):
                    continue
                self.write(*at, Found(line["figures"], line["void"]))
                if columns := line["requests"]:
                    rows = (
                        dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
                    )
                    self.place(*at, "jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    def forget(self, part: str) -> None:
        """Begin a part anew."""
        for file in (self._folder / part).glob("*"):
            file.unlink()


def _lines(raw: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw.read_text().splitlines()] if raw.exists() else []


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
