"""Every family of audio language models: its class, and the module that builds its tiny random model."""

from typing import NamedTuple

from cogrl.models.audio_flamingo import AudioFlamingo
from cogrl.models.audio_lm import AudioLM
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen25_omni import Qwen25Omni
from cogrl.models.voxtral import Voxtral


class Family(NamedTuple):
    policy: type[AudioLM]
    builder: str


FAMILIES = {
    "qwen2_audio": Family(Qwen2Audio, "cogrl.models.tiny"),
    "qwen25_omni": Family(Qwen25Omni, "cogrl.models.tiny_omni"),
    "audio_flamingo": Family(AudioFlamingo, "cogrl.models.tiny_flamingo"),
    "voxtral": Family(Voxtral, "cogrl.models.tiny_voxtral"),
}
"""By the name that `cogrl build tiny-model --family` knows them by."""
