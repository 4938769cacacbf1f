"""`mcpweft rules`: the fleet's routing rules, shown, tried out and set.

Above stands the root of the command line, which loads this module by its path. Below are the compiled rules,
the store, which has those in force, and `Admin`, which changes them.
"""

from __future__ import annotations

import asyncio
import json as json_
from pathlib import Path  # noqa: TC003  # the command line reads the annotation
from typing import TYPE_CHECKING, Any

from cyclopts import App

from mcpweft_coordinator.cli import page
from mcpweft_coordinator.cli.fabric import FOUND, Fabric, Json
from mcpweft_coordinator.cli.settings import told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcpweft_schemas.rules.bulletin import Bulletin
    from mcpweft_schemas.rules.rule import Rule
    from mcpweft_schemas.rules.sample import Trial

app = App(name="rules", help="Show, try out and set the routing rules that every request passes first.")


@app.command(name="list", sort_key=0)
def list_(*, starter: bool = False, json: Json = False, fabric: Fabric = FOUND) -> int:
    """List the rules that are set for the whole fleet, in the order in which they are asked.

    Parameters
    ----------
    starter
        Show four rules to begin with instead, which nobody has unless they are set.
    json
        Print JSON: with --starter, a file for `mcpweft rules set`.
    fabric
        Which fabric.

    """
    from mcpweft_schemas.rules.bulletin import Bulletin
    from mcpweft_schemas.rules.document import checked
    from mcpweft_schemas.rules.starter import STARTER

    bulletin = Bulletin(0, STARTER) if starter else asyncio.run(_bulletin(fabric))
    if json:
        page.print_json(STARTER if starter else {"version": bulletin.version, **bulletin.said})
        return 0
    config = checked(bulletin.said, "set for the whole fleet")
    rows = [_row(rule) for rule in sorted(config.rules, key=lambda rule: -rule.priority)]
    if rows:
        version = "" if starter else f"version {bulletin.version}, "
        page.print_line(f"{version}match {config.rules_match}")
    empty = "No rules are set for the whole fleet: each client goes by its own file."
    page.print_table(("rule", "priority", "when", "unless", "then"), rows, empty=empty)
    return 0


async def _bulletin(fabric: Fabric) -> Bulletin:
    from mcpweft_schemas.connect import Link
    from mcpweft_schemas.locate import locate
    from mcpweft_schemas.store import Store

    place = locate(fabric.store, namespace=fabric.namespace, fabric=fabric.name)
    link = Link.to(place.url)
    try:
        return await Store(link, place.namespace).rules()
    finally:
        await link.close()


def _row(rule: Rule) -> tuple[str, str, str, str, str]:
    said: Mapping[str, Any] = rule.model_dump(mode="json", exclude_unset=True)
    when, unless, then = (_spoken(said.get(key)) for key in ("when", "unless", "then"))
    return rule.name, str(rule.priority), when or "always", unless, then or "as its caller wants it"


def _spoken(table: Mapping[str, Any] | None) -> str:
    """Return a table in one line, as TOML would have it but for the quotes of lists of one."""
    parts: list[str] = []
    for key, value in (table or {}).items():
        alone = value[0] if isinstance(value, list) and len(value) == 1 else value
        parts.append(f"{key} = {json_.dumps(alone, ensure_ascii=False)}")
    return ", ".join(parts)


@app.command(name="test", sort_key=1)
def try_(
    file: Path,
    /,
    *,
    request: tuple[str, ...] = (),
    requests: Path | None = None,
    json: Json = False,
) -> int:
    """Try rules out: check a file of them, and show what they make of sample requests. Needs no fabric.

    Parameters
    ----------
    file
        Rules: a table with `rules` and `rules_match`, or the list alone; `.toml` is read as mcpweft.toml.
    request
        A request as JSON, such as '{"name": "search.find", "arguments": {"query": "x"}}'; may be repeated.
        It may also say tenant, metadata, priority, timeout and max_attempts.
    requests
        A file with such a request on each line.
    json
        Print JSON, a line for each request.

    """
    from mcpweft_schemas.rules.document import read_rules
    from mcpweft_schemas.rules.sample import Sample

    rules = read_rules(_read(file), str(file))
    samples = [Sample.read(said, place) for said, place in _samples(request, requests)]
    trials = [sample.tried(rules) for sample in samples]
    if json:
        for trial in trials:
            page.print_json(trial.plain())
    elif not trials:
        page.print_line(f"{len(rules)} rules are right. Try them on a --request.")
    else:
        page.print_table(("request", "rules", "changes", "routing"), map(_told, trials), empty="")
    return 0


