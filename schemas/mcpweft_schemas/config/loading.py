"""Reading the configuration from all its sources, each over the ones before it.

Defaults lie lowest; over them imported `mcp.json` files, `mcpweft.toml`, what was set for the whole fleet,
the environment, and what was said by hand (flags). So a fleet's word goes over files; what one process is
told at its start stays its own.

Above stand the command line and the client. This module must never decide what a key means.
"""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mcpweft_schemas import duration, mcpjson, tomlfile
from mcpweft_schemas.config import environment, fault, overlay
from mcpweft_schemas.config.layer import Layer, leaves
from mcpweft_schemas.config.root import Config
from mcpweft_schemas.errors import InvalidConfigError
from mcpweft_schemas.mcpjson import BrokenServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

_WAYS_IN = {
    "command": ("url", "headers", "app", "transport"),
    "url": ("command", "args", "env", "cwd", "app", "transport"),
    "app": ("command", "args", "env", "cwd", "url", "headers", "transport"),
}


@dataclass(frozen=True, slots=True)
class Base:
    """What one process was given to read, as it was then: what the fleet sets goes into the middle of it."""

    path: Path | None
    file: Layer
    hand: Layer
    imported: mcpjson.Imported
    environ: Mapping[str, str] = field(repr=False)

    def config(self, document: Mapping[str, Any] | None = None) -> Config:
        """Return the configuration with `document` set for the whole fleet.

        Raises:
            InvalidConfigError: as `load_config`; or a key in `document` cannot be set for a fleet.

        """
        imported, broken = self.imported, self.imported.broken
        overlay.check(document or {})
        below = _lay_servers(_import_layer(imported), deepcopy(self.file), broken)
        below = _lay_servers(below, overlay.layer_of(document or {}), broken)
        names = {*below.tree.get("servers", {}), *(server.name for server in broken)}
        env, unknown = environment.read(self.environ, sorted(names))
        whole = _lay_servers(_lay_servers(below, env, broken), deepcopy(self.hand), broken)
        config, left = _validate(whole, imported)
        warnings = (*imported.warnings, *unknown, *_slow_servers(config))
        return config.noted(self.path, left, warnings)


def load_config(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
) -> Config:
    """Return the configuration, each source over the ones before it; tables merge deeply.

    Args:
        path: The `mcpweft.toml`; None for none.
        overrides: What was said by hand, as nested tables of keys; None as a value says nothing.
        environ: The environment; the process's own by default.
        directory: Where relative `include` paths that no file says are seen from: the working directory by
            default. Without `path`, the default `mcp.json` is looked for only in a `directory` that is given.

    Raises:
        InvalidConfigError: a key is unknown or its value wrong, in any source but an imported `mcp.json`,
            whose faults end up in `Config.broken` and `Config.warnings`.

    """
    return read_base(path, overrides, environ, directory=directory).config()


def read_base(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    directory: Path | None = None,
) -> Base:
    """Return what `load_config` reads, for what the fleet sets to be laid into it. Raises as that does."""
    variables = dict(os.environ if environ is None else environ)
    file = _file_layer(path)
    hand = _hand_layer(overrides or {})
    early, _ = environment.read(variables, ())  # for `include` alone: the servers are not known yet
    imported = _import(_includes(path, file, early, hand, directory), variables)
    return Base(path, file, hand, imported, variables)


def _file_layer(path: Path | None) -> Layer:
    if path is None:
        return Layer()
    file = tomlfile.read(path)
    layer = Layer(file.tree, {key: file.place(key) for key, _ in leaves(file.tree)})
    layer.places |= {key: file.place(key) for key in file.lines}
    servers = file.tree.get("servers")
    for name, server in servers.items() if isinstance(servers, dict) else ():
        if isinstance(server, dict) and isinstance(server.get("cwd"), str):
            server["cwd"] = str(path.parent / Path(server["cwd"]).expanduser())
        layer.places.setdefault(("servers", name), str(path))
    return layer


def _hand_layer(overrides: Mapping[str, Any]) -> Layer:
    layer = Layer()
    for key, value in leaves(overrides):
        if value is not None:
            layer.put(key, value, "given on the command line or by the caller")
    return layer


