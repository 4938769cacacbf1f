"""Rules in the shape of `mcpweft.toml`, read and compiled: `{"rules": […], "rules_match": "first"}`.

Above stand the producer, which has them from the store, and the command line, which has them from a file.
Below is the configuration, which knows how what is wrong is told. This module must never read a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from mcpweft_schemas.config import Config, fault
from mcpweft_schemas.config.layer import Layer
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.rules.bulletin import KEYS
from mcpweft_schemas.rules.rule import Match
from mcpweft_schemas.rules.ruleset import Ruleset

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_rules(said: Mapping[str, Any], place: str, *, version: int = 0) -> Ruleset:
    """Return the rules that a document says.

    Raises:
        InvalidConfigError: what is wrong, by rule and key, and that it was read at `place`.

    """
    config = checked(said, place)
    return Ruleset(config.rules, match_all=config.rules_match is Match.ALL, version=version)


def checked(said: Mapping[str, Any], place: str) -> Config:
    """Return a configuration with these rules and nothing else. Raises as `read_rules`."""
    for key in said:
        if key not in KEYS:
            close = near(key, KEYS, most=1)
            advice = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(KEYS)}."
            raise InvalidConfigError(f"{key} is no part of a document of rules ({place})", advice=advice)
    layer = Layer(dict(said), {(key,): place for key in said})
    try:
        return Config.model_validate(layer.tree)
    except ValidationError as error:
        raise fault.refusal(fault.faults(error), layer.place_told) from None
