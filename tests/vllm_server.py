"""A small server that speaks the part of vLLM's API that rollouts need, with a tiny policy that really samples.

A real process on a free port, for a `with` block; it can be killed and started again on its port, and `behave` makes it
fail. It draws by whole forward passes without a cache: nothing of the library's own engine is in it but the policy.
"""

import asyncio
import base64
import io
import json
import multiprocessing
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

FAULTS = {
    "wrong_version": lambda reply: [choice["weight_versions"][0].update(version="old") for choice in reply["choices"]],
    "two_versions": lambda reply: reply["choices"][0]["weight_versions"].append({"version": "o", "start": 0, "end": 1}),
    "no_version": lambda reply: [choice.update(weight_versions=None) for choice in reply["choices"]],
    "nan": lambda reply: reply["choices"][0]["logprobs"]["content"][0].update(logprob=float("nan")),
    "positive": lambda reply: reply["choices"][0]["logprobs"]["content"][0].update(logprob=0.5),
    "too_few": lambda reply: reply["choices"].pop(),
    "lost_token": lambda reply: reply["choices"][0]["token_ids"].pop(),
    "unknown_token": lambda reply: [
        reply["choices"][0]["token_ids"].__setitem__(0, 10**6),
        reply["choices"][0]["logprobs"]["content"][0].update(token_id=10**6),
    ],
    "aborted": lambda reply: reply["choices"][0].update(finish_reason="abort"),
    "other_prompt": lambda reply: reply["prompt_token_ids"].insert(3, 5),
    "no_choices": lambda reply: reply.pop("choices"),
}


class VLLMStandIn:
    """The process. `base_url` is what an engine is given, `policy` the folder it starts with (its version: default)."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "VLLMStandIn":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, **conduct: Any) -> None:
        """Returns at once; the server answers a little later."""
        context = multiprocessing.get_context("fork")  # what it needs is imported here already, and costs seconds
        self.process = context.Process(target=serve, args=(self.policy, self.port, conduct), daemon=True)
        self.process.start()

    def ready(self) -> "VLLMStandIn":
        """Itself, once it runs, answers and behaves; it is started again where it was killed."""
        if not self.process.is_alive():
            self.start()
        while True:
            try:
                self.behave()
                return self
            except OSError:
                if not self.process.is_alive():
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """As `kill -9`."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()

    def behave(self, **conduct: Any) -> None:
        """Forgets all that was noted and starts over with this conduct, see `Conduct`."""
        self.call("behave", conduct)

    def noted(self) -> list[list[Any]]:
        """`[path, body without audio]` of every POST that vLLM has too, in order."""
        return self.call("noted", {})

    def call(self, name: str, content: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.base_url}/{name}", json.dumps(content).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.load(response)


class Conduct:
    """On rollouts `first` to `times` a `fault`, and `delay_s` before them; `refuses` answers that path with 500.

    `raw` log-probabilities are those before anything is forbidden; no more than `positions` are read.
    """

    def __init__(
        self,
        fault: str = "",
        times: int = 10**9,
        delay_s: float = 0.0,
        refuses: str = "",
        raw: bool = False,
        first: int = 1,
        positions: int = 10**9,
    ):
        self.fault, self.first, self.times, self.delay_s = fault, first, times, delay_s
        self.refuses, self.raw, self.positions = refuses, raw, positions


class Sampler:
    """The policy of a folder, and whole forward passes through it."""

    def __init__(self, folder: str) -> None:
        from cogrl.models.saved import saved_policy

        self.policy = saved_policy(folder).eval()

    def generate(self, body: Mapping[str, Any], version: str, conduct: Conduct) -> dict[str, Any]:
        """Raises ValueError for what vLLM answers with status 400."""
        import numpy as np
        import soundfile
        import torch

        policy, how = self.policy, body["sampling_params"]
        parts = [part["url"].partition("base64,")[2] for part in body.get("content_parts", [])]
        clips = [soundfile.read(io.BytesIO(base64.b64decode(part)), dtype="float32")[0] for part in parts]
        counts = policy.audio_token_counts(torch.tensor([len(clip) for clip in clips], dtype=torch.long)).tolist()
        left, prompt = iter(counts), []
        for id in body["token_ids"]:
            prompt += [id] * (next(left) if id == policy.audio_token_id else 1)
        if len(prompt) >= conduct.positions:
            raise ValueError(f"this prompt of {len(prompt)} tokens is too long for {conduct.positions}")
        if how.get("stop") and not how["detokenize"]:
            raise ValueError("stop strings are only supported when detokenize is True")
        audio = policy.audio_tensors([np.asarray(clip) for clip in clips]) if clips else {}
        drawn = [self.row(prompt, audio, len(clips), how, i, conduct) for i in range(how.get("n", 1))]
        return {
            "prompt_token_ids": prompt,
            "choices": [
                {
                    "index": i,
                    "finish_reason": finish,
                    "stop_reason": by,
                    "token_ids": ids,
                    "logprobs": {"content": [{"token_id": a, "logprob": b} for a, b in zip(ids, lps, strict=True)]},
                    "weight_versions": [{"version": version, "start": 0, "end": len(ids)}],
                }
                for i, (ids, lps, finish, by) in enumerate(drawn)
            ],
        }

    def row(self, prompt, audio, clips, how, index, conduct):
        import torch

        policy, ids, logprobs = self.policy, [], []
        generator = torch.Generator().manual_seed((how.get("seed") or 0) + index)
        bias = torch.zeros(policy.vocab_size)
        for id, value in how.get("logit_bias", {}).items():
            bias[int(id)] = value
        with torch.no_grad():
            tokens = torch.tensor([prompt])
            embeds = policy.embeds_with_audio(tokens, tokens == policy.audio_token_id, audio, (clips,))
            while len(ids) < min(how["max_tokens"], conduct.positions - len(prompt)):
                hidden = policy.decoder(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, -1]
                logits = (hidden @ policy.head.weight.T)[0].float() + bias
                logits = logits / (how["temperature"] or 1.0)
                allowed = torch.full_like(logits, -torch.inf)
                allowed[how.get("allowed_token_ids", slice(None))] = 0.0
                processed = torch.log_softmax(logits + allowed, -1)
                greedy = not how["temperature"]
                ids.append(int(processed.argmax() if greedy else processed.exp().multinomial(1, generator=generator)))
                logprobs.append(float((torch.log_softmax(logits, -1) if conduct.raw else processed)[ids[-1]]))
                if ids[-1] in how.get("stop_token_ids", []):
                    return ids, logprobs, "stop", ids[-1]
                said = policy.tokenizer.decode(ids)
                found = next((text for text in how.get("stop", []) if text in said), None)
                if found:
                    return ids, logprobs, "stop", found
                embeds = torch.cat([embeds, policy.embed(torch.tensor([[ids[-1]]]))], 1)
        return ids, logprobs, "length", None


