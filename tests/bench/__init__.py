"""Throughput against pgbench, latency, memory, growth: `python -m tests.bench --help`."""
