"""Where the fabric is: what a Client or a command asks before anything else, and what `mcpweft up` announces.

Looked at in this order; the first that says a URL wins:

1. the argument (`Client(url=…)`, `--url`);
2. `MCPWEFT_URL` (or `MCPWEFT_REDIS__URL`) in the environment;
3. `redis.url` in the nearest `mcpweft.toml`, from the working directory upwards;
4. a running `mcpweft up`, by its announcement in the user's runtime directory.

The namespace is the argument's, else `MCPWEFT_NAMESPACE`, else the nearest `mcpweft.toml`'s, else the
announced one, else `default`.

An announcement is `<name>.json` in a directory that only its user can read: `$XDG_RUNTIME_DIR/mcpweft`, or
`/run/user/<uid>/mcpweft`, or `<temporary directory>/mcpweft-<uid>`. It holds url, namespace, pid, and when
that process began; one whose process is gone counts as none.

Above stand the client and the command line. This module must never connect to anything, and imports no
models: it is on the way of every command.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_schemas import slug, tomlfile
from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_IN_ADDRESS = re.compile(r"(://[^/?#:]*):[^/?#]*@")
_IN_QUERY = re.compile(r"([?&](?:\w*_)?password=)[^&]*")

FABRIC = "default"
"""The name of the fabric that `mcpweft up` announces unless told otherwise."""


class Source(StrEnum):
    """Who said where the fabric is."""

    ARGUMENT = "argument"
    """The caller."""
    ENVIRONMENT = "environment"
    """`MCPWEFT_URL`."""
    FILE = "file"
    """The nearest `mcpweft.toml`."""
    RUNNING = "running"
    """A running `mcpweft up`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the fabric is."""

    url: str
    namespace: str
    source: Source

    def __repr__(self) -> str:
        return (
            f"Place(url={redacted(self.url)!r}, namespace={self.namespace!r}, source={self.source.value!r})"
        )


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a running `mcpweft up` says of itself."""

    name: str
    url: str
    namespace: str
    pid: int
    file: Path


def redacted(url: str) -> str:
    """Return `url` with the passwords in it replaced by `***`, for messages and logs."""
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", url))


