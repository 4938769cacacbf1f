"""Write docs/configuration.md from the config models; with `--check` say whether it is still true."""

from __future__ import annotations

import inspect
import json
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from pydantic import BeforeValidator

from mcpweft_schemas import duration, frequency, mcpjson, size, slug
from mcpweft_schemas.config import Config, ServerConfig, environment, shape
from mcpweft_schemas.config.shape import Kind

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from mcpweft_schemas.config.quantity import Section

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"

HEAD = """\
# Configuration

<!-- Written by scripts/configuration_reference.py from schemas/mcpweft_schemas/config: change that. -->

Settings come from these places, each over the ones before it; tables merge deeply, anything else is replaced:

1. the defaults below;
2. servers from the files in `include` ([mcp.json](#servers-from-an-mcpjson));
3. `mcpweft.toml`, the nearest one from the working directory upwards;
4. what was set for the whole fleet while it runs ([administration](administration.md)): coordinators and
   workers follow it, a client takes the routing rules alone from it;
5. the environment: `MCPWEFT_`, then the key with two underscores for each dot. A list is written `a,b` or as
   JSON. A server is found by its name in capitals, with `_` for each run of other characters:
   `[servers.my-git]` is `MCPWEFT_SERVERS__MY_GIT__…`. An empty variable counts as unset. `MCPWEFT_URL` is
   short for `MCPWEFT_REDIS__URL`;
6. flags.

An unknown key is an error that names the nearest known one and where it was read.

A *duration* is text such as `500ms`, `20s`, `1h30m` or `7d`, or a number of seconds. A *size* is text such as
`512KiB`, `8MiB` or `1GiB` (kB, MB and GB are powers of 1000), or a number of bytes. A *pattern* is a name in
which `*` stands for anything.

```toml
namespace = "shop"

[redis]
url = "redis://localhost:6379/0"

[call]
timeout = "3m"
attempt_timeout = "45s"

[servers.git]
command = "uvx"
args = ["mcp-server-git"]
workers = 2
idempotent = ["git_status", "git_log", "git_diff*"]
```

"""


def page() -> str:
    """Return the whole reference."""
    parts = [HEAD, "## Top level\n\n", _table(Config, (), tables=False)]
    for name, field in Config.model_fields.items():
        model = shape.section(field.annotation)
        if model is None:
            continue
        named = shape.kind(field.annotation) is Kind.NAMED
        key = (name, shape.SERVER_NAME) if named else (name,)
        about = _paragraphs(model) if model is ServerConfig else f"{field.description}\n\n"
        parts.append(f"## `[{'.'.join(key)}]`\n\n{about}{_table(model, key)}")
    parts.append(_rules())
    return "".join(parts)


def _table(model: type[Section], above: tuple[str, ...], *, tables: bool = True) -> str:
    rows = ["| key | what | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if not tables and shape.section(field.annotation):
            continue
        key = (*above, name)
        what = _what(field.annotation, _field_readers(field))
        rows.append(
            f"| `{name}`<br>`{environment.variable_of(key)}` | {what} | {_default(field)} | "
            f"{_cell(field.description or '')} |"
        )
    return "\n".join(rows) + "\n\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _readers(annotation: Any) -> list[Any]:
    """Return the functions that read a value, those inside `… | None` included."""
    arms = (annotation, *(get_args(annotation) if shape.kind(annotation) is Kind.VALUE else ()))
    found = [each for arm in arms if get_origin(arm) is Annotated for each in get_args(arm)[1:]]
    return [each.func for each in found if isinstance(each, BeforeValidator)]


def _field_readers(field: FieldInfo) -> list[Any]:
    own = [each.func for each in field.metadata if isinstance(each, BeforeValidator)]
    return own + _readers(field.annotation)


_UNITS = {duration.seconds: "duration", size.octets: "size", frequency.per_second: "rate"}


def _what(annotation: Any, readers: list[Any]) -> str:
    inner = shape.bare(annotation)
    if unit := next((_UNITS[each] for each in readers if each in _UNITS), ""):
        return unit
    if isinstance(inner, type) and issubclass(inner, Enum):
        return " or ".join(f"`{member.value}`" for member in inner)
    if get_origin(inner) is tuple:
        return "list of tables" if shape.table(inner) else "list of texts"
    if get_origin(inner) is dict:
        value = get_args(inner)[1]
        if isinstance(value, type) and issubclass(value, Enum):
            return "table of names"
        return f"table of {_what(value, _readers(value))}s"
    return {bool: "`true` or `false`", int: "whole number", float: "number", Path: "path"}.get(inner, "text")


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default_text" in extra:
        return str(extra["default_text"])
    value = field.get_default(call_default_factory=True, validated_data={})
    return "unset" if value is None else f"`{_written(value, _field_readers(field))}`"


def _written(value: Any, readers: list[Any]) -> str:
    """Return a value as `mcpweft.toml` has it, but for the quotes around a text."""
    if duration.seconds in readers:
        return duration.spoken(value)
    if size.octets in readers:
        return size.spoken(value)
    if isinstance(value, tuple | dict | bool):
        return json.dumps(value)
    return str(value.value if isinstance(value, Enum) else value)


def _paragraphs(thing: Any) -> str:
    return inspect.cleandoc(thing.__doc__ or "") + "\n\n"


def _rules() -> str:
    doc = inspect.cleandoc(mcpjson.__doc__ or "").split("\n\n")
    names = inspect.cleandoc(slug.__doc__ or "").split("\n\n")
    return (
        "## Servers from an mcp.json\n\n"
        "`include` names files in the format that MCP clients share. These words are read:\n\n"
        f"```text\n{inspect.cleandoc(doc[1])}\n```\n\n{doc[2]}\n\n"
        "A section `[servers.<name>]` of the same name is laid over the imported server.\n\n"
        f"## Names of capabilities\n\n{names[1]}\n\n{names[2]}\n"
    )


def main() -> int:
    """Write the page, or check it; return the exit status."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE} is not what the models say: run scripts/configuration_reference.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
