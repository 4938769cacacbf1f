"""What the launcher shows of each server: a row of a table that somebody looks at.

Above stands whoever prints it. This module must never know how the figures come about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CrewState(StrEnum):
    """How the workers of one server are."""

    OFF = "off"
    """No workers are wanted."""
    ASLEEP = "asleep"
    """They start on the first request."""
    STARTING = "starting"
    """Started, and not serving yet."""
    UP = "up"
    """At least one serves."""
    NOT_READY = "not ready"
    """They run, and none can take work: the reason says why."""
    RESTARTING = "restarting"
    """One ended by itself and is started again after a pause."""
    CRASHING = "crashing"
    """They end again and again, soon after their start: the reason and the last words say why."""
    STOPPING = "stopping"
    """They finish what they have and end."""
    ELSEWHERE = "elsewhere"
    """An exclusive server that runs under another launcher."""
    BROKEN = "broken"
    """Its configuration cannot be run: the reason says why."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server at one moment."""

    name: str
    kind: str
    """stdio, http, sse or app."""
    capabilities: tuple[str, ...]
    state: CrewState
    up: int
    """Its workers here that are ready for work."""
    wanted: int
    tools: int | None
    """How many tools it offers; None where nobody has said yet."""
    reason: str
    """Why it is not up, in words; empty where it is."""
    last_lines: tuple[str, ...]
    """The last lines that its last worker to end wrote."""
    restarts: int
    """How often one of its workers ended by itself."""
