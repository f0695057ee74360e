"""Speech-text alignment of a student with audio to its frozen teacher with text. (arXiv:2601.04960, 2602.10716)"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from cogrl.lm_head import Direction, TokenStates, sequence_kl, token_logprobs
from cogrl.model_input import audio_input, teacher_input
from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion_encoder import DimensionLayout
from cogrl.models.teacher import base_is_frozen, teaching
from cogrl.objectives.attributes import DIMENSION_LOSSES
from cogrl.objectives.reduce import sequence_mean
from cogrl.rollout.sampling import Sampling
from cogrl.stages.sft import Sft
from cogrl.types import DIMENSIONS, EMOTIONS, ClipBatch, Completions, Example


@dataclass(frozen=True)
class Weight:
    """A loss weight that moves linearly from `start` to `end` over the first `steps` optimiser steps, then stays."""

    start: float = 1.0
    end: float | None = None
    steps: int = 0

    def at(self, step: int) -> float:
        end = self.start if self.end is None else self.end
        return end if step >= self.steps else self.start + (end - self.start) * step / self.steps

    @property
    def used(self) -> bool:
        return self.start != 0 or bool(self.end)


class Align(Sft):
    """The same language model twice: the teacher reads words and emotion, the student gets the audio.

    `ce * CE(response) + kd * KL(teacher, student; T) + emotion * CE(head) + dimensions * MSE(head)`, response terms as
    mean over a sample's tokens, then over samples; heads on the mean of the last clip's frames, dropped at the end. The
    published losses are not available for IEAT: this is the reconstruction its relatives suggest (BLSP-Emo). RE-LLM's
    paper has KL + CE + MSE (T = 2, no T^2), its released script CE in place of KL: ce=1, kd=0.

    Args:
        ce, kd, emotion, dimensions: weights; see `Weight`.
        kd_temperature, kd_direction: "forward" is KL(teacher || student).
        dimension_loss: "mse" as in RE-LLM, or "ccc".
        dimension_order: in which order the outputs of the head are held against the line's dimensions; the head is
            dropped at the end, so nothing else knows it. RE-LLM's is arousal, valence, dominance.
        responses: what both are scored on: the "manifest" targets, or what the "teacher" answers greedily.
        teacher: a frozen policy of its own. By default the policy without its adapters, or, where the language model is
            frozen, the policy itself.
    """

    def __init__(
        self,
        policy: AudioLM,
        ce: Weight = Weight(),
        kd: Weight = Weight(),
        emotion: Weight = Weight(),
        dimensions: Weight = Weight(),
        kd_temperature: float = 2.0,
        kd_direction: Direction = "forward",
        dimension_loss: Literal["mse", "ccc"] = "mse",
        dimension_order: tuple[str, str, str] = DIMENSIONS,
        responses: Literal["manifest", "teacher"] = "manifest",
        teacher: AudioLM | None = None,
        **shared: Any,
    ) -> None:
        super().__init__(policy, **shared)
        if self.target_fillers or self.target_excerpts:
            raise ValueError(
                "Align compares with a teacher that reads no insertions; give target_fillers to Sft, or target_excerpts"
            )
        needed = kd.used or responses == "teacher"
        if needed and teacher is None and not base_is_frozen(policy):
            raise ValueError(
                "the teacher would move with the student: train adapters (policy.lora), freeze the language model "
                "(policy.train_language_model: false), give a teacher of its own, or set kd.start: 0"
            )
        self.ce, self.kd, self.emotion, self.dimensions = ce, kd, emotion, dimensions
        self.kd_temperature, self.kd_direction = kd_temperature, kd_direction
        self.dimension_loss, self.responses, self.teacher = dimension_loss, responses, teacher
        self.layout = DimensionLayout(tuple(dimension_order), low=-1.0)

    def configure_model(self) -> None:
        super().configure_model()
        if self.teacher is not None:
            self.teacher.load().requires_grad_(False)
        self.emotion_head = nn.Linear(self.policy.width, len(EMOTIONS), bias=False)
        self.dimension_head = nn.Linear(self.policy.width, 3)

    def validate(self, example: Example) -> str | None:
        if self.emotion.used and example.emotion is None:
            return "no emotion; add it to this line or train without the head: emotion.start: 0 and emotion.end: 0"
        if self.dimensions.used and example.dimensions is None:
            return "no valence, arousal and dominance; add them to this line or set dimensions.start: 0"
        if not example.text and (self.kd.used or self.responses == "teacher"):
            return "no text for the teacher to read; add it to this line or leave the line out"
        return super().validate(example)

    def lacks_target(self, example: Example, format: str) -> bool:
        return self.responses == "manifest" and super().lacks_target(example, format)

    def loss(self, batch: ClipBatch, formats: Sequence[str]) -> Tensor:
        """All terms of these clips in these formats; each is logged under `align/`."""
        examples = [clip.example for clip in batch.clips]
        prompts = self.encode(batch, formats, [audio_input(clip) for clip in batch.clips])
        targets = self.targets(batch, formats)
        embeds = self.policy.prompt_embeds(prompts)
        student = self.policy.token_states(prompts, targets, embeds=embeds)
        in_last_clip = last_clip(prompts.input_ids == self.policy.audio_token_id)
        frames = mean_frames(embeds.to(self.emotion_head.weight.dtype), in_last_clip)
        terms = {
            "ce": (self.ce, lambda: self.response_loss(student, targets)),
            "kd": (self.kd, lambda: self.distillation(student, targets, batch, formats)),
            "emotion": (self.emotion, lambda: self.emotion_loss(frames, examples)),
            "dimensions": (self.dimensions, lambda: self.dimension_error(frames, examples)),
        }
        total = embeds.sum() * 0.0
        for name, (weight, term) in terms.items():
            now = weight.at(self.global_step)
            if now:
                value = term()
                self.note(f"align/{name}", value, batch)
                total = total + now * value
        return total

    def note(self, name: str, value: Tensor, batch: ClipBatch) -> None:
        """Log a term in training; in validation it enters the means of the epoch, as `val/<name>`."""
        if self.training:
            self.log(name, value, batch_size=len(batch))
        else:
            self.means.add(f"val/{name}", value, batch.count)

    def targets(self, batch: ClipBatch, formats: Sequence[str]) -> Completions:
        """What both are scored on: the manifest's targets, or the teacher's own answers."""
        if self.responses == "manifest":
            return self.policy.encode_targets(
                [clip.example.target(format) for clip, format in zip(batch.clips, formats, strict=True)]
            )
        greedy = Sampling(max_new_tokens=self.sampling.max_new_tokens, greedy=True)
        with self.whole(self.teacher), teaching(self.teacher or self.policy) as teacher:
            inputs = [teacher_input(clip) for clip in batch.clips]
            self.engine.sync(teacher)
            self.synced_step = None  # the engine has the teacher's weights now
            return self.engine.sample(teacher, batch.clips, formats, greedy, inputs=inputs).completions

    def response_loss(self, student: TokenStates, targets: Completions) -> Tensor:
        (weight, bias), impl = self.policy.head, self.policy.head_impl
        tokens = token_logprobs(student, weight, targets.ids, targets.mask, bias=bias, impl=impl)
        return sequence_mean(-tokens.logprobs, targets.mask, len(targets.mask))

    def distillation(
        self, student: TokenStates, targets: Completions, batch: ClipBatch, formats: Sequence[str]
    ) -> Tensor:
        """KL at the states that predict each response token, the first one and the end token included."""
        with teaching(self.teacher or self.policy) as teacher:
            prompts = self.encode(batch, formats, [teacher_input(clip) for clip in batch.clips])
            states, head = teacher.token_states(prompts, targets), teacher.head.weight
        return sequence_kl(
            student,
            self.policy.head.weight,
            states,
            head,
            targets.mask,
            self.kd_temperature,
            self.kd_direction,
            bias=self.policy.head.bias,
            impl=self.policy.head_impl,
        ).loss

    def emotion_loss(self, frames: Float[Tensor, "b d"], examples: Sequence[Example]) -> Tensor:
        labels = torch.tensor([EMOTIONS.index(example.emotion) for example in examples], device=frames.device)
        return cross_entropy(self.emotion_head(frames), labels)

    def dimension_error(self, frames: Float[Tensor, "b d"], examples: Sequence[Example]) -> Tensor:
        labels = torch.tensor([example.dimensions for example in examples], device=frames.device)
        return DIMENSION_LOSSES[self.dimension_loss](self.dimension_head(frames), self.layout.from_ours(labels))


def last_clip(is_audio: Bool[Tensor, "p s"]) -> Bool[Tensor, "p s"]:
    """The frames of the turn to answer: the last run of each prompt, since text stands between two clips."""
    begins = is_audio & ~pad(is_audio, (1, -1))
    number = begins.cumsum(1)
    return is_audio & (number == number[:, -1:])


def mean_frames(embeds: Float[Tensor, "p s d"], is_audio: Bool[Tensor, "p s"]) -> Float[Tensor, "p d"]:
    """The mean over each prompt's audio frames, as they enter the language model."""
    frames = (embeds * is_audio[..., None]).sum(1)
    return frames / is_audio.sum(1, keepdim=True).clamp(min=1)
