"""The controllers there are: latent computation where the policy is unsure, and fixed fillers to compare it with."""

from cogrl.rollout.controllers.fixed_filler import FixedFiller
from cogrl.rollout.controllers.keywords import Keywords
from cogrl.rollout.controllers.latent import Filler, HiddenSpan
from cogrl.rollout.controllers.pause import Pause

__all__ = ["Filler", "FixedFiller", "HiddenSpan", "Keywords", "Pause"]
