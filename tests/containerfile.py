"""A Dockerfile as its stages, and the build context that .dockerignore leaves: read without an engine.

Above stand the tests in docker/; below is dockerfile-parse. It must never run anything.
"""

from __future__ import annotations

import io
import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, cast

from dockerfile_parse import DockerfileParser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Stage:
    """One stage: what it is made from, and its steps in order."""

    name: str
    base: str
    """An image, or another stage's name."""
    steps: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def all(self, instruction: str) -> list[str]:
        """Return the values of every step of that kind."""
        return [value for kind, value in self.steps if kind == instruction]


def stages_of(path: Path) -> dict[str, Stage]:
    """Return name → stage, in the file's order; a stage without a name is called by its number."""
    parser = DockerfileParser(fileobj=cast("Any", io.BytesIO(path.read_bytes())))
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for step in parser.structure:
        kind, value = step["instruction"], step["value"]
        if kind == "FROM":
            words = re.split(r"\s+", value)
            name = words[2] if len(words) > 2 else str(len(stages))
            current = stages[name] = Stage(name, words[0])
        elif kind != "COMMENT":
            assert current is not None, f"{kind} before any FROM"
            current.steps.append((kind, value))
    return stages


def chain(stages: dict[str, Stage], name: str) -> list[Stage]:
    """Return the stages that one stands on, the lowest first, itself last."""
    found: list[Stage] = []
    while name in stages:
        found.insert(0, stages[name])
        name = stages[name].base
    return found


def steps(stages: dict[str, Stage], name: str, instruction: str) -> list[str]:
    """Return the values of a kind of step that hold in a stage, those of what it stands on first."""
    return [value for stage in chain(stages, name) for value in stage.all(instruction)]


def words(value: str) -> list[str]:
    """Return the words of an ENTRYPOINT, CMD or HEALTHCHECK in its JSON form."""
    found: list[str] = json.loads(value[value.index("[") :])
    return found


def environment(stages: dict[str, Stage], name: str) -> dict[str, str]:
    """Return the variables that a stage sets, `$PATH` in them as written."""
    return dict(word.split("=", 1) for value in steps(stages, name, "ENV") for word in shlex.split(value))


def copies(stage: Stage) -> Iterator[tuple[str, list[str], str]]:
    """Yield (stage it comes from or "", sources, destination) of each COPY."""
    for value in stage.all("COPY"):
        (*flags,) = (word for word in value.split() if word.startswith("--"))
        *sources, to = (word for word in value.split() if not word.startswith("--"))
        yield next((flag.split("=")[1] for flag in flags if flag.startswith("--from=")), ""), sources, to


def ignored(patterns: str, path: str) -> bool:
    """Return whether .dockerignore keeps a path out of the context: the last pattern that fits decides."""
    parts = path.split("/")
    heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    out = False
    for line in patterns.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        bare = pattern.removeprefix("!").strip("/")
        anywhere = bare.removeprefix("**/")
        fits = any(fnmatchcase(head, bare) and head.count("/") == bare.count("/") for head in heads)
        if fits or (bare != anywhere and any(fnmatchcase(part, anywhere) for part in parts)):
            out = not pattern.startswith("!")
    return out
