"""Sampling with a vLLM server, a process of its own that is given the policy's weights. (docs/vllm.md)"""

from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import dataclass

import torch

from cogrl.chat.background import Running
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.ranks import gathered, place
from cogrl.rollout.controller import Controller, begun
from cogrl.rollout.prompts import prompts_of
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.vllm.requests import requests
from cogrl.rollout.vllm.server import VLLMServer
from cogrl.rollout.vllm.stretches import Stretches, drawn_under
from cogrl.rollout.vllm.weights import WeightFolder, Weights
from cogrl.rollout.vllm.wire import Asked, Drawn
from cogrl.types import Clip, ModelInput, Prompts, Rollouts


@dataclass(frozen=True)
class Pending:
    """Rollouts that a server is still drawing."""

    policy: AudioLM
    clips: Sequence[Clip]
    formats: Sequence[str]
    prompts: Prompts
    policy_version: int
    asked: Sequence[Asked]
    running: Running[list[list[Drawn]]]

    def result(self) -> Rollouts:
        """Waits for them. Raises what `VLLMServer.begin` says."""
        drawn = [one for group in self.running.result() for one in group]
        whole = Stretches(self.policy, (), self.asked)
        whole.add(drawn)
        what = self.policy, self.clips, self.formats, self.prompts
        return whole.transcript.rollouts(*what, self.asked[0].count, self.policy_version)

    def cancel(self) -> None:
        """They are not wanted any more."""
        self.running.cancel()


class VLLMEngine:
    """Draws completions from a vLLM server (0.32 or newer). See `Engine`.

    A rollout is believed only where the server says of each token that the weights handed over last have drawn it, and
    that its prompt is, token by token, the policy's. A server that is slow, dies or is restarted is waited for, given
    the weights again and asked again with the same seed. With several ranks the first one hands the weights over.
    Controllers look at what is drawn stretch by stretch (`Stretches`).

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

        Raises ValueError for controllers that bend or hide what is drawn, besides what `VLLMServer.begin` says.
        """
        self.check_controllers(controllers)
        if not controllers:
            how = sampling, group_size, policy_version, inputs, generator
            return self.begin(policy, clips, formats, *how).result()
        inputs = [audio_input(clip) for clip in clips] if inputs is None else inputs
        prompts = prompts_of(policy, clips, formats, inputs)
        asked = requests(policy, prompts, inputs, clips, sampling, group_size, generator, controllers)
        with begun(controllers, policy, clips, inputs, group_size):
            transcript = drawn_under(controllers, self.server, policy, asked, generator)
        return transcript.rollouts(policy, clips, formats, prompts, group_size, policy_version)

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
        """Starts what `sample` does and returns at once; `sync` waits for it to end. Raises ValueError for controllers.

        They would have to look at these completions while they are at work on others.
        """
        if controllers:
            raise ValueError(f"completions under {names_of(controllers)} are not drawn ahead: ask for them by `sample`")
        inputs = [audio_input(clip) for clip in clips] if inputs is None else inputs
        prompts = prompts_of(policy, clips, formats, inputs)
        asked = requests(policy, prompts, inputs, clips, sampling, group_size, generator)
        self.begun = self.server.begin(asked)
        return Pending(policy, clips, formats, prompts, policy_version, asked, self.begun)

    def check_controllers(self, controllers: Sequence[Controller]) -> None:
        """Raises ValueError for controllers that bend or hide what is drawn."""
        bending = [each for each in controllers if each.bends]
        if bending:
            raise ValueError(
                f"the vLLM engine can not run {names_of(bending)}: a server draws the next token without asking "
                "`adjust` and `hidden`; leave model.engine out (the policy itself samples), or these controllers"
            )


def names_of(controllers: Sequence[Controller]) -> str:
    return ", ".join(type(each).__name__ for each in controllers)


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
