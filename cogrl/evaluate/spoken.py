"""How a policy speaks: is a reply said as the voice of the user asks for, to a listener who knows no codec?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch

from cogrl.evaluate.controls import Condition, voice
from cogrl.evaluate.groups import cell
from cogrl.evaluate.stats import accuracy, bootstrap_unweighted_accuracy
from cogrl.formats.answer import Answer, answers_of
from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion_mel import MelEmotion
from cogrl.rewards.spoken_emotion import TONES, tone_of, tones
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.spoken import Speaking, with_speech
from cogrl.types import REPLY_EMOTIONS, Clip, Emotion


@dataclass(frozen=True)
class SpokenReplies:
    """The answers to `n` clips, spoken, and in which emotion the listener hears each (None: it is silent).

    `took_s` are the seconds that the speaking took, writing apart.
    """

    answers: Sequence[Answer]
    emotions: Sequence[Emotion | None]
    took_s: float

    @property
    def cells(self) -> list[str]:
        """(speaker, sentence) of each clip: the unit the bootstrap resamples."""
        return [cell(answer.example) for answer in self.answers]

    @property
    def intended(self) -> list[Emotion]:
        """In which emotion each reply should be said, by the gold emotion of the user."""
        return [REPLY_EMOTIONS[answer.example.emotion] for answer in self.answers]

    @property
    def worded(self) -> list[Emotion | None]:
        """In which emotion each reply should be said by its own words."""
        return [tone_of(answer) for answer in self.answers]


def spoken_replies(
    policy: AudioLM,
    clips: Sequence[Clip],
    format: str,
    listener: MelEmotion,
    speaking: Speaking,
    condition: Condition = voice,
    max_new_tokens: int = 128,
    batch_size: int = 16,
    seed: int = 0,
) -> SpokenReplies:
    """One greedy answer a clip, its reply spoken; `condition` says what the policy gets for the clips."""
    inputs, engine, greedy = condition(clips, policy.sampling_rate), HFEngine(), Sampling(1.0, max_new_tokens, True)
    generator = torch.Generator(policy.device).manual_seed(seed)
    answers: list[Answer] = []
    took_s = 0.0
    for start in range(0, len(clips), batch_size):
        batch, given = clips[start : start + batch_size], inputs[start : start + batch_size]
        written = engine.sample(policy, batch, [format] * len(batch), greedy, inputs=given)
        began = perf_counter()
        answers += answers_of(with_speech(policy, written, speaking, generator))
        took_s += perf_counter() - began
    return SpokenReplies(answers, perceived_emotions(listener, answers), took_s)


def perceived_emotions(listener: MelEmotion, answers: Sequence[Answer]) -> list[Emotion | None]:
    """Which of the emotions a reply may be said in the listener hears most strongly."""
    audible = [i for i, answer in enumerate(answers) if answer.speech and answer.speech.waveform is not None]
    sounds = [(answers[i].speech.waveform, answers[i].speech.sampling_rate) for i in audible]
    found: list[Emotion | None] = [None] * len(answers)
    for i, shares in zip(audible, tones(listener, sounds) if sounds else [], strict=True):
        found[i] = TONES[int(np.argmax(shares))]
    return found


def spoken_figures(said: SpokenReplies) -> dict[str, float]:
    """What a report says of them; all but seconds and factor are shares.

    `agreement` is the mean over the emotions that replies are intended in of how often the listener hears them (a
    voice that does not follow the user has one in the number of those emotions), and `agreement_low` and `_high` its
    95 % interval over (speaker, sentence) cells, NaN for a single cell; `agreement_all` is the plain share.
    `consistency` is how often voice and words of a reply ask for the same, among replies whose words ask for one.
    """
    worded = said.worded
    agreement = bootstrap_unweighted_accuracy(said.intended, said.emotions, said.cells, TONES)
    asked = [(found, tone) for found, tone in zip(said.emotions, worded, strict=True) if tone]
    speech = [answer.speech for answer in said.answers if answer.speech and answer.speech.waveform is not None]
    seconds = [len(one.waveform) / one.sampling_rate for one in speech]
    return {
        "replies": float(len(said.answers)),
        "spoken": len(speech) / len(said.answers),
        "agreement": agreement.mean,
        "agreement_low": agreement.low,
        "agreement_high": agreement.high,
        "chance": 1 / len(set(said.intended)),
        "agreement_all": accuracy(said.intended, said.emotions),
        "consistency": float(np.mean([found == tone for found, tone in asked])) if asked else float("nan"),
        "worded_right": float(np.mean([a == b for a, b in zip(worded, said.intended, strict=True)])),
        "finished": float(np.mean([one.finished for one in speech])) if speech else 0.0,
        "seconds": float(np.mean(seconds)) if seconds else 0.0,
        "real_time_factor": said.took_s / sum(seconds) if seconds else float("nan"),
    }


def spoken_records(said: SpokenReplies) -> Iterator[dict[str, object]]:
    """One record a reply, so that seeds and policies can be compared clip by clip."""
    columns = {"cell": said.cells, "intended": said.intended, "sounds": said.emotions, "worded": said.worded}
    for answer, *values in zip(said.answers, *columns.values(), strict=True):
        asked = {"id": answer.example.id, "emotion": answer.example.emotion, "text": answer.text}
        yield asked | dict(zip(columns, values, strict=True))
