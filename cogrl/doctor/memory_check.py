"""The memory that a rank of this run needs against what its device has."""

from collections.abc import Iterable

import psutil
import torch

from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.doctor.memory import (
    GIB,
    StateBytes,
    activation_bytes,
    cache_bytes,
    drawn_bytes,
    state_bytes,
    weights_of,
)
from cogrl.formats import instructions
from cogrl.lm_head import logits_bytes
from cogrl.models.audio_lm import AudioLM
from cogrl.models.check import shapes_of
from cogrl.models.group_cache import room
from cogrl.parallel.shares import shares_of
from cogrl.rollout.shared_rows import rows_share
from cogrl.stages.rl import RLStage

_TIGHT = 0.9
"""A share of the memory above which fragments, buffers of the network and the driver may not find room."""
_AUDIO_FRAMES_S = 50
"""Frames of 20 ms: what a Whisper-style tower computes on."""


def memory_of_the_model(case: Case) -> Iterable[Finding]:
    """Weights, gradients and optimiser on a rank, and the weights in this machine's memory; no weights are read."""
    name, policy = "memory of the model", case.policy
    if policy.model_class is None:
        yield Finding(name, "ok", f"{type(policy).__name__} has no model_class, so its weights are counted when read")
        return
    shapes = shapes_of(policy)
    state, half = held(case, shapes), is_half(case)
    yield against(case, name, named(state), state.device, half)
    needed, free = sum(w.numbers * w.bytes_each for w in weights_of(shapes)), psutil.virtual_memory().available
    if needed > free:
        yield Finding(
            name,
            "fault",
            f"the weights take {gib(needed)} and this machine has {gib(free)} free, so the doctor can not read them",
            "run it where the training is to run",
        )
    if state.host * ranks_here(case) > free:
        yield Finding(
            name,
            "fault",
            f"the offload of {ranks_here(case)} ranks takes {gib(state.host * ranks_here(case))} of this host, which "
            f"has {gib(free)} free",
            "use more hosts, train adapters (policy.lora), or leave out an offload of the strategy",
        )


