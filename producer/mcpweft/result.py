"""What a caller gets: the tool's answer with typed content, and what became of the request on its way.

Above stands every public surface; below only the figures of `mcpweft_schemas.outcome`. This module must
never know how an answer travelled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from mcpweft_schemas.outcome import Attempt, Executed, Times

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcpweft_schemas.rules.ruling import Ruling


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text."""

    text: str
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """The block as the server sent it, annotations included."""


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """A picture."""

    data: bytes = field(repr=False)
    mime_type: str
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class AudioBlock:
    """A sound."""

    data: bytes = field(repr=False)
    mime_type: str
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class ResourceBlock:
    """A resource that the server sent along: text or bytes, the other is None."""

    uri: str
    mime_type: str | None
    text: str | None
    data: bytes | None = field(repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class ResourceLink:
    """A resource that the server only names."""

    uri: str
    name: str
    mime_type: str | None
    raw: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class UnknownBlock:
    """A block of a type that is not known here, or that lacks what its type promises."""

    type: str
    raw: Mapping[str, Any]


Block: TypeAlias = TextBlock | ImageBlock | AudioBlock | ResourceBlock | ResourceLink | UnknownBlock


def read_block(raw: Mapping[str, Any]) -> Block:  # noqa: PLR0911  # a type each
    """Return a content block of MCP as its type; what cannot be read stays as it came."""
    kind = str(raw.get("type", ""))
    try:
        match kind:
            case "text":
                return TextBlock(str(raw["text"]), raw)
            case "image":
                return ImageBlock(_bytes(raw["data"]), str(raw["mimeType"]), raw)
            case "audio":
                return AudioBlock(_bytes(raw["data"]), str(raw["mimeType"]), raw)
            case "resource":
                return _resource(raw)
            case "resource_link":
                return ResourceLink(str(raw["uri"]), str(raw.get("name", "")), raw.get("mimeType"), raw)
            case _:
                return UnknownBlock(kind, raw)
    except (KeyError, ValueError, TypeError):
        return UnknownBlock(kind, raw)


def _resource(raw: Mapping[str, Any]) -> ResourceBlock:
    inner = cast("Mapping[str, Any]", raw["resource"])
    blob = inner.get("blob")
    data = _bytes(blob) if blob is not None else None
    return ResourceBlock(str(inner["uri"]), inner.get("mimeType"), inner.get("text"), data, raw)


def _bytes(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    return base64.b64decode(cast("str", text), validate=True)


@dataclass(frozen=True)
class Result:
    """A tool's answer. `times` and its parts are ms; a figure that is not known is None."""

    request_id: str
    content: tuple[Block, ...] = field(repr=False)
    structured: Any
    """The structured content as the server sent it, or None."""
    is_error: bool
    """Whether the tool called its answer an error; then `call` raises ToolError unless asked not to."""
    server: str
    worker: str
    attempts: tuple[Attempt, ...]
    times: Times
    executed: Executed = Executed.YES
    rules: Ruling | None = None
    """Which routing rules fitted the request, at which version; None where none did."""

    @cached_property
    def data(self) -> Any:
        """The value: structured content, else the text.

        Structured content whose only key is `result` is what MCP frameworks wrap a bare value in, and is
        unwrapped (`structured` holds it as it came). Without structured content a text that is a JSON object
        or array is parsed, and any other text stays text. None where there is neither.
        """
        if self.structured is not None:
            value = self.structured
            wrapped = isinstance(value, dict) and value.keys() == {"result"}
            return value["result"] if wrapped else value
        if not any(isinstance(block, TextBlock) for block in self.content):
            return None
        return _parsed(self.text)

    @cached_property
    def text(self) -> str:
        """The text blocks, joined by line breaks."""
        return "\n".join(block.text for block in self.content if isinstance(block, TextBlock))

    @property
    def queued_ms(self) -> int | None:
        """From acceptance until the last attempt was taken, ms."""
        return self.times.queued_ms

    @property
    def service_ms(self) -> float | None:
        """The server's own time for this answer, ms."""
        return self.times.service_ms


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def read_content(raw: object) -> tuple[Block, ...]:
    """Return the content blocks of an answer's body; nothing where it holds none."""
    if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)):
        return ()
    blocks = cast("Iterable[object]", raw)
    return tuple(read_block(cast("Mapping[str, Any]", b)) for b in blocks if isinstance(b, Mapping))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running request is, in the tool's own units."""

    progress: float
    total: float | None
    message: str | None
    attempt: int
