"""The client of a vLLM server: slow, dying and restarting ones are waited for, and the weights are always known."""

import asyncio
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from cogrl.chat.background import Running, run
from cogrl.chat.http import Refused, send
from cogrl.chat.retry import RetryPolicy
from cogrl.rollout.vllm.weights import Weights, one_process_at_a_time
from cogrl.rollout.vllm.wire import AnotherPrompt, Asked, Drawn

_POLL_S = 0.25
_HOW = "start it with `cogrl vllm` (docs/vllm.md)"


class VLLMServer:
    """A server at `base_url` that is to sample from one version of a policy's weights, and from no other.

    Before the first request, and after every failure, the server's health, its version of the weights and what its
    log-probabilities are of are asked for; where the version is another one, `weights` are handed over again.

    Args:
        attempts: how often one request is sent, with the same seed.
        request_s: how long an answer may take; then the request is given up and sent again.
        startup_s: how long a server that does not answer at all is waited for, each time.
        concurrency: how many requests are under way at once.
        sleeps: the server gives back its memory (level 1) while nothing is sampled.

    `positions` are the most tokens that it reads, prompt included, once it has been asked.
    """

    def __init__(
        self, base_url: str, attempts: int, request_s: float, startup_s: float, concurrency: int, sleeps: bool
    ) -> None:
        self.base_url, self.startup_s, self.concurrency, self.sleeps = base_url, startup_s, concurrency, sleeps
        question_s = attempts * (request_s + 2 * startup_s)
        self.retry = RetryPolicy(attempts, request_s, question_s, pause_s=0.5, pause_max_s=10.0)
        self.weights: Weights | None = None
        self.ready = False
        self.positions: int | None = None

    def hand_over(self, weights: Weights) -> None:
        """From now on these weights sample. Raises ConnectionError when the server can not be brought to take them."""
        self.weights, self.ready = weights, False
        run(self._taken_over)

    def expect(self, weights: Weights) -> None:
        """The same where another process hands them over."""
        self.weights, self.ready = weights, False

    def begin(self, asked: Sequence[Asked], more: bool = False) -> Running[list[list[Drawn]]]:
        """Starts to ask; its result is the completions of each, in order, all drawn by `weights`.

        `more`: more is asked when they are there, so that the server stays awake, until `rest`.

        The result raises ConnectionError for a request that has had no usable answer in all its attempts, and
        ValueError when the server reads another prompt than the policy.
        """
        weights = self.weights
        assert weights is not None, "sync comes before sample"
        return Running(lambda: self._answers(asked, weights.version, more))

    def rest(self) -> None:
        """Nothing more is asked for now: a server that `sleeps` does."""
        if self.sleeps:
            run(lambda: self._answers([], "", more=False))

    async def _taken_over(self) -> None:
        async with self._session() as session:
            lock = asyncio.Lock()
            outcome, tries = await self.retry.ask(lambda _: self._made_ready(session, lock), math.inf)
            if isinstance(outcome, Refused):
                raise ConnectionError(f"{self.base_url} did not take the weights in {tries} tries: {outcome.error}")

    async def _answers(self, asked: Sequence[Asked], version: str, more: bool) -> list[list[Drawn]]:
        lock, limit = asyncio.Lock(), asyncio.Semaphore(self.concurrency)

        async def answer(one: Asked) -> list[Drawn]:
            async with limit:
                outcome, tries = await self.retry.ask(
                    lambda left_s: self._attempt(session, lock, one, version, left_s), math.inf
                )
            if isinstance(outcome, Refused):
                raise ConnectionError(f"{one.name}: no rollout from {self.base_url} in {tries} tries: {outcome.error}")
            return outcome

        async with self._session() as session:
            found = await asyncio.gather(*(answer(one) for one in asked))
            if self.sleeps and not more:
                self.ready = False
                await self._post(session, "/sleep?level=1")
            return found

    async def _attempt(
        self, session: aiohttp.ClientSession, lock: asyncio.Lock, asked: Asked, version: str, left_s: float
    ) -> list[Drawn] | Refused:
        """One request. Whatever fails, the server is looked at before the next."""
        refused = await self._made_ready(session, lock)
        if refused:
            return refused
        content = await self._post(session, "/inference/v1/generate", asked.body(), left_s)
        try:
            if not isinstance(content, Refused):
                return asked.read(content, version)
        except AnotherPrompt:
            raise
        except ValueError as unusable:
            content = Refused(unusable)
        self.ready = False
        return content

    async def _made_ready(self, session: aiohttp.ClientSession, lock: asyncio.Lock) -> Refused | None:
        """None once the server runs, is awake and has `weights`; of several requests the first one sees to it."""
        async with lock:
            if self.ready:
                return None
            refused = await self._awake(session) or await self._with_weights(session)
            refused = refused or await self._telling(session) or await self._with_positions(session)
            self.ready = refused is None
            return refused

    async def _awake(self, session: aiohttp.ClientSession) -> Refused | None:
        ends = time.monotonic() + self.startup_s
        while isinstance(refused := await self._get(session, "/health"), Refused):
            if time.monotonic() >= ends:
                waited = f"{self.base_url} did not come up within startup_s={self.startup_s:g} s ({refused.error})"
                return Refused(ConnectionError(f"{waited}; {_HOW}"), retryable=False)
            await asyncio.sleep(_POLL_S)
        woken = await self._post(session, "/wake_up") if self.sleeps else ""
        return woken if isinstance(woken, Refused) else None

    async def _with_weights(self, session: aiohttp.ClientSession) -> Refused | None:
        """Hands the weights over in vLLM's four phases unless the server has them; one process does so at a time."""
        weights = self.weights
        assert weights is not None, "sync comes before sample"
        with one_process_at_a_time(weights.folder):
            before = await self._version(session)
            if isinstance(before, Refused) or before == weights.version:
                return before if isinstance(before, Refused) else None
            started = {"/pause?mode=abort": {}, "/init_weight_transfer_engine": {"init_info": {}}}
            refused = await self._all(session, started)
            if refused:
                return refused
            if isinstance(await self._post(session, "/start_weight_update"), Refused):
                # an update that was begun by a process which did not live to finish it
                refused = await self._all(session, {"/finish_weight_update": {}, "/start_weight_update": {}})
            where = {"folder": weights.folder, "tensors": weights.tensors}
            refused = refused or await self._all(
                session,
                {
                    "/update_weights": {"update_info": where},
                    "/finish_weight_update": {"weight_version": weights.version},
                    "/resume": {},
                },
            )
            after = refused or await self._version(session)
            if isinstance(after, Refused):
                return after
            message = f"{self.base_url} took {weights.version} and says it has {after}"
            return None if after == weights.version else Refused(RuntimeError(message))

    async def _telling(self, session: aiohttp.ClientSession) -> Refused | None:
        """Whether log-probabilities are of what is drawn from: of a token that alone is allowed it must be 0."""
        settings = {"allowed_token_ids": [1], "max_tokens": 1, "logprobs": 0, "temperature": 1.0, "ignore_eos": True}
        body = {"token_ids": [1], "sampling_params": settings | {"detokenize": False}}
        content = await self._post(session, "/inference/v1/generate", body)
        if isinstance(content, Refused):
            return content
        try:
            logprob = float(json.loads(content)["choices"][0]["logprobs"]["content"][0]["logprob"])
        except (LookupError, TypeError, ValueError) as error:
            return Refused(ValueError(f"no answer of a vLLM server ({error!r}): {content[:200]!r}"))
        wrong = (
            f"{self.base_url} gives a token that alone was allowed the log-probability {logprob} and not 0: its are "
        )
        wrong += f"not those of the distribution it draws from (--logprobs-mode processed_logprobs); {_HOW}"
        return None if abs(logprob) < 1e-3 else Refused(ValueError(wrong), retryable=False)

    async def _with_positions(self, session: aiohttp.ClientSession) -> Refused | None:
        """None once `positions` are known."""
        content = await self._get(session, "/v1/models")
        if isinstance(content, Refused):
            return content
        try:
            self.positions = int(json.loads(content)["data"][0]["max_model_len"])
        except (LookupError, TypeError, ValueError) as error:
            return Refused(
                ValueError(f"{self.base_url}/v1/models gave no max_model_len ({error!r}): {content[:200]!r}")
            )
        return None

    async def _version(self, session: aiohttp.ClientSession) -> str | Refused:
        content = await self._get(session, "/weight_info")
        try:
            return content if isinstance(content, Refused) else json.loads(content)["weight_version"]
        except (LookupError, TypeError, ValueError) as error:
            return Refused(ValueError(f"{self.base_url}/weight_info gave no version ({error!r}): {content[:200]!r}"))

    async def _all(self, session: aiohttp.ClientSession, posts: Mapping[str, Mapping[str, Any]]) -> Refused | None:
        """None once all were accepted, in their order, or why the first one was not."""
        for path, body in posts.items():
            said = await self._post(session, path, body)
            if isinstance(said, Refused):
                return said
        return None

    async def _get(self, session: aiohttp.ClientSession, path: str) -> str | Refused:
        return await self._sent(session, path, None, 10.0)

    async def _post(
        self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any] = {}, left_s: float | None = None
    ) -> str | Refused:
        return await self._sent(session, path, body, self.startup_s if left_s is None else left_s)

    async def _sent(
        self, session: aiohttp.ClientSession, path: str, body: Mapping[str, Any] | None, left_s: float
    ) -> str | Refused:
        try:
            async with asyncio.timeout(left_s):
                return await send(session, self.base_url.rstrip("/") + path, body)
        except TimeoutError:
            return Refused(TimeoutError(f"{self.base_url}{path}: no answer within {left_s:.1f} s"))

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self.concurrency)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
