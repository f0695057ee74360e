"""What of a policy can be known before any data or weights are read: its folder, its files, where adapters would go."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from cogrl.codecs import read_codec
from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import encoder_class, refuse_silent_loss
from cogrl.models.folder import read_config, refuse_another_family
from cogrl.models.four_bit import pack_shapes, refuse_no_four_bit
from cogrl.models.pretrained import skeleton
from cogrl.models.speak import refuse_silent_branch


def check_policy(policy: AudioLM) -> None:
    """Raises what `AudioLM.load` would raise later, after the data were read.

    FileNotFoundError, NotADirectoryError or ValueError for a folder without a whole model of the policy's family, or
    an emotion encoder, a codec or a Speak branch that is not there or would be left out;
    ValueError for adapters that have nowhere to go; ModuleNotFoundError for a package that the settings need.
    """
    read_config(policy.path)
    if policy.speech is None:
        refuse_silent_branch(policy.path)
    elif policy.speech.settings.codec:
        read_codec(policy.speech.settings.codec, policy.speech.settings.codebooks)
    if policy.model_types:
        refuse_another_family(policy.path, policy.model_types, trusted=policy.trust_remote_code)
        emotion = getattr(policy, "emotion", None)
        if emotion is None:
            refuse_silent_loss(policy.path)
        elif emotion.settings.encoder:
            encoder_class(Path(emotion.settings.encoder))
    if policy.load_in_4bit:
        refuse_no_four_bit()
    if policy.lora is not None and policy.model_class is not None:
        policy.lora.check(without_weights(policy))


def without_weights(policy: AudioLM) -> nn.Module:
    """The modules of the policy's model with their names and shapes, on the device "meta"."""
    return skeleton(policy.path, policy.model_class)


def shapes_of(policy: AudioLM) -> AudioLM:
    """A copy of a policy that is not loaded, whose weights, adapters among them, have shapes alone (on "meta")."""
    copy = deepcopy(policy)
    copy.model = without_weights(policy).to(getattr(torch, policy.dtype_name))
    if policy.load_in_4bit:
        pack_shapes(copy.model, policy.lora)
    copy.mark_trained()
    return copy
