from dataclasses import replace

import numpy as np
import pytest

from cogrl.data.synthesis import acoustics, filters, source_filter, voices
from cogrl.data.synthesis.emotions import ANCHORS, NEUTRAL, PROFILES, dimensions, reading
from cogrl.types import EMOTIONS, INTENSITIES

RATE = 16000
TEXT = "My manager came to the meeting."
SPEAKERS = voices.speakers()


def spoken(prosody, speaker, seed=0, text=TEXT, voice=source_filter.speak):
    return voices.read(voice, text, speaker, prosody, np.random.default_rng(seed), RATE)


def change(**prosody):
    """Mean (F0 st, level dB, log2 tempo, balance dB) over eight speakers against their neutral."""
    rows = []
    for speaker in SPEAKERS[::3]:
        old, new = (acoustics.measure(spoken(p, speaker, seed=1), RATE) for p in (NEUTRAL, replace(NEUTRAL, **prosody)))
        rows.append(
            (
                12 * np.log2(new.f0_hz / old.f0_hz),
                new.level_db - old.level_db,
                np.log2((old.duration_s - 0.12) / (new.duration_s - 0.12)),
                new.balance_db - old.balance_db,
            )
        )
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("pitch_st", [-4.0, 0.0, 6.0])
@pytest.mark.parametrize("speaker", [SPEAKERS[0], SPEAKERS[5], SPEAKERS[22]], ids=lambda speaker: speaker.name)
def test_the_measured_f0_is_the_gold_f0_within_half_a_semitone(speaker, pitch_st):
    prosody = replace(NEUTRAL, pitch_st=pitch_st, span=0.5)
    letters = [letter for letter in TEXT.lower() if letter in "aeiouy"]
    gold = np.median(source_filter.f0_contour(len(letters), 2, speaker.f0_hz, prosody))
    found = acoustics.measure(spoken(prosody, speaker), RATE).f0_hz
    assert abs(12 * np.log2(found / gold)) < 0.5


@pytest.mark.parametrize("hertz", [70.0, 123.4, 251.0, 470.0])
def test_f0_of_a_harmonic_tone_is_exact_and_noise_has_none(hertz):
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))
    track = acoustics.f0_track(tone, RATE)[2:-8]
    assert np.abs(12 * np.log2(track / hertz)).max() < 0.1
    noise = np.random.default_rng(0).standard_normal(RATE)
    assert np.isnan(acoustics.f0_track(noise, RATE)).mean() > 0.95
    assert np.isnan(acoustics.f0_track(np.zeros(RATE), RATE)).all()
    assert np.isnan(acoustics.f0_track(np.zeros(9), RATE)).all()


def test_each_parameter_moves_its_own_measurement_by_what_it_says():
    np.testing.assert_allclose(change(pitch_st=3.0)[:3], [3, 0, 0], atol=0.3)
    np.testing.assert_allclose(change(rate=0.75)[:3], [0, 0, np.log2(0.75)], atol=0.1)
    np.testing.assert_allclose(change(level_db=6.0)[:3], [0, 6, 0], atol=0.3)
    np.testing.assert_allclose(change(formant=1.1)[:3], [0, 0, 0], atol=0.3)
    assert change(tilt_db_oct=2.0)[3] > 3 and change(tilt_db_oct=-2.0)[3] < -3


def test_a_final_rise_is_heard_on_the_last_word_only():
    neutral, rising = (acoustics.f0_track(spoken(replace(NEUTRAL, final_st=f), SPEAKERS[0]), RATE) for f in (0.0, 6.0))
    moved = 12 * np.log2(rising / neutral)
    assert np.nanmedian(np.abs(moved[: len(moved) // 2])) < 0.3 and np.nanmedian(moved[-len(moved) // 5 :]) > 4


def test_emotions_differ_from_neutral_in_the_published_directions_and_grow_with_intensity():
    def mean(emotion, intensity):
        draws = [reading(emotion, intensity, np.random.default_rng(seed)) for seed in range(300)]
        return {name: np.mean([getattr(draw, name) for draw in draws]) for name in ("pitch_st", "rate", "level_db")}

    signs = {"anger": "+++", "happy": "+++", "sad": "---", "surprise": "+-+", "fear": "++-", "disgust": "--."}
    for emotion, expected in signs.items():
        weak, strong = mean(emotion, "low"), mean(emotion, "high")
        for (name, neutral), sign in zip({"pitch_st": 0, "rate": 1, "level_db": 0}.items(), expected, strict=True):
            if sign != ".":
                direction = 1 if sign == "+" else -1
                assert direction * (strong[name] - neutral) > direction * (weak[name] - neutral) > -0.12, (
                    emotion,
                    name,
                )
    assert all(abs(value - neutral) < 0.2 for value, neutral in zip(mean("neutral", "high").values(), (0, 1, 0)))  # noqa: B905


def test_no_single_parameter_gives_the_emotion_away():
    neutral = [reading("neutral", "mid", np.random.default_rng(seed)) for seed in range(200)]
    for other in ("anger", "fear", "disgust"):
        moved = [reading(other, "low", np.random.default_rng(900 + seed)) for seed in range(200)]
        for name in ("pitch_st", "level_db"):
            assert max(getattr(r, name) for r in neutral) > np.quantile([getattr(r, name) for r in moved], 0.25)


def test_valence_and_arousal_carry_the_emotion_and_stay_in_range():
    rng = np.random.default_rng(0)
    for emotion in EMOTIONS:
        values = np.array([dimensions(emotion, intensity, rng) for intensity in INTENSITIES for _ in range(50)])
        assert np.abs(values).max() <= 1
        if emotion != "neutral":
            assert (np.sign(values.mean(0)) == np.sign(ANCHORS[emotion])).all()
    assert set(PROFILES) == set(ANCHORS) == set(EMOTIONS)


def test_a_reading_depends_on_its_seed_alone():
    one, same, other = (reading("sad", "mid", np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one == same != other
    first, repeated = (spoken(one, SPEAKERS[1], seed=5) for _ in range(2))
    assert first.tobytes() == repeated.tobytes() and first.dtype == np.float32


def test_filters_that_are_off_change_nothing():
    wave = spoken(NEUTRAL, SPEAKERS[0]).astype(np.float64)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(filters.tilt(wave, RATE, 0.0), wave, atol=1e-6)
    np.testing.assert_allclose(filters.tremble(wave, RATE, 0.0, 5.0, rng), wave, atol=1e-6)
    for effect in (filters.breathe, filters.roughen, filters.shimmer):
        np.testing.assert_allclose(effect(wave, RATE, 0.0, rng), wave, atol=1e-6)


def test_the_loudest_reading_is_bent_not_clipped():
    spiky = np.zeros(RATE)
    spiky[::800] = 1.0
    loud = filters.loudness(spiky, -20.0)
    assert 0.9 < np.abs(loud).max() < 0.98
    np.testing.assert_allclose(filters.loudness(np.sin(np.arange(RATE)), -20.0).std(), 0.1, rtol=1e-3)


def test_trimming_leaves_sixty_milliseconds_around_the_voice():
    wave = np.concatenate([np.zeros(5000), np.ones(1000), np.zeros(9000)]).astype(np.float32)
    trimmed = filters.trim(wave, RATE)
    assert len(trimmed) == 1000 + 2 * 960 and trimmed[960:1960].all() and not trimmed[:960].any()


def test_twenty_four_speakers_half_of_them_women_all_different():
    assert len({speaker.name for speaker in SPEAKERS}) == len({speaker.variant for speaker in SPEAKERS}) == 24
    assert sum(speaker.female for speaker in SPEAKERS) == 12
