"""mcpweft: call MCP tools from any service.

    from mcpweft import Client

    async with Client() as client:
        result = await client.call("git.git_log", {"repo_path": "."})

Every public name is here; each is loaded on its first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcpweft import errors
    from mcpweft.analytics import Analytics
    from mcpweft.blocking import SyncHandle
    from mcpweft.client import Client
    from mcpweft.errors import (
        CallerError,
        ConflictError,
        ConnectionFailedError,
        FabricError,
        FailoverExhaustedError,
        InputRequiredError,
        InvalidArgumentsError,
        InvalidConfigError,
        McpweftError,
        NoServersError,
        OutcomeUnknownError,
        QueueFullError,
        RejectedError,
        RequestCancelledError,
        RequestTimeoutError,
        ResourceExhaustedError,
        ResultExpiredError,
        ResultTooLargeError,
        SessionLostError,
        ShuttingDownError,
        StoreLostError,
        ToolError,
        ToolFailure,
        UnknownCapabilityError,
        UnknownToolError,
    )
    from mcpweft.fleet import FleetStatus, PoolView, Tool, WorkerView
    from mcpweft.handle import Handle
    from mcpweft.inquiry import Inquiry
    from mcpweft.mapping import Mapped
    from mcpweft.rag import RagClient, SyncRagClient
    from mcpweft.result import (
        AudioBlock,
        Block,
        ImageBlock,
        Progress,
        ResourceBlock,
        ResourceLink,
        Result,
        TextBlock,
        UnknownBlock,
    )
    from mcpweft.sync import SyncClient
    from mcpweft.terms import CallOptions, Duration, Priority
    from mcpweft_schemas.config import Config
    from mcpweft_schemas.event import Event, Kind
    from mcpweft_schemas.life import Class, State
    from mcpweft_schemas.outcome import Attempt, Code, Executed, Times
    from mcpweft_schemas.rules.ruling import Ruling

_FROM = {
    "mcpweft.analytics": ("Analytics",),
    "mcpweft.blocking": ("SyncHandle",),
    "mcpweft.client": ("Client",),
    "mcpweft.fleet": ("FleetStatus", "PoolView", "Tool", "WorkerView"),
    "mcpweft.handle": ("Handle",),
    "mcpweft.inquiry": ("Inquiry",),
    "mcpweft.mapping": ("Mapped",),
    "mcpweft.result": (
        "AudioBlock", "Block", "ImageBlock", "Progress", "ResourceBlock", "ResourceLink", "Result",
        "TextBlock", "UnknownBlock",
    ),
    "mcpweft.rag": ("RagClient", "SyncRagClient"),
    "mcpweft.sync": ("SyncClient",),
    "mcpweft.terms": ("CallOptions", "Duration", "Priority"),
    "mcpweft.errors": (
        "CallerError", "ConflictError", "ConnectionFailedError", "FabricError", "FailoverExhaustedError",
        "InputRequiredError", "InvalidArgumentsError", "InvalidConfigError", "McpweftError", "NoServersError",
        "OutcomeUnknownError", "QueueFullError", "RejectedError", "RequestCancelledError",
        "RequestTimeoutError", "ResourceExhaustedError", "ResultExpiredError", "ResultTooLargeError",
        "SessionLostError", "ShuttingDownError", "StoreLostError", "ToolError", "ToolFailure",
        "UnknownCapabilityError", "UnknownToolError",
    ),
    "mcpweft_schemas.config": ("Config",),
    "mcpweft_schemas.event": ("Event", "Kind"),
    "mcpweft_schemas.life": ("Class", "State"),
    "mcpweft_schemas.outcome": ("Attempt", "Code", "Executed", "Times"),
    "mcpweft_schemas.rules.ruling": ("Ruling",),
}  # fmt: skip
_HOME = {name: module for module, names in _FROM.items() for name in names}

__all__ = [
    "Analytics",
    "Attempt",
    "AudioBlock",
    "Block",
    "CallOptions",
    "CallerError",
    "Class",
    "Client",
    "Code",
    "Config",
    "ConflictError",
    "ConnectionFailedError",
    "Duration",
    "Event",
    "Executed",
    "FabricError",
    "FailoverExhaustedError",
    "FleetStatus",
    "Handle",
    "ImageBlock",
    "InputRequiredError",
    "Inquiry",
    "InvalidArgumentsError",
    "InvalidConfigError",
    "Kind",
    "Mapped",
    "McpweftError",
    "NoServersError",
    "OutcomeUnknownError",
    "PoolView",
    "Priority",
    "Progress",
    "QueueFullError",
    "RagClient",
    "RejectedError",
    "RequestCancelledError",
    "RequestTimeoutError",
    "ResourceBlock",
    "ResourceExhaustedError",
    "ResourceLink",
    "Result",
    "ResultExpiredError",
    "ResultTooLargeError",
    "Ruling",
    "SessionLostError",
    "ShuttingDownError",
    "State",
    "StoreLostError",
    "SyncClient",
    "SyncHandle",
    "SyncRagClient",
    "TextBlock",
    "Times",
    "Tool",
    "ToolError",
    "ToolFailure",
    "UnknownBlock",
    "UnknownCapabilityError",
    "UnknownToolError",
    "WorkerView",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("mcpweft.errors")
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'mcpweft' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
