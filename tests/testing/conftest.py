"""Users' test files, run as users run them: by a pytest of their own, with the plugin as it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Runs test files, by their names without `.py`, in a process of its own: `run(test_it="…")`."""
    pytester.makefile(".ini", pytest=INI)

    def once(*options: str, **files: str) -> pytest.RunResult:
        pytester.makepyfile(**files)
        return pytester.runpytest_subprocess(
            "-p", "no:valkey", "-p", "no:cacheprovider", *options, timeout=50
        )

    return once
