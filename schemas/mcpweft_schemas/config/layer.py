"""One source of settings: a tree of keys, and the place that each of them was read.

Above stand `environment` and `loading`, which lay them over each other. This module must never know which
keys there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, ...]


@dataclass(slots=True)
class Layer:
    """Settings and their places; `over` puts another layer on top, deeply."""

    tree: dict[str, Any] = field(default_factory=dict[str, Any])
    places: dict[Key, str] = field(default_factory=dict[Key, str])

    def put(self, key: Key, value: Any, place: str) -> None:
        """Set one value; a value in the way of a table gives way to it."""
        node = self.tree
        for part in key[:-1]:
            inner = node.get(part)
            if not isinstance(inner, dict):
                inner = node[part] = {}
            node = inner
        node[key[-1]] = value
        self.places[key] = place

    def over(self, upper: Layer) -> Layer:
        """Return this layer with `upper` on top: tables merge, every other value is replaced."""
        return Layer(merged(self.tree, upper.tree), {**self.places, **upper.places})

    def place(self, key: Key) -> str:
        """Return where `key` was read, or the closest table around it; empty when nobody said."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return ""

    def place_told(self, key: Key) -> str:
        """Return the same for a message, with the name of the table in a list that `key` lies in."""
        node: Any = self.tree
        named = ""
        for above, part in zip(("", *key), key, strict=False):
            if isinstance(node, list | tuple) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
                name = node.get("name") if isinstance(node, Mapping) else None
                named = f"{above.removesuffix('s')} {name!r}" if isinstance(name, str) else named
            else:
                node = node.get(part) if isinstance(node, Mapping) else None
        return ", ".join(filter(None, (named, self.place(key))))


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new tree: tables merged deeply, other values those of `upper` where it has them."""
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = merged({}, value) if isinstance(value, Mapping) else value
    return result


def leaves(tree: Mapping[str, Any], above: Key = ()) -> list[tuple[Key, Any]]:
    """Return each value of `tree` with its key; an empty table counts as a value."""
    found: list[tuple[Key, Any]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found.extend(leaves(value, (*above, key)))
        else:
            found.append(((*above, key), value))
    return found
