"""Whether the store is fit for what was promised of it, asked once at the start.

Above stand `up` and the coordinator's entry, which say what is found. Below is the audit, which judges what
INFO shows. This module must never change a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcpweft_schemas.audit import Finding
    from mcpweft_schemas.config import RedisConfig
    from mcpweft_schemas.connect import Link


async def check_fitness(link: Link, wanted: RedisConfig) -> list[Finding]:
    """Return what is to be said of the store, node by node on a Cluster; nothing where all is well.

    Raises InvalidConfigError for a store that breaks a promise, StoreUnreachableError where it is away.
    """
    from mcpweft_schemas.audit import Level, audit, require  # noqa: PLC0415  # not needed for --help

    info = await link.run("INFO")
    several = link.is_cluster and all(isinstance(node, dict) for node in info.values())
    told: list[Finding] = []
    for node in info.values() if several else (info,):
        findings = audit(
            node, durability=wanted.durability, eviction=wanted.eviction, cluster=link.is_cluster
        )
        require(findings)
        told += [one for one in findings if one.level is not Level.OK]
    return told
