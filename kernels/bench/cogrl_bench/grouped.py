"""A training pass on groups of completions of one audio prompt: shared prefix and one-pass head beside the plain pass.

The model is of the real Qwen2-Audio class with its 30 s window, small and untrained. Every pass runs forward, SAPO loss
(arXiv:2511.20347) and backward through everything, the audio tower included. All completions have the same length, so
that nothing is won by leaving padding out. `python -m cogrl_bench.grouped --help`
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from torch import Tensor

from cogrl.markdown import markdown_table
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.whisper_tower import own_length
from cogrl.types import Completions, Prompts
from cogrl_bench import memory, timing

FRAMES, AUDIO_TOKENS = 1500, 750
"""Of 30 s of audio: positions in the encoder, and what the decoder hears of them."""
AUDIO_ID = 0
CONFIG = PolicyLossConfig(kind="sapo")


@dataclass(frozen=True)
class Setting:
    """A group of `group` completions of `completion` tokens for each prompt, and the sizes of the model."""

    completion: int = 150
    group: int = 8
    prompts: int = 1
    text: int = 26
    vocab: int = 8192
    width: int = 384
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    intermediate: int = 1024
    tower_width: int = 256
    tower_layers: int = 3
    seed: int = 0

    @property
    def prompt(self) -> int:
        return AUDIO_TOKENS + self.text


@dataclass(frozen=True)
class Problem:
    """The model and the groups, whose old log-probabilities lie a little off the policy's."""

    policy: Qwen2Audio
    prompts: Prompts
    completions: Completions
    old_logprobs: Tensor
    advantages: Tensor
    cu_seqlens: Tensor
    group_size: int


def problem(setting: Setting) -> Problem:
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "d_model": setting.tower_width,
            "encoder_layers": setting.tower_layers,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 4 * setting.tower_width,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": setting.vocab,
            "hidden_size": setting.width,
            "intermediate_size": setting.intermediate,
            "num_hidden_layers": setting.layers,
            "num_attention_heads": setting.heads,
            "num_key_value_heads": setting.kv_heads,
        },
        audio_token_index=AUDIO_ID,
    )
    torch.manual_seed(setting.seed)
    policy = Qwen2Audio("made here")
    policy.model = own_length(Qwen2AudioForConditionalGeneration(config).train())
    policy.markers = (), ()  # there is no tokenizer, so none is barred
    p, rows = setting.prompts, setting.prompts * setting.group
    ids = torch.cat([torch.full((p, AUDIO_TOKENS), AUDIO_ID), torch.randint(1, setting.vocab, (p, setting.text))], 1)
    mels = torch.randn(p, config.audio_config.num_mel_bins, 2 * FRAMES)
    audio = {"input_features": mels, "feature_attention_mask": torch.ones(p, 2 * FRAMES, dtype=torch.long)}
    targets = torch.randint(1, setting.vocab, (rows, setting.completion))
    completions = Completions.from_mask(targets, torch.ones_like(targets, dtype=torch.bool))
    old = torch.full((targets.numel(),), -torch.tensor(setting.vocab).log()) + 0.3 * torch.randn(targets.numel())
    bounds = torch.arange(rows + 1) * setting.completion
    prompts = Prompts(ids, torch.ones_like(ids), audio)
    return Problem(policy, prompts, completions, old, torch.randn(rows), bounds, setting.group)


