"""The controllers there are: latent computation where the policy is unsure, re-listening, and controls of both."""

from cogrl.rollout.controllers.cite import Cite
from cogrl.rollout.controllers.fixed_filler import FixedFiller
from cogrl.rollout.controllers.keywords import Keywords
from cogrl.rollout.controllers.latent import Filler, HiddenSpan
from cogrl.rollout.controllers.pause import Pause
from cogrl.rollout.controllers.relisten import Relisten

__all__ = ["Cite", "Filler", "FixedFiller", "HiddenSpan", "Keywords", "Pause", "Relisten"]
