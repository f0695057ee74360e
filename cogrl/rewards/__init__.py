"""Rewards: one term a file, the judges behind them, and what is composed of them."""

from cogrl.formats.answer import Answer
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.composite import ByFormat, Reward, WeightedSum
from cogrl.rewards.format import well_formed
from cogrl.rewards.term import Term, bounded

__all__ = ["Accuracy", "Answer", "ByFormat", "Reward", "Term", "WeightedSum", "bounded", "well_formed"]