def repeated_logprobs(policy: Qwen2Audio, prompts: Prompts, targets: Tensor, only_completions: bool = False) -> Tensor:
    """Log-probabilities of `targets` (b, t), flat, with audio and prompt repeated for each row, and `log_softmax`.

    The model's own forward makes logits of every position; with `only_completions` just those that are needed.
    """
    prompts, model = prompts.select(torch.arange(len(targets)) // (len(targets) // len(prompts))), policy.model
    inputs = {
        "input_ids": torch.cat([prompts.input_ids, targets], 1),
        "attention_mask": torch.cat([prompts.attention_mask, torch.ones_like(targets)], 1),
        "use_cache": False,
        **prompts.audio,
    }
    predicting = slice(prompts.input_ids.shape[1] - 1, -1)
    if only_completions:
        logits = model.lm_head(model.model(**inputs).last_hidden_state[:, predicting])
    else:
        logits = model(**inputs).logits[:, predicting]
    return (logits + policy.head.bias).log_softmax(-1).gather(2, targets[..., None]).flatten()


def hugging_face(given: Problem, only_completions: bool) -> tuple[Tensor, Tensor]:
    """Loss and log-probabilities of repeated prompts."""
    logprobs = repeated_logprobs(given.policy, given.prompts, given.completions.ids, only_completions)
    old, impl = given.old_logprobs, "reference"
    out = policy_loss(logprobs, given.advantages, given.cu_seqlens, config=CONFIG, old_logprobs=old, impl=impl)
    return out.loss, logprobs.detach()


def shared(given: Problem) -> tuple[Tensor, Tensor]:
    """Ours: audio and prompt once, the loss's gradient made chunk by chunk of the logits."""
    policy = given.policy
    states = policy.token_states(given.prompts, given.completions, given.group_size)
    out = linear_policy_loss(
        states.hidden,
        policy.head.weight,
        given.completions.ids.flatten(),
        given.advantages,
        given.cu_seqlens,
        config=CONFIG,
        rows=states.rows,
        bias=policy.head.bias,
        old_logprobs=given.old_logprobs,
    )
    return out.loss, out.logprobs


PASSES: dict[str, Callable[[Problem], tuple[Tensor, Tensor]]] = {
    "plain": partial(hugging_face, only_completions=False),
    "plain, completion logits only": partial(hugging_face, only_completions=True),
    "shared prefix": shared,
}
OURS = "shared prefix"


def train(given: Problem, name: str) -> tuple[dict[str, float], Tensor]:
    """Seconds of forward, backward and both, those of the processors (all threads), and the log-probabilities."""
    given.policy.zero_grad()
    marks, busy = [time.perf_counter()], time.process_time()
    loss, logprobs = PASSES[name](given)
    marks.append(time.perf_counter())
    loss.backward()
    marks.append(time.perf_counter())
    seconds = {"forward": marks[1] - marks[0], "backward": marks[2] - marks[1], "full": marks[2] - marks[0]}
    return seconds | {"cpu": time.process_time() - busy}, logprobs


def gradients(given: Problem) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in given.policy.named_parameters() if p.grad is not None}


def relative(found: dict[str, Tensor], true: dict[str, Tensor]) -> float:
    """The largest relative difference of a parameter's gradient; tiny ones are measured against a thousandth of all."""
    if found.keys() != true.keys():
        raise RuntimeError(f"parameters without a gradient on one side: {sorted(found.keys() ^ true.keys())}")
    floor = 1e-3 * torch.stack([g.norm() for g in true.values()]).norm()
    return max(float((found[name] - g).norm() / torch.maximum(g.norm(), floor)) for name, g in true.items())


def measure(setting: Setting, rounds: int = 3, with_memory: bool = True) -> dict:
    """Medians of interleaved rounds and of their ratios, peak memory, and differences; ready for JSON."""
    given = problem(setting)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in PASSES}
    found: dict[str, dict] = {name: {} for name in PASSES}
    with timing.quiet_collector():
        for number in range(rounds + 1):  # the first warms up, and is compared
            for name in PASSES:
                seconds, logprobs = train(given, name)
                if number:
                    times[name].append(seconds)
                elif name == "plain":
                    values, true = logprobs, gradients(given)
                else:
                    apart = float((logprobs - values).abs().max())
                    found[name] = {"logprobs_apart": apart, "gradients_apart": relative(gradients(given), true)}
                gc.collect(0)
    peaks = {name: peak_mb(setting, name) for name in PASSES} if with_memory else {}
    for name, row in found.items():
        for what in ("forward", "backward", "full", "cpu"):
            row[f"{what}_s"] = timing.quantiles([seconds[what] for seconds in times[name]]).p50
        for what in ("full", "cpu"):
            own, theirs = ([seconds[what] for seconds in times[n]] for n in (OURS, name))
            row[f"times_{what}"] = timing.ratio(own, theirs)
        if peaks:
            row |= {"peak_mb": peaks[name], "times_peak": peaks[name] / peaks[OURS]}
    sizes = asdict(setting) | {"prompt": setting.prompt, "rounds": rounds, "threads": torch.get_num_threads()}
    return {"setting": sizes, "parameters": parameters(given), "ideal": ideal(setting, given), "passes": found}


