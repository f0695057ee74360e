"""The controls take the voice away and nothing else."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade_evaluations import clips

from cogrl.evaluate.controls import derangement, shuffled, silence, sound, transcript, voice
from cogrl.types import EMOTIONS, Clip, Conversation, Turn

LABELS = [EMOTIONS[:1] * 50, EMOTIONS * 9, (*EMOTIONS[:6] * 3, "neutral"), EMOTIONS[:2], ("sad", "sad", "fear")]


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("seed", range(20))
def test_a_derangement_moves_everything_and_loses_nothing(labels, seed):
    order = derangement(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    assert all(i != j for i, j in enumerate(order))


def test_a_derangement_is_fixed_by_its_seed():
    labels = EMOTIONS * 10
    assert derangement(labels) == derangement(labels) != derangement(labels, seed=1)


def test_the_labels_of_the_others_are_spread_in_proportion():
    """Common and rare labels: who gets the audio of whom is as even as whole numbers allow."""
    labels = ["sad"] * 120 + ["happy"] * 60 + ["fear"] * 20
    given = Counter((labels[i], labels[j]) for i, j in enumerate(derangement(labels)))
    for (own, other), n in given.items():
        assert n == pytest.approx(labels.count(own) * labels.count(other) / 200, abs=4), (own, other)


@pytest.mark.parametrize("labels", [["sad"], []])
def test_one_clip_has_no_other_clip(labels):
    with pytest.raises(ValueError, match=r"at least 2 clips, got [01]"):
        derangement(labels)


def test_shuffled_gives_every_clip_the_audio_of_another():
    found = clips()
    shuffled_audio = shuffled(found, 16_000)
    assert all(not np.array_equal(clip.waveform, audio) for clip, audio in zip(found, shuffled_audio, strict=True))
    assert sorted(audio[0] for audio in shuffled_audio) == sorted(clip.waveform[0] for clip in found)


def test_a_perfect_listener_is_at_chance_on_shuffled_audio():
    found = clips(speakers=8, sentences=12)
    emotions = [found[int(audio[0])].example.emotion for audio in shuffled(found, 16_000)]
    same = [emotion == clip.example.emotion for emotion, clip in zip(emotions, found, strict=True)]
    assert np.mean(same) == pytest.approx(1 / 7, abs=0.01)


def test_the_voice_is_the_clip_itself_and_never_its_words():
    found = clips()
    assert all(audio is clip.waveform for audio, clip in zip(voice(found, 16_000), found, strict=True))
    assert all(
        isinstance(audio, np.ndarray) for condition in (voice, silence, shuffled) for audio in condition(found, 8)
    )


def test_transcript_and_silence_are_the_same_for_every_emotion_of_a_sentence():
    found = clips()
    words = {clip.example.text_group: set() for clip in found}
    for clip, text in zip(found, transcript(found, 16_000), strict=True):
        words[clip.example.text_group].add(text)
    assert all(len(text) == 1 for text in words.values())
    assert len({audio.tobytes() for audio in silence(found, 16_000)}) == 1
    assert silence(found, 16_000)[0].shape == (32_000,) and not silence(found, 16_000)[0].any()


def dialogues():
    """The clips after a heard turn, whose waveform is the clip's number with a minus sign, and a typed one."""
    turns = (Turn("First.", Path("t.flac"), "sad", "Go on."), Turn("Second.", None))
    return [Clip(replace(clip.example, turns=turns), clip.waveform, (-1 - clip.waveform, None)) for clip in clips()]


def test_a_control_takes_the_voice_out_of_every_turn_of_a_dialogue():
    found = dialogues()
    for control in (voice, silence, shuffled):
        for given in control(found, 8_000):
            assert isinstance(given, Conversation) and given.replies == ("Go on.", None) and given.turns[1] == "Second."
    for given in silence(found, 8_000):
        assert all(len(wave) == 16_000 and not wave.any() for wave in given.waveforms) and len(given.waveforms) == 2
    for clip, given in zip(found, shuffled(found, 8_000), strict=True):
        first, last = given.waveforms
        assert first[0] == -1 - last[0] and last[0] != clip.waveform[0]
    for clip, given in zip(found, transcript(found, 8_000), strict=True):
        assert given.turns == ("First.", "Second.", clip.example.text) and not given.waveforms


def test_dialogues_sound_the_same_when_every_turn_does():
    first, *_ = dialogues()
    other = replace(first, history=(first.history[0] + 1, None))
    answered = replace(first, example=replace(first.example, turns=(first.example.turns[1],) * 2), history=(None, None))
    keys = [sound(voice([clip], 8_000)[0]) for clip in (first, first, other, answered)]
    assert keys[0] == keys[1] and len(set(keys)) == 3 and sound("First.") != sound(first.waveform)
