"""The ecosystem's own file of MCP servers (`mcp.json`), as Claude, VS Code, Cursor and others write it.

    servers        under `mcpServers` or `servers`, or `mcp.servers` (VS Code's settings)
    type           stdio, http, streamable-http, streamableHttp, sse; without it `command` means stdio,
                   `url` http, and a url that ends in /sse the older sse
    url            also `serverUrl`, `httpUrl`
    timeout        one attempt: text with a unit, or a number: seconds below 1000, milliseconds from there on
    disabled       also `enabled: false`
    envFile        lines of NAME=value; what `env` says stands above it
    ${VAR}, ${env:VAR}, ${VAR:-default}, ${workspaceFolder}, ${userHome}

What is wrong with one server breaks that server only: it is listed with file, line, reason and what to
change. Unknown keys only warn, for each program has its own. A server from here runs one worker until the
operator says otherwise.

Above stands the config loader. This module must never know what a setting means to the fabric, nor look at
the process's own environment: it is handed one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_schemas import duration, jsonc
from mcpweft_schemas.envfile import parse
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.expansion import Expander, UnsetVariableError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRANSPORTS = {
    "stdio": "stdio",
    "http": "http",
    "streamable-http": "http",
    "streamableHttp": "http",
    "streamable_http": "http",
    "sse": "sse",
}
_ALIASES = {"serverUrl": "url", "httpUrl": "url"}
_KNOWN = (
    "type",
    "transport",
    "command",
    "args",
    "env",
    "envFile",
    "cwd",
    "url",
    "headers",
    "timeout",
    "disabled",
)
_KNOWN_ANYWHERE = {*_KNOWN, *_ALIASES, "enabled"}
_FOR_STDIO = {"args", "env", "envFile", "cwd"}
_FOR_HTTP = {"url", "headers"}
_TOP = {"mcpServers", "servers", "mcp", "inputs", "$schema"}
_FROM_HERE_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class BrokenServer:
    """A server that was imported and cannot run; the others can."""

    name: str
    file: Path
    line: int
    """Where the trouble is, counted from 1; the server's own line where nothing closer is known."""
    reason: str
    advice: str
    disabled: bool = False
    """Whether its file leaves it out anyway: then nobody needs to hear of it."""

    def __str__(self) -> str:
        return f"{self.name} ({self.file}, line {self.line}): {self.reason.rstrip('.')}. {self.advice}"


@dataclass(frozen=True, slots=True)
class ImportedServer:
    """A server as its file has it, in the words of `[servers.<name>]`."""

    name: str
    file: Path
    line: int
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What one or more files held."""

    servers: Mapping[str, ImportedServer] = field(default_factory=dict[str, ImportedServer])
    broken: tuple[BrokenServer, ...] = ()
    warnings: tuple[str, ...] = ()

    def also(self, later: Imported) -> Imported:
        """Return this and `later` together; of two servers with one name the later stays, with a warning."""
        double = tuple(
            f"Server {name!r} is both in {self.servers[name].file} and in {server.file}: the latter is taken."
            for name, server in later.servers.items()
            if name in self.servers
        )
        return Imported(
            {**self.servers, **later.servers},
            self.broken + later.broken,
            self.warnings + later.warnings + double,
        )


class _Trouble(Exception):  # noqa: N818  # one server's, never seen outside  # one server's, never seen outside
    """What is wrong with a server, what to change, and at which of its keys."""

    def __init__(self, reason: str, advice: str, *keys: str) -> None:
        super().__init__(reason)
        self.reason, self.advice, self.keys = reason, advice, keys


def read(file: Path, environ: Mapping[str, str]) -> Imported:
    """Return the servers that `file` lists, with `environ` for its variables.

    Raises:
        InvalidConfigError: the file cannot be read, is no JSON, or has no table of servers.

    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidConfigError(
            f"{file} cannot be read: {error.strerror or error}", advice="Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidConfigError(
            f"{file} is not UTF-8 (byte {error.start})", advice="Save it as UTF-8."
        ) from error
    try:
        document = jsonc.loads(text)
    except ValueError as error:
        raise InvalidConfigError(
            f"{file} is no JSON: {error}",
            advice="Comments and trailing commas are fine, anything else is not.",
        ) from error
    return _Reader(file, text, environ).import_from(document)


