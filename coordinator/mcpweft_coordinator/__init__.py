"""The coordinator: leadership, rescue of the dead, the launcher."""
