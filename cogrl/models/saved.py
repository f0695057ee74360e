"""A policy out of a folder alone, whatever its family: how stages' exports are evaluated and asked."""

from cogrl.models import qwen2_audio, qwen25_omni
from cogrl.models.audio_lm import AudioLM
from cogrl.models.audio_window import AudioWindow, read_window
from cogrl.models.emotion import EmotionSettings, holds_module
from cogrl.models.folder import model_type_of, refuse_another_family
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen25_omni import Qwen25Omni

FAMILIES: dict[str, type[AudioLM]] = {
    **dict.fromkeys(qwen2_audio.MODEL_TYPES, Qwen2Audio),
    **dict.fromkeys(qwen25_omni.MODEL_TYPES, Qwen25Omni),
}
"""By the `model_type` in their `config.json`."""


def saved_policy(path: str, dtype: str = "float32") -> AudioLM:
    """The policy of a folder as a stage has left it: with the emotion module where it has one. Weights are read.

    Raises ValueError for a model of another family.
    """
    refuse_another_family(path, FAMILIES)
    family = FAMILIES[model_type_of(path)]
    if family is Qwen2Audio and holds_module(path):
        return Qwen2Audio(path, EmotionSettings(), dtype=dtype).load()
    return family(path, dtype=dtype).load()


def saved_window(path: str) -> AudioWindow:
    """What audio the policy of a folder hears; no weights are read. Raises what `saved_policy` raises."""
    refuse_another_family(path, FAMILIES)
    return read_window(path)
