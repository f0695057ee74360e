"""Sampling with a vLLM server, a process of its own that is given the policy's weights. (docs/vllm.md)"""

from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.chat.background import Running
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.models.chat_prompts import as_conversation
from cogrl.ranks import gathered, place
from cogrl.rollout.controller import Controller
from cogrl.rollout.prompts import prompts_of
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.token_ends import token_ends
from cogrl.rollout.vllm.server import VLLMServer
from cogrl.rollout.vllm.weights import WeightFolder, Weights
from cogrl.rollout.vllm.wire import Asked, Drawn
from cogrl.types import Clip, Completions, ModelInput, Prompts, Role, Rollouts, drawn_ids


@dataclass(frozen=True)
class Pending:
    """Rollouts that a server is still drawing."""

    policy: AudioLM
    clips: Sequence[Clip]
    formats: Sequence[str]
    prompts: Prompts
    group_size: int
    policy_version: int
    running: Running[list[list[Drawn]]]

    def result(self) -> Rollouts:
        """Waits for them. Raises what `VLLMServer.begin` says."""
        rows = [row for group in self.running.result() for row in group]
        device, tokenizer = self.policy.device, self.policy.tokenizer
        ids, logprobs = (
            padded([row.ids for row in rows], tokenizer.pad_token_id),
            padded([r.logprobs for r in rows], 0.0),
        )
        drawn = torch.arange(ids.shape[1]) < torch.tensor([len(row.ids) for row in rows])[:, None]
        roles = torch.where(drawn, Role.SAMPLED.value, Role.PAD.value)
        completions = Completions(ids, roles).to(device)
        texts = [tokenizer.decode(said) for said in drawn_ids(completions, self.policy.end_ids)]
        return Rollouts(
            self.clips,
            self.formats,
            self.prompts,
            completions,
            logprobs.to(device),
            texts,
            [row.finish for row in rows],
            self.group_size,
            self.policy_version,
            token_ends=token_ends(tokenizer, completions, texts),
        )

    def cancel(self) -> None:
        """They are not wanted any more."""
        self.running.cancel()


