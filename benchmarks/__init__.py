"""Benchmarks: each prints a table; run one with `python -m benchmarks.NAME`."""
