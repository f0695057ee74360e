"""Quality gates of LIME. Each is a function that returns why a clip is rejected, or None.

The paper reports 93 % human acceptance and no protocol (arXiv:2606.06940); these gates are cogrl's. They look at single
clips, at readings and at texts. None of them measures whether the emotion can be heard: that needs human listeners.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from cogrl.data.synthesis import acoustics
from cogrl.types import EMOTIONS, INTENSITIES, Waveform
from cogrl.words import edit_distance, words

_FRAME_S = 0.01
_PACE: Mapping[str, tuple[float, float]] = {"zh": (0.1, 0.7)}
_FULL_SCALE = 0.999


@dataclass(frozen=True)
class Gates:
    """Limits. Two-sided ones are (least, most).

    Args:
        seconds_per_character: duration over letters (Chinese: signs), spaces not counted; None: 0.03 to 0.25, for
            Chinese 0.1 to 0.7.
        most_s: the longest clip.
        level_db: RMS over the whole clip, dBFS.
        clipped_share: of samples at full scale, before any resampling.
        silent_share: of 10 ms frames 40 dB below the loudest.
        word_errors: errors of the transcript over the words of the text (Chinese: signs).
        takes: how often a clip that is refused is made again.
    """

    seconds_per_character: tuple[float, float] | None = None
    most_s: float = 30.0
    level_db: tuple[float, float] = (-45.0, -6.0)
    clipped_share: float = 0.001
    silent_share: float = 0.6
    word_errors: float = 0.3
    takes: int = 2

    def __post_init__(self) -> None:
        if self.takes < 1:
            raise ValueError(f"gates.takes={self.takes}: a clip is made at least once")


@dataclass(frozen=True)
class Sound:
    """What is measured on a clip. `f0_hz` is None where nothing is voiced."""

    duration_s: float
    level_db: float
    balance_db: float
    f0_hz: float | None
    clipped_share: float
    silent_share: float


@dataclass(frozen=True)
class Take:
    """What the gates of a single clip look at; `transcript` is None without a transcriber."""

    text: str
    language: str
    sound: Sound
    transcript: str | None = None


def measured(waveform: Waveform, sampling_rate: int, clipped_share: float) -> Sound:
    """The measurements of a clip, rounded: what is read back from a file is what was decided on."""
    found = {name: round(value, 6) for name, value in asdict(acoustics.measure(waveform, sampling_rate)).items()}
    frames = waveform[: len(waveform) // (n := round(_FRAME_S * sampling_rate)) * n].reshape(-1, n)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    silent = float((power <= power.max(initial=0.0) * 1e-4).mean()) if len(power) else 1.0
    found["f0_hz"] = None if np.isnan(found["f0_hz"]) else found["f0_hz"]
    return Sound(**found, clipped_share=round(clipped_share, 6), silent_share=round(silent, 4))


def full_scale_share(waveform: Waveform) -> float:
    """The share of samples that an overdriven recording would have cut off."""
    return float((np.abs(waveform) >= _FULL_SCALE).mean())


def duration(take: Take, gates: Gates) -> str | None:
    """Too short for its text: cut off. Too long: repeated, drawn out or followed by inventions."""
    count = max(1, len(words(take.text).replace(" ", "")))
    pace = take.sound.duration_s / count
    least, most = gates.seconds_per_character or _PACE.get(take.language, (0.03, 0.25))
    if not least <= pace <= most:
        return f"{take.sound.duration_s:.2f} s for {count} characters: {pace:.3f} s each, {least} to {most} are wanted"
    return f"{take.sound.duration_s:.2f} s, at most {gates.most_s}" if take.sound.duration_s > gates.most_s else None


def loudness(take: Take, gates: Gates) -> str | None:
    """The level is outside the limits."""
    least, most = gates.level_db
    level = take.sound.level_db
    return None if least <= level <= most else f"{level:.1f} dBFS, {least} to {most} are wanted"


def clipping(take: Take, gates: Gates) -> str | None:
    """Samples at full scale."""
    share = take.sound.clipped_share
    return None if share <= gates.clipped_share else f"{share:.2%} of the samples are at full scale"


def silence(take: Take, gates: Gates) -> str | None:
    """Mostly pauses."""
    share = take.sound.silent_share
    return None if share <= gates.silent_share else f"{share:.0%} of the clip is silence"


def voicing(take: Take, gates: Gates) -> str | None:
    """No frame has a pitch: noise, or a whisper."""
    return None if take.sound.f0_hz is not None else "nothing in it is voiced"


def transcript(take: Take, gates: Gates) -> str | None:
    """Other words than the text's; passes without a transcript."""
    if take.transcript is None:
        return None
    errors = word_errors(take.text, take.transcript, take.language)
    return None if errors <= gates.word_errors else f"{errors:.0%} word errors: {take.transcript[:80]!r}"


CLIP_GATES: tuple[Callable[[Take, Gates], str | None], ...] = (
    duration,
    loudness,
    clipping,
    silence,
    voicing,
    transcript,
)
"""In order; the first that refuses is counted."""


def validate_take(take: Take, gates: Gates) -> tuple[str, str] | None:
    """(name of the gate, why) for a clip that must not be kept."""
    for gate in CLIP_GATES:
        reason = gate(take, gates)
        if reason is not None:
            return gate.__name__, reason
    return None


def complete(found: Collection[tuple[str, str]]) -> str | None:
    """Whether a reading has every (emotion, intensity): without one, speaker or text would carry information about the
    emotion."""
    lost = [(emotion, level) for emotion in EMOTIONS for level in INTENSITIES if (emotion, level) not in found]
    names = ", ".join("/".join(pair) for pair in lost[:3])
    return None if not lost else f"{len(lost)} of 21 clips are missing: {names}"


def same_punctuation(texts: Collection[str]) -> str | None:
    """Whether the texts of a group are one and the same: LIME-440K's differ in punctuation, which gives the emotion
    away."""
    different = sorted(set(texts))
    return None if len(different) == 1 else f"{len(different)} spellings, such as {different[0]!r} and {different[1]!r}"


def word_errors(text: str, hypothesis: str, language: str) -> float:
    """Insertions, deletions and substitutions over the words of `text`; signs instead of words for Chinese."""
    truth, guess = (_units(part, language) for part in (text, hypothesis))
    return edit_distance(truth, guess) / max(1, len(truth))


def _units(text: str, language: str) -> Sequence[str]:
    return list(words(text).replace(" ", "")) if language == "zh" else words(text).split()
