"""The variables in an `mcp.json`, as `mcpjson` lists them.

Above stands `mcpjson`. This module must never look at the process's own environment: it is handed one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_NAMED = re.compile(r"(?:env:)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-.*)?", re.DOTALL)
_ASKED = re.compile(r"(input|command|config|extension):.*", re.DOTALL)
_EDITOR_FOLDERS = {".vscode", ".cursor", ".claude", ".roo", ".idea"}


class UnsetVariableError(ValueError):
    """A variable that has no value here."""

    def __init__(self, written: str, why: str, advice: str) -> None:
        super().__init__(f"{written} {why}")
        self.written = written
        self.why = why
        self.advice = advice


class Expander:
    """Puts values in the place of variables, for one file."""

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._environ = environ
        folder = file.resolve().parent
        self.workspace = folder.parent if folder.name in _EDITOR_FOLDERS else folder
        """The folder that the file is about, where its relative paths start."""

    def expand(self, text: str) -> str:
        """Return `text` with its variables replaced; one of an unknown form stays as written.

        Raises:
            UnsetVariableError: a variable has neither value nor default, or only an editor could ask for it.

        """
        return _VARIABLE.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        inside = found[1]
        places = {
            "workspaceFolder": str(self.workspace),
            "workspaceFolderBasename": self.workspace.name,
            "userHome": str(Path(self._environ.get("HOME", "~")).expanduser()),
            "pathSeparator": os.sep,
            "/": os.sep,
        }
        if inside in places:
            return places[inside]
        if _ASKED.fullmatch(inside):
            raise UnsetVariableError(
                found[0],
                "which only an editor can ask for",
                f"Write ${{{_suggested(inside)}}} instead, and set that variable.",
            )
        named = _NAMED.fullmatch(inside)
        if named is None:
            return found[0]
        name, fallback = named["name"], named["fallback"]
        value = self._environ.get(name)
        if fallback is not None:
            return value or fallback.removeprefix(":-")
        if value is None:
            raise UnsetVariableError(
                found[0], "which is not set", f"Set {name} in the environment, or write ${{{name}:-default}}."
            )
        return value


def _suggested(inside: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", inside.partition(":")[2]).strip("_").upper()
    return name if name and not name[0].isdigit() else f"INPUT_{name}".rstrip("_")
