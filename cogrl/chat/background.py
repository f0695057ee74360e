"""Asynchronous work for plain callers: a coroutine run to its end in a thread and an event loop of its own.

The caller may be a training step, a script, or code under a running loop (a notebook): it blocks like any function.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Running(Generic[T]):
    """Work that has begun; the process can end without it."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self.tasks: list[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = []

        async def publish() -> None:
            task = asyncio.current_task()
            assert task is not None
            self.tasks.append((asyncio.get_running_loop(), task))
            try:
                self.outcome.set_result(await work())
            except BaseException as error:
                self.outcome.set_exception(error)

        self.thread = threading.Thread(target=lambda: asyncio.run(publish()), name="cogrl-chat", daemon=True)
        self.thread.start()

    def result(self) -> T:
        """What `await work()` gives, or the exception it raises. An interrupt of the caller cancels the work."""
        try:
            return self.outcome.result()
        except BaseException:
            self.cancel()
            raise
        finally:
            self.thread.join(timeout=1.0)  # connections are closed, but a name server's time-out is not waited for

    def cancel(self) -> None:
        """Ends the work where it is; nothing where it has ended."""
        for loop, task in self.tasks if not self.outcome.done() else []:
            loop.call_soon_threadsafe(task.cancel)


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `await work()` gives, or the exception it raises. An interrupt of the caller cancels the work."""
    return Running(work).result()