def parameters(given: Problem) -> dict[str, int]:
    """Of each part, that a token or frame runs through."""
    parts = {"tower": given.policy.audio_tower, "decoder": given.policy.decoder.layers}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def ideal(setting: Setting, given: Problem) -> dict[str, float]:
    """How many times less there is to compute: tokens in the decoder, and positions weighted by the parameters."""
    prompt, fed, g, size = setting.prompt, setting.completion - 1, setting.group, parameters(given)
    repeated, packed = g * (prompt + fed), prompt + g * fed
    tower = FRAMES * size["tower"]
    whole = (repeated * size["decoder"] + g * tower) / (packed * size["decoder"] + tower)
    return {"decoder": repeated / packed, "with_tower": whole}


def peak_mb(setting: Setting, name: str) -> float:
    """Resident memory at the peak of the first pass in a fresh process, beyond the loaded model; MB of 2^20 bytes."""
    path = os.pathsep.join([folder for folder in sys.path if folder])
    command = [sys.executable, "-m", "cogrl_bench.grouped", "--peak-of", name, json.dumps(asdict(setting))]
    environment = os.environ | memory.AT_ONCE | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


_COLUMNS = (
    "C",
    "pass",
    "forward, s",
    "backward, s",
    "full, s",
    "processor, s",
    "ideal: tokens, with tower",
    "peak, MB",
)
_COLUMNS += ("largest difference: log-probs, gradients",)


def markdown(results: list[dict]) -> str:
    """One table for all completion lengths; brackets say how many times ours it is."""
    first, size = results[0]["setting"], results[0]["parameters"]
    about = (
        f"Tower {size['tower'] / 1e6:.1f} M parameters ({FRAMES} frames), decoder {size['decoder'] / 1e6:.1f} M, "
        f"vocabulary {first['vocab']}; G = {first['group']}, P = {first['prompt']}; fp32, {first['threads']} CPU "
        f"thread(s), torch {torch.__version__}; medians of {first['rounds']} interleaved rounds.\n"
    )
    rows = []
    for result in results:
        for name, row in result["passes"].items():
            cells = [str(result["setting"]["completion"]), name, f"{row['forward_s']:.2f}", f"{row['backward_s']:.2f}"]
            cells += [f"{row[f'{what}_s']:.2f} ({row[f'times_{what}']:.2f}x)" for what in ("full", "cpu")]
            cells.append(f"{result['ideal']['decoder']:.2f}x, {result['ideal']['with_tower']:.2f}x")
            cells.append(f"{row['peak_mb']:.0f} ({row['times_peak']:.2f}x)" if "peak_mb" in row else "")
            apart = (row["logprobs_apart"], row["gradients_apart"]) if name != "plain" else None
            cells.append(f"{apart[0]:.0e}, {apart[1]:.0e}" if apart else "the measure")
            rows.append(cells)
    return f"{about}\n{markdown_table(_COLUMNS, rows)}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("cogrl_bench.grouped", description=__doc__)
    parser.add_argument("--completion", nargs="+", type=int, default=[64, 150], help="tokens a completion")
    parser.add_argument("--group", type=int, default=8, help="completions of the prompt (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds after one that warms up")
    parser.add_argument("--no-memory", action="store_true", help="skip peak memory (a process for each figure)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--peak-of", nargs=2, metavar=("PASS", "SETTING"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.peak_of:
        name, setting = options.peak_of
        given = problem(Setting(**json.loads(setting)))
        print(memory.resident_peak_mb(lambda: train(given, name)))
        return
    settings = [Setting(completion=n, group=options.group) for n in options.completion]
    results = [measure(setting, options.rounds, not options.no_memory) for setting in settings]
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
