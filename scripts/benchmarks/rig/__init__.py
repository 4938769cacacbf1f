"""What the benchmarks share: rounds and figures, the measured store, processes that obey orders, reports."""
