"""A set of rules, compiled once: what they say of a request is a pure function of its facts.

    facts ─▶ the rules, highest priority first ─▶ the first that fits (or all) ─▶ decision

What a rule looks at is what the caller said: no rule sees what another has done. Above stand producers, and
the command line, which tries rules out. This module must never know a store, a clock or a loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.life import Class
from mcpweft_schemas.rules import pattern, pointer, tag
from mcpweft_schemas.rules.pointer import MISSING
from mcpweft_schemas.rules.ruling import Ruling

if TYPE_CHECKING:
    from mcpweft_schemas.rules.rule import Rule, Test, Then, When


@dataclass(frozen=True, slots=True)
class Facts:
    """What a caller said of a request."""

    capability: str
    tool: str = ""
    klass: Class = Class.NORMAL
    tenant: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a request is not enqueued."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rules say of a request; None where they leave it as its caller wants it."""

    klass: Class | None = None
    capability: str | None = None
    timeout: float | None = None
    """Seconds."""
    max_attempts: int | None = None
    tags: tuple[str, ...] = ()
    rejected: Rejection | None = None
    matched: tuple[str, ...] = ()
    """The rules that fitted and were heard, in order."""

    def pool(self, capability: str) -> str:
        """Return the pool that a request for `capability` goes to."""
        return tag.tagged(self.capability or capability, self.tags)


NOTHING = Decision()
"""What is decided where no rule fits."""

_Fits = Callable[[Facts], bool]
_SIZED = (str, list, tuple, Mapping)
_NUMBER = (int, float)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Compiled:
    name: str
    fits: tuple[_Fits, ...]
    then: Then
    alone: Decision
    """What is decided where it acts alone."""


class Ruleset:
    """Rules at one version."""

    __slots__ = ("_all", "_rules", "asks_tool", "version")

    def __init__(self, rules: Sequence[Rule] = (), *, match_all: bool = False, version: int = 0) -> None:
        self.version = version
        self.asks_tool = any(_asks_tool(each) for rule in rules for each in (rule.when, rule.unless) if each)
        """Whether any of them looks at the tool."""
        self._all = match_all
        ordered = sorted(rules, key=lambda rule: -rule.priority)  # stable: equals stay as they are written
        self._rules = tuple(_compiled(rule) for rule in ordered)

    def __len__(self) -> int:
        return len(self._rules)

    def decide(self, facts: Facts) -> Decision:
        """Return what the rules say of a request."""
        heard: list[_Compiled] = []
        for rule in self._rules:
            for fits in rule.fits:
                if not fits(facts):
                    break
            else:
                if not self._all:
                    return rule.alone
                heard.append(rule)
                if rule.then.reject is not None:
                    break
        return _joined([(rule.name, rule.then) for rule in heard]) if heard else NOTHING

    def ruling(self, decision: Decision) -> Ruling | None:
        """Return the names behind a decision; None where no rule fitted."""
        return Ruling(self.version, decision.matched) if decision.matched else None


def _joined(heard: Sequence[tuple[str, Then]]) -> Decision:
    """Return what rules say together: of each thing what was said first, of tags all."""
    matched = tuple(name for name, _ in heard)
    last, then = heard[-1]
    if then.reject is not None:
        return Decision(rejected=Rejection(last, then.reject), matched=matched)
    thens = [then for _, then in heard]

    def first(key: str) -> Any:
        return next((value for then in thens if (value := getattr(then, key)) is not None), None)

    return Decision(
        klass=first("priority"),
        capability=first("capability"),
        timeout=first("timeout"),
        max_attempts=first("max_attempts"),
        tags=tuple(sorted({each for then in thens for each in then.tags or ()})),
        matched=matched,
    )


# -- compiling -----------------------------------------------------------------------------------------------


def _asks_tool(when: When) -> bool:
    return when.tool is not None or any(map(_asks_tool, when.any or ()))


def _compiled(rule: Rule) -> _Compiled:
    fits = _fits(rule.when)
    if rule.unless is not None:
        not_these = _fits(rule.unless)
        fits = (*fits, _none_or_some(not_these))
    return _Compiled(rule.name, fits, rule.then, _joined([(rule.name, rule.then)]))


def _none_or_some(fits: tuple[_Fits, ...]) -> _Fits:
    return lambda facts: not all(each(facts) for each in fits)


def _fits(when: When) -> tuple[_Fits, ...]:
    """Return what must all be true, what is quickly looked at first."""
    fits: list[_Fits] = []
    if (classes := when.priority) is not None:
        fits.append(lambda facts: facts.klass in classes)
    if when.capability is not None:
        capability = _named(when.capability)
        fits.append(lambda facts: capability(facts.capability))
    if when.tool is not None:
        tool = _named(when.tool)
        fits.append(lambda facts: tool(facts.tool))
    if when.tenant is not None:
        tenant = _named(when.tenant)
        fits.append(lambda facts: tenant(facts.tenant))
    fits += [_argument(pointer.parse(at), _true_of(test)) for at, test in when.arguments.items()]
    fits += [_metadata(pointer.parse(at), _true_of(test)) for at, test in when.metadata.items()]
    if when.any is not None:
        ways = [_fits(each) for each in when.any]
        fits.append(lambda facts: any(all(fit(facts) for fit in way) for way in ways))
    return tuple(fits)


def _argument(at: pointer.Pointer, true: Callable[[Any], bool]) -> _Fits:
    return lambda facts: true(pointer.look(facts.arguments, at))


def _metadata(at: pointer.Pointer, true: Callable[[Any], bool]) -> _Fits:
    return lambda facts: true(pointer.look(facts.metadata, at))


def _named(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    plain = frozenset(each for each in patterns if not any(sign in each for sign in "*?["))
    wild = tuple(each for each in patterns if each not in plain)
    return lambda name: name in plain or any(fnmatchcase(name, each) for each in wild)


def _true_of(test: Test) -> Callable[[Any], bool]:
    """Return what tells whether a test is true at its place; of what is missing only `exists` can be."""
    keys = [key for key in type(test).model_fields if key in test.model_fields_set and key != "exists"]
    bounds = {key: getattr(test, key) for key in keys}
    checks = [_check(key, bound) for key, bound in bounds.items() if bound is not None or key == "equals"]
    exists = test.exists

    def true(value: Any) -> bool:
        if value is MISSING:
            return exists is False and not checks
        return exists is not False and all(check(value) for check in checks)

    return true


def _check(key: str, bound: Any) -> Callable[[Any], bool]:
    match key:
        case "equals":
            return lambda value: _same(value, bound)
        case "one_of":
            return lambda value: any(_same(value, each) for each in bound)
        case "matches":
            found = pattern.compiled(bound)
            return lambda value: isinstance(value, str) and found(value)
        case "longer_than":
            return lambda value: isinstance(value, _SIZED) and len(value) > bound
        case "shorter_than":
            return lambda value: isinstance(value, _SIZED) and len(value) < bound
        case _:
            compare = _COMPARE[key]
            return lambda value: (
                isinstance(value, _NUMBER) and not isinstance(value, bool) and compare(value, bound)
            )


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are one; Python takes True for 1, JSON does not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)
