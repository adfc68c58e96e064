"""Benchmarks: each measures one claim and writes a record."""
