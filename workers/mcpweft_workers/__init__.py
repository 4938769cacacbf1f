"""The worker: one process bound to one MCP server."""
