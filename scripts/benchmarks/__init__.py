"""Benchmarks, a module each; `scripts/bench NAME` runs one."""
