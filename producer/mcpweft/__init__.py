"""mcpweft: enqueue MCP tool calls from any service."""
