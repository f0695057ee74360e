"""The chat client: many questions at once, each retried until it is answered or its deadline has passed."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from cogrl.chat import background
from cogrl.chat.cache import AnswerCache, CachedAnswer
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.http import Refused
from cogrl.chat.question import Answer, Failure, Prices, Question, Replies, Usage
from cogrl.chat.retry import RetryPolicy


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
        retry, start = self.client.retry, time.monotonic()
        if self.failed_in_a_row >= retry.failures_in_a_row:
            reason = f"not asked, for {self.failed_in_a_row} questions in a row had failed, the last: {self.last_error}"
            return Failure(ConnectionError(reason))
        outcome, tries = await retry.ask(lambda left_s: self.attempt(key, question, session, cache, left_s), self.ends)
        if not isinstance(outcome, Refused):
            return Answer(outcome, attempts=tries, seconds=time.monotonic() - start)
        self.last_error = outcome.error
        return Failure(outcome.error, tries, time.monotonic() - start)

    async def attempt(
        self, key: str, question: Question, session: aiohttp.ClientSession, cache: AnswerCache, left_s: float
    ) -> Any:
        """Asks once: the value of the answer, which is then kept, or why there is none."""
        endpoint = self.client.endpoint
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
