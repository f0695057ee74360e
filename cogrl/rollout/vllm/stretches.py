"""Completions that a server draws stretch by stretch, so that controllers can act behind any of their tokens."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Controller
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.rollout.insertions import Interruption, interruption
from cogrl.rollout.transcript import Transcript
from cogrl.rollout.vllm.requests import seeds_of
from cogrl.rollout.vllm.server import VLLMServer
from cogrl.rollout.vllm.wire import Asked, Drawn
from cogrl.types import Role, Waveform

Placed = tuple[list[int], list[Waveform], list[int]]
"""What was inserted into one completion: its token ids, its clips, and how many placeholders each clip has."""


class Stretches:
    """`b` completions, and what is to be asked next of each of them that goes on.

    A server does not wait for controllers, it draws ahead, up to a stop string at most. They are shown what it has
    drawn one token after another, as if it had waited. Behind the first token behind which one of them does something
    the stretch is cut, and the next one begins with what was inserted there. So stop strings save work, and what is
    drawn does not depend on them.

    Args:
        policy: in evaluation mode.
        controllers: that have begun this call, and have no say in what is drawn next.
        asked: the first request for each prompt, for all completions of its group.
    """

    def __init__(self, policy: AudioLM, controllers: Sequence[Controller], asked: Sequence[Asked]) -> None:
        self.policy, self.controllers = policy, controllers
        self.requests = [one for one in asked for _ in range(one.count)]
        self.left = [one.sampling.max_new_tokens for one in self.requests]
        self.running = list(range(len(self.requests)))
        self.transcript = Transcript(len(self.requests), policy.tokenizer.pad_token_id, policy.device)
        self.encoded = EncodedExcerpts(policy)

    def next_requests(self, seeds: Sequence[int]) -> list[Asked]:
        """One for each of the `running` completions; there is a seed for each of all `b`."""
        return [replace(self.requests[row], count=1, seed=seeds[row]) for row in self.running]

    @torch.no_grad()
    def add(self, drawn: Sequence[Drawn], positions: int | None = None) -> None:
        """Takes down one more stretch of each `running` completion, and what the controllers do to it.

        Then `running` are those that go on. The server reads `positions` tokens at most, prompt included; None: as many
        as the policy does. Raises ValueError as `interruption`.
        """
        positions = min(positions or self.policy.max_positions, self.policy.max_positions)
        ends = {row: len(one.ids) for row, one in zip(self.running, drawn, strict=True)}
        going_on = {row for row, one in zip(self.running, drawn, strict=True) if one.finish == "stop"}
        placed: dict[int, Placed] = {}
        changes = self.changes(drawn, positions)
        for end, change in changes:
            stopped = change.aborted + change.full
            inserted = self.placed(change)
            ends |= dict.fromkeys([*stopped, *inserted], end)
            going_on = (going_on - set(stopped)) | set(inserted)
            placed |= inserted
        self.write(drawn, ends)
        for _, change in changes:
            self.transcript.aborted.update(change.aborted)
            if change.inserted is not None:
                self.transcript.insert(change.inserted)
        for row, one in zip(self.running, drawn, strict=True):
            self.left[row] -= ends[row]
            if row in going_on:
                self.requests[row] = self.behind(row, one.ids[: ends[row]], placed.get(row, ([], [], [])), positions)
        self.running = [row for row in self.running if row in going_on]

    def changes(self, drawn: Sequence[Drawn], positions: int) -> list[tuple[int, Interruption]]:
        """What the controllers do, and behind how many tokens of a stretch; to each completion at most once.

        They see no token behind which nothing more would be drawn, and none behind what they do.
        """
        looked_at = [len(one.ids) - (one.finish != "stop") for one in drawn] if self.controllers else []
        free = [positions - 1 - len(self.requests[row].ids) for row in self.running]  # one is drawn behind it
        device, numbers = self.policy.device, {row: number for number, row in enumerate(self.running)}
        ids = padded([one.ids for one in drawn], 0).to(device)
        logprobs = padded([one.logprobs for one in drawn], 0.0).to(device)
        found: list[tuple[int, Interruption]] = []
        for place in range(max(looked_at, default=0)):
            here = [number for number, count in enumerate(looked_at) if place < count]
            if not here:
                break
            index = torch.tensor(here, device=device)
            rows = torch.tensor([self.running[number] for number in here], device=device)
            left = torch.tensor([free[number] - place - 1 for number in here], device=device)
            what = (ids[index, place], logprobs[index, place], rows, left)
            change = interruption(self.policy, self.controllers, *what, self.encoded)
            if change is not None:
                found.append((place + 1, change))
                for row in change.rows:
                    looked_at[numbers[row]] = 0
        return found

    def placed(self, change: Interruption) -> dict[int, Placed]:
        """What was inserted, by completion."""
        if change.inserted is None:
            return {}
        inserted, found = change.inserted, {}
        tokens = zip(inserted.rows, inserted.ids.tolist(), inserted.roles.tolist(), inserted.excerpts, strict=True)
        for row, ids, roles, excerpts in tokens:
            there = [id for id, role in zip(ids, roles, strict=True) if role != Role.PAD]
            counts = [self.encoded.token_count(excerpt) for excerpt in excerpts]
            found[row] = there, [excerpt.waveform for excerpt in excerpts], counts
        return found

    def write(self, drawn: Sequence[Drawn], ends: dict[int, int]) -> None:
        """Takes down the tokens of each running completion up to its end, and whether an end token is the last."""
        kept, device = [ends[row] for row in self.running], self.policy.device
        ids = padded([one.ids[:end] for one, end in zip(drawn, kept, strict=True)], self.transcript.pad_id)
        logprobs = padded([one.logprobs[:end] for one, end in zip(drawn, kept, strict=True)], 0.0)
        there = torch.arange(max(kept)) < torch.tensor(kept)[:, None]
        roles = torch.where(there, Role.SAMPLED.value, Role.PAD.value)
        rows = torch.tensor(self.running, device=device)
        self.transcript.draw(rows, ids.to(device), logprobs.to(device), roles.to(device))
        ended = [one.finish == "end" and end == len(one.ids) for one, end in zip(drawn, kept, strict=True)]
        self.transcript.ended[rows] = torch.tensor(ended, device=device)

    def behind(self, row: int, said: Sequence[int], placed: Placed, positions: int) -> Asked:
        """The request for what follows in a completion."""
        before, (ids, waveforms, counts) = self.requests[row], placed
        context = [*before.ids, *said, *ids]
        return replace(
            before,
            ids=context,
            waveforms=[*before.waveforms, *waveforms],
            clip_tokens=[*before.clip_tokens, *counts],
            sampling=replace(before.sampling, max_new_tokens=min(self.left[row], positions - len(context))),
        )


def drawn_under(
    controllers: Sequence[Controller],
    server: VLLMServer,
    policy: AudioLM,
    asked: Sequence[Asked],
    generator: torch.Generator | None,
) -> Transcript:
    """Completions drawn to their ends; all that go on are asked for together, each stretch with a seed of its own.

    The seeds depend on the generator alone, and not on which completions go on. Raises what `VLLMServer.begin` says.
    """
    stretches = Stretches(policy, controllers, asked)
    while stretches.running:
        drawn = server.begin(asked, more=True).result()
        stretches.add([one for group in drawn for one in group], server.positions)
        asked = stretches.next_requests(seeds_of(generator, len(stretches.requests)))
    server.rest()
    return stretches.transcript


def padded(rows: Sequence[Sequence[int | float]], filler: int | float) -> Int[Tensor, "b t"] | Float[Tensor, "b t"]:
    """Rows side by side, filled up at their ends to the longest."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])
