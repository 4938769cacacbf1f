from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import yaml

from containerfile import stages_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_page_shows_the_users_as_they_are() -> None:
    shown = dict(re.findall(r"<!-- file: (\S+) -->\n```\n(.*?)```", PAGE, re.DOTALL))
    assert set(shown) == {"docker/users.acl"}
    for name, text in shown.items():
        assert text == (ROOT / name).read_text(encoding="utf-8")


def test_the_page_shows_the_example_of_one_s_own_server_as_it_is() -> None:
    (shown,) = re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL)
    assert shown == (ROOT / "docker" / "examples" / "time" / "Dockerfile").read_text(encoding="utf-8")


def test_every_image_that_the_page_builds_is_a_stage_and_is_explained() -> None:
    stages = stages_of(ROOT / "docker" / "Dockerfile")
    built = dict(re.findall(r"^docker build .*--target (\S+) +-t (\S+) \.$", PAGE, re.MULTILINE))
    assert built == {target: f"mcpweft-{target}" for target in built}
    assert set(built) <= set(stages)
    assert set(built) == set(re.findall(r"^\| `([\w-]+)` \| .* \| `mcpweft", PAGE, re.MULTILINE))


def test_the_commands_for_compose_name_services_that_are_there() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    named = re.findall(r"--scale (\w+)=|run --rm (\w+)", PAGE)
    assert {one or other for one, other in named} == {"worker", "cli"}
    assert {"worker", "cli"} <= set(services)


def test_the_passwords_are_made_as_the_page_says(tmp_path: Path) -> None:
    (block,) = re.findall(r"<!-- run: secrets -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "docker").mkdir()
    subprocess.run(["sh", "-ec", block], cwd=tmp_path, check=True)
    made = tmp_path / "docker" / ".env"
    values = dict(line.split("=", 1) for line in made.read_text().splitlines())
    example = (ROOT / "docker" / ".env.example").read_text()
    assert set(values) == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in values.values())
    assert len(set(values.values())) == len(values)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_every_file_that_the_page_points_at_is_there() -> None:
    for link in re.findall(r"\]\((\.\./[^)#]+|[\w-]+\.md)", PAGE):
        assert (ROOT / "docs" / link).resolve().is_file(), link
