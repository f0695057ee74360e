"""PAQA's clips: levels, times and pitch of what is mixed, recovered from two mixes of the same parts."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

from cogrl.data.recipes.mixing import PEAK, fitted, mixed, normalised, rms
from cogrl.data.recipes.paqa import speakers
from cogrl.data.recipes.paqa.clip import SAMPLING_RATE
from cogrl.data.recipes.paqa.environments import KINDS, environment
from cogrl.data.recipes.paqa.mini_clip import mini_clip
from cogrl.data.recipes.paqa.mini_plan import Plan, cells
from cogrl.data.synthesis.acoustics import measure
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser

NUMPY = EmbeddedSynthesiser("numpy")


@functools.cache
def words_of(cell):
    own = {one[1]: own_voice(one[1]) for turn in cell.question.turns for one in turn.source}
    return [[speakers.said(one, own, NUMPY, 0) for one in turn.source] for turn in cell.question.turns]


@functools.cache
def own_voice(speaker):
    return speakers.own_voice(speaker, NUMPY)


def some_cells():
    """One clip of each kind of environment."""
    found = {cell.question.environment: cell for cell in cells(Plan({"val": 8}, 1, 1), 0)}
    assert set(found) == set(KINDS)
    return list(found.values())


def parts(cell):
    """(speech, environment, turns) as they are in the mix, from mixes at two levels of the environment."""
    words = words_of(cell)
    (quiet, _, turns), _ = mini_clip(replace(cell, snr_db=cell.snr_db + 20), words)
    (loud, _, _), _ = mini_clip(cell, words)
    around = (loud.astype(np.float64) - quiet) / (1 - 0.1)  # 20 dB are a factor of ten
    return loud - around, around, turns


@pytest.mark.parametrize("cell", some_cells(), ids=lambda cell: cell.question.environment)
def test_snr_times_and_pitch_are_the_gold_ones(cell):
    speech, around, turns = parts(cell)
    assert abs(speech + around).max() < PEAK
    spans = [(round(turn.start_s * SAMPLING_RATE), round(turn.end_s * SAMPLING_RATE)) for turn in turns]
    spoken = np.concatenate([speech[start:end] for start, end in spans])
    assert 20 * math.log10(rms(spoken) / rms(around)) == pytest.approx(cell.snr_db, abs=0.1)
    loud = np.flatnonzero(np.abs(speech) > 1e-3 * np.abs(speech).max())
    inside = np.zeros(len(speech), bool)
    for (start, end), turn in zip(spans, turns, strict=True):
        own = loud[(loud >= start) & (loud < end)]
        assert own[0] - start < 80 and end - own[-1] < 80  # 5 ms
        inside[start:end] = True
        assert rms(speech[start:end]) == pytest.approx(10 ** (-26 / 20), rel=1e-3)
        hertz = measure(speech[start:end].astype(np.float32), SAMPLING_RATE).f0_hz
        assert abs(12 * math.log2(hertz / speakers.F0_HZ[turn.speaker])) < 2.5
    assert inside[loud].all() and [turn.speaker for turn in turns] == [turn.speaker for turn in cell.question.turns]


def test_voices_are_eight_semitones_apart():
    low, middle, high = speakers.F0_HZ.values()
    assert 12 * math.log2(middle / low) > 7.9 and 12 * math.log2(high / middle) > 7.9


def test_a_turn_off_the_pitch_of_its_voice_is_refused():
    cell = next(cell for cell in some_cells() if len(cell.question.turns) > 1)
    words = words_of(cell)
    with pytest.raises(ValueError, match=rf"{cell.id}: the (low|middle|high) voice measures .* could be confused"):
        mini_clip(cell, [*words[1:], words[0]])


def test_a_clip_longer_than_the_window_is_refused():
    cell = some_cells()[0]
    words = [[np.tile(word, 12) for word in pair] for pair in words_of(cell)]
    with pytest.raises(ValueError, match=rf"{cell.id}: lasts \d+\.\d\d s, at most 4.0 s fit"):
        mini_clip(cell, words)


def test_what_is_short_is_repeated_and_what_is_long_is_cut():
    wave = np.arange(10, dtype=np.float32)
    for seed in range(5):
        long = fitted(wave, 25, np.random.default_rng(seed))
        assert len(long) == 25 and (np.diff(long) % 10 == 1).all()
        short = fitted(wave, 4, np.random.default_rng(seed))
        assert len(short) == 4 and (np.diff(short) == 1).all()
    assert (fitted(wave, 10, np.random.default_rng(0)) == wave).all()


@pytest.mark.parametrize("snr_db", [0.0, 7.3, 20.0])
def test_the_level_of_speech_is_that_of_its_turns_and_peaks_are_limited(snr_db):
    rng = np.random.default_rng(0)
    speech = np.zeros(16000, np.float32)
    speech[4000:8000] = rng.standard_normal(4000)
    noise = rng.standard_normal(16000).astype(np.float32)
    mix, alone = mixed(speech, [(4000, 8000)], noise, snr_db)
    assert mix.dtype == np.float32 and np.abs(mix).max() == pytest.approx(PEAK, abs=1e-5)
    (of_speech, of_noise), *_ = np.linalg.lstsq(np.stack([speech, noise], 1), mix, rcond=None)
    np.testing.assert_allclose(alone, of_speech * speech, atol=1e-6)
    measured = 20 * math.log10(of_speech * rms(speech[4000:8000]) / (of_noise * rms(noise)))
    assert measured == pytest.approx(snr_db, abs=0.01)


def test_silence_has_no_level():
    with pytest.raises(ValueError, match="is silent"):
        normalised(np.zeros(10, np.float32))


def test_environments_are_told_apart_by_spectrum_and_rhythm():
    """Each take is nearest to another take of its own kind."""

    def features(kind, seed):
        wave = environment(kind, np.random.default_rng(seed), 16000)
        wave = normalised(wave)[:32000]
        frames = wave[: len(wave) // 400 * 400].reshape(-1, 400)
        power = np.square(np.abs(np.fft.rfft(frames * np.hanning(400), axis=1))).mean(0)
        bands = power[:200].reshape(20, 10).mean(1)
        level = 10 * np.log10(np.square(frames).mean(1) + 1e-8)
        return np.concatenate([10 * np.log10(bands + 1e-4), 2 * np.percentile(level, [5, 50, 95])])

    takes = [(kind, features(kind, seed)) for kind in KINDS for seed in range(12)]
    hits = 0
    for place, (kind, one) in enumerate(takes):
        others = [(np.square(one - other).sum(), name) for n, (name, other) in enumerate(takes) if n != place]
        hits += min(others)[1] == kind
    assert len(KINDS) >= 6 and hits / len(takes) > 0.95


def test_an_environment_that_is_silent_is_refused():
    with pytest.raises(ValueError, match="environment is silent for the length of the clip"):
        mixed(np.ones(10, np.float32) * 0.1, [(0, 10)], np.zeros(10, np.float32), 5.0)
