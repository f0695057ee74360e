"""A policy read from a folder alone, whatever its family: how the exports of stages are evaluated."""

from cogrl.finite import not_finite
from cogrl.models.any_audio_lm import AnyAudioLM
from cogrl.models.audio_flamingo import AudioFlamingo
from cogrl.models.audio_lm import AudioLM
from cogrl.models.audio_window import AudioWindow
from cogrl.models.emotion import EmotionSettings, holds_module
from cogrl.models.folder import model_type_of, refuse_another_family
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen3_omni import Qwen3Omni
from cogrl.models.qwen25_omni import Qwen25Omni
from cogrl.models.speak import SpeakSettings, holds_branch
from cogrl.models.voxtral import Voxtral

FAMILIES: dict[str, type[AudioLM]] = {
    kind: family
    for family in (Qwen2Audio, Qwen25Omni, Qwen3Omni, AudioFlamingo, Voxtral, AnyAudioLM)
    for kind in family.model_types
}
"""By the `model_type` in their `config.json`."""
WITH_EMOTION = (Qwen2Audio, Qwen25Omni)
"""The families that take an emotion module."""


def refuse_no_policy(path: str, option: str = "--policy") -> None:
    """FileNotFoundError or ValueError, beginning with `option`, when `saved_policy` could not read this folder."""
    refuse_another_family(path, FAMILIES, option)


def saved_policy(path: str, dtype: str = "float32") -> AudioLM:
    """The policy of a folder as a stage has left it: emotion module and Speak branch included. Weights are read.

    Raises what `refuse_no_policy` does, and ValueError for weights that are NaN or infinite.
    """
    refuse_no_policy(path)
    family = FAMILIES[model_type_of(path)]
    emotion = {"emotion": EmotionSettings()} if family in WITH_EMOTION and holds_module(path) else {}
    speech = SpeakSettings() if holds_branch(path) else None
    policy = family(path, dtype=dtype, speech=speech, **emotion).load()
    broken = not_finite(policy.named_parameters())
    if broken:
        raise ValueError(f"policy {path}: the weights are not finite: {broken}; take an earlier export")
    return policy


def saved_window(path: str) -> AudioWindow:
    """The audio window of the policy in a folder; no weights are read. Raises what `refuse_no_policy` does."""
    refuse_no_policy(path)
    return FAMILIES[model_type_of(path)].window_of(path)
