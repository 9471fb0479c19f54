"""Measurements that docs/benchmarks/ reports, each one command."""
