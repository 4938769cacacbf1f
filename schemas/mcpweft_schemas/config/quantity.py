"""The kinds of values that the sections are made of, with their bounds.

Above stand the sections. A value that does not fit raises ValueError with the sentence that says what to
write; `fault` puts the key and the place before it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mcpweft_schemas import duration, frequency, size, slug

Duration = Annotated[float, BeforeValidator(duration.seconds), Field(gt=0)]
"""Seconds, more than none."""

Size = Annotated[int, BeforeValidator(size.octets), Field(gt=0)]
"""Bytes, more than none."""

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 asks the system for a free one."""

Share = Annotated[float, Field(gt=0, le=1)]
"""A part of a whole: more than 0, at most 1."""

Part = Annotated[float, Field(ge=0, le=1)]
"""A part of a whole, or none of it: 0 to 1."""

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""So many a second, or none."""

Frequency = Annotated[float, BeforeValidator(frequency.per_second)]
"""So many a second, more than none."""

Count = Annotated[int, Field(ge=1)]
"""A whole number, at least 1."""


def _name(value: str) -> str:
    if not slug.LEGAL.fullmatch(value):
        raise ValueError(f"Write {slug.FORM}, such as {slug.slug(value)!r}")
    return value


Name = Annotated[str, BeforeValidator(lambda value: _name(value) if isinstance(value, str) else value)]
"""A capability or a namespace: 1 to 64 of a-z, 0-9, - and _."""


class Section(BaseModel):
    """A table of `mcpweft.toml`: it does not change, and knows its keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=False, hide_input_in_errors=True
    )
