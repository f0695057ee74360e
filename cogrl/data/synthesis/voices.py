"""Twenty-four speakers, twelve female and twelve male, and what each does to a prosody when it reads a sentence."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr

from cogrl.data.synthesis import filters
from cogrl.data.synthesis.emotions import Prosody
from cogrl.data.synthesis.espeak import Espeak
from cogrl.types import Waveform

_WORDS_PER_MINUTE = 175
REFERENCE_DB = -30.0
"""RMS of a neutral reading in dBFS: leaves room for the loudest emotion."""


@dataclass(frozen=True)
class Speaker:
    """A voice of its own: an espeak voice variant, moved in pitch (semitones), tempo, formants, tilt and level.

    `f0_hz` is the mean F0 of the source-filter voice, which has no variants.
    """

    name: str
    female: bool
    variant: str
    f0_hz: float
    pitch_st: float = 0.0
    rate: float = 1.0
    formant: float = 1.0
    tilt_db_oct: float = 0.0
    level_db: float = 0.0


_PAIRS = (
    ("en-us+f1", "en-us+m1"),
    ("en-us+f2", "en+m3"),
    ("en+f3", "en-us+m7"),
    ("en-us+f5", "en-us+Alex"),
    ("en-us+Alicia", "en-GB-x-rp+Andy"),
    ("en-GB-x-rp+Andrea", "en-us+Lee"),
    ("en-us+Annie", "en-us+Michael"),
    ("en-us-nyc+anika", "en-us-nyc+adam"),
    ("en-us+belinda", "en-GB-scotland+Hugo"),
    ("en-GB-scotland+linda", "en-029+travis"),
    ("en-029+steph", "en-us+Reed"),
    ("en-us+f4", "en-us+john"),
)
"""espeak-ng voices with a variant: one woman, one man in each line."""


Voice = Callable[[str, Speaker, Prosody], tuple[Waveform, int]]
"""Renders pitch, range, tempo and final movement of a text: (waveform, sampling rate)."""


def speakers() -> list[Speaker]:
    """The 24 speakers, female and male in turn. Their traits are fixed: they do not depend on a corpus seed."""
    rng, people = np.random.default_rng(24), []
    for index, (woman, man) in enumerate(_PAIRS):
        for female, variant in ((True, woman), (False, man)):
            traits = rng.uniform(-1, 1, 6)
            people.append(
                Speaker(
                    name=f"spk{len(people) + 1:02d}",
                    female=female,
                    variant=variant,
                    f0_hz=round((200 if female else 110) * 2 ** ((index - 5.5) / 24), 1),
                    pitch_st=round(1.5 * traits[0], 2),
                    rate=round(1 + 0.06 * traits[1], 3),
                    formant=round(1 + 0.04 * traits[2], 3),
                    tilt_db_oct=round(0.6 * traits[3], 2),
                    level_db=round(1.5 * traits[4], 2),
                )
            )
    return people


def read(
    voice: Voice,
    text: str,
    speaker: Speaker,
    prosody: Prosody,
    rng: np.random.Generator,
    sampling_rate: int,
) -> Waveform:
    """One clip at `sampling_rate`: `voice` renders pitch, range and tempo, the filters do the rest.

    The voice is played `formant` times faster to move the formants; voices render pitch and tempo that much lower.
    """
    raw, raw_rate = voice(text, speaker, prosody)
    clip = soxr.resample(raw, raw_rate * speaker.formant * prosody.formant, sampling_rate)
    clip = filters.trim(clip, sampling_rate)
    clip = filters.tilt(clip, sampling_rate, speaker.tilt_db_oct + prosody.tilt_db_oct)
    clip = filters.tremble(clip, sampling_rate, prosody.tremor_st, prosody.tremor_hz, rng)
    clip = filters.shimmer(clip, sampling_rate, prosody.shimmer, rng)
    clip = filters.roughen(clip, sampling_rate, prosody.roughness, rng)
    clip = filters.breathe(clip, sampling_rate, prosody.breath, rng)
    return filters.loudness(clip, REFERENCE_DB + speaker.level_db + prosody.level_db)


def speak_with_espeak(engine: Espeak, text: str, speaker: Speaker, prosody: Prosody) -> tuple[Waveform, int]:
    """The espeak-ng `Voice`: the speaker's variant, moved as the prosody says."""
    factor = speaker.formant * prosody.formant
    return engine.speak(
        text,
        speaker.variant,
        pitch_st=speaker.pitch_st + prosody.pitch_st - 12 * math.log2(factor),
        span=prosody.span,
        words_per_minute=_WORDS_PER_MINUTE * speaker.rate * prosody.rate / factor,
        final_st=prosody.final_st,
    )
