"""An OpenAI-compatible chat endpoint: what one request looks like, and what each reply of a server means."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import aiohttp

from cogrl.chat.http import Refused, send
from cogrl.chat.question import Question, Usage


@dataclass(frozen=True)
class Reply:
    """The text of a complete answer, and what the attempt took."""

    text: str
    usage: Usage


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, which model, and how it is to answer. Any server that has `<base_url>/chat/completions`.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        model: the name the server knows the model by.
        api_key_env: name of the environment variable that holds the key; None sends no key. The key itself is never
            part of a configuration, a cache key or a message.
        temperature, max_tokens: None leaves the field out.
        answer_format: what holds the model to JSON: its schema, plain JSON mode, or only the prompt (`text`), for
            servers that support neither.
        extra: further fields of the request, such as `top_k`, `seed` or `max_completion_tokens`.
        proxy: URL of an HTTP proxy. Proxy variables of the environment are not read.

    Raises ValueError for a URL that is none and for a key variable that is not set.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    temperature: float | None = 0.0
    max_tokens: int | None = 1024
    answer_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    extra: dict[str, Any] = field(default_factory=dict)
    proxy: str | None = None
    path: ClassVar[str] = "/chat/completions"

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url={self.base_url!r} is no URL; it starts with http:// or https://")
        if self.api_key_env is not None and not os.environ.get(self.api_key_env):
            raise ValueError(f"no key for {self.base_url}: the environment variable {self.api_key_env} is not set")

    def body(self, question: Question) -> dict[str, Any]:
        """The request. It decides the answer, so it is what a cache goes by."""
        settings = {"temperature": self.temperature, "max_tokens": self.max_tokens}
        settings = {name: value for name, value in settings.items() if value is not None}
        held = {} if question.schema is None else self._response_format(question.name, question.schema)
        return {"model": self.model, "messages": question.messages, **settings, **held, **self.extra}

    async def post(self, session: aiohttp.ClientSession, body: Mapping[str, Any]) -> Reply | Refused:
        """One attempt; Refused for an unreachable server, a reset, a reply that is cut off, or an error status."""
        key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
        content = await send(session, self.base_url.rstrip("/") + self.path, body, key, self.proxy)
        return content if isinstance(content, Refused) else self.reply(content)

    def reply(self, content: str) -> Reply | Refused:
        """The text of a chat completion. One that is cut off, filtered, empty or no completion at all is Refused."""
        try:
            found = json.loads(content)
            choice, counts = found["choices"][0], found.get("usage") or {}
            text, finish = choice["message"]["content"], choice.get("finish_reason")
            tokens = [counts.get(name) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            return Refused(ValueError(f"no chat completion ({error!r}): {content[:200]!r}"))
        if all(isinstance(count, int) for count in tokens):
            usage = Usage(requests=1, tokens_in=tokens[0], tokens_out=tokens[1])
        else:
            usage = Usage(requests=1, unmetered=1)
        if finish == "length":
            return Refused(ValueError(f"the answer was cut off at max_tokens: {str(text)[-80:]!r}"), usage=usage)
        if not isinstance(text, str) or not text.strip():
            return Refused(
                ValueError(f"the answer is empty (finish_reason {finish!r}): {content[:200]!r}"), usage=usage
            )
        return Reply(text.encode("utf-8", "replace").decode("utf-8"), usage)

    def _response_format(self, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
        held = {"name": name, "schema": dict(schema), "strict": True}
        formats = {"json_schema": {"json_schema": held}, "json_object": {}}
        if self.answer_format not in formats:
            return {}
        return {"response_format": {"type": self.answer_format, **formats[self.answer_format]}}
