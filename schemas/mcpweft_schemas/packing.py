"""A body: any JSON-like value as msgpack, checked for size, depth and types as it leaves and as it arrives.

Anyone may have written what arrives, and msgpack takes much that JSON has no word for. Above stands `wire`,
and whoever else keeps a value in the store. This module must never know what a body means.
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgpack

from mcpweft_schemas.errors import InvalidArgumentsError

MAX_OUTCOME = 64 * 1024 * 1024
"""Most bytes of one outcome that will be unpacked at all."""
MAX_DEPTH = 64
"""Most levels of lists and maps in a body."""


def pack(value: Any) -> bytes:
    """Write a JSON-like value as msgpack. Raises InvalidArgumentsError, naming the path, for others."""
    check(value)
    try:
        return cast("bytes", msgpack.packb(value))
    except UnicodeEncodeError as error:
        raise InvalidArgumentsError(
            f"a text holds half of a surrogate pair, which UTF-8 cannot hold: {error.object[:40]!r}",
            advice="Send whole characters.",
        ) from error


def unpack(data: bytes, most: int = MAX_OUTCOME) -> Any:
    """Read a JSON-like value. Raises ValueError for what is too large, too deep, or no such value."""
    if len(data) > most:
        raise ValueError(f"{len(data)} bytes, where at most {most} are read")
    try:
        value = msgpack.unpackb(data, strict_map_key=True, ext_hook=_no_ext, object_pairs_hook=_no_twins)
        check(value)
    except InvalidArgumentsError as error:
        raise ValueError(str(error)) from error
    except (msgpack.UnpackException, msgpack.StackError, RecursionError, TypeError) as error:
        raise ValueError(f"not a body: {error}") from error
    return value


def unpack_map(packed: bytes | None) -> dict[str, Any]:
    """Return the map that a worker wrote of itself; an empty one where it cannot be read."""
    try:
        said = unpack(packed) if packed else {}
    except ValueError:
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _no_ext(code: int, _: bytes) -> Any:
    raise ValueError(f"extension type {code} in a body")


def _no_twins(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key twice in one map, which readers would take differently")
    return value


def check(value: Any) -> None:
    """Raise InvalidArgumentsError for what cannot travel, naming the first place of it."""
    if not _travels(value):
        _find(value, "$", 0)


def _travels(value: Any) -> bool:
    """Return whether a value is plain all through, as almost all are: a quick look, level by level.

    What is not plain may travel all the same (a tuple, an enum that is text): `_find` looks closer.
    """
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or kind is bool or item is None:
                continue
            if kind is dict and depth < MAX_DEPTH:
                if not all(type(key) is str for key in item):
                    return False
                below += item.values()
            elif kind is list and depth < MAX_DEPTH:
                below += item
            elif not (_is_small(item) if kind is int else kind is float and math.isfinite(item)):
                return False
        if not below:
            return True
        level = below
    return False


def _is_small(number: int) -> bool:
    return -(2**63) <= number < 2**64


def _find(value: Any, path: str, depth: int) -> None:
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if not _is_small(value):
            raise InvalidArgumentsError(f"{path} is an integer of more than 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentsError(f"{path} is {value}, which JSON cannot hold")
    elif isinstance(value, (dict, list, tuple)):
        if depth >= MAX_DEPTH:
            raise InvalidArgumentsError(f"{path} is nested more than {MAX_DEPTH} deep")
        _check_inside(cast("Any", value), path, depth)
    else:
        raise InvalidArgumentsError(
            f"{path} is of type {type(value).__name__}, which cannot travel",
            advice="Send None, bool, int, float, str, list and dict only.",
        )


def _check_inside(value: dict[Any, Any] | list[Any], path: str, depth: int) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidArgumentsError(f"{path} has the key {key!r}, which is not a string")
            _find(item, f"{path}.{key}", depth + 1)
    else:
        for index, item in enumerate(value):
            _find(item, f"{path}[{index}]", depth + 1)
