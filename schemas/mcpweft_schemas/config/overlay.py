"""Changes to what the fleet sets over each process's own configuration: a tree of settings, as a value.

Above stands the coordinator, which keeps it in the store. Below are `shape` and `environment`, which know
the keys and how a text is read. This module must never decide whether a value is right: the models do.
"""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import environment, shape
from mcpweft_schemas.config.fault import dotted
from mcpweft_schemas.config.layer import Layer, leaves
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.expansion import Expander, UnsetVariableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config.layer import Key

PLACE = "set for the whole fleet"
_OWN = {
    ("namespace",): "it says where the fabric is",
    ("include",): "it names files of one host",
    ("redis",): "it says where the fabric is",
    ("call", "timeout"): "each client reads it as it starts",
    ("call", "submit_timeout"): "each client reads it as it starts",
    ("call", "max_attempts"): "each client reads it as it starts",
    ("call", "outstanding"): "each client reads it as it starts",
    ("queue", "result_ttl"): "each client reads it as it starts",
    ("queue", "idempotency_ttl"): "each client reads it as it starts",
    ("rag",): "each client reads it as it starts",
}
"""What a fleet cannot set, and why."""
_WITH_VARIABLES = {"command", "args", "env", "cwd", "url", "headers"}
_AT_START = {
    ("coordinator", "control_url"): "coordinators",
    ("coordinator", "host"): "coordinators",
    ("coordinator", "port"): "coordinators",
}
"""What some read only as they start, and who."""


def key_of(text: str) -> Key:
    """Return the key that `text` writes: `servers."my git".workers`. Raises InvalidConfigError."""
    try:
        node: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        node = {}
    path: list[str] = []
    while isinstance(node, dict) and len(node) == 1:
        name, node = next(iter(node.items()))
        path.append(name)
    if node != 0 or not path:
        raise InvalidConfigError(
            f"{text!r} is no key", advice='Write one as queue.bound or servers."my git".max.'
        )
    return tuple(path)


def value_of(key: Key, text: str) -> Any:
    """Return what `text` means at `key`: a list is `a,b` or JSON, a table JSON, everything else itself.

    Raises:
        InvalidConfigError: there is no such key, or it is no JSON.

    """
    last = key[-1] if key else ""
    if shape.section_at(key) is not None:
        raise InvalidConfigError(f"{dotted(key)} is a table", advice=f"Set its keys: {_keys_at(key)}.")
    section = shape.section_at(key[:-1])
    inside_table = section is None and len(key) > 1 and _is_table(key[:-1])
    if not inside_table and (section is None or last not in section.model_fields):
        known = [".".join(each) for each in shape.keys()]  # noqa: SIM118  # a function
        close = near(".".join(key), known, most=1)
        advice = f"Did you mean {close[0]}?" if close else "`mcpweft config get` shows all keys."
        raise InvalidConfigError(f"{dotted(key)} is no known key", advice=advice)
    return environment.value_of("given", key, text)


def _is_table(key: Key) -> bool:
    section = shape.section_at(key[:-1])
    field = section.model_fields.get(key[-1]) if section else None
    return field is not None and shape.kind(field.annotation) is shape.Kind.TABLE


def _keys_at(key: Key) -> str:
    section = shape.section_at(key)
    return ", ".join(section.model_fields) if section else ""


def with_value(document: Mapping[str, Any], key: Key, value: Any) -> dict[str, Any]:
    """Return `document` with one value set."""
    layer = Layer(copy.deepcopy(dict(document)))
    layer.put(key, value, "")
    return layer.tree


def without(document: Mapping[str, Any], key: Key) -> dict[str, Any]:
    """Return `document` without what stands at `key`, and without tables that this leaves empty."""
    tree = copy.deepcopy(dict(document))
    nodes = [tree]
    for part in key[:-1]:
        inner = nodes[-1].get(part)
        if not isinstance(inner, dict):
            return tree
        nodes.append(inner)
    nodes[-1].pop(key[-1], None)
    for node, part in zip(reversed(nodes[:-1]), reversed(key[:-1]), strict=True):
        if not node[part]:
            del node[part]
    return tree


def layer_of(document: Mapping[str, Any]) -> Layer:
    """Return a document as a layer of settings."""
    return Layer(copy.deepcopy(dict(document)), {key: PLACE for key, _ in leaves(document)})


def check(document: Mapping[str, Any]) -> None:
    """Refuse what a fleet cannot set. Raises InvalidConfigError."""
    for key, _ in leaves(document):
        for own, why in _OWN.items():
            if key[: len(own)] == own:
                raise InvalidConfigError(
                    f"{dotted(key)} cannot be set for the whole fleet: {why}",
                    advice="Set it in each process's own mcpweft.toml or environment.",
                )


def expanded(document: Mapping[str, Any], server: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return `document` with the variables in one server's texts replaced, for the host that runs it.

    So a secret need not lie in the store: `${TOKEN}` does, and each host has its own.

    Raises:
        InvalidConfigError: a variable has neither value nor default here.

    """
    tree = copy.deepcopy(dict(document))
    servers = tree.get("servers")
    said = servers.get(server) if isinstance(servers, dict) else None
    if not isinstance(said, dict):
        return tree
    expander = Expander(Path("fleet"), environ)
    for key in _WITH_VARIABLES & said.keys():
        try:
            said[key] = _replaced(said[key], expander)
        except UnsetVariableError as error:
            raise InvalidConfigError(
                f"{dotted(('servers', server, key))}, {PLACE}, says {error.written}, {error.why}",
                advice=error.advice,
            ) from error
    return tree


def _replaced(value: Any, expander: Expander) -> Any:
    if isinstance(value, str):
        return expander.expand(value)
    if isinstance(value, list):
        return [_replaced(each, expander) for each in value]
    return (
        {name: _replaced(each, expander) for name, each in value.items()}
        if isinstance(value, dict)
        else value
    )


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Key, ...]:
    """Return the keys at which two documents differ, sorted."""
    was, now = dict(leaves(before)), dict(leaves(after))
    return tuple(sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key)))


def at_start(keys: tuple[Key, ...]) -> dict[str, str]:
    """Return which of these keys some read only as they start, each with who."""
    return {
        dotted(key): who for key in keys for start, who in _AT_START.items() if key[: len(start)] == start
    }
