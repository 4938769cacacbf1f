"""The store as docker/ runs it: `start-store.sh` with redis.conf, users.acl and passwords of the test's own.

Above stand the tests in docker/ and docs/; below is `realredis`. It must never repeat what those files say.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

import realredis

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
USERS = DOCKER / "users.acl"
PASSWORDS = {user: f"secret-of-{user}" for user in ("admin", "coordinator", "worker", "producer")}
SUPERUSER = "root"
_SUPERUSER_RIGHTS = "user root on >root ~* &* +@all\n"


class Store(realredis.RedisServer):
    """A server started by `start-store.sh`, moved to a folder and a port of its own."""

    def __init__(self, binary: str, *, superuser: bool = False) -> None:
        """Make one; with `superuser`, a user `root` is added, which may look at everything."""
        super().__init__(binary, port=realredis.free_port())
        self.secrets = self.folder / "secrets"
        self.secrets.mkdir()
        self._source = DOCKER
        for user, password in PASSWORDS.items():
            (self.secrets / user).write_text(password + "\n")
        if superuser:
            self._source = self.folder / "docker"
            self._source.mkdir()
            for name in ("start-store.sh", "redis.conf"):
                (self._source / name).write_bytes((DOCKER / name).read_bytes())
            (self._source / "users.acl").write_text(USERS.read_text() + _SUPERUSER_RIGHTS)
            (self.secrets / SUPERUSER).write_text("secret-of-root")

    def url_of(self, user: str, password: str = "") -> str:
        """Return the URL for a user, with its password unless another is given."""
        return f"redis://{user}:{password or 'secret-of-' + user}@127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1"]
        quiet = ["--loglevel", "warning", "--logfile", str(self.folder / "log")]
        environ = {
            "SECRETS": self.secrets,
            "DATA": self.folder,
            "ACL_FILE": self.folder / "users.acl",
            "STORE_SERVER": self._binary,
        }
        words = ["env", *(f"{name}={value}" for name, value in environ.items())]
        death = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # it outlives an exec
        return [*death, *words, "sh", str(self._source / "start-store.sh"), *where, *quiet]

    def _answers(self) -> bool:
        # As the container's health check: `probe` may ping, and nobody else gets in without a password.
        try:
            with contextlib.closing(redis.Redis.from_url(self.url_of("probe", "-"))) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def ask(client: redis.Redis, *command: Any) -> Any:
    """Run any command; redis-py types only those that it has a method for."""
    return cast("Any", client).execute_command(*command)


def refusals(root: redis.Redis) -> list[str]:
    """Return what the server has refused, but for the client library's own name, which 7.0 cannot grant."""
    entries = cast("list[dict[str, Any]]", root.acl_log())
    said = [f"{entry['username']}: {entry['object']} ({entry['context']})" for entry in entries]
    return [line for line in said if "client|setinfo" not in line]


def binaries() -> Iterator[object]:
    """Yield each kind of server there is, and a skip with its reason for the one that is not."""
    for kind in ("redis", "valkey"):
        binary = realredis.find(kind)
        missing = pytest.mark.skip(reason=f"no {kind} server is installed")
        yield pytest.param(binary, id=kind, marks=[] if binary else [missing])