class _Reader:
    """Reads one file; keeps its text to tell lines."""

    def __init__(self, file: Path, text: str, environ: Mapping[str, str]) -> None:
        self._file = file
        self._lines = jsonc.lines(text)
        self._expander = Expander(file, environ)
        self._warnings: list[str] = []

    def import_from(self, document: Any) -> Imported:
        table, above = self._table(document)
        servers: dict[str, ImportedServer] = {}
        broken: list[BrokenServer] = []
        for name, entry in table.items():
            try:
                settings = self._server(name, entry)
            except _Trouble as trouble:
                line = self._line((*above, name, *trouble.keys))
                off = isinstance(entry, dict) and _disabled(entry)
                broken.append(BrokenServer(name, self._file, line, trouble.reason, trouble.advice, off))
            else:
                servers[name] = ImportedServer(name, self._file, self._line((*above, name)), settings)
        return Imported(servers, tuple(broken), tuple(self._warnings))

    def _line(self, path: tuple[str, ...]) -> int:
        """Return the line of a key; that of its server where, being in a list, it has none."""
        return next(
            (self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 1
        )

    def _table(self, document: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the table of servers and the keys that it stands under."""
        top: dict[str, Any] = document if isinstance(document, dict) else {}
        inner: dict[str, Any] = top["mcp"] if isinstance(top.get("mcp"), dict) else {}
        for above in (("mcpServers",), ("servers",), ("mcp", "servers"), ("mcp", "mcpServers")):
            table = (inner if above[0] == "mcp" else top).get(above[-1])
            if isinstance(table, dict):
                if other := sorted(set(top) - _TOP):
                    self._warnings.append(
                        f"{self._file}: {', '.join(other)} at the top level have no effect here."
                    )
                return table, above
        raise InvalidConfigError(
            f"{self._file} has no table of servers",
            advice='Put them under "mcpServers" (or "servers"), by name.',
        )

    def _server(self, name: str, entry: dict[str, Any] | Any) -> dict[str, Any]:
        if not isinstance(entry, dict):
            raise _Trouble("it is no table", 'Write { "command": … } or { "url": … }.')
        said: dict[str, Any] = {
            _ALIASES.get(key, key): value for key, value in entry.items() if value is not None
        }
        settings = {"disabled": _disabled(entry), **self._way_in(said)}
        self._warn(name, set(entry) - _KNOWN_ANYWHERE, set(_KNOWN))
        self._warn(name, set(said) & (_FOR_HTTP if "command" in settings else _FOR_STDIO), set())
        if "timeout" in said:
            settings["attempt_timeout"] = _attempt_timeout(said["timeout"])
        return settings

    def _warn(self, name: str, idle: set[str], meant: set[str]) -> None:
        for key in sorted(idle):
            close = near(key, sorted(meant), most=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            self._warnings.append(f"{self._file}: {name}.{key} has no effect here{hint}")

    def _way_in(self, said: dict[str, Any]) -> dict[str, Any]:
        kind = said.get("type", said.get("transport"))
        transport = _TRANSPORTS.get(kind) if isinstance(kind, str) else None
        if kind is not None and transport is None:
            raise _Trouble(f"its type {kind!r} is not known", "Write stdio, http or sse.", "type")
        if "command" in said and (transport in (None, "stdio")):
            return self._stdio(said)
        if "url" not in said:
            lacks = "url" if transport in ("http", "sse") else "command"
            raise _Trouble(f"it has no {lacks}", 'A stdio server needs "command", an HTTP server "url".')
        if transport == "stdio":
            raise _Trouble(
                'its type is stdio, and it has a url but no "command"', 'Write "type": "http".', "type"
            )
        return {
            "url": self._text_of(said, "url"),
            "headers": self._table_of(said, "headers"),
            **({"transport": transport} if transport else {}),
        }

    def _stdio(self, said: dict[str, Any]) -> dict[str, Any]:
        args = said.get("args", [])
        if not isinstance(args, list):
            raise _Trouble("its args are no list", 'Write them as ["one", "two"].', "args")
        settings: dict[str, Any] = {
            "command": self._text_of(said, "command"),
            "args": [self._expand(arg, "args") for arg in args],
            "env": {**self._env_file(said), **self._table_of(said, "env")},
            "workers": 1,
        }
        if "cwd" in said:
            settings["cwd"] = str(self._path(self._text_of(said, "cwd")))
        return settings

    def _env_file(self, said: dict[str, Any]) -> dict[str, str]:
        if "envFile" not in said:
            return {}
        file = self._path(self._text_of(said, "envFile"))
        try:
            return parse(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise _Trouble(
                f"its envFile {file} cannot be read ({error.strerror or error})",
                "Write it, or take the key out.",
                "envFile",
            ) from error
        except ValueError as error:
            raise _Trouble(
                f"its envFile {file} is wrong: {error}", "Write NAME=value, a line each.", "envFile"
            ) from (error)

    def _path(self, text: str) -> Path:
        return self._expander.workspace / Path(text).expanduser()

    def _text_of(self, said: dict[str, Any], key: str) -> str:
        text = self._expand(said[key], key)
        if not text.strip():
            raise _Trouble(f"its {key} is empty", f"Write a {key}.", key)
        return text

    def _table_of(self, said: dict[str, Any], key: str) -> dict[str, str]:
        table = said.get(key, {})
        if not isinstance(table, dict):
            raise _Trouble(f"its {key} is no table", 'Write { "NAME": "value" }.', key)
        return {
            name: self._expand(value, f"{key}.{name}") for name, value in table.items() if value is not None
        }

    def _expand(self, value: Any, key: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        if not isinstance(value, str):
            raise _Trouble(f"its {key} is no text", "Write it in quotes.", *key.split(".", 1))
        try:
            return self._expander.expand(value)
        except UnsetVariableError as error:
            raise _Trouble(
                f"{key} needs {error.written}, {error.why}", error.advice, *key.split(".", 1)
            ) from error


def _disabled(entry: dict[str, Any]) -> bool:
    return entry.get("disabled") is True or entry.get("enabled") is False


def _attempt_timeout(value: Any) -> float:
    in_milliseconds = isinstance(value, int | float) and value >= _FROM_HERE_MILLISECONDS
    try:
        span = duration.seconds(value / 1000 if in_milliseconds else value)
    except ValueError as error:
        raise _Trouble(f"its timeout {value!r} is no duration", f"{error}.", "timeout") from error
    if not span:
        raise _Trouble("its timeout is 0", "Take it out, or give it time.", "timeout")
    return span
