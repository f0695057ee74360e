"""Quality gates, one by one: what each refuses, and what it lets through."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from cogrl.data.recipes import lime_gates
from cogrl.data.recipes.lime_gates import (
    CLIP_GATES,
    Gates,
    Sound,
    Take,
    full_scale_share,
    measured,
    validate_take,
    word_errors,
)
from cogrl.types import EMOTIONS, INTENSITIES

TEXT = "They told me about the exam."  # 22 letters
GOOD = Take(TEXT, "en", Sound(2.0, -25.0, -5.0, 180.0, 0.0, 0.2))


def with_sound(**changes):
    return replace(GOOD, sound=replace(GOOD.sound, **changes))


def test_a_sound_clip_passes_every_gate():
    assert validate_take(GOOD, Gates()) is None
    assert validate_take(replace(GOOD, transcript="they told me about the exam"), Gates()) is None


@pytest.mark.parametrize(
    ("take", "gate", "why"),
    [
        (with_sound(duration_s=0.4), "duration", "0.018 s each, 0.03 to 0.25"),
        (with_sound(duration_s=6.0), "duration", "0.273 s each"),
        (with_sound(level_db=-60.0), "loudness", "-60.0 dBFS"),
        (with_sound(level_db=-2.0), "loudness", "-2.0 dBFS"),
        (with_sound(clipped_share=0.01), "clipping", "1.00% of the samples"),
        (with_sound(silent_share=0.8), "silence", "80% of the clip"),
        (with_sound(f0_hz=None), "voicing", "nothing in it is voiced"),
        (replace(GOOD, transcript="they sold me a house"), "transcript", "67% word errors"),
        (replace(GOOD, transcript=""), "transcript", "100% word errors"),
    ],
)
def test_each_gate_refuses_its_own_fault_and_says_why(take, gate, why):
    name, reason = validate_take(take, Gates())
    assert name == gate and why in reason
    assert [check.__name__ for check in CLIP_GATES if check(take, Gates()) is not None] == [gate]


def test_each_limit_can_be_moved():
    loose = Gates(
        seconds_per_character=(0.001, 9.0), level_db=(-99.0, 0.0), clipped_share=1.0, silent_share=1.0, word_errors=9.0
    )
    for changes in ({"duration_s": 6.0}, {"level_db": -60.0}, {"clipped_share": 0.5}, {"silent_share": 0.9}):
        assert validate_take(with_sound(**changes), Gates()) and validate_take(with_sound(**changes), loose) is None
    assert validate_take(replace(GOOD, transcript="no"), loose) is None
    assert validate_take(with_sound(duration_s=2.5), Gates(most_s=2.0))[1] == "2.50 s, at most 2.0"
    with pytest.raises(ValueError, match="at least once"):
        Gates(takes=0)


def test_chinese_is_slower_a_sign_and_its_errors_are_counted_in_signs():
    zh = Take("我没想到项目会这样结束。", "zh", GOOD.sound)
    assert validate_take(zh, Gates()) is None and validate_take(replace(zh, language="en"), Gates()) is None
    assert validate_take(replace(zh, sound=replace(zh.sound, duration_s=0.8)), Gates())[0] == "duration"
    assert word_errors(zh.text, "我没想到项目这样结束", "zh") == pytest.approx(1 / 11)


def test_what_is_measured_on_a_wave_is_what_the_gates_look_at():
    time = np.arange(16000) / 16000
    tone = 0.25 * (np.sin(2 * np.pi * 150 * time) + 0.5 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    half = np.where(time < 0.5, tone, 0.0).astype(np.float32)
    assert measured(tone, 16000, 0.0).silent_share == 0.0 and measured(half, 16000, 0.0).silent_share == 0.5
    sound = measured(tone, 16000, 0.25)
    assert sound.duration_s == 1.0 and sound.clipped_share == 0.25 and abs(sound.f0_hz - 150) < 2
    assert abs(sound.level_db - 20 * np.log10(0.25 * np.sqrt(0.625))) < 0.05
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    nothing = measured(np.zeros(16000, np.float32), 16000, 0.0)
    assert measured(noise[:1000], 16000, 0.0).duration_s == 0.0625 and nothing.f0_hz is None
    assert nothing.silent_share == 1.0 and validate_take(Take(TEXT, "en", nothing), Gates())[0] == "loudness"


def test_full_scale_is_counted_on_both_sides():
    wave = np.array([0.5, 1.0, -1.0, 0.9989, -0.9995, 1.3, 0.0, 0.0], np.float32)
    assert full_scale_share(wave) == 0.5


@pytest.mark.parametrize("seed", range(30))
def test_word_errors_are_the_shortest_way_from_one_text_to_the_other(seed):
    rng = np.random.default_rng(seed)
    truth, guess = (list(rng.choice(list("abc"), rng.integers(1, 6))) for _ in range(2))

    @functools.cache
    def steps(i, j):
        if i == 0 or j == 0:
            return i + j
        return min(steps(i - 1, j) + 1, steps(i, j - 1) + 1, steps(i - 1, j - 1) + (truth[i - 1] != guess[j - 1]))

    expected = steps(len(truth), len(guess)) / len(truth)
    assert word_errors(" ".join(truth), " ".join(guess), "en") == pytest.approx(expected)


def test_case_and_punctuation_are_no_errors():
    assert word_errors("It's the exam, they said.", "it’s the EXAM they said", "en") == 0.0


def test_a_reading_needs_every_emotion_at_every_intensity():
    everything = {(emotion, level) for emotion in EMOTIONS for level in INTENSITIES}
    assert lime_gates.complete(everything) is None
    assert lime_gates.complete(everything - {("fear", "mid")}) == "1 of 21 clips are missing: fear/mid"
    assert lime_gates.complete(()).startswith("21 of 21 clips are missing: anger/low, anger/mid, anger/high")


def test_punctuation_that_differs_within_a_group_is_a_leak():
    assert lime_gates.same_punctuation(["So be it."] * 3) is None
    assert "2 spellings, such as 'So be it!' and 'So be it.'" in lime_gates.same_punctuation(["So be it.", "So be it!"])
