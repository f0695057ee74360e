"""A small OpenAI-compatible chat server that can be made to fail: a real process on a free port, for tests.

It answers by the JSON schema of the request: every integer is a score computed from the user's message, every string a
sentence. `behave(fault, times, only)` makes it misbehave on the first `times` attempts at each different message that
contains `only`. It counts what it is asked and how many requests it holds at once.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

ALWAYS = 10**9


class ChatServer:
    """The process, for a `with` block. `base_url` is what a client is given."""

    def __enter__(self) -> "ChatServer":
        self.process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        self.base_url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def behave(self, fault: str = "", times: int = ALWAYS, delay_s: float = 0.0, **settings: Any) -> None:
        """Forgets all that was counted and starts over with this conduct."""
        self._call("behave", {"fault": fault, "times": times, "delay_s": delay_s, **settings})

    def stats(self) -> dict[str, Any]:
        """`requests`, `distinct`, `answered`, `most_at_once`, `arrivals` (s), `last` (its body and headers)."""
        return self._call("stats", {})

    def _call(self, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.base_url}/{name}", json.dumps(content).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.load(response)


class Conduct:
    """How the server behaves, and the requests it has got since that was set."""

    def __init__(
        self, fault: str = "", times: int = ALWAYS, delay_s: float = 0.0, retry_after: str = "1", only: str = ""
    ) -> None:
        self.fault, self.times, self.delay_s, self.retry_after, self.only = fault, times, delay_s, retry_after, only
        self.attempts: Counter[str] = Counter()
        self.at_once = self.most_at_once = self.answered = 0
        self.arrivals: list[float] = []
        self.last: dict[str, Any] = {}

    def stats(self) -> dict[str, Any]:
        return {
            "requests": self.attempts.total(),
            "distinct": len(self.attempts),
            "answered": self.answered,
            "most_at_once": self.most_at_once,
            "arrivals": self.arrivals,
            "last": self.last,
        }


def canned(schema: Mapping[str, Any], message: str) -> dict[str, Any]:
    """An answer that fits the schema and depends on the message alone: scores 1-4 and sentences."""
    sentence = "A short line about what was said."
    return {
        name: sentence if kind["type"] == "string" else 1 + sum(f"{name} {message}".encode("utf-8", "replace")) % 4
        for name, kind in schema["properties"].items()
    }


def dressed(answer: Mapping[str, Any], fault: str) -> str:
    """The answer as text, in the form that a fault names."""
    plain = json.dumps(answer)
    low = {name: 9 if isinstance(value, int) else value for name, value in answer.items()}
    return {
        "comments": plain[:-1] + "\n// the closing word\n, /* really */ }",
        "fences": f"```json\n{plain}\n```",
        "prose": f"<think>Hm, {{maybe}}.</think>Here it is: {plain} I hope that helps.",
        "malformed": plain.replace(":", "="),
        "cut": plain[: len(plain) // 2],
        "two_answers": plain + plain.replace(str(next(iter(answer.values()))), "other", 1),
        "out_of_range": json.dumps(low),
        "empty": "",
        "half_a_character": plain.replace("short", "\ud800"),
    }.get(fault, plain)


def serve() -> None:
    from aiohttp import web

    conduct = Conduct()

    async def behave(request: web.Request) -> web.Response:
        nonlocal conduct
        conduct = Conduct(**await request.json())
        return web.json_response({})

    async def stats(request: web.Request) -> web.Response:
        return web.json_response(conduct.stats())

    async def chat(request: web.Request) -> web.StreamResponse:
        now, body = conduct, await request.json()
        message = body["messages"][-1]["content"]
        now.attempts[message] += 1
        now.arrivals.append(time.monotonic())
        now.last = {"body": body, "headers": dict(request.headers)}
        now.at_once += 1
        now.most_at_once = max(now.most_at_once, now.at_once)
        try:
            await asyncio.sleep(now.delay_s)
            misbehave = now.attempts[message] <= now.times and now.only in message
            return await answer(request, now, body, now.fault if misbehave else "")
        finally:
            now.at_once -= 1

    async def answer(request: web.Request, now: Conduct, body: dict, fault: str) -> web.StreamResponse:
        if fault == "stall":
            await asyncio.sleep(600)
        if fault == "reset":
            request.transport.abort()
            return web.Response()
        if fault.isdigit():
            waits = {"Retry-After": now.retry_after} if fault in ("429", "503") else {}
            said = f"status {fault} for {request.headers.get('Authorization')}"
            return web.Response(status=int(fault), text=said, headers={"Location": "/elsewhere", **waits})
        if fault == "no_json":
            return web.Response(text="<html>Bad gateway</html>")
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {"properties": {}})
        text = dressed(canned(schema, body["messages"][-1]["content"]), fault)
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        choice |= {"finish_reason": "length"} if fault in ("cut", "length") else {}
        counts = {"prompt_tokens": len(json.dumps(body["messages"])) // 4, "completion_tokens": len(text) // 4}
        reply = json.dumps({"choices": [choice]} | ({} if fault == "unmetered" else {"usage": counts})).encode()
        if fault == "half_a_body":
            response = web.StreamResponse(headers={"Content-Length": str(len(reply))})
            await response.prepare(request)
            await response.write(reply[:20])
            request.transport.abort()
            return response
        now.answered += 1
        return web.Response(body=reply, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/behave", behave), web.post("/v1/stats", stats)])
        app.add_routes([web.post("/v1/chat/completions", chat)])
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


if __name__ == "__main__":
    serve()
