"""Completions of audio prompts, and the GRPO step that learns from them, beside the plain loop around `generate`.

The plain loop is what trainers around a Hugging Face model do: `generate` with audio and prompt repeated for every
completion, all logits and `log_softmax` under the reference and under the policy, then the loss. The model is that of
`cogrl_bench.grouped`, with weights large enough that greedy tokens are not all the same. Completions have one length:
nothing is won by leaving padding out or by rows that end. `python -m cogrl_bench.rollout --help`
"""

import argparse
import copy
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from cogrl_kernels.linear_policy_loss import linear_policy_loss
from cogrl_kernels.policy_loss import PolicyLossConfig, policy_loss
from torch import Tensor

from cogrl.markdown import markdown_table
from cogrl.models.end_tokens import EndTokens
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout import HFEngine, Sampling
from cogrl.types import Completions
from cogrl_bench import grouped, timing

CONFIG = PolicyLossConfig(kind="grpo", kl_coef=0.04)
SHARPER = 4.0


@dataclass(frozen=True)
class Problem:
    """Groups to be sampled and learnt from, and the frozen reference, whose weights are a little other ones."""

    group: grouped.Problem
    reference: Qwen2Audio

    @property
    def policy(self) -> Qwen2Audio:
        return self.group.policy

    @property
    def size(self) -> tuple[int, int]:
        """Completions in all, and tokens of each."""
        return self.group.completions.ids.shape


def problem(setting: grouped.Setting) -> Problem:
    given = grouped.problem(setting)
    policy = given.policy.eval()
    policy.ends = EndTokens((), "")  # every completion is as long as it may be
    policy.processor = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=grouped.AUDIO_ID))
    with torch.no_grad():
        for name, parameter in policy.decoder.named_parameters():
            parameter.mul_(SHARPER if name.endswith("proj.weight") else 1.0)
    reference = copy.deepcopy(policy).requires_grad_(False)
    with torch.no_grad():
        for parameter in reference.decoder.parameters():
            parameter.mul_(1 + 0.01 * torch.randn_like(parameter))
    return Problem(given, reference)


@torch.no_grad()
def generated(given: Problem) -> Tensor:
    """Greedy tokens (b, t) by `generate`, which refuses more than one greedy sequence: one token to choose from."""
    prompts, tokens = given.group.prompts, given.size[1]
    found = given.policy.model.generate(
        input_ids=prompts.input_ids,
        attention_mask=prompts.attention_mask,
        **prompts.audio,
        do_sample=True,
        top_k=1,
        num_return_sequences=given.group.group_size,
        max_new_tokens=tokens,
        suppress_tokens=[grouped.AUDIO_ID],
        eos_token_id=None,
        pad_token_id=grouped.AUDIO_ID,
    )
    return found[:, prompts.input_ids.shape[1] :]


def sampled(given: Problem, share: bool = True) -> tuple[Completions, Tensor]:
    """Greedy completions by the engine, and their log-probabilities."""
    given.policy.share_prompt = share
    sampling = Sampling(greedy=True, max_new_tokens=given.size[1])
    transcript = HFEngine().complete(given.policy, given.group.prompts, sampling, given.group.group_size)
    given.policy.share_prompt = True
    return transcript.completions()


def plain_step(given: Problem) -> tuple[Tensor, Tensor]:
    """Loss and log-probabilities of a whole step of the plain loop."""
    completions = Completions.from_mask(ids := generated(given), torch.ones_like(ids, dtype=torch.bool))
    with torch.no_grad():
        ref = grouped.repeated_logprobs(given.reference, given.group.prompts, completions.ids)
    logprobs = grouped.repeated_logprobs(given.policy, given.group.prompts, completions.ids)
    old, advantages, bounds = logprobs.detach(), given.group.advantages, given.group.cu_seqlens
    settings = {"config": CONFIG, "old_logprobs": old, "ref_logprobs": ref, "impl": "reference"}
    return policy_loss(logprobs, advantages, bounds, **settings).loss, old


def our_step(given: Problem) -> tuple[Tensor, Tensor]:
    """The same of ours: the engine's log-probabilities are the old ones."""
    completions, old = sampled(given)
    group = given.group
    with torch.no_grad():
        ref = given.reference.token_logprobs(group.prompts, completions, group_size=group.group_size).logprobs
    states = given.policy.token_states(group.prompts, completions, group.group_size)
    out = linear_policy_loss(
        states.hidden,
        given.policy.head.weight,
        completions.ids.flatten(),
        group.advantages,
        group.cu_seqlens,
        config=CONFIG,
        rows=states.rows,
        bias=given.policy.head.bias,
        old_logprobs=old.flatten(),
        ref_logprobs=ref.flatten(),
    )
    return out.loss, out.logprobs


