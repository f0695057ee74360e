"""Rollouts and RL steps of a Qwen2-Audio-class model with random weights, kernels on and off; started by run.py."""

import importlib.util
import itertools
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader
from transformers import (
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

try:
    import soundfile, soxr  # noqa: E401, F401
except ImportError:
    # no file is read and nothing resampled here: empty modules, for as long as cogrl.audio imports them
    stand_ins = {name: types.ModuleType(name) for name in ("soundfile", "soxr") if name not in sys.modules}
    sys.modules.update(stand_ins)
    import cogrl.audio  # noqa: F401

    for name in stand_ins:
        del sys.modules[name]

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.whisper_tower import own_length
from cogrl.models.tiny import train_tokenizer
from cogrl.rollout import Controller, Excerpt, HFEngine, Sampling
from cogrl.stages import DrSapo, Grpo
from cogrl.stages.objective import Objective
from cogrl.stages.rl import RLStage
from cogrl.types import Clip, ClipBatch, Example, Scores

VARIANTS = {
    "plain: prompt repeated, all logits of the completions": {"share_prompt": False, "head_impl": "reference"},
    "prompt shared, all logits": {"share_prompt": True, "head_impl": "reference"},
    "prompt repeated, loss in one pass": {"share_prompt": False, "head_impl": "auto"},
    "kernels: prompt shared, loss in one pass": {"share_prompt": True, "head_impl": "auto"},
}
STAGES: dict[str, Callable[..., RLStage]] = {
    "dr_sapo": DrSapo,
    "grpo with a reference and importance weights": lambda policy, **settings: Grpo(
        policy, Objective("grpo", kl_coef=0.04, is_cap=2.0), reference="base", **settings
    ),
}
ENGINES = {"in-process": HFEngine}
"""Whose tokens a second are measured; an engine of another process takes part with a line here."""


@dataclass(frozen=True)
class Sizes:
    """Of the model and of the work; the defaults are Qwen2-Audio-7B's sizes and a 30 s clip."""

    tower: dict
    text: dict
    window_s: int = 30
    prompts: int = 4
    group: int = 8
    tokens: int = 128
    pairs: int = 1
    """Of rollout cycles of each variant that are measured, after one that warms up."""


FULL = Sizes(
    tower={},
    text={
        "vocab_size": 156032,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
    },
)
DRY = Sizes(
    tower={"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64},
    text={
        "vocab_size": 700,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    },
    window_s=2,
    prompts=2,
    group=3,
    tokens=6,
    pairs=1,
)


class RandomWeights(Qwen2Audio):
    """A model of the given sizes, made on the device it will run on."""

    def __init__(self, path: str, sizes: Sizes, device: str, **settings) -> None:
        super().__init__(path, **settings)
        self.sizes, self.where = sizes, device

    def read_folder(self, path: str, dtype: torch.dtype):
        corpus = ["They did the test again.", "Say what you hear and answer."]
        tokenizer = train_tokenizer(corpus, vocab_size=400)
        extractor = WhisperFeatureExtractor(
            feature_size=128, chunk_length=self.sizes.window_s, return_attention_mask=True
        )
        extractor.save_pretrained(path)  # the length of the window is read from there
        config = Qwen2AudioConfig(
            audio_config={
                "model_type": "qwen2_audio_encoder",
                "max_source_positions": 50 * self.sizes.window_s,
                **self.sizes.tower,
            },
            text_config={"model_type": "qwen2", "pad_token_id": tokenizer.pad_token_id, **self.sizes.text},
            audio_token_index=tokenizer.audio_token_id,
        )
        with torch.device(self.where):
            model = Qwen2AudioForConditionalGeneration._from_config(config, dtype=dtype, attn_implementation="sdpa")
        model.model.audio_tower.embed_positions.requires_grad_(False)
        return own_length(model), Qwen2AudioProcessor(extractor, tokenizer, chat_template=tokenizer.chat_template)


class Noise:
    """A reward that says nothing: random text earns no other, and equal rewards would leave nothing to train."""

    def score(self, answers) -> Scores:
        return Scores(torch.rand(len(answers)), {})


class HearsAgain(Controller):
    """Every completion hears the first second of its clip again behind its second token."""

    def begin(self, policy, inputs, group_size) -> None:
        self.excerpts = [Excerpt(clip[: policy.sampling_rate]) for clip in inputs]
        self.group_size, self.drawn = group_size, 0

    def after(self, tokens, logprobs, rows):
        self.drawn += 1
        return {row: [self.excerpts[row // self.group_size]] for row in rows.tolist()} if self.drawn == 2 else {}


class Turns(pl.Callback):
    """Rollout cycles with one variant after the other: seconds of each step and of its parts, peak memory."""

    def __init__(self, on_gpu: bool, variants: dict[str, dict]) -> None:
        self.on_gpu, self.variants = on_gpu, variants
        self.turn = itertools.cycle(variants)
        self.seconds = {name: [] for name in variants}
        self.parts = {name: {"rollout": [], "score": []} for name in variants}
        self.peaks = {name: [] for name in variants}

    def watched(self, part: str, call: Callable) -> Callable:
        """`call`, its seconds noted for the variant whose turn it is."""

        def timed(*args, **kwargs):
            start = self.now()
            result = call(*args, **kwargs)
            self.parts[self.name][part].append(self.now() - start)
            return result

        return timed

    def now(self) -> float:
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_batch_start(self, trainer, stage, batch, batch_idx) -> None:
        if batch_idx % stage.steps_per_batch == 0:
            self.name = next(self.turn)
            self.seconds[self.name].append([])
            for switch, value in self.variants[self.name].items():
                setattr(stage.policy, switch, value)
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self.start = self.now()

    def on_train_batch_end(self, trainer, stage, outputs, batch, batch_idx) -> None:
        self.seconds[self.name][-1].append(self.now() - self.start)
        if self.on_gpu:
            self.peaks[self.name].append(torch.cuda.max_memory_allocated() / 1e9)

    def on_train_end(self, trainer, stage) -> None:
        self.apart = logprobs_apart(stage)

    def summary(self) -> dict:
        """Medians, the first cycle of each variant left out. The last step of a cycle samples nothing: an update.

        `score_s` is what the loss compares with: the reference, and the policy before the update.
        """
        found = {}
        for name, cycles in self.seconds.items():
            found[name] = {
                "update_s": median(cycle[-1] for cycle in cycles[1:]),
                "cycle_s": median(sum(cycle) for cycle in cycles[1:]),
                "peak_gb": max(self.peaks[name]) if self.peaks[name] else None,
                "cycles": [[round(s, 4) for s in cycle] for cycle in cycles],
            }
            found[name] |= {f"{part}_s": median(times[1:]) for part, times in self.parts[name].items()}
        return found


def clips(sizes: Sizes) -> list[Clip]:
    random = np.random.default_rng(0)
    waves = [0.1 * random.standard_normal(16000 * sizes.window_s, dtype=np.float32) for _ in range(sizes.prompts)]
    return [
        Clip(Example(f"noise-{i}", Path("noise"), "rl", "noise", "noise", "nobody", "neutral"), wave)
        for i, wave in enumerate(waves)
    ]


def measure(dry_run: bool) -> dict:
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    sizes, device = (DRY, "cpu") if dry_run else (FULL, "cuda")
    pl.seed_everything(0, verbose=False)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text("{}")  # the weights are made, not read
        policy = RandomWeights(
            folder,
            sizes,
            device,
            dtype="float32" if dry_run else "bfloat16",
            train_audio_tower=False,
            lora=Lora(),
            gradient_checkpointing=not dry_run,
        ).load()
    found, ours = {}, {name: VARIANTS[name] for name in list(VARIANTS)[-1:]}
    for name, kind in STAGES.items():
        stage = kind(policy, group_size=sizes.group, sampling=Sampling(max_new_tokens=sizes.tokens), reward=Noise())
        found[name] = steps(stage, sizes, Turns(not dry_run, VARIANTS if kind is DrSapo else ours))
    return {
        "model": f"{sum(p.numel() for p in policy.parameters()) / 1e9:.2f} billion random parameters, {policy.dtype_name}",
        "device": torch.cuda.get_device_name() if device == "cuda" else "CPU (dry run: the figures mean nothing)",
        "flash_attn": importlib.util.find_spec("flash_attn") is not None,
        "work": f"{sizes.prompts} prompts of {stage.rollouts.prompts.input_ids.shape[1]} tokens, {sizes.group} "
        f"completions of up to {sizes.tokens} each, {stage.updates_per_rollout} updates a cycle, LoRA",
        "variants": found["dr_sapo"]["variants"],
        "logprobs_apart": found["dr_sapo"]["apart"],
        "stages": {name: of_stage["variants"] for name, of_stage in found.items()},
        "rollouts": rollouts(policy, sizes),
    }


def steps(stage: RLStage, sizes: Sizes, turns: Turns) -> dict:
    """A fit of so many cycles of each variant."""
    stage.sample, stage.compare = turns.watched("rollout", stage.sample), turns.watched("score", stage.compare)
    count = stage.updates_per_rollout * len(turns.variants) * (1 + sizes.pairs)
    pl.Trainer(
        accelerator="gpu" if turns.on_gpu else "cpu",
        devices=1,
        max_steps=count,
        callbacks=[turns],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(stage, DataLoader([ClipBatch(clips(sizes))] * count, batch_size=None))
    return {"variants": turns.summary(), "apart": turns.apart}


def rollouts(policy: RandomWeights, sizes: Sizes) -> dict[str, dict[str, float]]:
    """Sampled tokens a second of every engine: the prompt shared and repeated, and with a clip that is heard again."""
    ways = {"": (True, []), ", prompt repeated": (False, []), ", one second heard again": (True, [HearsAgain()])}
    batch, found = clips(sizes), {}
    for name, kind in ENGINES.items():
        for way, (policy.share_prompt, controllers) in ways.items():
            start = time.perf_counter()
            said = kind().sample(
                policy,
                batch,
                ["direct"] * len(batch),
                Sampling(max_new_tokens=sizes.tokens),
                sizes.group,
                controllers=controllers,
            )
            tokens = int(said.completions.mask.sum())  # waits for the device
            seconds = time.perf_counter() - start
            clip_count = sum(said.completions.clip_counts)
            found[name + way] = {"tokens": tokens, "tokens_a_second": tokens / seconds, "clips_heard_again": clip_count}
    return found


@torch.no_grad()
def logprobs_apart(stage: RLStage) -> float:
    """Between the variants, on the last rollout."""
    found = []
    for switches in VARIANTS.values():
        for switch, value in switches.items():
            setattr(stage.policy, switch, value)
        rollouts = stage.rollouts
        found.append(
            stage.policy.token_logprobs(
                rollouts.prompts, rollouts.completions, stage.sampling.temperature, stage.group_size
            ).logprobs
        )
    return max((one - found[0]).abs().max().item() for one in found[1:])
