"""The ground of mcpweft: what travels, where it lies, which moves are lawful."""
