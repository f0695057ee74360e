"""Is the reply heard as it is worded? Cheats first: silence, another emotion's voice, words that say nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cogrl.formats.answer import read_answer
from cogrl.models.emotion_mel import MelEmotion
from cogrl.rewards.spoken_emotion import TONES, SpokenEmotion, read_listener, tone_of, written_emotion
from cogrl.types import EMOTIONS, REPLY_EMOTIONS, Example, Speech

REPLIES = {
    "happy": "You sound happy and proud. You earned this good moment. Tell me the best part of it.",
    "sad": "I am sorry you are sad. It is okay to cry. I will stay with you for a while.",
    "anger": "I hear that you are angry. It was not fair to you. Take a slow breath before you reply.",
}


@pytest.fixture(scope="module")
def listener(tmp_path_factory) -> str:
    """Loud clips sound happy to it, quiet ones sad, and nothing else ever."""
    encoder = MelEmotion(mel_bins=16, channels=4, width=4)
    folder = tmp_path_factory.mktemp("listener") / "emotion"
    with torch.no_grad():
        encoder.emotion_head.weight.zero_()
        encoder.emotion_head.bias.fill_(-20.0)
    encoder.save(folder)
    return str(folder)


@pytest.fixture
def reward(listener, monkeypatch):
    made = SpokenEmotion(listener)

    def emotions(waveforms):
        loud = torch.tensor([float(np.abs(w).max() > 0.5) for w in waveforms])
        found = torch.zeros(len(waveforms), len(EMOTIONS))
        found[:, EMOTIONS.index("happy")], found[:, EMOTIONS.index("sad")] = 0.8 * loud, 0.8 * (1 - loud)
        found[:, EMOTIONS.index("neutral")] = 0.2
        return found

    monkeypatch.setattr(made.encoder, "emotions", emotions)
    return made


def answer_of(reply, level, emotion="sad", rate=16_000):
    drawn = torch.zeros(1, 4, dtype=torch.long)
    waveform = None if level is None else np.full(rate, level, np.float32)
    speech = Speech(drawn.view(2, 2), torch.zeros(1, 4), drawn, True, waveform, rate)
    return read_answer(
        reply, "direct", Example("one", Path("clip.wav"), text="They moved it.", emotion=emotion), speech=speech
    )


def test_words_and_voice_that_agree_earn_more_than_those_that_do_not(reward):
    answers = [
        answer_of(REPLIES[e], level) for e, level in [("happy", 0.9), ("happy", 0.1), ("sad", 0.1), ("sad", 0.9)]
    ]
    assert reward.values(answers) == pytest.approx([0.8, 0.0, 0.8, 0.0])
    assert reward.notes(answers)[:1] == ["words ask for happy"]


def test_the_gold_label_plays_no_part(reward):
    assert reward.values([answer_of(REPLIES["happy"], 0.9, emotion) for emotion in EMOTIONS]) == pytest.approx(
        [0.8] * 7
    )


def test_an_angry_user_is_answered_calmly(reward):
    assert tone_of(answer_of(REPLIES["anger"], 0.9)) == "neutral"
    assert reward.values([answer_of(REPLIES["anger"], 0.9)]) == pytest.approx([0.2])


def test_nothing_is_earned_by_silence_nor_by_words_that_answer_no_emotion(reward):
    assert reward.values([answer_of(REPLIES["happy"], None), answer_of("Yes.", 0.9), answer_of("", 0.9)]) == [0.0] * 3


def test_text_that_was_not_spoken_is_not_graded(reward):
    assert reward.values([read_answer(REPLIES["sad"], "direct", Example("one", Path("clip.wav"), text="So."))]) == [
        None
    ]


def test_another_sampling_rate_is_resampled(reward):
    emotions, lengths = reward.encoder.emotions, []
    reward.encoder.emotions = lambda clips: lengths.append(len(clips[0])) or emotions(clips)
    assert reward.values([answer_of(REPLIES["sad"], 0.1, rate=24_000)]) == pytest.approx([0.8])
    assert lengths == [16_000]


def test_each_emotion_has_words_and_a_tone():
    assert set(REPLY_EMOTIONS) == set(EMOTIONS) and set(TONES) == set(REPLY_EMOTIONS.values())
    assert [written_emotion("They moved it.", text) for text in REPLIES.values()] == list(REPLIES)


def test_an_encoder_without_categories_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no emotion encoder"):
        read_listener(str(tmp_path))