def locate(
    url: str | None = None,
    *,
    namespace: str | None = None,
    fabric: str = FABRIC,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Place:
    """Return where the fabric is.

    Args:
        url: The caller's own word, if any.
        namespace: The caller's own word, if any.
        fabric: The name of the running `mcpweft up` to look for.
        environ: The environment; the process's own by default.
        directory: Where to look for `mcpweft.toml` from; the working directory by default.

    Raises:
        ConnectionFailedError: nobody says; the message lists the four places tried.
        InvalidConfigError: the nearest `mcpweft.toml` cannot be read, or what it says of the place is wrong.

    """
    variables = os.environ if environ is None else environ
    asked = namespace or variables.get("MCPWEFT_NAMESPACE") or None
    said = url or variables.get("MCPWEFT_URL") or variables.get("MCPWEFT_REDIS__URL")
    # Who says both needs no file, and is not stopped by a broken one.
    file = None if said and asked else _file(directory or Path.cwd())
    chosen = asked or (file.namespace if file else None)
    if chosen is not None and not slug.LEGAL.fullmatch(chosen):
        raise InvalidConfigError(f"namespace is {chosen!r}", advice=f"Write {slug.FORM}.")
    if said:
        return Place(said, chosen or "default", Source.ARGUMENT if url else Source.ENVIRONMENT)
    if file and file.url:
        return Place(file.url, chosen or "default", Source.FILE)
    running = running_fabric(fabric, environ=variables)
    if running and chosen in (None, running.namespace):
        return Place(running.url, running.namespace, Source.RUNNING)
    raise _nowhere(fabric, file, running, chosen, directories(variables))


def _nowhere(
    fabric: str, file: _File | None, running: Announcement | None, namespace: str | None, looked: list[Path]
) -> ConnectionFailedError:
    if running:
        fourth = f"the running mcpweft up serves namespace {running.namespace!r}, not {namespace!r}"
    else:
        fourth = (
            f"no mcpweft up named {fabric!r} runs (looked in {', '.join(map(str, looked)) or 'no directory'})"
        )
    tried = [
        "no url was given",
        "MCPWEFT_URL is not set",
        f"{file.path} has no redis.url" if file else "no mcpweft.toml here or above",
        fourth,
    ]
    return ConnectionFailedError(
        "The fabric was not found: "
        + "; ".join(f"({number}) {text}" for number, text in enumerate(tried, 1)),
        advice="Start one with `mcpweft up`, or set MCPWEFT_URL to your Redis, such as redis://localhost:6379.",
    )


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    url: str | None
    namespace: str | None


def _file(directory: Path) -> _File | None:
    path = tomlfile.nearest(directory)
    if path is None:
        return None
    file = tomlfile.read(path)
    redis = file.tree.get("redis", {})
    url = redis.get("url") if isinstance(redis, dict) else None
    namespace = file.tree.get("namespace")
    for key, value in ((("redis", "url"), url), (("namespace",), namespace)):
        if value is not None and not isinstance(value, str):
            raise InvalidConfigError(
                f"{'.'.join(key)} is {value!r} ({file.place(key)})", advice="Write it as text, in quotes."
            )
    return _File(path, url, namespace)


def directories(environ: Mapping[str, str]) -> list[Path]:
    """Return the directories where an announcement may lie, best first; not all need be there or be safe."""
    uid = os.getuid()
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    temporary = environ.get("TMPDIR") or tempfile.gettempdir()
    found = [Path(runtime) / "mcpweft"] if Path(runtime).is_dir() else []
    return [*found, Path(temporary) / f"mcpweft-{uid}"]


def announce(
    name: str, url: str, namespace: str, *, pid: int | None = None, environ: Mapping[str, str] | None = None
) -> Announcement:
    """Announce a running fabric until `withdraw`, or until process `pid` (this one by default) is gone.

    Raises:
        InvalidConfigError: another live process announces that name, the name is not legal, or there is no
            directory that belongs to this user alone.

    """
    variables = os.environ if environ is None else environ
    if not slug.LEGAL.fullmatch(name):
        raise InvalidConfigError(f"The fabric's name is {name!r}", advice=f"Write {slug.FORM}.")
    if other := running_fabric(name, environ=variables):
        raise _taken(other)
    owner = os.getpid() if pid is None else pid
    directory = _private(directories(variables))
    file = directory / f"{name}.json"
    text = json.dumps({"url": url, "namespace": namespace, "pid": owner, "began": _began(owner)})
    handle, draft = tempfile.mkstemp(prefix=f".{name}-", dir=directory)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        _place_new(Path(draft), file)
    finally:
        Path(draft).unlink(missing_ok=True)
    return Announcement(name, url, namespace, owner, file)


def _place_new(draft: Path, file: Path) -> None:
    """Put `draft` at `file` in one step; it replaces a dead process's announcement, never a live one's."""
    for _ in range(2):
        try:
            file.hardlink_to(draft)  # fails if it exists: of two that start at once, one wins
        except FileExistsError:
            if other := _read(file):
                raise _taken(other) from None
            file.unlink(missing_ok=True)
        except OSError:  # a file system without hard links
            break
        else:
            return
    draft.replace(file)


def _taken(other: Announcement) -> InvalidConfigError:
    return InvalidConfigError(
        f"A fabric named {other.name!r} already runs (process {other.pid}, {other.file})",
        advice="Stop that one, or give this one another name.",
    )


def withdraw(announcement: Announcement) -> None:
    """Take an announcement back, unless somebody else's stands in its place by now."""
    current = _read(announcement.file)
    if current is None or current.pid == announcement.pid:
        announcement.file.unlink(missing_ok=True)


def running_fabric(name: str = FABRIC, *, environ: Mapping[str, str] | None = None) -> Announcement | None:
    """Return what the running fabric `name` of this user says of itself, or None when none runs."""
    variables = os.environ if environ is None else environ
    if not slug.LEGAL.fullmatch(name):
        return None
    for directory in directories(variables):
        if _is_private(directory) and (found := _read(directory / f"{name}.json")):
            return found
    return None


def _read(file: Path) -> Announcement | None:
    try:
        said: Any = json.loads(file.read_text(encoding="utf-8"))
        found = Announcement(file.stem, str(said["url"]), str(said["namespace"]), int(said["pid"]), file)
        began = said["began"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if _lives(found.pid, began) else None


def _lives(pid: int, began: object) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's process has that number by now
    return began is None or _began(pid) == began  # a zombie began at no time: it is dead, if not yet reaped


def _began(pid: int) -> str | None:
    """Return when a process began, where the system tells: a number can be given out again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the command in brackets may hold blanks
    return None if fields[0] == "Z" else fields[19]  # field 3, the state, and 22, the start


def _private(candidates: list[Path]) -> Path:
    for directory in candidates:
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            continue
        if _is_private(directory):
            return directory
    raise InvalidConfigError(
        f"None of {', '.join(map(str, candidates))} is a directory of this user alone",
        advice="Set XDG_RUNTIME_DIR to one (mode 0700).",
    )


def _is_private(directory: Path) -> bool:
    try:
        status = directory.lstat()  # a link that somebody else planted in /tmp is no directory
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
