"""What the model makes of some clips of the run: forward passes through the real weights."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.doctor.tokens import written
from cogrl.formats import format_named
from cogrl.model_input import audio_input
from cogrl.models.reference import logprobs_of
from cogrl.models.same_logprobs import TOLERANCE
from cogrl.rollout.controller import in_training
from cogrl.stages.engine_check import likely_cause
from cogrl.stages.rl import RLStage
from cogrl.types import Clip, Completions, Prompts

_TAIL_S = 0.1
_NEW_TOKENS = 16
_ROUNDING = 1e-3
"""Frames that differ by no more than this share of the largest number in them are the same ones."""


def frames_for_placeholders(case: Case) -> Iterable[Finding]:
    """Each prompt has as many placeholders as its clips have frames; what is heard of them is counted in seconds."""
    policy, clips = case.policy, case.clips
    prompts = prompts_of(case, clips)
    with torch.no_grad():
        policy.prompt_embeds(prompts)  # refuses other counts than those of the frames
    counts = (prompts.input_ids == policy.audio_token_id).sum(1).tolist()
    each = ", ".join(f"{length(case, clip):.2f} s: {count}" for clip, count in zip(clips, counts, strict=True))
    yield Finding("frames for placeholders", "ok", f"placeholders equal frames ({each})")


@torch.no_grad()
def whole_clips(case: Case) -> Iterable[Finding]:
    """Other sound in the last tenth of a second of a clip, or its first, changes what the language model reads."""
    name, policy, deaf = "whole clips", case.policy, []
    rng, tail = np.random.default_rng(0), int(_TAIL_S * policy.sampling_rate)
    for clip in case.clips:
        for place, part in (("end", slice(-tail, None)), ("beginning", slice(None, tail))):
            other = clip.waveform.copy()
            other[part] = rng.uniform(-0.5, 0.5, len(other[part])).astype(np.float32)
            own, changed = (read_frames(case, waveform) for waveform in (clip.waveform, other))
            if own.shape == changed.shape and (own - changed).abs().max() <= _ROUNDING * own.abs().max():
                deaf.append((clip, place))
    read_s = sum(length(case, clip) for clip in case.clips)
    if deaf:
        clip, place = deaf[0]
        yield Finding(
            name,
            "fault",
            f"sound is dropped: {_TAIL_S * len(deaf):.1f} s or more of the {read_s:.2f} s of {len(case.clips)} clips "
            f"does not reach the language model; {clip.example.where} ({clip.example.id}): the {place} of its "
            f"{length(case, clip):.2f} s",
            "see the window of the feature extractor (n_samples, chunk_length) and how the family reads clips",
        )
    else:
        yield Finding(name, "ok", f"{read_s:.2f} s in, 0 s dropped: beginning and end of {len(case.clips)} clips count")


@torch.no_grad()
def batch_of_one(case: Case) -> Iterable[Finding]:
    """A clip's targets have the log-probabilities alone that they have in a batch of clips of other lengths."""
    policy, clips = case.policy, case.clips
    policy.eval()
    prompts, targets = prompts_and_texts(case, clips)
    together = policy.token_logprobs(prompts, targets).logprobs
    alone = torch.zeros_like(together)
    for i, clip in enumerate(clips):
        prompt, target = prompts_and_texts(case, [clip])
        row = policy.token_logprobs(prompt, target).logprobs[0]
        alone[i, : len(row)] = row
    yield compared("batch of one", case, together, alone, targets.mask, f"batch of {len(clips)} against one by one")


@torch.no_grad()
def another_clip(case: Case) -> Iterable[Finding]:
    """The targets have other log-probabilities behind the sound of another clip, cut or repeated to the same length."""
    name, policy, clips = "another clip", case.policy, case.clips
    policy.eval()
    others = [*clips[1:], *clips[:1]]
    swapped = [
        replace(clip, waveform=np.resize(other.waveform, clip.waveform.shape))
        for clip, other in zip(clips, others, strict=True)
    ]
    prompts, targets = prompts_and_texts(case, clips)
    own = policy.token_logprobs(prompts, targets).logprobs
    changed = policy.token_logprobs(prompts_of(case, swapped), targets).logprobs
    mean = (own - changed)[targets.mask].abs().float().mean().item()
    seen = f"of another clip of the same length, targets differ by {mean:.1e} nats a token"
    if len(clips) > 1 and mean <= TOLERANCE[policy.dtype_name]:
        advice = "what is heard hardly moves the answer: right for a policy whose audio modules are to be trained first"
        yield Finding(name, "warning", seen, advice)
    else:
        yield Finding(name, "ok", seen)


