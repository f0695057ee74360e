"""Benchmarks: a manifest, the training rewards as graders, and intervals."""
