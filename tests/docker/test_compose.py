"""docker/compose.yaml is what the Compose specification says, and fits the files beside it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import pytest
import yaml

from containerfile import stages_of
from containerstore import DOCKER, ROOT, USERS
from mcpweft_schemas.config import load_config
from mcpweft_schemas.duration import seconds

FILE = DOCKER / "compose.yaml"
COMPOSE = cast("dict[str, Any]", yaml.safe_load(FILE.read_text()))
SERVICES = cast("dict[str, dict[str, Any]]", COMPOSE["services"])
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
STAGES = stages_of(DOCKER / "Dockerfile")
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def test_it_is_valid_by_the_published_schema() -> None:
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert [str(error) for error in validator.iter_errors(COMPOSE)] == []
    wrong = {**COMPOSE, "services": {"worker": {"image": "x", "stop_grace": "1s"}}}
    assert not validator.is_valid(wrong)


def test_compose_itself_accepts_it() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker compose here")
    where: list[str | Path] = ["-f", FILE, "--env-file", DOCKER / ".env.example"]
    environ = {name: "x" for name in _variables() if name.endswith("_PASSWORD")}
    done = subprocess.run(
        [docker, "compose", *where, "config", "--quiet"],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_target_is_a_stage_and_each_image_comes_from_one() -> None:
    made: dict[str, str] = {}
    for service in OURS.values():
        build = service["build"]
        assert (DOCKER / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert build["target"] in STAGES
        assert made.setdefault(service["image"], build["target"]) == build["target"]
        assert service["image"] == f"mcpweft-{build['target']}"


def test_workers_can_be_scaled() -> None:
    pools = [name for name in SERVICES if name.startswith("worker")]
    assert "worker" in pools
    assert len(pools) == 2
    for name in pools:
        assert not {"container_name", "ports", "hostname"} & SERVICES[name].keys()


def test_a_container_is_given_longer_to_stop_than_its_worker_takes() -> None:
    grace = load_config(DOCKER / "mcpweft.toml", {}, directory=DOCKER).worker.grace
    for name in ("worker", "worker-everything"):
        assert seconds(SERVICES[name]["stop_grace_period"]) >= 2 * grace


def test_every_file_that_is_mounted_lies_beside_it() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DOCKER / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"]


def test_workers_serve_what_the_configuration_names() -> None:
    config = load_config(DOCKER / "mcpweft.toml", {}, directory=DOCKER)
    asked = [SERVICES[name]["command"] for name in ("worker", "worker-everything")]
    assert asked == [["--server", name] for name in config.servers]


def test_each_role_has_its_own_user_and_no_password_is_written_down() -> None:
    users = {line.split()[1] for line in USERS.read_text().splitlines()}
    for name, service in OURS.items():
        url = service["environment"]["MCPWEFT_URL"]
        found = re.fullmatch(r"redis://(\w+):\$\{(\w+)_PASSWORD:\?set it in docker/\.env\}@redis:6379/0", url)
        assert found, url
        user = {"cli": "admin"}.get(name, name.split("-")[0])
        assert (found[1], found[2]) == (user, user.upper())
        assert user in users
    assert {name: secret["environment"] for name, secret in COMPOSE["secrets"].items()} == {
        name: f"{name.upper()}_PASSWORD" for name in SERVICES["redis"]["secrets"]
    }


def test_every_variable_without_a_default_is_in_the_example_of_the_env_file() -> None:
    named = set(re.findall(r"^(\w+)=$", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert named == {name for name in _variables() if name != "STORE_IMAGE"}
    assert "docker/.env" in (ROOT / ".gitignore").read_text().split()


def test_the_store_runs_the_file_that_is_tested() -> None:
    redis = SERVICES["redis"]
    assert redis["entrypoint"] == ["sh", "/etc/mcpweft/start-store.sh"]
    mounted = {volume.split(":")[1] for volume in redis["volumes"]}
    assert {f"/etc/mcpweft/{name}" for name in ("start-store.sh", "redis.conf", "users.acl")} <= mounted
    assert "ports" not in redis


def _variables() -> set[str]:
    text = FILE.read_text()
    return {*re.findall(r"\$\{(\w+)", text), *re.findall(r"environment: (\w+_PASSWORD)$", text, re.MULTILINE)}
