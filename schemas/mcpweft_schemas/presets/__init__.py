"""Configurations that begin with a purpose: seven presets, your own ones, and a look at any.

    PRESETS               development, production_small, production_large, high_availability,
                          performance_optimized, cost_optimized, testing
    custom                a preset from a number of servers
    optimize_for          a preset from calls a second, latency, reliability and budget
    validate_production   errors, warnings and recommendations, each with reason, key and suggestion
    validate              the same for another purpose: a preset passes for its own

    preset = PRESETS["production_small"]
    config = preset.config({"search": {"command": "search-server"}})
    assert validate(config, preset.purpose).passed

Above stand users in Python and the command line. These modules hold data and plain functions on the
configuration's models: they must never read or write anything. The modules inside: `preset` is what one
is, `catalog` the seven; `custom`, `optimiser`, `plan`, `reliability` and `queueing` make others; `review`
looks, by the rules of `capacity`, `patience` and `safekeeping`, which say what they found as `finding`;
`written` is the text of a `mcpweft.toml`.
"""

from mcpweft_schemas.presets.catalog import PRESETS
from mcpweft_schemas.presets.custom import custom
from mcpweft_schemas.presets.finding import Finding, Review, Severity
from mcpweft_schemas.presets.optimiser import optimize_for
from mcpweft_schemas.presets.preset import LeftOut, Load, Preset, Purpose, Setting, Size
from mcpweft_schemas.presets.reliability import Reliability
from mcpweft_schemas.presets.review import validate, validate_production
from mcpweft_schemas.presets.written import text

__all__ = [
    "PRESETS",
    "Finding",
    "LeftOut",
    "Load",
    "Preset",
    "Purpose",
    "Reliability",
    "Review",
    "Setting",
    "Severity",
    "Size",
    "custom",
    "optimize_for",
    "text",
    "validate",
    "validate_production",
]
