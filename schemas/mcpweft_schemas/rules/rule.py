"""A rule as it is written, in `[[rules]]` of `mcpweft.toml` or in a file of JSON.

    name      what it is called in results, events and errors
    priority  rules with a higher one are asked first; among equals, as they are written
    when      what a request must be like; nothing said: any
    unless    what it must not be like
    then      what is done with a request that fits; nothing said: it stays as its caller wants it

Above stand `root`, of whose keys this is one, and `ruleset`. A value that does not fit raises ValueError
with the sentence that says what to write. This module must never know a request.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from mcpweft_schemas import duration, slug
from mcpweft_schemas.life import Class
from mcpweft_schemas.rules import pattern, pointer, tag

MOST = 100
"""Rules at most."""
_DEEPEST = 4


class Match(StrEnum):
    """Which of the rules that fit act."""

    FIRST = "first"
    """The first one alone."""
    ALL = "all"
    """All of them: of each thing that they say, what was said first stands; tags add up."""


class Part(BaseModel):
    """A table of a rule: it does not change, and knows its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _name(value: str) -> str:
    if not slug.LEGAL.fullmatch(value):
        raise ValueError(f"Write {slug.FORM}, such as {slug.slug(value)!r}")
    return value


def _class(value: Any) -> Any:
    """Return the class that a number from 0 to 10 stands for, as in a call."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return Class.of(value)
        except ValueError:
            raise ValueError(f"Write 0 to 10, or one of {', '.join(Class)}") from None
    return value


def _classes(value: Any) -> Any:
    listed: Any = (value,) if isinstance(value, str | int) else value
    return tuple(map(_class, listed)) if isinstance(listed, list | tuple) else listed


Words = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
"""Texts or patterns such as `get_*`, of which one must fit; one alone may stand without a list."""
Name = Annotated[str, BeforeValidator(lambda value: _name(value) if isinstance(value, str) else value)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Length = Annotated[int, Field(strict=True, ge=0)]
Priority = Annotated[Class, BeforeValidator(_class)]
Priorities = Annotated[tuple[Class, ...], BeforeValidator(_classes), Field(min_length=1)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1, max_length=tag.MOST)]


class Test(Part):
    """What must be true of the value at one place; several keys are all to be true."""

    __test__ = False  # no test of pytest's

    equals: Any = Field(default=None, description="It is this very JSON value; 1 and true are two.")
    one_of: tuple[Any, ...] | None = Field(
        default=None, min_length=1, description="It is one of these values."
    )
    above: Number | None = Field(default=None, description="It is a number above this one.")
    at_least: Number | None = Field(default=None, description="It is this number, or one above it.")
    below: Number | None = Field(default=None, description="It is a number below this one.")
    at_most: Number | None = Field(default=None, description="It is this number, or one below it.")
    longer_than: Length | None = Field(
        default=None, description="It has more than so many characters, items or keys."
    )
    shorter_than: Length | None = Field(
        default=None, description="It has fewer than so many characters, items or keys."
    )
    matches: str | None = Field(
        default=None, description="It is a text in which this regular expression (RE2) is found."
    )
    exists: bool | None = Field(
        default=None, strict=True, description="Whether there is such a place at all; null is a value."
    )

    @field_validator("matches")
    @classmethod
    def _linear(cls, value: str | None) -> str | None:
        if value is not None:
            pattern.compiled(value)
        return value

    @model_validator(mode="after")
    def _asks(self) -> Self:
        said = [key for key in self.model_fields_set if key == "equals" or getattr(self, key) is not None]
        if not said:
            raise ValueError(f"Write what must be true there, as one of {', '.join(type(self).model_fields)}")
        return self


class When(Part):
    """What a request is like; several keys are all to be true."""

    capability: Words | None = Field(
        default=None, description="The capability that its caller named, as a name or pattern."
    )
    tool: Words | None = Field(default=None, description="The tool, as a name or pattern.")
    tenant: Words | None = Field(
        default=None, description="The tenant, as a text or pattern; an empty text is a request without one."
    )
    priority: Priorities | None = Field(
        default=None, description="The class that its caller asked for, by name or as 0 to 10."
    )
    arguments: dict[str, Test] = Field(
        default_factory=dict[str, Test], description="By JSON Pointer: what is true of that argument."
    )
    metadata: dict[str, Test] = Field(
        default_factory=dict[str, Test], description="The same of its metadata."
    )
    any: tuple[When, ...] | None = Field(
        default=None, min_length=1, description="Tables of the same keys, of which one must fit."
    )

    @field_validator("arguments", "metadata")
    @classmethod
    def _pointers(cls, value: dict[str, Test]) -> dict[str, Test]:
        for text in value:
            pointer.parse(text)
        return value

    @model_validator(mode="after")
    def _shallow(self) -> Self:
        if self.depth > _DEEPEST:
            raise ValueError(f"Write at most {_DEEPEST} levels of any")
        return self

    @property
    def depth(self) -> int:
        """How many levels of `any` there are."""
        return 1 + max((each.depth for each in self.any or ()), default=0)


class Then(Part):
    """What is done with a request that fits; a caller's own word gives way."""

    priority: Priority | None = Field(default=None, description="Its class, by name or as 0 to 10.")
    capability: Name | None = Field(default=None, description="The capability that it goes to.")
    timeout: Annotated[float, BeforeValidator(duration.seconds), Field(gt=0)] | None = Field(
        default=None, description="Its total time until the outcome."
    )
    max_attempts: int | None = Field(default=None, ge=1, strict=True, description="Its attempts at most.")
    tags: Tags | None = Field(default=None, description="Only servers that carry all of these tags serve it.")
    reject: str | None = Field(
        default=None,
        min_length=1,
        max_length=500,
        description="It is not enqueued: its caller gets REJECTED, with this reason.",
    )

    @field_validator("tags")
    @classmethod
    def _legal(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for each in value or ():
            tag.check(each)
        return value

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.reject is not None and (others := sorted(self.model_fields_set - {"reject"})):
            raise ValueError(f"With reject, {' and '.join(others)} would have no effect: take it out")
        return self


class Rule(Part):
    """One rule."""

    name: Name = Field(description="What it is called; 1 to 64 of a-z, 0-9, - and _.")
    priority: int = Field(default=0, strict=True, description="Higher ones are asked first.")
    when: When = Field(default_factory=When, description="What a request must be like. Unset: any fits.")
    unless: When | None = Field(default=None, description="What it must not be like.")
    then: Then = Field(default_factory=Then, description="What is done with it. Unset: nothing.")


def distinct(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return `rules` if they can stand together. Raises ValueError."""
    if len(rules) > MOST:
        raise ValueError(f"There are {len(rules)} rules: keep to {MOST}")
    names = [rule.name for rule in rules]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Two rules are called {twice[0]!r}: results name rules, so give each its own name")
    return rules
