"""Engines that sample completions, and controllers that insert tokens or audio while they are sampled."""

from cogrl.rollout.controller import Abort, Controller, Excerpt, Tokens
from cogrl.rollout.engine import Engine
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling

__all__ = ["Abort", "Controller", "Engine", "Excerpt", "HFEngine", "Sampling", "Tokens"]
