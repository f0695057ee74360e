"""How often and how long something is asked of a server, and the loop that does so."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cogrl.chat.http import Refused

Outcome = TypeVar("Outcome")


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

    async def ask(
        self, attempt: Callable[[float], Awaitable[Outcome | Refused]], ends: float
    ) -> tuple[Outcome | Refused, int]:
        """The first outcome of `attempt(seconds left for it)` that is not Refused, or the last one, and the tries made.

        Ends with the tries, with `question_s`, at `ends` (of `time.monotonic`), or where asking again is pointless.
        """
        ends, tries = min(ends, time.monotonic() + self.question_s), 0
        outcome: Outcome | Refused = Refused(
            TimeoutError("the deadline of the batch passed before this question was asked")
        )
        while tries < self.attempts and time.monotonic() < ends:
            tries += 1
            outcome = await attempt(min(self.attempt_s, ends - time.monotonic()))
            if not isinstance(outcome, Refused) or not outcome.retryable or tries == self.attempts:
                break
            pause = self.pause(tries, outcome.wait_s)
            if time.monotonic() + pause >= ends:
                break
            await asyncio.sleep(pause)
        return outcome, tries
