"""A policy as its own teacher: the language model as it was before the stage began."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from cogrl.models.audio_lm import AudioLM
from cogrl.models.lora import adapters_off


def base_is_frozen(policy: AudioLM) -> bool:
    """Whether the policy's language model stays what it was while the policy trains."""
    return policy.lora is not None or not policy.train_language_model


@contextmanager
def teaching(policy: AudioLM) -> Iterator[AudioLM]:
    """The policy without adapters, without gradients and without dropout: the frozen text model of the policy."""
    was_training = policy.training
    policy.eval()
    try:
        with torch.no_grad():
            if policy.lora is None:
                yield policy
            else:
                with adapters_off(policy.model):
                    yield policy
    finally:
        policy.train(was_training)