class VLLMEngine:
    """Draws completions from a vLLM server (0.32 or newer). See `Engine`.

    A rollout is believed only where the server says of each token that the weights handed over last have drawn it, and
    that its prompt is, token by token, the policy's. A server that is slow, dies or is restarted is waited for, given
    the weights again and asked again with the same seed. With several ranks the first one hands the weights over.

    Args:
        base_url: of a server that `cogrl vllm` has started.
        weights: the folder through which weights are handed over, for a server on another machine or ranks on several:
            all must see it. None: one in the memory of this machine (/dev/shm), removed at the end.
        attempts: how often one request (a prompt with its group) is sent before the run ends with an error.
        request_s: how long an answer may take, in seconds; then the request is sent again.
        startup_s: how long a server that does not answer at all is waited for, in seconds, each time.
        concurrency: how many requests of a rank are under way at once.
        sleeps: while nothing is sampled the server gives its memory back (vLLM's sleep level 1), for a trainer on the
            same GPU, of one process.

    Raises ValueError for a URL that is none, and for times and counts that are not positive.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        weights: str | None = None,
        attempts: int = 5,
        request_s: float = 600.0,
        startup_s: float = 900.0,
        concurrency: int = 64,
        sleeps: bool = False,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"engine.base_url={base_url!r} is no URL; it starts with http:// or https://")
        if min(attempts, concurrency) < 1 or min(request_s, startup_s) <= 0:
            raise ValueError(
                f"engine.attempts={attempts}, concurrency={concurrency}, request_s={request_s} and "
                f"startup_s={startup_s} must be positive"
            )
        self.server = VLLMServer(base_url, attempts, request_s, startup_s, concurrency, sleeps)
        self.weights, self.folder = weights, None
        self.begun: Running | None = None

    def sync(self, policy: AudioLM) -> None:
        """Collective. What was begun is waited for: its weights stay until then.

        Raises ConnectionError, on every rank, when the server does not take the weights; ValueError for a policy that
        vLLM does not know, and for a server that sleeps while several ranks sample.
        """
        refuse_unservable(policy)
        refuse_shared_sleep(self.server.sleeps, place()[1])
        if self.begun is not None:
            wait([self.begun.outcome])
        outcome = gathered(self._handed_over(policy) if place()[0] == 0 else None)[0]
        if isinstance(outcome, Exception):
            raise outcome
        if place()[0]:
            self.server.expect(outcome)

    def _handed_over(self, policy: AudioLM) -> Weights | Exception:
        self.folder = self.folder or WeightFolder(self.weights)
        try:
            weights = self.folder.write(policy)
            self.server.hand_over(weights)
        except Exception as error:  # the other ranks wait for what has become of it
            return error
        return weights

    def sample(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        inputs: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Rollouts:
        """As `Engine.sample`. Of greedy completions the log-probabilities are at temperature 1, as vLLM gives them.

        Raises ValueError for controllers, which this engine can not run, besides what `VLLMServer.begin` says.
        """
        how = sampling, group_size, policy_version, inputs, generator, controllers
        return self.begin(policy, clips, formats, *how).result()

    def begin(
        self,
        policy: AudioLM,
        clips: Sequence[Clip],
        formats: Sequence[str],
        sampling: Sampling,
        group_size: int = 1,
        policy_version: int = 0,
        inputs: Sequence[ModelInput] | None = None,
        generator: torch.Generator | None = None,
        controllers: Sequence[Controller] = (),
    ) -> Pending:
        """Starts what `sample` does and returns at once; `sync` waits for it to end."""
        refuse_controllers(controllers)
        inputs = [audio_input(clip) for clip in clips] if inputs is None else inputs
        names = [clip.example.id for clip in clips]
        prompts = prompts_of(policy, clips, formats, inputs)
        device = generator.device if generator is not None else None
        seeds = torch.randint(2**31, (len(clips),), generator=generator, device=device).tolist()
        ids, barred = prompts.input_ids.cpu(), policy.head.bias.nonzero().flatten().tolist()
        asked = [
            Asked(
                name,
                row[mask].tolist(),
                policy.audio_token_id,
                as_conversation(item).waveforms,
                policy.sampling_rate,
                sampling,
                policy.end_ids,
                barred,
                policy.vocab_size,
                group_size,
                seed,
            )
            for name, row, mask, item, seed in zip(names, ids, prompts.mask_on_host, inputs, seeds, strict=True)
        ]
        self.begun = self.server.begin(asked)
        return Pending(policy, clips, formats, prompts, group_size, policy_version, self.begun)


def padded(rows: Sequence[Sequence[int | float]], filler: int | float) -> Int[Tensor, "b t"] | Float[Tensor, "b t"]:
    """Rows side by side, filled up at their ends to the longest."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


def refuse_controllers(controllers: Sequence[Controller]) -> None:
    """ValueError where there are any: they act between two tokens, which a server does not wait for."""
    if controllers:
        names = ", ".join(type(each).__name__ for each in controllers)
        raise ValueError(
            f"the vLLM engine can not run the controllers {names}: they look at every token before the next is drawn; "
            "leave model.engine out (the policy itself samples), or model.controllers"
        )


def refuse_unservable(policy: AudioLM) -> None:
    """ValueError for a policy that vLLM would compute otherwise than it is computed here."""
    parts = {
        "an emotion module (policy.emotion)": getattr(policy, "emotion", None) is not None,
        "pooled audio (policy.first_pass_pooling)": getattr(policy, "first_pass_pooling", 1) > 1,
        "weights in 4 bits (policy.load_in_4bit; it would sample from whole ones)": policy.load_in_4bit,
        "a convolutional adapter (policy.adapter)": getattr(policy, "adapter", None) is not None,
    }
    found = [name for name, there in parts.items() if there]
    if found:
        raise ValueError(f"vLLM does not know {' and '.join(found)} of this policy; leave model.engine out")


def refuse_shared_sleep(sleeps: bool, ranks: int) -> None:
    """ValueError for a server that would be sent to sleep by the first rank whose answers are there."""
    if sleeps and ranks > 1:
        raise ValueError(
            f"engine.sleeps=True with {ranks} ranks: the first one that has its completions would send the server to "
            "sleep while it draws those of the others; leave sleeps out and give the server a GPU of its own, or train "
            "with one process"
        )
