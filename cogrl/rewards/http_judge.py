"""The rewards of CogAudio-LLM with a language model as judge, behind an OpenAI-compatible server."""

import math
from collections import deque
from collections.abc import Sequence

import torch

from cogrl.chat.client import ChatClient
from cogrl.chat.question import Answer, Replies, Usage
from cogrl.rewards.composite import DualRouteReward, ExplicitReward, ImplicitReward
from cogrl.rewards.hearing import Hearing, Verdict
from cogrl.rewards.judge import Judge
from cogrl.types import Example, Scores


class HttpJudgeReward:
    """RF1 in eips, RF2 in direct, judged over HTTP: a drop-in for the offline reward. (arXiv:2606.06940, Eq. 3-4)

    A batch is judged in one go: first the terms say what they would ask, then all of it is asked at once (a reply is
    one question, the steps of a thought together another), then the terms get their answers. Scores s of 1-4 count as
    (s - 1) / 3. What has no reply or no step is not asked about.

    A completion without a verdict, after the retries of `client` or when `deadline_s` is over, has failed: its reward
    is NaN, it trains nothing, and it is logged with id and reason. What each bad day of a server comes to:

    - status 408, 429 (waiting as long as `Retry-After` says) or 5xx, a reset, half a reply, no JSON, scores off the
      scale, an answer cut off: asked again; a failure when it stays so
    - comments, code fences, text around the JSON: read as if they were not there
    - status 400, 401, 404, a redirect: a failure at once
    - silence: given up after `client.patience.attempt_s` and asked again; no batch waits longer than `deadline_s`

    Args:
        client: whom to ask, how patiently, and where answers are kept.
        deadline_s: longest time a batch may take, whatever happens. Under several processes each judges its own share
            at the same time, so none waits longer for another. Groups drawn again by a stage are another batch.
        max_failures: share of `window` that may fail: with more failures among the last `window` judged completions
            `score` raises RuntimeError. With 1.0 it never does: training goes on with what was judged, if anything,
            and `judge/failed` tells.
        window: how many judged completions are looked back on, over all batches; each process counts its own. With the
            defaults 25 failures are borne from the first batch on, and a dead server is noticed at the 26th.
        weights: overrides single weights of RF1 by name.

    `Scores.metrics` has `judge/failed` (share of the judged completions), `judge/cached` (share of the questions),
    `judge/latency_s` (mean of those answered by the server), `judge/wait_s` (of the batch), `judge/requests`,
    `judge/tokens_in`, `judge/tokens_out` and `judge/cost`, this batch's; `usage` is the sum over all batches.
    """

    def __init__(
        self,
        client: ChatClient,
        deadline_s: float = 60.0,
        max_failures: float = 0.1,
        window: int = 256,
        weights: dict[str, float] | None = None,
    ):
        if deadline_s <= 0 or not 0 <= max_failures <= 1:
            raise ValueError(f"deadline_s={deadline_s} must be above 0 and max_failures={max_failures} in [0, 1]")
        if window < 1:
            raise ValueError(f"window={window}: failures are counted among at least 1 completion")
        self.client, self.deadline_s, self.weights = client, deadline_s, weights
        self.max_failures, self.window = max_failures, window
        self.usage = Usage()
        self._lately_failed: deque[bool] = deque(maxlen=window)
        self._judged_by(Hearing())  # weights of unknown terms are refused here

    def score(self, completions: Sequence[str], formats: Sequence[str], examples: Sequence[Example]) -> Scores:
        """Both formats in one batch, in the order given. Raises ValueError on sequences of different lengths."""
        rows = list(zip(completions, formats, examples, strict=True))
        hearings = [Hearing() for _ in rows]
        self._scored(rows, hearings)
        questions = [hearing.questions(example) for hearing, (_, _, example) in zip(hearings, rows, strict=True)]
        replies = self.client.ask([question for asked in questions for question in asked], self.deadline_s)
        self.usage += replies.usage
        entries = iter(replies.entries)
        verdicts = [Verdict([next(entries) for _ in asked]) for asked in questions]
        scores = self._scored(rows, verdicts)
        judged = [verdict for verdict in verdicts if verdict.entries]
        failed = [verdict for verdict in judged if verdict.failures]
        self._lately_failed.extend(bool(verdict.failures) for verdict in judged)
        lately = sum(self._lately_failed)
        if failed and lately > self.max_failures * self.window:
            raise RuntimeError(
                f"the judge at {self.client.endpoint.base_url} failed on {lately} of the last "
                f"{len(self._lately_failed)} completions, more than max_failures={self.max_failures} of "
                f"window={self.window}; see to the server or raise max_failures; the first error of this batch is "
                "chained above"
            ) from failed[0].failures[0].error
        return Scores(scores.total, scores.terms, _metrics(replies, len(failed) / max(1, len(judged))))

    def refusal(self, example: Example) -> str | None:
        """Why answers to `example` can not be judged; None when they can."""
        return self._judged_by(Hearing()).refusal(example)

    def _judged_by(self, judge: Judge) -> DualRouteReward:
        return DualRouteReward(ExplicitReward(judge, self.weights, 1.0), ImplicitReward(judge, 1.0))

    def _scored(self, rows: Sequence[tuple[str, str, Example]], judges: Sequence[Judge]) -> Scores:
        """Each completion scored with a judge of its own."""
        parts = [
            self._judged_by(judge).score([completion], [format], [example])
            for (completion, format, example), judge in zip(rows, judges, strict=True)
        ]
        names = dict.fromkeys(name for part in parts for name in part.terms)
        nothing = torch.tensor([math.nan])
        terms = {name: torch.cat([part.terms.get(name, nothing) for part in parts]) for name in names}
        return Scores(torch.cat([torch.empty(0), *(part.total for part in parts)]), terms)


def _metrics(replies: Replies, failed: float) -> dict[str, float]:
    usage = replies.usage
    asked = [entry.seconds for entry in replies.entries if isinstance(entry, Answer) and not entry.cached]
    return {
        "judge/failed": failed,
        "judge/cached": usage.cached / max(1, len(replies.entries)),
        "judge/latency_s": sum(asked) / len(asked) if asked else math.nan,
        "judge/wait_s": replies.seconds,
        "judge/requests": float(usage.requests),
        "judge/tokens_in": float(usage.tokens_in),
        "judge/tokens_out": float(usage.tokens_out),
        "judge/cost": usage.cost,
    }
