"""A preset written down is read as what it is, and says why."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_schemas.config import load_config
from mcpweft_schemas.presets import PRESETS, Preset, custom, text
from mcpweft_schemas.presets.written import EXAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcpweft_schemas.config import Config

EACH = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SERVER = st.fixed_dictionaries(
    {"command": WORDS},
    optional={
        "args": st.lists(WORDS, max_size=3),
        "env": st.dictionaries(WORDS, WORDS, max_size=2),
        "tool_timeouts": st.dictionaries(WORDS, st.sampled_from(["1s", "2s"]), max_size=2),
        "concurrency": st.integers(1, 400),
        "workers": st.integers(1, 5),
    },
)


def read_back(preset: Preset, servers: Mapping[str, Mapping[str, Any]]) -> Config:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mcpweft.toml"
        path.write_text(text(preset, servers), encoding="utf-8")
        return load_config(path, environ={})


@EACH
def test_what_is_written_is_read_as_the_same_configuration(preset: Preset) -> None:
    config = read_back(preset, EXAMPLE)
    assert config.model_dump() == preset.config(EXAMPLE).model_dump()
    assert config.warnings == ()


@given(st.sampled_from(list(PRESETS.values())), st.dictionaries(WORDS, SERVER, min_size=1, max_size=3))
def test_so_it_is_with_any_servers(preset: Preset, servers: dict[str, dict[str, Any]]) -> None:
    assert read_back(preset, servers).model_dump() == preset.config(servers).model_dump()


def test_a_preset_of_one_s_own_is_written_as_well() -> None:
    preset = custom("mine", server_count=4, reliability="high", service_time="40ms")
    assert read_back(preset, EXAMPLE).model_dump() == preset.config(EXAMPLE).model_dump()


@EACH
def test_above_every_key_stands_its_reason(preset: Preset) -> None:
    lines = text(preset).splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"[\w\"-]+ = ", line)]
    assert len(keys) == len(preset.settings) + len(EXAMPLE["time"]) + len(preset.server(EXAMPLE["time"]))
    assert all(re.match(r"# .*\w\.$", lines[number - 1]) for number in keys)


@EACH
def test_what_could_not_be_carried_over_is_said(preset: Preset) -> None:
    said = " ".join(text(preset).replace("\n# ", " ").split())
    assert all(left.setting in said and left.why in said for left in preset.left_out)
    assert max(map(len, text(preset).splitlines())) <= 110
    assert tomllib.loads(text(preset))["servers"].keys() == {"time"}
