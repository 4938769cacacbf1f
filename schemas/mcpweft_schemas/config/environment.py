"""The environment as a layer of settings: `MCPWEFT_QUEUE__BOUND=500` is `queue.bound`.

- Two underscores go one level down; letters' case does not matter, but for the names in `env`, `headers`
  and `tool_timeouts`, which are taken as written.
- A server is found by its name in capitals, with `_` for each run of other characters: `[servers.my-git]`
  is `MCPWEFT_SERVERS__MY_GIT__…`. One that no file names is made, in small letters.
- A list is written `a,b` or as JSON, a table of values as JSON.
- An empty variable counts as unset. `MCPWEFT_URL` is short for `MCPWEFT_REDIS__URL`.

Above stands `loading`. This module must never look at the process's own environment: it is handed one.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import shape
from mcpweft_schemas.config.layer import Key, Layer
from mcpweft_schemas.config.root import Config
from mcpweft_schemas.config.shape import Kind
from mcpweft_schemas.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcpweft_schemas.config.quantity import Section

PREFIX = "MCPWEFT_"
URL = "MCPWEFT_URL"

# What Kubernetes puts into every container next to a service whose name begins with "mcpweft".
_SERVICE_LINK = re.compile(r".*_SERVICE_(HOST|PORT(_\w+)?)|(.*_)?PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?")
_NEAR = 0.75
_HOW = (
    "Two underscores part a section from its key, as in MCPWEFT_QUEUE__BOUND; "
    "docs/configuration.md lists them all."
)


def read(environ: Mapping[str, str], servers: Iterable[str]) -> tuple[Layer, tuple[str, ...]]:
    """Return the settings that `environ` makes, and a warning for each variable that it does not know.

    Args:
        environ: Variables and their values.
        servers: The names of the servers that the files know.

    Raises:
        InvalidConfigError: a variable is misspelt, or cannot be read as a list or table.

    """
    layer, warnings = Layer(), list[str]()
    said: dict[Key, str] = {}
    folded = _folded(servers)
    for variable in sorted(name for name in environ if name.upper().startswith(PREFIX) and environ[name]):
        rest = variable[len(PREFIX) :]
        key = ("redis", "url") if variable == URL else _key(variable, rest.split("__"), folded)
        if key is None:
            _judge(variable, rest, warnings)
            continue
        if (other := said.get(key)) and environ[other] != environ[variable]:
            raise InvalidConfigError(
                f"{other} and {variable} differ, and both say {'.'.join(key)}", advice="Unset one of them."
            )
        said[key] = variable
        place = f"{variable} in the environment"
        layer.put(key, value_of(place, key, environ[variable]), place)
    return layer, tuple(warnings)


def variable_of(key: Key) -> str:
    """Return the variable that sets `key`: `("queue", "bound")` → `MCPWEFT_QUEUE__BOUND`."""
    parts = [part if part == shape.SERVER_NAME else _fold(part) for part in key]
    return PREFIX + "__".join(parts).replace(shape.SERVER_NAME, "<NAME>")


def _fold(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()


def _folded(servers: Iterable[str]) -> dict[str, list[str]]:
    folded: dict[str, list[str]] = {}
    for name in servers:
        folded.setdefault(_fold(name), []).append(name)
    return folded


def _key(variable: str, parts: list[str], servers: dict[str, list[str]]) -> Key | None:
    """Return the key that a variable's parts name, or None when there is no such key."""
    model: type[Section] = Config
    key, rest = tuple[str, ...](), list(parts)
    while rest:
        name = rest.pop(0).lower()
        field = model.model_fields.get(name)
        if field is None:
            return None
        key = (*key, name)
        match shape.kind(field.annotation):
            case Kind.LIST | Kind.VALUE:
                return None if rest else key
            case Kind.TABLE:
                return (*key, "__".join(rest)) if rest else key
            case Kind.NAMED:
                if len(rest) < 2:  # noqa: PLR2004  # a name and a key
                    return None
                key = (*key, _server(variable, rest.pop(0), servers))
                model = shape.section(field.annotation) or model
            case Kind.SECTION:
                model = shape.section(field.annotation) or model
    return None


def _server(variable: str, part: str, servers: dict[str, list[str]]) -> str:
    names = servers.get(part.upper(), [part.lower()])
    if len(names) > 1:
        raise InvalidConfigError(
            f"{variable} in the environment may mean any of the servers {', '.join(map(repr, names))}",
            advice="Set it in mcpweft.toml, or rename one of them.",
        )
    return names[0]


def value_of(place: str, key: Key, text: str) -> Any:
    """Return what `text` means at a key that there is. Raises InvalidConfigError where it is no JSON."""
    section = shape.section_at(key[:-1])
    if section is None:  # inside a table of values
        return text
    form = shape.kind(section.model_fields[key[-1]].annotation)
    if form is Kind.VALUE or (form is Kind.LIST and not text.lstrip().startswith("[")):
        return text if form is Kind.VALUE else [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidConfigError(
            f"{'.'.join(key)} is no JSON ({place}): {error}",
            advice='Write a list as a,b or ["a", "b"].' if form is Kind.LIST else 'Write {"name": "value"}.',
        ) from error


def _judge(variable: str, rest: str, warnings: list[str]) -> None:
    """Refuse a variable that is probably misspelt; warn of one that is probably somebody else's."""
    # Compared without the prefix, which would make any two of them alike.
    known = [variable_of(key)[len(PREFIX) :] for key in shape.keys()]  # noqa: SIM118  # a function
    close = difflib.get_close_matches(rest.upper(), [*known, "URL"], n=1, cutoff=_NEAR)
    if "__" in rest or (close and not _SERVICE_LINK.fullmatch(rest)):
        raise InvalidConfigError(
            f"{variable} in the environment is no known setting",
            advice=f"Did you mean {PREFIX}{close[0]}?" if close else _HOW,
        )
    if not _SERVICE_LINK.fullmatch(rest):
        warnings.append(f"{variable} in the environment is no known setting and has no effect.")
