"""From what a model found wrong to what a person has to change.

A refusal names the key, where it was read, its value, and what to write instead. Above stands `loading`.
This module must never decide whether something is wrong.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.config import shape
from mcpweft_schemas.errors import InvalidConfigError, near

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_SECRET = {"env", "headers", "url"}
_LONGEST = 60
_NOISE = "default_factory_not_called"  # follows from another fault of the same server

_ADVICE: dict[str, str] = {
    "int_parsing": "Write a whole number",
    "int_type": "Write a whole number",
    "int_from_float": "Write a whole number",
    "float_parsing": "Write a number",
    "float_type": "Write a number",
    "bool_parsing": "Write true or false",
    "bool_type": "Write true or false",
    "string_type": "Write it as text, in quotes",
    "string_too_short": "Write something between the quotes",
    "missing": "Add it",
    "tuple_type": 'Write a list, such as ["a", "b"]',
    "dict_type": 'Write a table, such as { name = "value" }',
    "model_type": "Write a table of keys",
    "model_attributes_type": "Write a table of keys",
    "path_type": "Write a path, in quotes",
    "greater_than": "Write more than {gt:g}",
    "greater_than_equal": "Write {ge:g} or more",
    "less_than_equal": "Write {le:g} or less",
    "enum": "Write one of {expected}",
}


def faults(error: ValidationError) -> list[ErrorDetails]:
    """Return what is wrong, without what merely follows from it."""
    return [detail for detail in error.errors(include_url=False) if detail["type"] != _NOISE]


def refusal(details: Sequence[ErrorDetails], place: Callable[[tuple[str, ...]], str]) -> InvalidConfigError:
    """Return one error that tells of all `details`; `place` says where a key was read."""
    told = [explain(detail, place) for detail in details]
    if len(told) == 1:
        return InvalidConfigError(told[0][0], advice=told[0][1])
    lines = [f"  - {what}. {advice}" for what, advice in told]
    return InvalidConfigError("\n".join([f"{len(told)} settings are wrong", *lines]))


def explain(detail: ErrorDetails, place: Callable[[tuple[str, ...]], str]) -> tuple[str, str]:
    """Return what is wrong at one key, and what to write instead."""
    path = tuple(str(part) for part in detail["loc"])
    where = place(path)
    behind = f" ({where})" if where else ""
    name = dotted(path)
    if detail["type"] == "extra_forbidden":
        return f"{name} is no known key{behind}", _known(path)
    if detail["type"] == "value_error":
        said = str(detail.get("ctx", {}).get("error", detail["msg"])).rstrip(".") + "."
        if said.startswith("Write "):
            return f"{name} is {shown(path, detail['input'])}{behind}", said
        told = behind if path[:1] == ("rules",) else _mentioned(said, place)  # its keys have no lines
        return f"{name or 'The configuration'} does not hold together{told}", said
    form = _ADVICE.get(detail["type"])
    context: dict[str, Any] = {"expected": "", **detail.get("ctx", {})}
    advice = form.format_map(context) if form else detail["msg"]
    return f"{name} is {shown(path, detail['input'])}{behind}", advice + "."


def _mentioned(said: str, place: Callable[[tuple[str, ...]], str]) -> str:
    """Return where the keys that `said` speaks of were read."""
    found = {
        ".".join(key): where
        for key in shape.keys()  # noqa: SIM118  # a function of that name
        if ".".join(key) in said and (where := place(key))
    }
    return f" ({'; '.join(f'{key}: {where}' for key, where in found.items())})" if found else ""


def shown(path: Sequence[str], value: object) -> str:
    """Return `value` as one would write it, short; what may hold a secret is not shown."""
    if _SECRET.intersection(path):
        return "not right (its value may be secret and is not shown)"
    if isinstance(value, Enum):
        value = value.value
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def dotted(path: Sequence[str]) -> str:
    """Return a key as `mcpweft.toml` writes it: `servers."my git".args[0]`."""
    text = ""
    for part in path:
        if part.isdigit():
            text += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum() and part.isascii()
            text += ("." if text else "") + (part if plain else json.dumps(part, ensure_ascii=False))
    return text


def _known(path: tuple[str, ...]) -> str:
    model = shape.table_at(path[:-1])
    keys = list(model.model_fields) if model else []
    close = near(path[-1], keys, most=1)
    if close:
        return f"Did you mean {dotted((*path[:-1], close[0]))}?"
    elsewhere = [key for key in shape.keys() if key[-1] == path[-1]]  # noqa: SIM118  # a function of that name  # a function of that name
    if elsewhere:
        return f"Did you mean {' or '.join('.'.join(key) for key in elsewhere)}?"
    return f"Known here: {', '.join(sorted(keys))}."
