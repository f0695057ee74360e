"""One request over HTTP, and what a failure of it means: whether asking again may help, and when."""

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from cogrl.chat.question import Usage

_NO_TOKENS = Usage(requests=1)
_RETRYABLE = {408, 409, 425, 429, 500, 502, 503, 504, 529}


@dataclass(frozen=True)
class Refused:
    """No answer. `retryable`: asking once more may help, not before `wait_s` seconds have passed."""

    error: Exception
    retryable: bool = True
    wait_s: float = 0.0
    usage: Usage = _NO_TOKENS


async def send(
    session: aiohttp.ClientSession,
    url: str,
    body: Mapping[str, Any] | None = None,
    key: str = "",
    proxy: str | None = None,
) -> str | Refused:
    """What the server says to a GET, or with `body` to a POST of it as JSON; `key` is the bearer's.

    Refused for an unreachable server, a reset, a reply that is cut off, or an error status; the key is in no message.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    # a redirect is refused: it would send the question, and on the same host the key, to an unknown address
    settings = {"headers": headers, "proxy": proxy, "allow_redirects": False}
    try:
        sent = session.get(url, **settings) if body is None else session.post(url, json=body, **settings)
        async with sent as response:
            status, wait_s = response.status, retry_after_s(response.headers.get("Retry-After"))
            content = (await response.read()).decode("utf-8", errors="replace")
    except (aiohttp.ClientError, OSError) as error:
        return Refused(ConnectionError(f"{url}: {error or type(error).__name__}"))
    if status == 200:
        return content
    said = content[:200].replace(key, "***") if key else content[:200]
    return Refused(ConnectionError(f"{url}: status {status}: {said}"), status in _RETRYABLE, wait_s)


def retry_after_s(header: str | None) -> float:
    """Seconds to wait, from a `Retry-After` header in either form (seconds or a date); 0 without a sensible one."""
    if not header:
        return 0.0
    try:
        return max(0.0, float(header)) if header.strip().replace(".", "", 1).isdigit() else _until(header)
    except (ValueError, TypeError):
        return 0.0


def _until(date: str) -> float:
    return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - time.time())