def serve(folder: str, port: int, settings: Mapping[str, Any]) -> None:
    """Answers on `port` until it is killed."""
    import torch
    from aiohttp import web

    torch.set_num_threads(1)
    sampler, version, updating = Sampler(folder), "default", None
    conduct, noted, rollouts = Conduct(**settings), [], 0

    async def behave(request: web.Request) -> web.Response:
        nonlocal conduct, rollouts
        conduct, rollouts = Conduct(**await request.json()), 0
        noted.clear()
        return web.json_response({})

    async def health(request: web.Request) -> web.Response:
        return web.Response()

    async def weight_info(request: web.Request) -> web.Response:
        return web.json_response({"weight_version": version})

    async def models(request: web.Request) -> web.Response:
        positions = min(conduct.positions, sampler.policy.max_positions)
        return web.json_response({"data": [{"id": folder, "max_model_len": positions}]})

    async def control(request: web.Request) -> web.Response:
        """vLLM's four phases, with its refusals: no phase without the one before it."""
        nonlocal sampler, version, updating
        body = await request.json()
        noted.append([request.path_qs, body])
        if request.path == conduct.refuses:
            return web.Response(status=500, text="told to refuse")
        if request.path == "/start_weight_update":
            if updating is not None:
                return web.Response(status=500, text="a weight update is already active")
            updating = sampler
        elif request.path in ("/update_weights", "/finish_weight_update") and updating is None:
            return web.Response(status=500, text="start_weight_update must be called before")
        if request.path == "/update_weights":
            updating = Sampler(body["update_info"]["folder"])
        if request.path == "/finish_weight_update":
            sampler, version, updating = updating, body.get("weight_version", version), None
        return web.json_response({})

    async def generate(request: web.Request) -> web.Response:
        nonlocal rollouts
        body, now = await request.json(), conduct
        clips = [len(part["url"]) for part in body.pop("content_parts", [])]
        real = "allowed_token_ids" not in body["sampling_params"]
        if real:
            rollouts += 1
            noted.append([request.path_qs, body | {"clips": clips}])
        whole = await request.json() if clips else body
        disturbed = real and now.first <= rollouts <= now.times
        fault = now.fault if disturbed else ""
        await asyncio.sleep(now.delay_s if disturbed else 0.0)
        try:
            reply = sampler.generate(whole, version, now)
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        if fault == "status_400":
            return web.Response(status=400, text="this prompt is too long")
        if fault == "cut":
            return web.Response(text=json.dumps(reply)[:60])
        if fault:
            FAULTS[fault](reply)
        return web.json_response(reply)

    async def said(request: web.Request) -> web.Response:
        return web.json_response(noted)

    async def main() -> None:
        app = web.Application(client_max_size=2**26)
        app.add_routes(
            [web.get("/health", health), web.get("/weight_info", weight_info), web.get("/v1/models", models)]
        )
        app.add_routes([web.post("/behave", behave), web.post("/noted", said)])
        app.add_routes([web.post("/inference/v1/generate", generate)])
        phases = ("start_weight_update", "update_weights", "finish_weight_update", "init_weight_transfer_engine")
        app.add_routes([web.post(f"/{path}", control) for path in (*phases, "pause", "resume", "sleep", "wake_up")])
        runner = web.AppRunner(app, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        await asyncio.Event().wait()

    asyncio.run(main())
