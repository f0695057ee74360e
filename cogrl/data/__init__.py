"""Manifests, the Lightning data module, and the recipes that make corpora."""
