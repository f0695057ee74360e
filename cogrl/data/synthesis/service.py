"""A text-to-speech service over HTTP: a line as JSON, out comes audio."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import aiohttp

from cogrl.chat.http import retry_after_s
from cogrl.chat.retry import RetryPolicy
from cogrl.data.synthesis.expressive import FIELDS, Line, Speech, Synthesiser, check_places, decoded, filled, values_of

_BODY = {name: f"{{{name}}}" for name in FIELDS}
_RETRYABLE = (408, 425, 429)


class ServiceSynthesiser(Synthesiser):
    """Posts each line to `url` and reads the audio (WAV or any format libsndfile reads) in the reply.

    Args:
        url: such as `http://127.0.0.1:9000/speak`.
        speakers: the names that `{speaker}` may get.
        licence: the terms of the service's audio; written into every line of the corpus.
        body: the JSON of a request, with placeholders in its strings; by default the fields of a line under their own
            names. For a server in the OpenAI form: `{model: …, input: "{text}", voice: "{speaker}", instructions:
            "Speak with {intensity} {emotion}.", response_format: wav}`.
        api_key_env: name of the environment variable that holds the key, sent as a bearer token; None sends none.
        retry: retries and times of a line; `question_s` is its deadline, pauses included.
        concurrency: how many lines are under way at once, those in a pause included.
        revision: changes when the service's model does: clips of an earlier revision are made again.
    """

    def __init__(
        self,
        url: str,
        speakers: Sequence[str],
        licence: str,
        body: Mapping[str, Any] = _BODY,
        api_key_env: str | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int = 8,
        revision: str = "",
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"synthesiser.url={url!r} is no URL; it starts with http:// or https://")
        check_places(body, FIELDS, ("text", "emotion", "speaker"), "synthesiser.body")
        if concurrency < 1:
            raise ValueError(f"concurrency={concurrency}: at least one line at a time")
        self.url, self.speakers, self.licence, self.body = url, list(speakers), licence, dict(body)
        self.api_key_env, self.retry, self.concurrency = api_key_env, retry or RetryPolicy(), concurrency
        self.origin = "a speech service" + (f", revision {revision}" if revision else "")
        self.version = f"service {json.dumps(self.body, sort_keys=True)} {revision}"

    def check(self, language: str) -> None:
        """Raises ValueError when the key is not set. Whether the service answers is seen at the first line."""
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise ValueError(f"no key for {self.url}: the environment variable {self.api_key_env} is not set")

    def pool(self, workers: int | None) -> Executor:
        return ThreadPoolExecutor(workers or self.concurrency)

    def say(self, line: Line) -> Speech:
        """Raises ConnectionError or TimeoutError when the service is away for the whole of its deadline.

        Raises ValueError when it refuses this line (status 4xx) or sends what is no audio, `retry.attempts` times.
        """
        return asyncio.run(self._say(filled(self.body, values_of(line))))

    async def _say(self, body: Mapping[str, Any]) -> Speech:
        retry, ends = self.retry, time.monotonic() + self.retry.question_s
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            for tries in range(1, retry.attempts + 1):
                left_s = max(0.0, min(retry.attempt_s, ends - time.monotonic()))
                outcome, retryable, wait_s = await self._attempt(session, body, left_s)
                if isinstance(outcome, Speech):
                    return outcome
                pause = retry.pause(tries, wait_s)
                if not retryable or tries == retry.attempts or time.monotonic() + pause >= ends:
                    break
                await asyncio.sleep(pause)
        raise outcome

    async def _attempt(
        self, session: aiohttp.ClientSession, body: Mapping[str, Any], left_s: float
    ) -> tuple[Speech | Exception, bool, float]:
        """(what came or why nothing did, whether asking again may help, seconds to wait before)."""
        key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with asyncio.timeout(left_s):
                # a redirect is refused: it would send the key to an unknown address
                sent = session.post(self.url, json=body, headers=headers, allow_redirects=False)
                async with sent as response:
                    status, wait_s = response.status, retry_after_s(response.headers.get("Retry-After"))
                    content = await response.read()
        except TimeoutError:
            return TimeoutError(f"{self.url}: no audio within {left_s:.1f} s"), True, 0.0
        except (aiohttp.ClientError, OSError) as error:
            return ConnectionError(f"{self.url}: {error or type(error).__name__}"), True, 0.0
        if status == 200:
            try:
                return decoded(content, self.url), False, 0.0
            except ValueError as unusable:
                return unusable, True, 0.0
        said = content[:200].decode("utf-8", errors="replace")
        message = f"{self.url}: status {status}: {said.replace(key, '***') if key else said}"
        retryable = status >= 500 or status in _RETRYABLE
        return (ConnectionError if retryable or status < 400 else ValueError)(message), retryable, wait_s
