"""The keys there are, as seen from outside: which sections, which tables, which values.

Above stand `environment`, which has to find a key from a variable's name, and `fault`, which has to name
the keys that are near. The models are the only source: nothing is listed twice.
"""

from __future__ import annotations

import types
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mcpweft_schemas.config.quantity import Section
from mcpweft_schemas.config.root import Config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVER_NAME = "<name>"
"""Stands for any server's name in a path of keys."""


class Kind(Enum):
    """What may stand at a key."""

    SECTION = "a table with known keys"
    NAMED = "a table of sections, by name"
    TABLE = "a table of values, by name"
    LIST = "a list"
    VALUE = "one value"


def bare(annotation: Any) -> Any:
    """Return the type inside `Annotated[…]` and `… | None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType):
            annotation = next(arm for arm in get_args(annotation) if arm is not type(None))
        else:
            return annotation


def kind(annotation: Any) -> Kind:
    """Return what may stand where a field has this annotation."""
    inner = bare(annotation)
    origin = get_origin(inner)
    if origin is dict:
        return Kind.NAMED if section(get_args(inner)[1]) else Kind.TABLE
    if origin is tuple:
        return Kind.LIST
    return Kind.SECTION if section(inner) else Kind.VALUE


def section(annotation: Any) -> type[Section] | None:
    """Return the section that the annotation names, or whose names it maps, or None."""
    inner = bare(annotation)
    if get_origin(inner) is dict:
        return section(get_args(inner)[1])
    return inner if isinstance(inner, type) and issubclass(inner, Section) else None


def section_at(path: Sequence[str | int]) -> type[Section] | None:
    """Return the section whose table stands at `path`, or None when there is no such table."""
    found = table_at(path)
    return found if found is not None and issubclass(found, Section) else None


def table_at(path: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the same, where the tables of a list and those inside of them count too."""
    model: type[BaseModel] | None = Config
    parts = iter(path)
    for part in parts:
        field = model.model_fields.get(str(part)) if model else None
        if field is None:
            return None
        if get_origin(bare(field.annotation)) in (dict, tuple) and next(parts, None) is None:
            return None  # a name, or a number, stands between
        model = table(field.annotation)
    return model


def table(annotation: Any) -> type[BaseModel] | None:
    """Return the table that the annotation names, or maps names to, or lists, or None."""
    inner = bare(annotation)
    if get_origin(inner) in (dict, tuple):
        return table(get_args(inner)[1 if get_origin(inner) is dict else 0])
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def keys(model: type[Section] = Config, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value there is; `<name>` stands for a server's name."""
    for name, field in model.model_fields.items():
        inner = section(field.annotation)
        if inner is None:
            yield (*above, name)
        elif kind(field.annotation) is Kind.NAMED:
            yield from keys(inner, (*above, name, SERVER_NAME))
        else:
            yield from keys(inner, (*above, name))
