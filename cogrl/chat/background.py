"""Asynchronous work for plain callers: a coroutine run to its end in a thread and an event loop of its own.

The caller may be a training step, a script, or code under a running loop (a notebook): it blocks like any function.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What `await work()` gives, or the exception it raises. An interrupt of the caller cancels the work."""
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = []

    async def publish() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        try:
            outcome.set_result(await work())
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(publish()), name="cogrl-chat", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except BaseException:
        for loop, task in running if not outcome.done() else []:
            loop.call_soon_threadsafe(task.cancel)
        raise
    finally:
        thread.join(timeout=1.0)  # connections are closed, but a name server's time-out is not waited for