@torch.no_grad()
def sampled_and_scored(case: Case) -> Iterable[Finding]:
    """Tokens that the engine samples have the log-probabilities that the trainer gives them."""
    name, stage, policy = "sampled and scored", case.stage, case.policy
    pairs = case.asked(case.clips)[: len(case.clips)]
    if not pairs:
        yield Finding(name, "ok", f"nothing is asked in {', '.join(stage.formats)} of these lines, so nothing sampled")
        return
    sampling = replace(stage.sampling, max_new_tokens=min(_NEW_TOKENS, stage.sampling.max_new_tokens), greedy=False)
    generator = torch.Generator(case.device).manual_seed(0)
    stage.engine.sync(policy)
    asked = [case.clips[i] for i, _ in pairs], [format for _, format in pairs], sampling
    how = {"group_size": 2, "generator": generator, "controllers": stage.controllers}
    with in_training(stage.controllers) if isinstance(stage, RLStage) else nullcontext():
        rollouts = stage.engine.sample(policy, *asked, **how)
    scored = logprobs_of(policy, rollouts, sampling.temperature, len(pairs))
    seen = f"{len(rollouts)} completions at temperature {sampling.temperature:g}"
    finding = compared(name, case, rollouts.sampling_logprobs, scored, rollouts.completions.mask, seen)
    if finding.state == "fault":
        finding = replace(finding, advice=likely_cause(policy, rollouts, scored, sampling.temperature))
    yield finding


def compared(
    name: str, case: Case, one: Float[Tensor, "b t"], other: Float[Tensor, "b t"], mask: Bool[Tensor, "b t"], seen: str
) -> Finding:
    """Two log-probabilities of the same tokens."""
    difference = (one - other)[mask].abs().float()
    mean, most = difference.mean().item(), difference.max().item()
    figures = (
        f"{seen}: log-probabilities differ by {mean:.1e} on average, {most:.1e} at most, over {len(difference)} tokens"
    )
    allowed = TOLERANCE[case.policy.dtype_name]
    if mean <= allowed:
        return Finding(name, "ok", figures)
    return Finding(
        name,
        "fault",
        f"{figures}; rounding in {case.policy.dtype_name} explains {allowed:g}",
        "training would follow another distribution than the one that answers: see padding sides, position ids and "
        "the temperature of the engine, and docs/policies.md where the family is your own",
    )


def prompts_of(case: Case, clips: Sequence[Clip]) -> Prompts:
    instructions = [instruction(case, clip) for clip in clips]
    return case.policy.encode_prompts(instructions, [audio_input(c) for c in clips], [c.example.id for c in clips])


def prompts_and_texts(case: Case, clips: Sequence[Clip]) -> tuple[Prompts, Completions]:
    """Prompts, and as answers the clips' targets; words where a line has none."""
    texts = [text for clip in clips for text in first_text(case, clip)]
    return prompts_of(case, clips), case.policy.encode_targets(texts)


def first_text(case: Case, clip: Clip) -> list[str]:
    found = (text for _, format in case.asked([clip]) for text in written(clip.example, format))
    return [next(found, clip.example.text or "I hear it.")]


def instruction(case: Case, clip: Clip) -> str:
    """Of the first format that the clip can be asked in; words where there is none."""
    format = next((format for _, format in case.asked([clip])), None)
    return format_named(format).instruction(clip.example) if format else "What is heard?"


def read_frames(case: Case, waveform: np.ndarray) -> Tensor:
    """The real frames of one clip as the language model reads them."""
    audio = {key: value.to(case.device) for key, value in case.policy.audio_tensors([waveform]).items()}
    frames, counts = case.policy.audio_embeds(audio)
    return frames[0, : int(counts[0])]


def length(case: Case, clip: Clip) -> float:
    return len(clip.waveform) / case.policy.sampling_rate
