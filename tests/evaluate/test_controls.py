"""The controls take the voice away and nothing else."""

import numpy as np
import pytest
from made_answers import clips

from cogrl.evaluate.controls import derangement, shuffled, silence, transcript, voice


@pytest.mark.parametrize("n", [2, 3, 7, 100, 673])
def test_a_derangement_moves_everything_and_loses_nothing(n):
    order = derangement(n)
    assert sorted(order) == list(range(n))
    assert all(i != j for i, j in enumerate(order))


def test_a_derangement_is_fixed_by_its_seed():
    assert derangement(50) == derangement(50) != derangement(50, seed=1)


def test_one_clip_has_no_other_clip():
    with pytest.raises(ValueError, match="at least 2 clips, got 1"):
        derangement(1)


def test_shuffled_gives_every_clip_the_audio_of_another():
    found = clips()
    heard = shuffled(found, 16_000)
    assert all(not np.array_equal(clip.waveform, audio) for clip, audio in zip(found, heard, strict=True))
    assert sorted(audio[0] for audio in heard) == sorted(clip.waveform[0] for clip in found)


def test_shuffled_audio_says_nothing_about_the_label():
    """The other clip has the same emotion about one time in seven: neither always nor never."""
    found = clips(speakers=20, sentences=20)
    same = [found[int(audio[0])].example.emotion == clip.example.emotion
            for clip, audio in zip(found, shuffled(found, 16_000), strict=True)]  # fmt: skip
    assert np.mean(same) == pytest.approx(1 / 7, abs=0.03)


def test_the_voice_is_the_clip_itself_and_never_its_words():
    found = clips()
    assert all(audio is clip.waveform for audio, clip in zip(voice(found, 16_000), found, strict=True))
    assert all(isinstance(audio, np.ndarray) for hearing in (voice, silence, shuffled) for audio in hearing(found, 8))


def test_transcript_and_silence_are_the_same_for_every_emotion_of_a_sentence():
    found = clips()
    words = {clip.example.text_group: set() for clip in found}
    for clip, heard in zip(found, transcript(found, 16_000), strict=True):
        words[clip.example.text_group].add(heard)
    assert all(len(heard) == 1 for heard in words.values())
    assert len({audio.tobytes() for audio in silence(found, 16_000)}) == 1
    assert silence(found, 16_000)[0].shape == (32_000,) and not silence(found, 16_000)[0].any()
