"""Settings that two of policy, data, stage and trainer each have: compared before the first step, all in one place.

What is wrong in one of them alone is refused by its constructor; a line of a manifest that can not be used is refused
by `Stage.check`, by file and line.
"""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.rank_zero import rank_zero_warn

from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import PromptBudget
from cogrl.progress import progress
from cogrl.ranks import patiently_gathered, place
from cogrl.rewards.composite import Reward, WeightedSum
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rollout.controller import Controller, segment_rules
from cogrl.types import Example

_LONGEST = 50
"""So many of the longest targets are turned into tokens: the longest text is not always the one of most tokens."""


def compare(stage: Any, trainer: pl.Trainer) -> None:
    """Raises ValueError with every disagreement that would spoil this run; warns of what may be intended."""
    data, fits = trainer.datamodule, trainer.state.fn == TrainerFn.FITTING
    found = [sampling_rates(getattr(data, "sampling_rate", None), stage.policy), encoders(stage)]
    found += evidence_rates(stage.reward, stage.policy)
    if fits:
        found += rules_of_terms(stage.reward, stage.controllers)
        found += [
            parts(getattr(data, "batch_size", None), stage.parts_per_batch),
            accumulation(trainer.callbacks, stage.steps_per_batch),
            precision(trainer.precision, stage.policy.dtype_name),
        ]
        warning = cut_answers(stage.prompt_budget, stage.examples("train"), stage.sampling.max_new_tokens)
        if warning:
            rank_zero_warn(warning)
    wrong = [sentence for sentence in found if sentence]
    if wrong:
        raise ValueError("\n".join(wrong))


def sampling_rates(data_rate: int | None, policy: AudioLM) -> str | None:
    """Samples at one rate, read as if they were at another, play too fast or too slow."""
    if data_rate in (None, policy.sampling_rate):
        return None
    return (
        f"data.sampling_rate={data_rate}, but this policy hears {policy.sampling_rate} Hz and would take every clip at "
        f"{policy.sampling_rate / data_rate:g} times its speed; set data.sampling_rate: {policy.sampling_rate}, and "
        "data.convert: true to resample files of another rate"
    )


def encoders(stage: Any) -> str | None:
    """Where weights are sharded all ranks run the encoder together; one that knows its clips would not come."""
    together = stage.sharding is not None and stage.sharding.together
    if not together or getattr(stage.policy, "kept_states", None) is None:
        return None
    return (
        "policy.keep_states_mb lets a rank leave out its encoder for clips that it knows, but under "
        f"{type(stage.trainer.strategy).__name__} all ranks run it together; leave keep_states_mb out, or train "
        "under DDP"
    )


def evidence_rates(reward: Reward, policy: AudioLM) -> list[str]:
    """Evidence measures the waveforms that the policy hears; at another rate pitch and times would be wrong."""
    terms = reward.terms.items() if isinstance(reward, WeightedSum) else ()
    rates = {name: getattr(getattr(term, "evidence", None), "sampling_rates", frozenset()) for name, term in terms}
    return [
        f"the evidence of reward term {name!r} takes clips to be of {sorted(found)} Hz, but this policy hears "
        f"{policy.sampling_rate} Hz; set its sampling_rate: {policy.sampling_rate}"
        for name, found in rates.items()
        if found - {policy.sampling_rate}
    ]


def rules_of_terms(reward: Reward, controllers: Sequence[Controller]) -> list[str]:
    """A term that counts inserted segments is 0 for ever where nothing inserts any, and one that counts what is cited
    would pay for tags that the controller takes for none."""
    terms = reward.terms.items() if isinstance(reward, WeightedSum) else ()
    counted = {name: getattr(term, "segments", None) for name, term in terms}
    segments = {name: found for name, found in counted.items() if isinstance(found, CountedSegments)}
    inserting, rules = any(controller.rules for controller in controllers), segment_rules(controllers)
    return [
        f"reward term {name!r} counts inserted segments, and there is no controller to insert any; add "
        "--config configs/controllers/relisten.yaml, or set its segments.of to cited"
        for name, found in segments.items()
        if found.of == "inserted" and not controllers
    ] + [
        f"reward term {name!r} reads cited segments by {found.rules}, the controller by {rules}; give both the "
        "same rules"
        for name, found in segments.items()
        if found.of == "cited" and inserting and found.rules != rules
    ]


def parts(batch_size: int | None, count: int) -> str | None:
    """A batch is split into equal parts of whole groups, so that the mean over one is the mean over all."""
    if batch_size is None or batch_size % count == 0:
        return None
    return (
        f"data.batch_size={batch_size} prompts can not be split into {count} equal micro-batches (updates_per_rollout "
        f"/ passes * accumulate_grad_batches); make data.batch_size a multiple of {count}"
    )


def accumulation(callbacks: Sequence[pl.Callback], steps_per_batch: int) -> str | None:
    """A rollout is split into as many micro-batches as its updates accumulate; that number must not change in a run."""
    if steps_per_batch == 1 or not any(isinstance(callback, GradientAccumulationScheduler) for callback in callbacks):
        return None
    return (
        "GradientAccumulationScheduler changes trainer.accumulate_grad_batches during the run, and with it how many "
        "micro-batches a rollout is split into; leave the callback out and set trainer.accumulate_grad_batches"
    )


def precision(trainer: str, policy: str) -> str | None:
    """The trainer's precision must keep the weights in `policy.dtype` and be able to train them."""
    if trainer == "16-mixed" and policy == "float16":
        return (
            "trainer.precision=16-mixed scales the gradients of float32 weights, policy.dtype is float16; set "
            "policy.dtype: float32"
        )
    whole = {"16-true": "float16", "bf16-true": "bfloat16"}.get(trainer)
    if whole in (None, policy) or policy not in ("float16", "bfloat16"):
        return None
    return (
        f"trainer.precision={trainer} would turn the weights into {whole}, policy.dtype is {policy}; set policy.dtype: "
        f"{whole}, or another trainer.precision"
    )


def cut_answers(budget: PromptBudget, examples: Sequence[Example], max_new_tokens: int) -> str | None:
    """A policy that learns targets longer than `max_new_tokens` is cut off when it is sampled.

    Collective: each rank reads its share of the lines.
    """
    rank, ranks = place()
    share: Iterable[int] = range(rank, len(examples), ranks)
    share = progress(share, "lengths of targets", unit="line") if rank == 0 else share
    texts = ((text, example) for example in map(examples.__getitem__, share) for text in example.targets.values())
    longest = heapq.nlargest(_LONGEST, texts, key=lambda pair: len(pair[0]))
    own = max(((budget.answer(text), example.where) for text, example in longest), default=(0, ""))
    tokens, where = max(patiently_gathered(own))
    if tokens <= max_new_tokens:
        return None
    return (
        f"a target of {tokens} tokens ({where}) is longer than sampling.max_new_tokens={max_new_tokens}: answers of "
        "that length are cut when they are sampled, so in RL, test and predict; raise sampling.max_new_tokens"
    )
