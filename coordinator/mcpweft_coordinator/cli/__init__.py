"""The administration's part of the command line: `mcpweft servers`, `config`, `strategy`, `rules`."""
