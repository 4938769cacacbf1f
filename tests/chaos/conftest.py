"""Fixtures of the storm: the fault tests' own store."""

from __future__ import annotations

from faults.conftest import private_redis

__all__ = ["private_redis"]
