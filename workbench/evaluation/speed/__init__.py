"""Benchmarks: each is one file, registered as a `benchmark`, and returns a Result."""
