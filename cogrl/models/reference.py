"""The frozen policy that a KL penalty holds the trained one to: the policy without its adapters, or one of a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import same_encoder
from cogrl.models.folder import model_type_of
from cogrl.models.saved import FAMILIES, saved_policy
from cogrl.models.teacher import teaching
from cogrl.types import Rollouts

BASE = "base"


class Reference:
    """Log-probabilities under a policy that does not train.

    No `nn.Module`, so that a stage that holds one has none of its weights among its own: they are not optimised, not
    sharded and not part of any checkpoint or export. Each process keeps a copy and moves it to where the policy is.

    Args:
        source: "base", the policy without its adapters, or a Hugging Face folder of the same family and vocabulary.

    Raises ValueError for "base" where there are no adapters.
    """

    def __init__(self, source: str, policy: AudioLM) -> None:
        if source == BASE and policy.lora is None:
            raise ValueError(
                "reference: base is the policy without its adapters, and this one has none: train adapters "
                "(policy.lora), or give the folder of a frozen policy, such as that of policy.path"
            )
        self.source, self.policy = source, policy
        self.frozen: AudioLM | None = None

    def check(self) -> None:
        """Before any data or weights are read. Raises FileNotFoundError for a folder without a model."""
        if self.source != BASE:
            refuse_no_folder(self.source)

    def load(self) -> None:
        """Read the weights, once. The policy must have its own.

        Raises ValueError when "base" would move with the policy, or when the folder holds a model with another
        tokenizer or feature extractor than the policy's; FileNotFoundError when it holds none.
        """
        if self.source == BASE:
            refuse_moving_base(self.policy)
        elif self.frozen is None:
            self.frozen = frozen_policy(self.source, self.policy)

    @contextmanager
    def policies(self) -> Iterator[AudioLM]:
        """The frozen policy on the device of the trained one, without gradients and dropout."""
        if self.source == BASE:
            with teaching(self.policy) as base:
                yield base
        else:
            with torch.no_grad():
                yield self.frozen.to(self.policy.device)

    def logprobs(self, rollouts: Rollouts, temperature: float, groups: int) -> Float[Tensor, "b t"]:
        """Of the sampled tokens, 0 elsewhere; at most so many groups are in memory at once."""
        with self.policies() as policy:
            return logprobs_of(policy, rollouts, temperature, groups)


@torch.no_grad()
def logprobs_of(policy: AudioLM, rollouts: Rollouts, temperature: float, groups: int) -> Float[Tensor, "b t"]:
    """Log-probabilities of the sampled tokens as an update would compute them; so many groups are scored at once."""
    was_training = policy.training
    policy.eval()
    parts = [rollouts.groups(index.tolist()) for index in torch.arange(len(rollouts.clips)).split(groups)]
    found = [
        policy.token_logprobs(part.prompts, part.completions, temperature, part.group_size).logprobs for part in parts
    ]
    policy.train(was_training)
    return torch.cat(found)


def refuse_moving_base(policy: AudioLM) -> None:
    """ValueError when more than the adapters train: without them the policy would not be what it was."""
    moving = [name for name, p in policy.named_parameters() if p.requires_grad and ".lora_" not in name]
    if moving:
        raise ValueError(
            f"reference: base is the policy without its adapters, but {len(moving)} other tensors train too, such as "
            f"{moving[0]}; freeze them (policy.train_audio_tower: false, no policy.lora.in_full, emotion.train: false) "
            "or give the folder of a frozen policy"
        )


def frozen_policy(path: str, policy: AudioLM) -> AudioLM:
    """The policy of a folder, in the dtype of `policy` and computed the same way. Raises as `Reference.load` does."""
    refuse_no_folder(path)
    family = FAMILIES.get(model_type_of(path))
    if family is None or not isinstance(policy, family):
        raise ValueError(
            f"reference={path!r} holds a model of type {model_type_of(path)!r}, which is no {type(policy).__name__} as "
            "the policy is; give a folder of the same family"
        )
    frozen = saved_policy(path, policy.dtype_name).requires_grad_(False).eval()
    frozen.share_prompt, frozen.head_impl = policy.share_prompt, policy.head_impl
    differences = {
        "vocabulary": policy.tokenizer.get_vocab() != frozen.tokenizer.get_vocab()
        or policy.vocab_size != frozen.vocab_size,
        "feature extractor": policy.processor.feature_extractor.to_dict()
        != frozen.processor.feature_extractor.to_dict(),
        "emotion encoder": not same_emotion(policy, frozen),
    }
    different = [name for name, differs in differences.items() if differs]
    if different:
        raise ValueError(
            f"reference={path!r} has another {' and '.join(different)} than the policy, so it would score other tokens "
            "or hear another clip; give a folder made of the same base model"
        )
    return frozen


def refuse_no_folder(path: str) -> None:
    """FileNotFoundError for a reference that is no folder of a model."""
    if not (Path(path) / "config.json").is_file():
        raise FileNotFoundError(
            f"reference={path!r} holds no config.json; give the Hugging Face folder of a frozen policy, or {BASE!r}"
        )


def same_emotion(policy: AudioLM, frozen: AudioLM) -> bool:
    """Whether the emotion module of `frozen`, if it has one, takes the embeddings that the policy's encoder makes."""
    theirs, mine = (getattr(p, "emotion", None) for p in (frozen, policy))
    return theirs is None or (mine is not None and same_encoder(mine.encoder, theirs.encoder))
