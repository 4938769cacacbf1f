"""`mcpweft init`: a mcpweft.toml in which every key stands as a comment, with its meaning and its default.

With `--preset` it holds what that preset sets, each key with its reason. Below are the config models, whose
descriptions it prints, and the presets: no key is listed here. This module must never
overwrite a file unasked.
"""

from __future__ import annotations

import json
import sys
import textwrap
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from cyclopts import Parameter

from mcpweft.cli.exits import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

    from mcpweft_schemas.config.quantity import Section

_WIDTH = 100

Name: TypeAlias = Literal[
    "development",
    "production_small",
    "production_large",
    "high_availability",
    "performance_optimized",
    "cost_optimized",
    "testing",
]
"""The presets, named here so that `--help` and a mistyped name load no model; a test compares them."""

_HEAD = """\
# mcpweft: docs/configuration.md tells more. A key that stays a comment has the value shown.
# `mcpweft check` reads this file as the fabric would; `mcpweft up` runs it.
# Over this file: the environment (MCPWEFT_QUEUE__BOUND=500 is queue.bound), and flags.
"""

_SERVERS = """\
# The MCP servers, a table each. Those of an mcp.json beside this file are there already (`include`).
#
# [servers.time]
# command = "uvx"
# args = ["mcp-server-time"]
# workers = 2
# idempotent = ["get_*", "convert_*"]   # safe to run twice, so retried after a crash
#
# [servers.search]
# url = "https://example.com/mcp"
# headers = { Authorization = "Bearer ..." }
# capabilities = ["vector_search"]
#
# Every key of a server:
"""


def init(
    path: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("mcpweft.toml"),
    /,
    *,
    preset: Name | None = None,
    force: bool = False,
) -> int:
    """Write a commented mcpweft.toml; every key is there, with its default, or what a preset sets.

    Parameters
    ----------
    path
        Where to write it; `-` for standard output.
    preset
        What it is for: the settings of this preset, each with its reason.
    force
        Overwrite a file that is there.

    """
    text = commented() if preset is None else _preset(preset)
    if str(path) == "-":
        sys.stdout.write(text)
        return Exit.OK
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already. Use --force to overwrite it, or another path.") from None
    sys.stderr.write(f"Wrote {path}. Put your servers in it, or an mcp.json beside it; then: mcpweft up\n")
    return Exit.OK


def _preset(name: str) -> str:
    from mcpweft_schemas.presets import PRESETS, text  # pydantic: here only

    return text(PRESETS[name])


def commented() -> str:
    """Return the file's text."""
    from mcpweft_schemas.config import Config, ServerConfig, shape  # pydantic: here only

    parts = [_HEAD, *_keys(Config, "# ", tables=False)]
    for name, field in Config.model_fields.items():
        model = shape.section(field.annotation)
        if model is None or model is ServerConfig:
            continue
        parts += [f"\n[{name}]  # {field.description}\n", *_keys(model, "# ")]
    parts += [f"\n{_SERVERS}", *_keys(ServerConfig, "#   ")]
    return "".join(parts)


def _keys(model: type[Section], lead: str, *, tables: bool = True) -> Iterator[str]:
    from mcpweft_schemas.config import shape  # pydantic: here only

    for name, field in model.model_fields.items():
        if not tables and shape.section(field.annotation):
            continue
        about = field.description or ""
        yield "\n"
        yield textwrap.fill(about, _WIDTH, initial_indent=lead, subsequent_indent=lead) + "\n"
        yield f"{lead}{name} = {_default(field)}\n"


def _default(field: FieldInfo) -> str:
    """Return a key's default as TOML writes it, or what to put there."""
    from mcpweft_schemas import duration, size  # with pydantic: here only

    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default_text" in extra:
        return f'""  # default: {extra["default_text"]}'
    value = field.get_default(call_default_factory=True, validated_data={})
    readers = _readers(field)
    if value is None:
        return '""  # unset'
    if isinstance(value, dict | tuple):
        return "{}" if isinstance(value, dict) else json.dumps(list(value))
    if duration.seconds in readers:
        return f'"{duration.spoken(value)}"'
    if size.octets in readers:
        return f'"{size.spoken(value)}"'
    return json.dumps(value.value if isinstance(value, Enum) else value)


def _readers(field: FieldInfo) -> list[Any]:
    """Return the functions that read a field's value, those inside `… | None` included."""
    found = list(field.metadata)
    for arm in get_args(field.annotation):
        if get_origin(arm) is Annotated:
            found.extend(get_args(arm)[1:])
    return [each.func for each in found if hasattr(each, "func")]
