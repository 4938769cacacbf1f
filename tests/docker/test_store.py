"""The store of docker/: its settings pass the audit, and nobody gets in without a password."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from redis.exceptions import NoPermissionError

from containerstore import DOCKER, Store, ask, binaries
from mcpweft_schemas.audit import Level, audit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMISES = {"appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "protected-mode": "no"}


@pytest.fixture(params=list(binaries()), scope="module")
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The store as compose starts it, on each server that is here."""
    with Store(request.param, superuser=True) as running:
        yield running


def asked(store: Store, user: str, *command: str, password: str = "") -> Any:
    with contextlib.closing(redis.Redis.from_url(store.url_of(user, password))) as client:
        return ask(client, *command)


def test_its_settings_pass_the_audit_without_a_finding(store: Store) -> None:
    info = cast("dict[str, Any]", asked(store, "admin", "INFO"))
    assert {finding.level for finding in audit(info)} == {Level.OK}


def test_what_info_does_not_show_is_as_the_file_says(store: Store) -> None:
    with contextlib.closing(redis.Redis.from_url(store.url_of("root"), decode_responses=True)) as root:
        for name, value in PROMISES.items():
            assert root.config_get(name) == {name: value}
    assert int(cast("dict[str, int]", asked(store, "admin", "INFO", "memory"))["maxmemory"]) == 1024**3


def test_nobody_gets_in_without_a_user_s_own_password(store: Store) -> None:
    with (
        contextlib.closing(redis.Redis(port=store.port)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with pytest.raises(redis.AuthenticationError):
        asked(store, "worker", "CLIENT", "ID", password="secret-of-admin")  # noqa: S106  # another user's
    with pytest.raises(NoPermissionError):
        asked(store, "probe", "INFO", password="-")  # noqa: S106  # any will do for it


def test_the_server_s_own_file_of_users_holds_digests_only(store: Store) -> None:
    written = (store.folder / "users.acl").read_text()
    assert "secret-of-" not in written
    assert ">" not in written
    assert written.count(" #") == 5
    assert (store.folder / "users.acl").stat().st_mode & 0o077 == 0


def test_a_password_that_is_missing_stops_the_start_and_is_named(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "SECRETS": str(tmp_path), "ACL_FILE": str(tmp_path / "users.acl")}
    environ["STORE_SERVER"] = "sh"  # never reached
    done = subprocess.run(
        ["sh", DOCKER / "start-store.sh"], capture_output=True, text=True, check=False, env=environ
    )
    assert done.returncode == 1
    assert done.stderr == f"start-store: there is no password in {tmp_path}/producer\n"
