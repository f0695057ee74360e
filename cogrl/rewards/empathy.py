"""R_emp: a judge's score of how specifically the reply answers the emotion of the voice."""

from cogrl.formats.answer import Answer
from cogrl.rewards.judge import JudgedTerm, JudgeScores, ReplyRequest, known_emotion


class EmpathyReward(JudgedTerm):
    """The judge's rubric score of the reply, mapped from 1-4 to [0, 1]. (arXiv:2606.06940, Eq. 3-4)

    The same in every format: it is what makes a generic template unprofitable when no thought is shown. Without a reply
    the reward is 0 and the judge is not asked. A score outside the scale is a failed sample.
    """

    def request(self, answer: Answer) -> ReplyRequest | None:
        if not answer.said:
            return None
        return ReplyRequest(answer.example.text, known_emotion(answer.example), answer.said)

    def value(self, answer: Answer, scores: JudgeScores | None) -> float:
        if scores is None:
            return 0.0
        score = scores["empathy"]
        if not 1 <= score <= 4:
            raise ValueError(f"the judge gave {score!r} for {answer.example.id}; the empathy rubric runs from 1 to 4")
        return (score - 1) / 3