def _told(trial: Trial) -> tuple[str, str, str, str]:
    matched = ", ".join(trial.matched) or "none"
    way = trial.after
    if way is None:
        return trial.name, matched, "", f"rejected: {trial.rejected}"
    changes = ", ".join(f"{name} {old} → {new}" for name, (old, new) in trial.changes.items())
    routing = f"{way.pool}, class {way.klass}, {way.timeout:g} s, {way.max_attempts} attempts"
    return trial.name, matched, changes or "nothing", routing


def _samples(given: tuple[str, ...], file: Path | None) -> Iterator[tuple[object, str]]:
    """Yield what each sample says and where it was read."""
    for number, text in enumerate(given, 1):
        place = "--request" if len(given) == 1 else f"--request {number}"
        yield _parsed(text, place), place
    if file is not None:
        for number, line in enumerate(_text(file).splitlines(), 1):
            if line.strip():
                yield _parsed(line, f"{file}, line {number}"), f"{file}, line {number}"


def _text(file: Path) -> str:
    from mcpweft_schemas.errors import InvalidConfigError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InvalidConfigError(f"{file} cannot be read: {error}", advice="Name a text file.") from error


def _parsed(text: str, place: str) -> Any:
    from mcpweft_schemas.errors import InvalidConfigError

    try:
        return json_.loads(text)
    except ValueError as error:
        raise InvalidConfigError(f"{place} is no JSON: {error}", advice="Write JSON.") from error


def _read(file: Path) -> dict[str, Any]:
    """Return a file of rules in the shape of mcpweft.toml; of such a file itself, the part with the rules."""
    from mcpweft_schemas import tomlfile
    from mcpweft_schemas.errors import InvalidConfigError
    from mcpweft_schemas.rules.bulletin import KEYS

    if file.suffix == ".toml":
        whole = tomlfile.read(file).tree
        return {key: whole[key] for key in KEYS if key in whole}
    tree = _parsed(_text(file), str(file))
    if isinstance(tree, list):
        return {"rules": tree}
    if not isinstance(tree, dict):
        raise InvalidConfigError(f"{file} holds no rules", advice='Write {"rules": […]}.')
    return tree


@app.command(name="set", sort_key=2)
def set_(file: Path, /, *, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Let the rules in a file be those of the whole fleet, in place of all that are set.

    Clients follow within a second.

    Parameters
    ----------
    file
        As for `test`. Something wrong in it changes nothing.
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    from mcpweft_schemas.errors import InvalidConfigError
    from mcpweft_schemas.rules.document import checked

    said = _read(file)
    config = checked(said, str(file))  # with the file's name; the coordinator checks it again, with the rest
    if "rules" not in said:
        raise InvalidConfigError(f"{file} holds no rules", advice="`mcpweft rules clear` takes them away.")
    tree = {"rules_match": config.rules_match.value, "rules": said["rules"]}
    return told(fabric.ask(lambda admin: admin.config_apply(tree, reason)), json=json)


@app.command(sort_key=3)
def clear(*, reason: str = "", json: Json = False, fabric: Fabric = FOUND) -> int:
    """Take the fleet's rules away: each client goes by its own file again.

    Parameters
    ----------
    reason
        Why, for those who look later.
    json
        Print JSON.
    fabric
        Which fabric.

    """
    return told(
        fabric.ask(lambda admin: admin.config_unset("rules", "rules_match", reason=reason)), json=json
    )
