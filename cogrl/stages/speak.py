"""Learning to write and to speak a reply together. (arXiv:2601.04960, stage 2; arXiv:2507.18119)"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.formats import format_named
from cogrl.lm_head import TokenStates, token_logprobs
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.models.speak import reply_states
from cogrl.objectives.reduce import sequence_mean
from cogrl.rollout.spoken import Speaking, reply_firsts, with_speech
from cogrl.stages.sft import Sft
from cogrl.types import ClipBatch, Completions, Example, Rollouts
from cogrl.types.speech import stacked_units


class Speak(Sft):
    """`text * CE(thinking and reply) + units * mean CE(units)`: text and voice of a reply from the same audio.

    The text terms are those of `Sft`; a unit's are means over a reply's units, then over replies. Units come from a
    line's `spoken_reply`, which holds the reply alone: thinking is written and never spoken. The losses of IEAT's
    second stage are not published; this is the reconstruction its relatives suggest. With `text: 0` the branch alone
    learns, on a policy that stays as it is: the sequential form.

    Args:
        formats: as in `Sft`; by default all of `ieat`. Each must end with its reply.
        text, units: the weights; lambda_u of the formula is `units`. Without `text` all but the branch is frozen.
        speaking: how units are drawn in `test`, and `max_frames`, the longest reply that is learned.

    Raises ValueError for a policy without a Speak branch and for negative weights, or both 0.
    """

    def __init__(
        self,
        policy: AudioLM,
        formats: dict[str, float] | None = None,
        text: float = 1.0,
        units: float = 1.0,
        speaking: Speaking | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(policy, formats or {"ieat": 1.0}, **shared)
        if policy.speech is None:
            raise ValueError("Speak trains a Speak branch and the policy has none: add policy.speech: {codec: ...}")
        if min(text, units) < 0 or text + units == 0:
            raise ValueError(f"text={text} and units={units} are weights: not negative, and not both 0")
        if self.target_fillers or self.target_excerpts or self.reads != "audio":
            raise ValueError(
                f"Speak hears the clip (reads={self.reads!r}) and takes neither target_fillers nor target_excerpts; "
                "give them to Sft"
            )
        self.text, self.units, self.speaking = text, units, speaking or Speaking()

    def configure_model(self) -> None:
        super().configure_model()
        if not self.text:
            self.policy.requires_grad_(False)
        self.policy.speech.requires_grad_(True)

    def validate(self, example: Example) -> str | None:
        return super().validate(example) or self.speech_error(example)

    def speech_error(self, example: Example) -> str | None:
        """Why there are no unit targets for an example, or not those of its reply."""
        reply = example.spoken_reply
        if reply is None or not reply.units:
            return "no units of a spoken reply; make them with: cogrl build speech-units, or leave the line out"
        for format in self.formats:
            said = format_named(format).answer(example.target(format), example)
            if not said:
                return f"target {format} has an empty reply, nothing to speak; write one, or leave the line out"
            if said != reply.text:
                return (
                    f"the spoken reply says {reply.text!r}, target {format} replies {said!r}; speak the reply of the "
                    "target, and nothing of its thinking"
                )
        return self.policy.speech.space.error(reply.units, reply.codec, self.speaking.max_frames)

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        for format in self.formats:  # the others that lines have targets for are not spoken
            self.means.add(f"val/loss_{format}", self.loss(batch, [format] * len(batch)), batch.count)

    def loss(self, batch: ClipBatch, formats: Sequence[str]) -> Tensor:
        """Both terms of these clips; each is logged under `speak/` with the share of units that are not the arg-max."""
        prompts = self.encode(batch, formats, [audio_input(clip) for clip in batch.clips])
        targets = self.targets(batch, formats)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.text > 0):
            hidden = self.policy.token_states(prompts, targets)
        (weight, bias), impl = self.policy.head, self.policy.head_impl
        written = token_logprobs(hidden, weight, targets.ids, targets.mask, bias=bias, impl=impl)
        text = sequence_mean(-written.logprobs, targets.mask, len(batch))
        logprobs, right, free = self.unit_logprobs(batch, formats, hidden, targets)
        units = sequence_mean(-logprobs.flatten(1), free.flatten(1), len(batch))
        for name, value in {"text": text, "units": units, "unit_error": 1 - right[free].float().mean()}.items():
            self.note(name, value, batch)
        return self.text * text + self.units * units

    def note(self, name: str, value: Tensor, batch: ClipBatch) -> None:
        """Log a term in training; in validation it enters the means of the epoch, as `val/<name>`."""
        if self.training:
            self.log(f"speak/{name}", value.detach(), batch_size=len(batch))
        else:
            self.means.add(f"val/{name}", value, batch.count)

    def unit_logprobs(
        self, batch: ClipBatch, formats: Sequence[str], hidden: TokenStates, targets: Completions
    ) -> tuple[Float[Tensor, "b g h"], Bool[Tensor, "b g h"], Bool[Tensor, "b g h"]]:
        """Of the units of each reply: log-probabilities, whether the arg-max is right, and which are choices.

        Streams of different lengths stand side by side, padded behind their ends.
        """
        examples, branch = [clip.example for clip in batch.clips], self.policy.speech
        texts = [example.target(format) for example, format in zip(examples, formats, strict=True)]
        firsts = reply_firsts(self.policy, targets, texts, formats, examples)
        read = reply_states(self.policy, hidden, targets, firsts, range(len(batch)))
        units = stacked_units([example.spoken_reply.units for example in examples], branch.decoder.end)
        drawn = branch.decoder.steps(units).to(read.states.device)
        return *branch.decoder(read.states, read.mask, drawn), branch.decoder.free(drawn)

    def answer(self, batch: ClipBatch, format: str) -> Rollouts:
        """One greedy completion a clip, with its reply spoken: a reward may listen to it."""
        rollouts = super().answer(batch, format)
        with self.whole():
            generator = torch.Generator(self.device).manual_seed(torch.initial_seed() % 2**63)
            return with_speech(self.policy, rollouts, self.speaking, generator)