def _includes(
    path: Path | None, file: Layer, env: Layer, hand: Layer, directory: Path | None
) -> list[tuple[Path, bool]]:
    """Return the files to import, each with whether it must be there."""
    here = directory or Path.cwd()
    for layer, seen_from in ((hand, here), (env, here), (file, path.parent if path else here)):
        said = layer.tree.get("include")
        if isinstance(said, list | tuple):  # anything else is refused when the whole is validated
            return [(seen_from / Path(name).expanduser(), True) for name in said if isinstance(name, str)]
    home = path.parent if path else directory
    default: tuple[str, ...] = Config.model_fields["include"].default
    return [(home / name, False) for name in default] if home else []


def _import(files: Sequence[tuple[Path, bool]], environ: Mapping[str, str]) -> mcpjson.Imported:
    whole = mcpjson.Imported()
    for file, required in files:
        if file.is_file():
            whole = whole.also(mcpjson.read(file, environ))
        elif required:
            raise InvalidConfigError(
                f"{file} is to be imported (include), and is not there",
                advice="Write its path, or take it out.",
            )
    return whole


def _import_layer(imported: mcpjson.Imported) -> Layer:
    layer = Layer()
    for name, server in imported.servers.items():
        place = f"{server.file}, line {server.line}"
        layer.put(("servers", name), dict(server.settings), place)
        layer.places |= {("servers", name, *key): place for key, _ in leaves(server.settings)}
    return layer


def _lay_servers(lower: Layer, upper: Layer, broken: Sequence[BrokenServer]) -> Layer:
    """Lay `upper` over `lower`; a server that says anew what it is loses the old way in.

    A section that only adds to a server whose import is broken goes with it.
    """
    known: dict[str, Any] = lower.tree.get("servers", {})
    lost = {server.name for server in broken}
    servers = upper.tree.get("servers")
    if isinstance(servers, dict):
        for name, said in list(servers.items()):
            if not isinstance(said, dict):
                continue
            way = next((key for key in _WAYS_IN if key in said), None)
            if way is None and name in lost and name not in known:
                del servers[name]
            elif way is not None and isinstance(known.get(name), dict):
                for key in _WAYS_IN[way]:
                    known[name].pop(key, None)
    return lower.over(upper)


def _validate(whole: Layer, imported: mcpjson.Imported) -> tuple[Config, tuple[BrokenServer, ...]]:
    """Return the configuration; an imported server whose own file makes it wrong is broken, not fatal."""
    broken = list(imported.broken)
    try:
        return Config.model_validate(whole.tree), tuple(_not_rescued(broken, whole))
    except ValidationError as error:
        details = fault.faults(error)
        guilty = {name for detail in details if (name := _imported_fault(detail, whole, imported))}
        fatal = [detail for detail in details if not _imported_fault(detail, whole, imported)]
        if fatal:
            raise fault.refusal(fatal, whole.place_told) from None
    for name in sorted(guilty):
        what, advice = fault.explain(next(one for one in details if one["loc"][1] == name), lambda _: "")
        source = imported.servers[name]
        broken.append(BrokenServer(name, source.file, source.line, what, advice))
        del whole.tree["servers"][name]
    return Config.model_validate(whole.tree), tuple(_not_rescued(broken, whole))


def _imported_fault(detail: ErrorDetails, whole: Layer, imported: mcpjson.Imported) -> str | None:
    """Return the server whose own `mcp.json` is to blame, or None."""
    path = tuple(str(part) for part in detail["loc"])
    if len(path) < 2 or path[0] != "servers" or path[1] not in imported.servers:  # noqa: PLR2004  # servers.<name>
        return None
    source = imported.servers[path[1]]
    return path[1] if whole.place(path) == f"{source.file}, line {source.line}" else None


def _not_rescued(broken: Sequence[BrokenServer], whole: Layer) -> list[BrokenServer]:
    servers = whole.tree.get("servers", {})
    return [server for server in broken if server.name not in servers and not server.disabled]


def _slow_servers(config: Config) -> list[str]:
    """Return a warning for each server whose attempts a call's own time cannot hold."""
    call, say = config.call, duration.spoken
    waits = duration.longest_wait(call.backoff, call.backoff_max, call.max_attempts)
    found: list[str] = []
    for name, server in config.active.items():
        spans = [server.attempt_timeout or 0.0, *server.tool_timeouts.values()]
        need = max(spans) * call.max_attempts + waits
        if max(spans) and need > call.timeout:
            found.append(
                f"Server {name!r}: {call.max_attempts} attempts of {say(max(spans))} need {say(need)}, more "
                f"than call.timeout ({say(call.timeout)}): a call that does not ask for more time ends "
                "before its last attempt."
            )
    return found
