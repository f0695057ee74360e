"""The two rewards of CogAudio-LLM, and the choice between them by format. (arXiv:2606.06940, Eq. 3-4)"""

from cogrl.rewards.composite import ByFormat, WeightedSum
from cogrl.rewards.emotion import emotion_reward
from cogrl.rewards.empathy import EmpathyReward
from cogrl.rewards.format import format_reward
from cogrl.rewards.judge import Judge
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.steps import StepReward


class ExplicitReward(WeightedSum):
    """RF1 = 0.1 R_fmt + 0.3 EmoAcc + 0.1 (S_intent + S_psych + S_strategy) + 0.3 R_emp; 0 where nothing is replied.

    `judge` defaults to the offline one. `weights` overrides single weights by name.
    """

    def __init__(
        self, judge: Judge | None = None, weights: dict[str, float] | None = None, max_failures: float = 0.1
    ) -> None:
        judge = judge or OfflineJudge()
        terms = {
            "format": format_reward,
            "emotion": emotion_reward,
            "intent": StepReward("Intent", judge),
            "psychology": StepReward("Psychology", judge),
            "strategy": StepReward("Strategy", judge),
            "empathy": EmpathyReward(judge),
        }
        paper = {"format": 0.1, "emotion": 0.3, "intent": 0.1, "psychology": 0.1, "strategy": 0.1, "empathy": 0.3}
        super().__init__(terms, paper | (weights or {}), max_failures, unanswered=0.0)


class ImplicitReward(WeightedSum):
    """RF2 = R_emp; 0 where nothing is replied. `judge` defaults to the offline one. The format has weight 0."""

    def __init__(self, judge: Judge | None = None, max_failures: float = 0.1) -> None:
        terms = {"empathy": EmpathyReward(judge or OfflineJudge()), "format": format_reward}
        super().__init__(terms, {"empathy": 1.0, "format": 0.0}, max_failures, unanswered=0.0)


def cogaudio_reward(
    judge: Judge | None = None, weights: dict[str, float] | None = None, max_failures: float = 0.1
) -> ByFormat:
    """R(o) = 1{eips} RF1(o) + 1{direct} RF2(o), one judge for both; `weights` overrides single weights of RF1."""
    judge = judge or OfflineJudge()
    return ByFormat(
        {"eips": ExplicitReward(judge, weights, max_failures), "direct": ImplicitReward(judge, max_failures)}
    )
