"""A preset as the text of a `mcpweft.toml`: every key with the reason for its value above it.

Above stands `mcpweft init --preset`. This module must never write a file.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.presets.preset import Purpose, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcpweft_schemas.presets.preset import Preset

_WIDTH = 100

EXAMPLE: dict[str, dict[str, Any]] = {
    "time": {"command": "uvx", "args": ["mcp-server-time"], "idempotent": ["get_*", "convert_*"]}
}
"""A server for those who have not named theirs yet."""

_REASONS = {
    "command": "The server's program: put yours here.",
    "args": "Its arguments.",
    "url": "The server's address: put yours here.",
    "app": "The server's object: put yours here.",
    "capabilities": "The pools that it serves.",
    "idempotent": "Tools that are safe to run twice: they are tried again elsewhere after a crash.",
    "state": "What it remembers between calls.",
}

_SERVERS = """
# Servers of an mcp.json beside this file (`include`) run one worker each, for nobody knows whether they
# may be run twice. A table here of the same name, with the numbers below, says that they may.
"""

_PRODUCTION = """\
# The store is not named here. Point MCPWEFT_URL at a Redis or Valkey with persistence; without one,
# `mcpweft up` keeps the work in a store of its own, which ends with it. `mcpweft check --production`
# says what else is to be looked at.
"""


def text(preset: Preset, servers: Mapping[str, Mapping[str, Any]] = EXAMPLE) -> str:
    """Return the file's text. `load_config` makes of it what `preset.config(servers)` is."""
    return "".join(_parts(preset, servers))


def _parts(preset: Preset, servers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    load = preset.load
    rate = f"{load.least_qps:g} to " if load.least_qps < load.most_qps else ""
    head = (
        f"mcpweft, preset {preset.name}: {preset.character}. For {rate}{load.most_qps:g} calls a second of "
        f"{load.service_time:g} s. A key that is not here has its default; docs/presets.md and "
        "docs/configuration.md tell more."
    )
    yield _comment(head)
    if preset.purpose is Purpose.PRODUCTION:
        yield "#\n" + _PRODUCTION
    for each in preset.left_out:
        yield "#\n" + _comment(f"Not set: {each.setting}, for {each.why}.")
    tables: dict[tuple[str, ...], list[Setting]] = {}
    for setting in preset.settings:
        tables.setdefault(setting.key[:-1], []).append(setting)
    for name, said in servers.items():
        own = [Setting((key,), value, _REASONS.get(key, "As was said.")) for key, value in said.items()]
        tables[("servers", name)] = [*own, *preset.server(said)]
    for path, settings in tables.items():
        if path == next((each for each in tables if each[0] == "servers"), None):
            yield _SERVERS
        yield f"\n[{'.'.join(map(_name, path))}]\n"
        for setting in settings:
            yield _comment(setting.reason)
            yield f"{_name(setting.key[-1])} = {_value(setting.value)}\n"


def _comment(words: str) -> str:
    return textwrap.fill(words, _WIDTH, initial_indent="# ", subsequent_indent="# ") + "\n"


def _name(part: str) -> str:
    """Return a part of a key as TOML writes it."""
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _text(part)


def _text(value: str) -> str:
    """Return a text as TOML writes it: as JSON does, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_name(name)} = {_value(each)}" for name, each in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(value) if isinstance(value, str) else json.dumps(value)
