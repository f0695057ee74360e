"""Emotional consistency: is the spoken reply heard in the emotion that the written one asks for?"""

from collections.abc import Sequence
from pathlib import Path

import soxr
import torch

from cogrl.formats.answer import Answer
from cogrl.models.emotion import read_encoder
from cogrl.models.emotion_mel import MelEmotion
from cogrl.rewards.offline_judge import OfflineJudge
from cogrl.rewards.term import Term, Value
from cogrl.types import EMOTIONS, REPLY_EMOTIONS, Emotion, Waveform

TONES = tuple(dict.fromkeys(REPLY_EMOTIONS.values()))
"""The emotions that a reply may be said in."""
_SURE = 3
"""On the rubric of 1-4: the reply is of that category."""


class SpokenEmotion(Term):
    """How strongly an emotion encoder hears, among those a reply may be said in, the one that the words ask for.

    The words decide which emotion they answer (`written_emotion`), the table `REPLY_EMOTIONS` how such a reply is said;
    the gold label plays no part: a reply that misjudges the user and sounds like it is consistent, and other terms
    judge it. 0 for words that answer no one emotion, and for a reply of silence. None where nothing was spoken: with
    none of it the stage has no Speak branch.

    Args:
        encoder: folder of `cogrl build emotion-encoder`, such as `emotion/encoder` of the policy that was aligned.
    """

    def __init__(self, encoder: str) -> None:
        self.folder, self.encoder = encoder, read_listener(encoder)

    def values(self, answers: Sequence[Answer]) -> list[Value]:
        found: list[Value] = [None if answer.speech is None else 0.0 for answer in answers]
        wanted = [tone_of(answer) for answer in answers]
        rows = [
            i for i, tone in enumerate(wanted) if tone and answers[i].speech and answers[i].speech.waveform is not None
        ]
        if rows:
            sounds = [(answers[i].speech.waveform, answers[i].speech.sampling_rate) for i in rows]
            for i, shares in zip(rows, tones(self.encoder, sounds), strict=True):
                found[i] = shares[TONES.index(wanted[i])]
        return found

    def notes(self, answers: Sequence[Answer]) -> list[str]:
        """The emotion that was asked for by the words."""
        return [f"words ask for {tone_of(answer) or 'none'}" for answer in answers]


def read_listener(folder: str) -> MelEmotion:
    """An emotion encoder with a head for categories.

    Raises what `read_encoder` does, and ValueError for an encoder that knows dimensions alone.
    """
    encoder = read_encoder(Path(folder))
    if not isinstance(encoder, MelEmotion):
        raise ValueError(
            f"{folder}: a {type(encoder).__name__} names no emotions, only dimensions; give an encoder of "
            "cogrl build emotion-encoder"
        )
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def tones(encoder: MelEmotion, sounds: Sequence[tuple[Waveform, int]]) -> list[list[float]]:
    """Of each clip at its sampling rate, the probability of each of `TONES` among them."""
    clips = [
        clip if rate == encoder.sampling_rate else soxr.resample(clip, rate, encoder.sampling_rate)
        for clip, rate in sounds
    ]
    places = [EMOTIONS.index(tone) for tone in TONES]
    found = torch.cat([encoder.emotions([clip]) for clip in clips])[:, places]
    return (found / found.sum(1, keepdim=True)).tolist()


def tone_of(answer: Answer) -> Emotion | None:
    """In which emotion the written reply is to be said; None where it answers no one emotion."""
    emotion = written_emotion(answer.example.text, answer.said) if answer.said else None
    return None if emotion is None else REPLY_EMOTIONS[emotion]


def written_emotion(text: str, reply: str) -> Emotion | None:
    """The emotion that a reply to `text` answers by its words; None for none, or several alike."""
    judge = OfflineJudge()
    scores = [judge.empathy(text, emotion, reply) for emotion in EMOTIONS]
    best = [emotion for emotion, score in zip(EMOTIONS, scores, strict=True) if score == max(scores)]
    return best[0] if max(scores) >= _SURE and len(best) == 1 else None
