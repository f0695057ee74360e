"""Twenty-four speakers, twelve female and twelve male, and what each does to a prosody when it reads a sentence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import soxr

from cogrl.data.synthesis import filters
from cogrl.data.synthesis.emotions import Prosody
from cogrl.types import Waveform

REFERENCE_DB = -28.0
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


_FEMALE = ("en-us+f1 en-us+f2 en+f3 en-us+f5 en-us+Alicia en-GB-x-rp+Andrea en-us+Annie en-us-nyc+anika en-us+belinda "
           "en-GB-scotland+linda en-029+steph en-us+f4").split()  # fmt: skip
_MALE = ("en-us+m1 en+m3 en-us+m7 en-us+Alex en-GB-x-rp+Andy en-us+Lee en-us+Michael en-us-nyc+adam en-GB-scotland+Hugo "
         "en-029+travis en-us+Reed en-us+john").split()  # fmt: skip


def speakers() -> list[Speaker]:
    """The 24 speakers, female and male in turn. Their traits are fixed: they do not depend on a corpus seed."""
    rng, people = np.random.default_rng(24), []
    for index, (woman, man) in enumerate(zip(_FEMALE, _MALE, strict=True)):
        for female, variant in ((True, woman), (False, man)):
            traits = rng.uniform(-1, 1, 6)
            people.append(
                Speaker(
                    name=f"spk{len(people) + 1:02d}",
                    female=female,
                    variant=variant,
                    f0_hz=round((200 if female else 110) * 2 ** ((index - 5.5) / 24), 1),
                    pitch_st=round(1.5 * traits[0], 2),
                    rate=round(1 + 0.08 * traits[1], 3),
                    formant=round(1 + 0.05 * traits[2], 3),
                    tilt_db_oct=round(0.8 * traits[3], 2),
                    level_db=round(1.5 * traits[4], 2),
                )
            )
    return people


def read(
    voice: Callable[[str, Speaker, Prosody], tuple[Waveform, int]],
    text: str,
    speaker: Speaker,
    prosody: Prosody,
    rng: np.random.Generator,
    sampling_rate: int,
) -> Waveform:
    """One clip at `sampling_rate`: `voice` renders pitch, range and tempo, the filters do the rest.

    The voice is played `formant` times faster to move the formants; voices render with pitch and tempo compensated.
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
