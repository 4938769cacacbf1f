"""A Client or a command finds the fabric, or is told the four places that were tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mcpweft_schemas import locate
from mcpweft_schemas.errors import ConnectionFailedError, InvalidConfigError
from mcpweft_schemas.locate import Place, Source, announce, redacted, running_fabric, withdraw

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose runtime and temporary directories are the test's own."""
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "tmp").mkdir()
    return {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "tmp")}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory deep below the one where an `mcpweft.toml` may stand."""
    directory = tmp_path / "project" / "a" / "b"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, to be announced for."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()
    assert process.stdin
    process.stdin.close()


def toml(work: Path, text: str) -> Path:
    file = work.parents[1] / "mcpweft.toml"
    file.write_text(text)
    return file


def test_the_argument_is_first(environ: dict[str, str], work: Path) -> None:
    toml(work, '[redis]\nurl = "redis://file"\n')
    announce("default", "unix:///up", "default", environ=environ)
    environ["MCPWEFT_URL"] = "redis://env"
    place = locate.locate("redis://argument", environ=environ, directory=work)
    assert place == Place("redis://argument", "default", Source.ARGUMENT)


def test_the_environment_is_second(environ: dict[str, str], work: Path) -> None:
    toml(work, '[redis]\nurl = "redis://file"\n')
    environ["MCPWEFT_URL"] = "redis://env"
    assert locate.locate(environ=environ, directory=work) == Place(
        "redis://env", "default", Source.ENVIRONMENT
    )


def test_the_nearest_file_is_third(environ: dict[str, str], work: Path) -> None:
    toml(work, 'namespace = "shop"\n[redis]\nurl = "redis://file"\n')
    announce("default", "unix:///up", "default", environ=environ)
    assert locate.locate(environ=environ, directory=work) == Place("redis://file", "shop", Source.FILE)


def test_a_running_up_is_fourth(environ: dict[str, str], work: Path) -> None:
    toml(work, "[queue]\nbound = 5\n")
    announce("default", "unix:///up", "lab", environ=environ)
    assert locate.locate(environ=environ, directory=work) == Place("unix:///up", "lab", Source.RUNNING)


def test_nowhere_names_the_four_places(environ: dict[str, str], work: Path) -> None:
    file = toml(work, "")
    looked = ", ".join(map(str, locate.directories(environ)))
    with pytest.raises(ConnectionFailedError) as caught:
        locate.locate(environ=environ, directory=work)
    assert str(caught.value) == (
        "The fabric was not found: (1) no url was given; (2) MCPWEFT_URL is not set; "
        f"(3) {file} has no redis.url; (4) no mcpweft up named 'default' runs (looked in {looked}). "
        "The tool did not run. Start one with `mcpweft up`, or set MCPWEFT_URL to your Redis, such as "
        "redis://localhost:6379."
    )


@pytest.mark.parametrize(
    ("argument", "variable", "in_file", "expected"),
    [
        ("a", "b", "c", "a"),
        (None, "b", "c", "b"),
        (None, "", "c", "c"),
        (None, "", None, "default"),
    ],
)
def test_the_namespace_has_the_same_order(
    environ: dict[str, str],
    work: Path,
    argument: str | None,
    variable: str,
    in_file: str | None,
    expected: str,
) -> None:
    toml(work, f'namespace = "{in_file}"\n' if in_file else "")
    environ["MCPWEFT_NAMESPACE"] = variable
    place = locate.locate("redis://x", namespace=argument, environ=environ, directory=work)
    assert place.namespace == expected


def test_a_running_up_of_another_namespace_is_not_taken(environ: dict[str, str], work: Path) -> None:
    announce("default", "unix:///up", "default", environ=environ)
    with pytest.raises(
        ConnectionFailedError, match="the running mcpweft up serves namespace 'default', not 'shop'"
    ):
        locate.locate(namespace="shop", environ=environ, directory=work)


def test_who_says_both_is_not_stopped_by_a_broken_file(environ: dict[str, str], work: Path) -> None:
    toml(work, "[")
    assert locate.locate("redis://x", namespace="a", environ=environ, directory=work).url == "redis://x"
    with pytest.raises(InvalidConfigError, match="is no TOML"):
        locate.locate("redis://x", environ=environ, directory=work)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[redis]\nurl = 5\n", r"redis.url is 5 \(.*mcpweft.toml, line 2\). Write it as text, in quotes."),
        ('namespace = "My Shop"\n', "namespace is 'My Shop'. Write 1 to 64 of a-z"),
    ],
)
def test_a_file_that_is_wrong_about_the_place_is_refused(
    environ: dict[str, str], work: Path, text: str, said: str
) -> None:
    toml(work, text)
    with pytest.raises(InvalidConfigError, match=said):
        locate.locate(environ=environ, directory=work)


def test_an_announcement_is_seen_from_another_process_and_ends_with_withdraw(environ: dict[str, str]) -> None:
    mine = announce("default", "unix:///up?db=0", "lab", environ=environ)
    code = "from mcpweft_schemas.locate import locate; p = locate(); print(p.url, p.namespace, p.source)"
    bare = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run(
        [sys.executable, "-c", code], env=bare, cwd="/", capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["unix:///up?db=0", "lab", "running"]
    withdraw(mine)
    assert running_fabric(environ=environ) is None
    assert list(mine.file.parent.iterdir()) == []


def test_an_announcement_can_be_read_by_its_user_only(environ: dict[str, str]) -> None:
    mine = announce("default", "redis://:secret@x", "lab", environ=environ)
    assert mine.file.stat().st_mode & 0o777 == 0o600
    assert mine.file.parent.stat().st_mode & 0o777 == 0o700


def test_a_dead_process_announces_nothing_and_is_replaced(
    environ: dict[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    announce("default", "unix:///old", "lab", pid=sleeper.pid, environ=environ)
    assert running_fabric(environ=environ)
    sleeper.kill()
    sleeper.wait()
    assert running_fabric(environ=environ) is None
    announce("default", "unix:///new", "lab", environ=environ)
    found = running_fabric(environ=environ)
    assert found is not None
    assert found.url == "unix:///new"


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not tell when a process began"
)
def test_a_number_that_was_given_out_again_is_not_the_same_process(environ: dict[str, str]) -> None:
    mine = announce("default", "unix:///up", "lab", environ=environ)
    text = mine.file.read_text()
    began = locate._began(os.getpid())
    assert began is not None
    mine.file.write_text(text.replace(f'"{began}"', '"1"'))
    assert running_fabric(environ=environ) is None


def test_a_name_that_lives_is_not_announced_twice(
    environ: dict[str, str], sleeper: subprocess.Popen[bytes]
) -> None:
    theirs = announce("default", "unix:///up", "lab", pid=sleeper.pid, environ=environ)
    with pytest.raises(InvalidConfigError, match=f"already runs \\(process {sleeper.pid}, "):
        announce("default", "unix:///mine", "lab", environ=environ)
    announce("second", "unix:///mine", "lab", environ=environ)
    assert locate.locate(fabric="second", environ=environ, directory=Path("/")).url == "unix:///mine"
    stale = locate.Announcement("default", "unix:///mine", "lab", os.getpid(), theirs.file)
    withdraw(stale)  # not mine: it stays
    found = running_fabric(environ=environ)
    assert found is not None
    assert found.pid == sleeper.pid


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"url": "x"}', '{"url": "x", "namespace": "y", "pid": "z"}']
)
def test_a_file_that_is_no_announcement_counts_as_none(environ: dict[str, str], text: str) -> None:
    file = announce("default", "unix:///up", "lab", environ=environ).file
    file.write_text(text)
    assert running_fabric(environ=environ) is None


def test_a_directory_that_others_may_write_is_not_trusted(environ: dict[str, str], tmp_path: Path) -> None:
    open_to_all = tmp_path / "run" / "mcpweft"
    announce("default", "unix:///evil", "lab", environ=environ)
    open_to_all.chmod(0o777)
    assert running_fabric(environ=environ) is None
    mine = announce("default", "unix:///up", "lab", environ=environ)
    assert mine.file.parent == tmp_path / "tmp" / f"mcpweft-{os.getuid()}"


def test_a_link_in_the_temporary_directory_is_not_followed(environ: dict[str, str], tmp_path: Path) -> None:
    del environ["XDG_RUNTIME_DIR"]
    environ["XDG_RUNTIME_DIR"] = str(tmp_path / "none")
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "tmp" / f"mcpweft-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidConfigError, match="is a directory of this user alone"):
        announce("default", "unix:///up", "lab", environ=environ)


@pytest.mark.parametrize("name", ["", "../x", "A b"])
def test_a_fabrics_name_is_a_plain_name(environ: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidConfigError, match="The fabric's name is"):
        announce(name, "unix:///up", "lab", environ=environ)
    assert running_fabric(name, environ=environ) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("unix:///a/b?db=1", "unix:///a/b?db=1"),
        ("redis://user:pa:ss@h:1", "redis://user:***@h:1"),
        ("rediss://:p@h", "rediss://:***@h"),
        ("redis+sentinel://:p@a:1,b:2/s", "redis+sentinel://:***@a:1,b:2/s"),
        (
            "redis+sentinel://a:1/s?sentinel_password=q&db=0",
            "redis+sentinel://a:1/s?sentinel_password=***&db=0",
        ),
        ("unix:///a?password=p", "unix:///a?password=***"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert redacted(url) == shown
    assert shown in repr(Place(url, "a", Source.FILE))


def test_asking_for_the_place_loads_no_models() -> None:
    code = (
        "import sys, mcpweft_schemas.locate; "
        "print([name for name in ('pydantic', 'redis', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
