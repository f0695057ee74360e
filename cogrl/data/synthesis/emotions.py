"""What an emotion does to a voice: prosody relative to the same speaker's neutral reading, by emotion and intensity.

The profiles follow the direction and size of the acoustic deltas reported for acted speech (Scherer 2003, Speech
Communication 40; Juslin & Laukka 2003, Psychological Bulletin 129). Each clip adds noise of its own, so that no single
measurement gives the emotion away.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from cogrl.types import INTENSITIES, Emotion, Intensity

SCALE: dict[Intensity, float] = dict(zip(INTENSITIES, (0.75, 1.0, 1.4), strict=True))
_FACTORS = ("span", "rate", "formant")


@dataclass(frozen=True)
class Prosody:
    """Gold parameters of one reading; the defaults are the speaker's neutral.

    `pitch_st` shifts the mean F0 and `final_st` the last word (semitones), `tremor_st` is the depth of a vibrato of
    `tremor_hz`; `span`, `rate`, `formant` are factors on the F0 range, the tempo and the formant frequencies;
    `level_db` is a gain, `tilt_db_oct` a spectral slope (positive = brighter), `breath` the noise-to-speech amplitude,
    `roughness` and `shimmer` the depths (0-1) of fast and slow amplitude modulation.
    """

    pitch_st: float = 0.0
    span: float = 1.0
    final_st: float = 0.0
    rate: float = 1.0
    level_db: float = 0.0
    tilt_db_oct: float = 0.0
    breath: float = 0.02
    roughness: float = 0.0
    tremor_st: float = 0.0
    tremor_hz: float = 5.5
    shimmer: float = 0.03
    formant: float = 1.0


NEUTRAL = Prosody()
PROFILES: dict[Emotion, Prosody] = {
    "anger": Prosody(1.4, 1.35, -1.5, 1.16, 4.6, 2.6, 0.02, 0.35, 0.0, 5.5, 0.05, 1.02),
    "happy": Prosody(3.6, 1.45, 0.5, 1.05, 2.1, 1.1, 0.02, 0.0, 0.0, 5.5, 0.03, 1.04),
    "sad": Prosody(-2.2, 0.55, -1.0, 0.74, -4.6, -2.0, 0.10, 0.0, 0.12, 4.5, 0.05, 0.99),
    "surprise": Prosody(4.4, 1.5, 3.5, 0.96, 2.0, 0.7, 0.04, 0.0, 0.0, 5.5, 0.03, 1.02),
    "fear": Prosody(2.5, 0.75, 0.8, 1.13, -0.5, -0.8, 0.16, 0.0, 0.45, 7.0, 0.18, 1.0),
    "disgust": Prosody(-1.3, 0.75, -2.0, 0.88, 0.2, 0.1, 0.03, 0.30, 0.0, 5.5, 0.05, 0.96),
    "neutral": NEUTRAL,
}
_NOISE = Prosody(0.8, 0.12, 0.5, 0.05, 1.7, 0.45, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01)
"""Standard deviation of the per-clip noise; relative for the factors."""

ANCHORS: dict[Emotion, tuple[float, float, float]] = {
    "anger": (-0.6, 0.65, 0.5),
    "happy": (0.65, 0.5, 0.35),
    "sad": (-0.6, -0.5, -0.4),
    "surprise": (0.2, 0.65, -0.1),
    "fear": (-0.6, 0.55, -0.55),
    "disgust": (-0.55, 0.15, 0.2),
    "neutral": (0.0, 0.0, 0.0),
}
"""(valence, arousal, dominance) of the mid intensity in [-1, 1], after Russell & Mehrabian (1977)."""


def reading(emotion: Emotion, intensity: Intensity, rng: np.random.Generator) -> Prosody:
    """The prosody of one clip: the profile at this intensity plus the clip's own noise."""
    scale, profile = SCALE[intensity], PROFILES[emotion]
    values = {}
    for name in (field.name for field in fields(Prosody)):
        target, neutral, noise = (getattr(prosody, name) for prosody in (profile, NEUTRAL, _NOISE))
        draw = noise * float(np.clip(rng.standard_normal(), -2, 2))
        if name in _FACTORS:
            values[name] = (target / neutral) ** scale * (1 + draw)
        else:
            values[name] = neutral + (target - neutral) * scale + draw
    return replace(Prosody(**{name: round(value, 4) for name, value in values.items()}), tremor_hz=profile.tremor_hz)


def dimensions(emotion: Emotion, intensity: Intensity, rng: np.random.Generator) -> tuple[float, float, float]:
    """(valence, arousal, dominance): the anchor times the intensity plus noise (sd 0.05), clipped to [-1, 1]."""
    values = np.array(ANCHORS[emotion]) * SCALE[intensity] + 0.05 * rng.standard_normal(3)
    valence, arousal, dominance = np.clip(values, -1, 1).round(3).tolist()
    return valence, arousal, dominance
