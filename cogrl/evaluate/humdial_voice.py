"""D2 of HumDial measured: does an emotion encoder hear a reply in the emotion in which it should be said?

Cogrl's own figure, beside what a judge that hears makes of it; officially D2 is given by 20 people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cogrl.audio import has_sound, load_audio
from cogrl.data.corpora.dialogues import LABELS
from cogrl.evaluate.humdial import Dialogue, Language, Task
from cogrl.evaluate.stats import bootstrap_mean
from cogrl.models.emotion_mel import MelEmotion
from cogrl.rewards.spoken_emotion import TONES, tones
from cogrl.types import REPLY_EMOTIONS, Emotion

RULE = "1 + 4 * the listener's probability of the intended emotion, among those a reply may be said in"


@dataclass(frozen=True)
class Congruence:
    """How the judged reply of a dialogue sounds to the listener.

    `intended` is the emotion in which it should be said by the published label of the user's turn (`REPLY_EMOTIONS`),
    `shares` is the probability of each of `TONES` (empty where nothing was listened to), `points` lie from 1 to 5; None
    where there is no figure: no turn to judge, no audio, or a label that is none of the seven emotions.
    """

    dialogue_id: str
    points: float | None = None
    intended: Emotion | None = None
    shares: dict[str, float] | None = None


def congruence(
    listener: MelEmotion, task: Task, dialogues: Sequence[Dialogue], language: Language | None, target: str
) -> list[Congruence]:
    """Of each dialogue, in order: `RULE`; 1 point for audio without sound, and for a reply in the wrong language.

    Raises OSError or ValueError, naming dialogue and file, for audio that can not be read.
    """
    return [
        _congruence(listener, dialogue, task.judged_turn(dialogue.emotions, target), language) for dialogue in dialogues
    ]


def _congruence(listener: MelEmotion, dialogue: Dialogue, at: int | None, language: Language | None) -> Congruence:
    turn = None if at is None else dialogue.turns[at]
    if turn is None:
        return Congruence(dialogue.id)
    emotion = LABELS.get(turn.emotion.lower())
    intended = REPLY_EMOTIONS[emotion] if emotion else None
    if not turn.answers_in(language) or (turn.audio and not has_sound(turn.audio, dialogue.id)):
        return Congruence(dialogue.id, 1.0, intended)
    if turn.audio is None or intended is None:
        return Congruence(dialogue.id, None, intended)
    waveform = load_audio(turn.audio, listener.sampling_rate, name=dialogue.id, convert=True)
    (found,) = tones(listener, [(waveform, listener.sampling_rate)])
    shares = dict(zip(TONES, found, strict=True))
    return Congruence(dialogue.id, 1 + 4 * shares[intended], intended, shares)


def congruence_summary(found: Sequence[Congruence]) -> dict[str, Any]:
    """`D2`: the mean of the points with its interval, None without any; the `rule`; each dialogue's `Congruence`."""
    points = [one.points for one in found if one.points is not None]
    mean = vars(bootstrap_mean(points)) | {"n": len(points)} if points else None
    return {"D2": mean, "rule": RULE, "dialogues": [vars(one) for one in found]}
