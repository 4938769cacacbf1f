"""Reads Python source: modules, classes, functions and how they hang together, by `ast`. Runs none of it.

Names with a leading underscore are left out (a private module may hold public names, so it stays). A
relation is told only where the source says for certain whom it means: a name of the module itself or one
that it imports; `self.x` and what a variable holds are not guessed.

Above stands corpus.py. This module must never know how things are searched.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from retrieval.record import Reading, Record, Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
MOST_ARGUMENTS = 12
"""A signature shows so many."""
MOST_TOLD = 200
"""So many characters of a module's docstring are told of its functions."""


@dataclass(slots=True)
class Module:
    """One file: its tree, and what its names mean."""

    name: str
    path: str
    tree: ast.Module
    is_package: bool
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Name in the module → the full name that it stands for."""
    stars: list[str] = field(default_factory=list[str])
    """Modules of which it imports all."""
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list[ast.Import | ast.ImportFrom])
    """All of its imports, those within functions as well."""
    definitions: list[tuple[str, Definition, str]] = field(default_factory=list[tuple[str, Definition, str]])
    """What it and its classes define for others: name, node, kind."""

    def absolute(self, module: str | None, level: int) -> str:
        """Return the full name of a module that an import names, `level` dots before it."""
        if not level:
            return module or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - level + self.is_package]
        return ".".join([*parts, *([module] if module else [])])


def read_python(root: Path, files: Iterable[Path]) -> Reading:
    """Read those files of `root`; one that is no Python that this interpreter knows is left out."""
    modules: dict[str, Module] = {}
    records: list[Record] = []
    relations: list[Relation] = []
    for path in files:
        module = _parsed(root, path)
        if module is None or module.name in modules:
            continue
        modules[module.name] = module
        _learn_names(module)
        records += _records(module)
        relations += _relations(module)
        module.imports.clear()
        module.definitions.clear()
        module.tree.body.clear()  # a tree needs a hundred times the room of what is kept of it
    records = _told_of_parents(records)
    aliases = _aliases(modules, {record.name for record in records})
    meant = (Relation(one.subject, one.verb, aliases.get(one.object, one.object)) for one in relations)
    return Reading(records, list(dict.fromkeys(meant)), aliases)


def _parsed(root: Path, path: Path) -> Module | None:
    place = path.relative_to(root)
    parts = place.with_suffix("").parts
    is_package = parts[-1] == "__init__"
    name = ".".join(parts[:-1] if is_package else parts)
    if not name:
        name = root.name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of somebody's source
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return None
    return Module(name, place.as_posix(), tree, is_package)


# --- what there is


def _records(module: Module) -> Iterator[Record]:
    title = module.name.rpartition(".")[2]
    text = ast.get_docstring(module.tree) or ""
    content = _content(f"module {module.name}", text)
    yield Record(module.name, "module", content, f"{module.path}:1", title, metadata={"module": module.name})
    for name, node, kind in module.definitions:
        head = _signature(name, node)
        content = _content(head, ast.get_docstring(node) or "")
        place = f"{module.path}:{node.lineno}"
        inner = name.removeprefix(f"{module.name}.")
        metadata = {"module": module.name, "signature": head}
        yield Record(name, kind, content, place, inner, metadata=metadata)


def _told_of_parents(records: list[Record]) -> list[Record]:
    known = {record.name: f"{record.title} {record.summary[:MOST_TOLD]}" for record in records}

    def parents(name: str) -> Iterator[str]:
        while name := name.rpartition(".")[0]:
            yield known.get(name, "")

    return [replace(record, about=" ".join(parents(record.name)).strip()) for record in records]


def _definitions(module: Module) -> Iterator[tuple[str, Definition, str]]:
    """Yield the public definitions of a module and of its classes: name, node, kind; each name once."""
    seen: set[str] = set()
    todo: list[tuple[str, bool, list[ast.stmt]]] = [(module.name, False, module.tree.body)]
    while todo:
        prefix, in_class, body = todo.pop()
        for node in _statements(body):
            if not isinstance(node, Definition) or node.name.startswith("_"):
                continue
            name = f"{prefix}.{node.name}"
            if name in seen:
                continue
            seen.add(name)
            if isinstance(node, ast.ClassDef):
                todo.append((name, True, node.body))
                yield name, node, "class"
            else:
                yield name, node, "method" if in_class else "function"


def _statements(body: list[ast.stmt], *, inner: bool = False) -> Iterator[ast.stmt]:
    """Yield the statements of a body, those within `if` and `try` as well, with `inner` those within any."""
    for node in body:
        yield node
        if inner or isinstance(node, ast.If | ast.Try):
            for part in ("body", "handlers", "orelse", "finalbody", "cases"):
                for child in getattr(node, part, ()):
                    if isinstance(child, ast.stmt):
                        yield from _statements([child], inner=inner)
                    else:  # an except clause, or a case
                        yield from _statements(child.body, inner=inner)


def _signature(name: str, node: Definition) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    given = node.args
    names = [*(argument.arg for argument in [*given.posonlyargs, *given.args])]
    names += [f"*{given.vararg.arg}"] if given.vararg else ["*"] if given.kwonlyargs else []
    names += [argument.arg for argument in given.kwonlyargs]
    names += [f"**{given.kwarg.arg}"] if given.kwarg else []
    shown = [*names[:MOST_ARGUMENTS], "..."] if len(names) > MOST_ARGUMENTS else names
    return f"{'async ' * isinstance(node, ast.AsyncFunctionDef)}def {name}({', '.join(shown)})"


def _content(head: str, text: str) -> str:
    return f"{head}\n\n{text}" if text else head


# --- what names mean


def _learn_names(module: Module) -> None:
    every = _statements(module.tree.body, inner=True)
    module.imports = [node for node in every if isinstance(node, ast.Import | ast.ImportFrom)]
    module.definitions = list(_definitions(module))
    for node in module.imports:
        if isinstance(node, ast.Import):
            for alias in node.names:
                module.names.setdefault(
                    alias.asname or alias.name.partition(".")[0],
                    (alias.asname and alias.name) or alias.name.partition(".")[0],
                )
        else:
            target = module.absolute(node.module, node.level)
            for alias in node.names:
                if alias.name == "*":
                    module.stars.append(target)
                else:
                    module.names.setdefault(alias.asname or alias.name, f"{target}.{alias.name}")
    for statement in _statements(module.tree.body):
        if isinstance(statement, Definition):
            module.names[statement.name] = f"{module.name}.{statement.name}"


def _aliases(modules: Mapping[str, Module], known: set[str]) -> dict[str, str]:
    """Return other names of what is known: what a module imports can be had from it too."""
    found: dict[str, str] = {}
    for module in modules.values():
        names = dict(module.names)
        for star in module.stars:
            if star in modules:
                names = {k: v for k, v in modules[star].names.items() if not k.startswith("_")} | names
        for name, target in names.items():
            here = f"{module.name}.{name}"
            if not name.startswith("_") and here not in known and here != target:
                found[here] = target
    return {name: end for name in found if (end := _followed(name, found)) in known}


def _followed(name: str, aliases: Mapping[str, str]) -> str:
    seen: set[str] = set()
    while name in aliases and name not in seen:
        seen.add(name)
        name = aliases[name]
    return name


# --- how it hangs together


def _relations(module: Module) -> Iterator[Relation]:
    parent = module.name.rpartition(".")[0]
    if parent:
        yield Relation(parent, "contains", module.name)
    for imported in _imported(module):
        yield Relation(module.name, "imports", imported)
    for name, node, _ in module.definitions:
        yield Relation(name.rpartition(".")[0], "contains", name)
        if isinstance(node, ast.ClassDef):
            verb, targets = "inherits", [_meant(base, module) for base in node.bases]
        else:
            verb, targets = "calls", [_meant(call.func, module, builtin=False) for call in _calls(node)]
        yield from (Relation(name, verb, target) for target in targets if target and target != name)


def _imported(module: Module) -> Iterator[str]:
    for node in module.imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            target = module.absolute(node.module, node.level)
            if target != module.name:
                yield target


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield all calls in a node; `ast.walk` would take three times as long."""
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                if value._fields:  # a context or an operator has none
                    todo.append(value)
            elif isinstance(value, list):
                todo.extend(child for child in value if isinstance(child, ast.AST))


def _meant(node: ast.expr, module: Module, *, builtin: bool = True) -> str:
    """Return the full name that `a` or `a.b.c` stands for, or nothing where that is not certain."""
    rest: list[str] = []
    while isinstance(node, ast.Attribute):
        rest.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    first = module.names.get(node.id)
    if first is None:
        return node.id if builtin and not rest else ""
    return ".".join([first, *rest])
