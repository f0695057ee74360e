"""Engines that sample completions and say exactly what they sampled."""
