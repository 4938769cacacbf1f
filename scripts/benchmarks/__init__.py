"""Benchmarks, a module each; `scripts/bench NAME` runs one. What they share is in `rig`."""
