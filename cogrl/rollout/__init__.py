"""Engines that sample completions and say exactly what they sampled, and controllers that interrupt them."""

from cogrl.rollout.controller import Abort, Controller, Excerpt, Tokens
from cogrl.rollout.engine import Engine
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling

__all__ = ["Abort", "Controller", "Engine", "Excerpt", "HFEngine", "Sampling", "Tokens"]
