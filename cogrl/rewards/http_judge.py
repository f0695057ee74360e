"""The rewards of CogAudio-LLM with a language model as judge, behind an OpenAI-compatible server."""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from cogrl.chat import question as chat
from cogrl.chat.client import ChatClient
from cogrl.formats.answer import Answer
from cogrl.rewards.cogaudio import cogaudio_reward
from cogrl.rewards.judge import JudgeResults, JudgeScores, ReplyRequest, Request
from cogrl.rewards.rubric import question_about
from cogrl.types import Example, Scores


class HttpJudge:
    """A language model behind `client` as a judge. No batch takes longer than `deadline_s`, whatever happens.

    Scores s of 1-4 that it gives to thought steps count as (s - 1) / 3. What has no scores, after the retries of
    `client` or when `deadline_s` is over, has the reason in its place. Raises ValueError for `deadline_s` below 0.
    """

    def __init__(self, client: ChatClient, deadline_s: float = 60.0) -> None:
        if deadline_s <= 0:
            raise ValueError(f"deadline_s={deadline_s} must be above 0")
        self.client, self.deadline_s = client, deadline_s

    def judge(self, requests: Sequence[Request]) -> Sequence[JudgeScores | Exception]:
        """All requests at once: a reply is one question, the steps of a thought together another."""
        return list(results_of(self.ask(requests), requests).values())

    def ask(self, requests: Sequence[Request]) -> chat.Replies:
        """The server's replies, with the time and tokens they took."""
        return self.client.ask([question_about(request) for request in requests], self.deadline_s)


class HttpJudgeReward:
    """RF1 in EIPS, RF2 in direct answers, judged over HTTP: a drop-in for the offline reward. (arXiv:2606.06940)

    A batch is judged in one go. What has no reply or no step is not asked about.

    A completion without scores has failed: its reward is NaN, it trains nothing, and it is logged with id and
    reason. What happens when the server fails:

    - status 408, 429 (waiting as long as `Retry-After` says) or 5xx, a reset, half a reply, no JSON, scores off the
      scale, an answer cut off: asked again; a failure when it stays so
    - comments, code fences, text around the JSON: read as if they were not there
    - status 400, 401, 404, a redirect: a failure at once
    - no answer: the attempt ends after `client.retry.attempt_s` and is repeated; no batch waits longer than
    `deadline_s`

    Args:
        client: the endpoint, its retries, and the cache of answers.
        deadline_s: longest time a batch may take, whatever happens. Under several processes each judges its own share
            at the same time, so none waits longer for another. Groups drawn again by a stage are another batch.
        max_failures: share of `window` that may fail: with more failures among the last `window` judged completions
            `score` raises RuntimeError. With 1.0 it never does: training goes on with what was judged, if anything, and
            `judge/failed` is logged.
        window: how many judged completions are looked back on, over all batches; each process counts its own. With the
            defaults 25 failures are allowed from the first batch on; the 26th raises.
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
    ) -> None:
        if not 0 <= max_failures <= 1:
            raise ValueError(f"max_failures={max_failures} must lie in [0, 1]")
        if window < 1:
            raise ValueError(f"window={window}: failures are counted among at least 1 completion")
        self.client, self.judge = client, HttpJudge(client, deadline_s)
        self.max_failures, self.window = max_failures, window
        self.reward = cogaudio_reward(self.judge, weights, max_failures=1.0)
        self.usage = chat.Usage()
        self._lately_failed: deque[bool] = deque(maxlen=window)

    def score(self, answers: Sequence[Answer]) -> Scores:
        """Answers of both formats in one batch, in the order given. Raises ValueError for a line without an emotion."""
        asked = [[request for _, request in row] for row in self.reward.requests(answers)]
        distinct = list(dict.fromkeys(request for row in asked for request in row))
        replies = self.judge.ask(distinct)
        self.usage += replies.usage
        outcomes, results = results_of(replies, distinct), JudgeResults()
        results.add(self.judge, outcomes)
        scores = self.reward.graded(answers, results)
        failed = self._count_failures([row for row in asked if row], outcomes)
        return Scores(scores.total, scores.terms, {"judge/failed": failed, **_metrics(replies)})

    def validate(self, example: Example) -> str | None:
        """Why answers to `example` can not be judged; None when they can."""
        return self.reward.validate(example)

    def counts(self) -> dict[str, Any]:
        return {"usage": asdict(self.usage), "lately_failed": list(self._lately_failed)}

    def count_on(self, counts: Mapping[str, Any]) -> None:
        self.usage = chat.Usage(**counts["usage"])
        self._lately_failed = deque(counts["lately_failed"], maxlen=self.window)

    def _count_failures(
        self, judged: Sequence[Sequence[Request]], outcomes: Mapping[Request, JudgeScores | Exception]
    ) -> float:
        """The share of the judged completions that failed. Raises RuntimeError when too many did lately."""
        errors = [next((outcomes[r] for r in row if isinstance(outcomes[r], Exception)), None) for row in judged]
        failed = [error for error in errors if error]
        self._lately_failed.extend(error is not None for error in errors)
        lately = sum(self._lately_failed)
        if failed and lately > self.max_failures * self.window:
            raise RuntimeError(
                f"the judge at {self.client.endpoint.base_url} failed on {lately} of the last "
                f"{len(self._lately_failed)} completions, more than max_failures={self.max_failures} of "
                f"window={self.window}; see to the server or raise max_failures; the first error of this batch is "
                "chained above"
            ) from failed[0]
        return len(failed) / max(1, len(judged))


def results_of(replies: chat.Replies, requests: Sequence[Request]) -> dict[Request, JudgeScores | Exception]:
    """The scores of each of the different requests in replies to them, and the error in place of one that failed."""
    return {
        request: _scores(request, entry.value) if isinstance(entry, chat.Answer) else entry.error
        for request, entry in zip(requests, replies.entries, strict=True)
    }


def _scores(request: Request, scores: Mapping[str, int]) -> JudgeScores:
    return scores if isinstance(request, ReplyRequest) else {name: (s - 1) / 3 for name, s in scores.items()}


def _metrics(replies: chat.Replies) -> dict[str, float]:
    usage = replies.usage
    asked = [entry.seconds for entry in replies.entries if isinstance(entry, chat.Answer) and not entry.cached]
    return {
        "judge/cached": usage.cached / max(1, len(replies.entries)),
        "judge/latency_s": sum(asked) / len(asked) if asked else math.nan,
        "judge/wait_s": replies.seconds,
        "judge/requests": float(usage.requests),
        "judge/tokens_in": float(usage.tokens_in),
        "judge/tokens_out": float(usage.tokens_out),
        "judge/cost": usage.cost,
    }
