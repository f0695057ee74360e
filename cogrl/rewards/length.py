"""Terms about the length of an answer: a window of words for right ones, a soft penalty near the limit of tokens."""

from collections.abc import Sequence

from cogrl.formats.answer import Answer
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.term import Term
from cogrl.types import Example


class LengthWindow(Term):
    """r_len of HyPeR (arXiv:2604.14806): 1 from `shortest` to `longest` words, linear outside; right answers only.

    Fewer words n are worth n / shortest, more 1 - (n - longest) / fade, at least 0. A wrong answer is worth 0, and so
    is one that is not well-formed, text behind the final answer included. Words are what stands between white space;
    the defaults are those of the paper's code. None where the line publishes no answer.

    Raises ValueError unless 0 < shortest <= longest and fade > 0.
    """

    def __init__(
        self, shortest: int = 300, longest: int = 800, fade: int = 200, accuracy: Accuracy | None = None
    ) -> None:
        if not 0 < shortest <= longest or fade <= 0:
            raise ValueError(
                f"shortest={shortest}, longest={longest}, fade={fade}: 0 < shortest <= longest, and fade above 0"
            )
        self.shortest, self.longest, self.fade, self.accuracy = shortest, longest, fade, accuracy or Accuracy()

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        rights = self.accuracy.values(answers)
        return [self._value(answer, right) for answer, right in zip(answers, rights, strict=True)]

    def validate(self, example: Example) -> str | None:
        return self.accuracy.validate(example)

    def _value(self, answer: Answer, right: float | None) -> float | None:
        if right is None:
            return None
        n = len(answer.text.split())
        return float(right == 1.0) * max(0.0, min(1.0, n / self.shortest, 1 - (n - self.longest) / self.fade))


class OverlongPenalty(Term):
    """DAPO's soft overlong punishment, in [-1, 0] (arXiv:2503.14476, Eq. 13); None in an evaluation.

    0 for up to `max_tokens` - `cache_tokens` sampled tokens, then linear down to -1 at `max_tokens`. Give it the
    `max_new_tokens` of the stage's sampling. What a controller put into the answer does not count.

    Raises ValueError unless 0 < cache_tokens <= max_tokens.
    """

    bounds = (-1.0, 0.0)

    def __init__(self, max_tokens: int, cache_tokens: int) -> None:
        if not 0 < cache_tokens <= max_tokens:
            raise ValueError(f"cache_tokens={cache_tokens} must lie above 0 and at most at max_tokens={max_tokens}")
        self.max_tokens, self.cache_tokens = max_tokens, cache_tokens

    def values(self, answers: Sequence[Answer]) -> list[float | None]:
        return [None if answer.logprobs is None else self._value(len(answer.logprobs)) for answer in answers]

    def _value(self, tokens: int) -> float:
        over = tokens - (self.max_tokens - self.cache_tokens)
        return max(-1.0, min(0.0, -over / self.cache_tokens))