def sampling(run: Callable[[Problem], Tensor]) -> Callable[[Problem], dict[str, Tensor]]:
    """A pass that samples, by what can be compared of it."""
    return lambda given: {"tokens": run(given)}


def learning(run: Callable[[Problem], tuple[Tensor, Tensor]]) -> Callable[[Problem], dict[str, Tensor]]:
    """A step with its backward pass, by what can be compared of it."""

    def step(given: Problem) -> dict[str, Tensor]:
        given.policy.zero_grad()
        loss, logprobs = run(given)
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in given.policy.parameters() if p.grad is not None])
        return {"logprobs": logprobs.detach(), "grad all": gradient}

    return step


PLAIN = "generate"
PASSES = {
    "rollout": {
        PLAIN: sampling(generated),
        "prompt repeated": sampling(lambda given: sampled(given, share=False)[0].ids),
        "shared": sampling(lambda given: sampled(given)[0].ids),
    },
    "grpo_step": {PLAIN: learning(plain_step), "shared": learning(our_step)},
}
"""By what is measured: sampling alone, and sampling, reference, loss and backward."""


def errors(found: dict[str, Tensor], true: dict[str, Tensor]) -> dict[str, float]:
    """The share of tokens that differ, the largest difference of a log-probability, the relative one of gradients."""
    sizes = {
        "tokens": lambda mine, plain: (mine != plain).double().mean(),
        "logprobs": lambda mine, plain: (mine.flatten() - plain.flatten()).abs().max(),
        "grad all": lambda mine, plain: (mine - plain).norm() / plain.norm(),
    }
    return {name: float(sizes[name](found[name], true[name])) for name in true}


def timed(given: Problem, runs: dict[str, Callable], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds and seconds of the processor, interleaved; each round begins with another pass."""
    found = {name: [] for name in runs}
    names = list(runs)
    with timing.quiet_collector():
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                gc.collect(0)
                wall, busy = time.perf_counter(), time.process_time()
                runs[name](given)
                found[name].append((time.perf_counter() - wall, time.process_time() - busy))
    return found


def measure(setting: grouped.Setting, rounds: int, only: list[str]) -> dict:
    """What is asked for, ready for JSON."""
    given, found = problem(setting), {}
    for what in only:
        runs = PASSES[what]
        outcomes = {name: run(given) for name, run in runs.items()}
        found[what] = {name: {"errors": errors(outcome, outcomes[PLAIN])} for name, outcome in outcomes.items()}
        if "tokens" in outcomes[PLAIN]:
            found[what][PLAIN]["different_tokens"] = len(outcomes[PLAIN]["tokens"].unique())
        times = timed(given, runs, rounds)
        for name, pairs in times.items():
            for number, kind in enumerate(("wall", "cpu")):
                own, plain = ([pair[number] for pair in times[n]] for n in (name, PLAIN))
                found[what][name][f"{kind}_s"] = timing.quantiles(own).p50
                found[what][name][f"times_{kind}"] = timing.ratio(own, plain)
            found[what][name]["rounds"] = [[round(x, 4) for x in pair] for pair in pairs]
    sizes = asdict(setting) | {"prompt": setting.prompt, "rounds": rounds, "threads": torch.get_num_threads()}
    return {"setting": sizes, "torch": torch.__version__, "passes": found}


def markdown(result: dict) -> str:
    """One table; brackets say how many times faster than the plain loop, by the median of the rounds' own ratios."""
    size, rows = result["setting"], []
    about = (
        f"G = {size['group']} completions of C = {size['completion']} tokens on each of {size['prompts']} prompt(s) of "
        f"{size['prompt']} positions (30 s of audio); fp32, {size['threads']} CPU thread(s), torch {result['torch']}; "
        f"medians of {size['rounds']} interleaved rounds.\n"
    )
    for what, passes in result["passes"].items():
        for name, row in passes.items():
            apart = ", ".join(f"{key} {value:.0e}" for key, value in row["errors"].items())
            cells = [f"{row[f'{kind}_s']:.2f} ({row[f'times_{kind}']:.2f}x)" for kind in ("wall", "cpu")]
            rows.append([what, name, *cells, "the measure" if name == PLAIN else apart])
    return (
        about + "\n" + markdown_table(("what", "pass", "wall, s", "processor, s", "differs from the plain loop"), rows)
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("cogrl_bench.rollout", description=__doc__)
    parser.add_argument("--completion", type=int, default=64, help="tokens a completion (default: %(default)s)")
    parser.add_argument("--group", type=int, default=8, help="completions of the prompt (default: %(default)s)")
    parser.add_argument("--prompts", type=int, default=1, help="groups (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(PASSES), default=list(PASSES), help="these (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds after one that warms up")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    setting = grouped.Setting(completion=options.completion, group=options.group, prompts=options.prompts)
    result = measure(setting, options.rounds, options.only)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(markdown(result))


if __name__ == "__main__":
    main()
