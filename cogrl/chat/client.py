"""The chat client: many questions at once, each retried until it is answered or its deadline has passed."""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from cogrl.chat import background
from cogrl.chat.cache import AnswerCache, CachedAnswer
from cogrl.chat.endpoint import Endpoint, Refused
from cogrl.chat.question import Answer, Failure, Prices, Question, Replies, Usage


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long a question is asked, in seconds.

    A question has `attempts` tries of at most `attempt_s`, and `question_s` in all, pauses included. A pause doubles
    with each try, from `pause_s` to at most `pause_max_s`, is shortened at random by up to a half, and lasts as long
    as the server's `Retry-After` at least. One that would end after the deadline is not begun: the question has failed.
    After `failures_in_a_row` failed questions the rest of a batch is not asked.
    """

    attempts: int = 4
    attempt_s: float = 60.0
    question_s: float = 180.0
    pause_s: float = 0.5
    pause_max_s: float = 20.0
    failures_in_a_row: int = 100

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.attempt_s, self.question_s) <= 0 or min(self.pause_s, self.pause_max_s) < 0:
            raise ValueError(f"{self}: at least one attempt, and times above 0")

    def pause(self, tries: int, wait_s: float) -> float:
        """Seconds before the next try, after `tries` of them; random, so that clients do not retry all at once."""
        longest = min(self.pause_max_s, self.pause_s * 2 ** (tries - 1))
        return max(wait_s, longest * 0.5) + random.uniform(0, longest * 0.5)


@dataclass(frozen=True)
class ChatClient:
    """Asks an endpoint. Holds no connection and no thread between batches: it can be copied, pickled and forked.

    Args:
        endpoint: where, which model, how.
        retry: retries and times of a single question.
        concurrency: how many questions are under way at once, those in a pause included.
        cache: file of answers kept, keyed by model, messages and parameters; unusable answers are never kept.
        prices: turn the token counts into a cost.
    """

    endpoint: Endpoint
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = 64
    cache: Path | None = None
    prices: Prices = field(default_factory=Prices)

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency={self.concurrency}: at least one question at a time")

    def ask(
        self, questions: Sequence[Question], deadline_s: float | None = None, done: Callable[[], object] | None = None
    ) -> Replies:
        """The reply to each question, in order. Blocks until all have one, at most `deadline_s` seconds.

        A question that is not answered in time, or at all, is a Failure in its place; nothing is raised for it. Equal
        questions are asked once. `done()` is called, from another thread, after each different one. Raises OSError for
        an unusable cache file, and whatever a `read` raises that is no ValueError.
        """
        start = time.monotonic()
        ends = start + deadline_s if deadline_s is not None else float("inf")
        batch = _Batch(self, questions, ends, done or (lambda: None))
        background.run(batch.work)
        entries = [batch.entries[key] for key in batch.keys]
        tokens_in, tokens_out = batch.usage.tokens_in, batch.usage.tokens_out
        usage = replace(
            batch.usage,
            answered=sum(isinstance(entry, Answer) for entry in entries),
            cached=sum(isinstance(entry, Answer) and entry.cached for entry in entries),
            failed=sum(isinstance(entry, Failure) for entry in entries),
            cost=(tokens_in * self.prices.tokens_in + tokens_out * self.prices.tokens_out) / 1e6,
        )
        return Replies(entries, usage, time.monotonic() - start)


class _Batch:
    """One call of `ask`: the questions by key, the replies so far, and the workers that get them."""

    def __init__(
        self, client: ChatClient, questions: Sequence[Question], ends: float, done: Callable[[], object]
    ) -> None:
        self.client, self.ends, self.done = client, ends, done
        self.keys = [_key(client.endpoint.body(question)) for question in questions]
        self.questions = dict(zip(self.keys, questions, strict=True))
        self.entries: dict[str, Answer | Failure] = {}
        self.usage = Usage()
        self.failed_in_a_row = 0
        self.last_error: Exception = TimeoutError("no question was asked")

    async def work(self) -> None:
        workers = min(self.client.concurrency, len(self.questions))
        connector, no_limit = aiohttp.TCPConnector(limit=workers), aiohttp.ClientTimeout(total=None)
        with AnswerCache(self.client.cache) as cache:
            async with aiohttp.ClientSession(connector=connector, timeout=no_limit) as session:
                todo = iter(self.questions)
                await asyncio.gather(*(self.worker(todo, session, cache) for _ in range(workers)))

    async def worker(self, todo: Iterator[str], session: aiohttp.ClientSession, cache: AnswerCache) -> None:
        for key in todo:
            question = self.questions[key]
            entry = _still_valid(question, cache.get(key)) or await self.answer(key, question, session, cache)
            self.failed_in_a_row = self.failed_in_a_row + 1 if isinstance(entry, Failure) else 0
            self.entries[key] = entry
            self.done()

    async def answer(
        self, key: str, question: Question, session: aiohttp.ClientSession, cache: AnswerCache
    ) -> Answer | Failure:
        """Asks until there is an answer, tries or time are used up, or asking again is pointless."""
        retry, start, tries = self.client.retry, time.monotonic(), 0
        if self.failed_in_a_row >= retry.failures_in_a_row:
            reason = f"not asked, for {self.failed_in_a_row} questions in a row had failed, the last: {self.last_error}"
            return Failure(ConnectionError(reason))
        ends = min(self.ends, start + retry.question_s)
        error: Exception = TimeoutError("the deadline of the batch passed before this question was asked")
        while tries < retry.attempts and time.monotonic() < ends:
            tries += 1
            outcome = await self.attempt(key, question, session, cache, ends)
            if not isinstance(outcome, Refused):
                return Answer(outcome, attempts=tries, seconds=time.monotonic() - start)
            error = outcome.error
            pause = retry.pause(tries, outcome.wait_s)
            if not outcome.retryable or tries == retry.attempts or time.monotonic() + pause >= ends:
                break
            await asyncio.sleep(pause)
        self.last_error = error
        return Failure(error, tries, time.monotonic() - start)

    async def attempt(
        self, key: str, question: Question, session: aiohttp.ClientSession, cache: AnswerCache, ends: float
    ) -> Any:
        """Asks once: the value of the answer, which is then kept, or why there is none."""
        endpoint, left_s = self.client.endpoint, min(self.client.retry.attempt_s, ends - time.monotonic())
        try:
            async with asyncio.timeout(left_s):
                outcome = await endpoint.post(session, endpoint.body(question))
        except TimeoutError:
            outcome = Refused(TimeoutError(f"{endpoint.base_url}: no answer within {left_s:.1f} s"))
        self.usage += outcome.usage
        if isinstance(outcome, Refused):
            return outcome
        try:
            value = question.read(outcome.text)
        except ValueError as unusable:
            return Refused(unusable)
        cache.put(key, CachedAnswer(outcome.text, outcome.usage.tokens_in, outcome.usage.tokens_out))
        return value


def _still_valid(question: Question, kept: CachedAnswer | None) -> Answer | None:
    """A kept answer that can still be read."""
    try:
        return None if kept is None else Answer(question.read(kept.text), cached=True)
    except ValueError:
        return None


def _key(body: dict) -> str:
    """64 hex digits that identify a request."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
