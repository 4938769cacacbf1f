from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from realredis import RedisServer


def test_a_coordinator_does_not_start_on_a_store_that_may_evict(
    private_redis: RedisServer, tmp_path: Path
) -> None:
    configured = private_redis.client()
    configured.config_set("maxmemory-policy", "allkeys-lru")
    configured.close()
    done = subprocess.run(
        [sys.executable, "-m", "mcpweft", "coordinator", "--store", private_redis.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0
    assert "allkeys-lru" in done.stderr
    assert "noeviction" in done.stderr
    assert "Traceback" not in done.stderr
