"""Objectives as pure functions: tensors in, per-token loss out. Models, rewards and data do not appear here."""