def memory_of_a_step(case: Case) -> Iterable[Finding]:
    """The larger of a rollout and an update, on the longest prompt looked at."""
    name, policy, stage = "memory of a step", case.policy, case.stage
    shares, state = shares_of(case.trainer.strategy, case.ranks), held(case, policy)
    each = 2 if is_half(case) or policy.dtype_name in ("float16", "bfloat16") else 4
    prompt, answer, clip_s = longest(case)
    clips = -(-case.data.batch_size // stage.parts_per_batch)
    group = stage.group_size if isinstance(stage, RLStage) else 1
    tokens = clips * (prompt + group * answer if policy.share_prompt else group * (prompt + answer))
    parts = named(state)
    parts["activations"] = activation_bytes(policy.decoder, tokens, policy.width, each, policy.gradient_checkpointing)
    if any(p.requires_grad for p in policy.audio_tower.parameters()):
        frames, width = int(clips * clip_s * _AUDIO_FRAMES_S), policy.width
        parts["audio tower"] = activation_bytes(policy.audio_tower, frames, width, each, policy.gradient_checkpointing)
    copies = autocast_copies(case)
    if copies:
        parts["autocast copies"] = copies
    parts["logits"] = logits_bytes(clips * group * answer, policy.vocab_size, case.device.type == "cuda")
    update, rollout = sum(parts.values()), 0
    if isinstance(stage, RLStage):
        rows, config = case.data.batch_size * group, policy.model.config.get_text_config()
        gathered = sum(w.numbers * w.bytes_each for w in weights_of(policy, is_half(case))) if shares.weights < 1 else 0
        drawn = {
            "KV cache": cache_bytes(config, cached_tokens(case, prompt), each),
            "logits drawn": drawn_bytes(rows, policy.vocab_size),
            "weights gathered": int(gathered * (1 - shares.weights)),
        }
        rollout = state.device + sum(drawn.values())
        parts |= {key: value for key, value in drawn.items() if value}
    frozen = frozen_copies(case)
    if frozen:
        parts["frozen policies"] = frozen
    seen = f"{parts_text(parts)} (prompts of {prompt} tokens, answers of {answer})"
    yield against(case, name, {seen: 0}, max(update, rollout) + frozen, is_half(case))


def cached_tokens(case: Case, prompt: int) -> int:
    """How many tokens a rollout keeps keys and values of, on prompts of so many tokens."""
    clips, drawn, group = case.data.batch_size, case.stage.sampling.max_new_tokens, case.stage.group_size
    return clips * room(prompt + group * drawn) if rows_share(case.policy) else clips * group * (prompt + drawn)


def held(case: Case, policy: AudioLM) -> StateBytes:
    """What a rank holds of the policy."""
    return state_bytes(weights_of(policy, is_half(case)), shares_of(case.trainer.strategy, case.ranks))


def is_half(case: Case) -> bool:
    """Whether all weights are kept in 16 bits, whatever dtype they were read in."""
    precision, master = str(case.trainer.precision), shares_of(case.trainer.strategy, 1).master
    return precision in ("bf16-true", "16-true") or (master and precision in ("bf16-mixed", "16-mixed"))


def autocast_copies(case: Case) -> int:
    """Bytes of what autocast makes of float32 weights that train, and keeps for the backward pass."""
    mixed = str(case.trainer.precision).endswith("-mixed") and not is_half(case)
    return 2 * sum(w.numbers for w in weights_of(case.policy) if mixed and w.trains and w.bytes_each == 4)


def longest(case: Case) -> tuple[int, int, float]:
    """Tokens of the longest prompt and the longest answer, and seconds of the longest clip, of the lines looked at."""
    budget, stage = case.stage.prompt_budget, case.stage
    asked = [(case.lines[i], format) for i, format in case.asked(case.lines)]
    prompts = [budget.prompt(text, e) for e, format in asked for text in instructions([format], e)]
    given = [budget.answer(e.targets[format]) for e, format in asked if format in e.targets]
    sampled = stage.sampling.max_new_tokens
    answers = [sampled] if isinstance(stage, RLStage) else given or [0]
    seconds = max(len(clip.waveform) for clip in case.clips) / case.policy.sampling_rate
    return max(prompts, default=0), max(answers), seconds


def frozen_copies(case: Case) -> int:
    """Bytes of the policies that a stage keeps beside its own, on every rank: a reference, a teacher."""
    reference = getattr(case.stage, "reference", None)
    others = [getattr(reference, "frozen", None), getattr(case.stage, "teacher", None)]
    return sum(p.numel() * p.element_size() for other in others if other is not None for p in other.parameters())


def against(case: Case, name: str, parts: dict[str, int], needed: int, half: bool) -> Finding:
    """What is needed beside what the device has."""
    seen = (
        f"a rank of {case.ranks} ({case.trainer.strategy.__class__.__name__}) needs {gib(needed)}: {parts_text(parts)}"
    )
    has = device_bytes(case)
    if has is None:
        return Finding(name, "ok", f"{seen}; no such device here, --device_gib says what one has")
    seen = f"{seen}; a device has {gib(has)}"
    advice = "train adapters (policy.lora), shard (configs/trainer/zero*.yaml), set policy.gradient_checkpointing, or "
    advice += "lower data.batch_size, model.group_size or sampling.max_new_tokens"
    if needed > has:
        return Finding(name, "fault", seen, advice)
    return Finding(name, "warning" if needed > _TIGHT * has else "ok", seen, advice if needed > _TIGHT * has else "")


def device_bytes(case: Case) -> float | None:
    """The memory of one rank's device; on a CPU the rank's share of what is free. None where it is not known."""
    if case.device_gib is not None:
        return case.device_gib * GIB
    if case.elsewhere:
        return None
    if case.device.type == "cuda":
        return float(torch.cuda.get_device_properties(case.device).total_memory)
    return psutil.virtual_memory().available / ranks_here(case)


def ranks_here(case: Case) -> int:
    return case.trainer.num_devices


def named(state: StateBytes) -> dict[str, int]:
    return {"weights": state.weights, "gradients": state.gradients, "optimiser": state.optimizer}


def parts_text(parts: dict[str, int]) -> str:
    return ", ".join(f"{key} {gib(value)}" if value else key for key, value in parts.items())


def gib(value: float | int) -> str:
    return f"{value / GIB:.2f} GiB" if value >= GIB / 100 else f"{value / 2**20:.2f} MiB"
