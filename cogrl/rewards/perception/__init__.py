"""What an answer claims to hear, the evidence it is held against, and the terms that grade it. (arXiv:2604.14806)"""

from cogrl.rewards.perception.consistency import ClaimCount, PerceptualConsistency
from cogrl.rewards.perception.evidence import Evidence, FirstKnown, checked_claims
from cogrl.rewards.perception.facts import CheckedClaims
from cogrl.rewards.perception.measured import Measured
from cogrl.rewards.perception.reference import Reference

__all__ = [
    "CheckedClaims",
    "ClaimCount",
    "Evidence",
    "FirstKnown",
    "Measured",
    "PerceptualConsistency",
    "Reference",
    "checked_claims",
]
