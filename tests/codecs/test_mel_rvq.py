"""The embedded codec: what of a voice its units keep, and what is written and read back."""

import numpy as np
import pytest
import torch

from cogrl.codecs import read_codec, spectra
from cogrl.codecs.mel_rvq import MelRvq, MelRvqSizes
from cogrl.codecs.quality import log_spectral_distance, measured
from cogrl.codecs.streaming import StreamingDecoder


def rebuilt(codec, clip):
    (units,) = codec.encode([clip], 16_000)
    return codec.decode([units], codec.fingerprint)[0]


def strongest_hz(clip: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(clip * np.hanning(len(clip))))
    return float(np.argmax(spectrum) * 16_000 / len(clip))


def test_griffin_lim_finds_a_sound_with_these_mels():
    """A tone comes back at its own pitch: another phase, the same spectrum."""
    time = torch.arange(8000) / 16_000
    tone = 0.3 * torch.sin(2 * torch.pi * 220 * time) + 0.1 * torch.sin(2 * torch.pi * 660 * time)
    bank = spectra.filters(80, 16_000)
    back = spectra.from_log_mels(spectra.log_mels(tone, bank), bank, 8000).numpy()
    assert abs(strongest_hz(back) - 220) < 8
    assert log_spectral_distance(tone.numpy(), back, 16_000) < 6


def test_units_keep_the_spectrum_and_each_codebook_adds_to_it(spoken, mel_rvq, tmp_path):
    clips = spoken[8:]  # which it was not trained on
    mel_rvq.save(tmp_path)
    one = read_codec(tmp_path, codebooks=1)
    both, first = measured(mel_rvq, clips), measured(one, clips)
    silence = np.mean([log_spectral_distance(clip, 0 * clip, 16_000) for clip in clips])
    assert both.distance_db < first.distance_db < silence / 3
    assert both.bits_a_second == 2 * first.bits_a_second == 25 * 2 * 5


def test_units_are_frames_of_whole_numbers_as_long_as_the_clip(spoken, mel_rvq):
    (units,) = mel_rvq.encode(spoken[:1], 16_000)
    assert units.shape == (-(-len(spoken[0]) // 640), 2) and units.dtype == torch.int64
    assert units.min() >= 0 and units.max() < 32 and len(units.unique()) > 8
    assert len(rebuilt(mel_rvq, spoken[0])) == 640 * len(units)


def test_a_saved_codec_makes_the_same_units_and_is_the_same_codec(spoken, mel_rvq, tmp_path):
    mel_rvq.save(tmp_path)
    reloaded = read_codec(tmp_path)
    assert reloaded.space == mel_rvq.space
    assert torch.equal(reloaded.encode(spoken[:1], 16_000)[0], mel_rvq.encode(spoken[:1], 16_000)[0])
    first = read_codec(tmp_path, codebooks=1)
    assert torch.equal(first.encode(spoken[:1], 16_000)[0], mel_rvq.encode(spoken[:1], 16_000)[0][:, :1])
    assert first.fingerprint != mel_rvq.fingerprint


def test_training_depends_on_clips_and_seed_alone(spoken):
    sizes = MelRvqSizes(mel_bins=20, components=8, codebooks=1, size=8)
    fitted = [MelRvq(sizes).fit(spoken[:4], seed=seed, rounds=2).fingerprint for seed in (1, 1, 2)]
    assert fitted[0] == fitted[1] != fitted[2]
    with pytest.raises(ValueError, match="frames can not fill codebooks of 512"):
        MelRvq(MelRvqSizes(size=512)).fit(spoken[:1])


def test_what_streams_is_the_whole_reply_a_chunk_at_a_time(spoken, mel_rvq):
    (units,) = mel_rvq.encode(spoken[8:9], 16_000)
    stream, parts = StreamingDecoder(mel_rvq, chunk=8, context=4), []
    for at, step in enumerate(units.split(3)):
        parts.append(stream.feed(step, last=3 * (at + 1) >= len(units)))
    assert len(parts[0]) == len(parts[1]) == 0 and len(parts[2]) == 8 * 640  # the ninth frame is there to fade over
    sound = np.concatenate(parts)
    (whole,) = mel_rvq.decode([units], mel_rvq.fingerprint)
    assert len(sound) == len(whole)
    assert log_spectral_distance(whole, sound, 16_000) < 0.5 * log_spectral_distance(whole, 0.1 * whole, 16_000)


def test_units_that_can_not_be_spoken_are_refused(spoken, mel_rvq):
    (units,) = mel_rvq.encode(spoken[:1], 16_000)
    name = mel_rvq.fingerprint
    wrong = units.clone()
    wrong[3, 1] = 32
    with pytest.raises(ValueError, match="frame 3 holds unit 32; those of the codec are 0 to 31"):
        mel_rvq.decode([wrong], name)
    with pytest.raises(ValueError, match="of codec 'mimi-8x2048-0', these weights speak in units of 'cogrl_mel_rvq"):
        mel_rvq.decode([units], "mimi-8x2048-0")
    with pytest.raises(ValueError, match="frame 0 has 1 units, the codec 2 codebooks"):
        mel_rvq.decode([units[:, :1]], name)
    with pytest.raises(ValueError, match="it is empty"):
        mel_rvq.decode([units[:0]], name)
    assert "at most 4 are spoken" in mel_rvq.space.error(units.tolist(), name, budget=4)
    assert mel_rvq.space.error(units.tolist(), name, budget=len(units)) is None


def test_clips_that_can_not_be_coded_are_refused(spoken, mel_rvq):
    with pytest.raises(ValueError, match="sampled at 24000 Hz, codec cogrl_mel_rvq takes 16000 Hz"):
        mel_rvq.encode(spoken[:1], 24_000)
    with pytest.raises(ValueError, match="shorter than a frame"):
        mel_rvq.encode([spoken[0][:100]], 16_000)


def test_a_folder_without_a_codec_says_how_to_make_one(tmp_path, emotion_dir, mel_rvq):
    with pytest.raises(FileNotFoundError, match="cogrl build speech-codec --out"):
        read_codec(tmp_path / "nothing")
    with pytest.raises(ValueError, match="model_type 'cogrl_mel_emotion' is no codec; known: cogrl_mel_rvq, mimi"):
        read_codec(emotion_dir)
    mel_rvq.save(tmp_path)
    with pytest.raises(ValueError, match=r"codebooks=3: the codec in .* has 2"):
        read_codec(tmp_path, codebooks=3)


def test_the_weights_are_hashed_once_and_again_when_they_are_others(spoken, monkeypatch):
    from cogrl.codecs import codec as module

    codec, hashed = MelRvq(MelRvqSizes(components=8, codebooks=1, size=16)).fit(spoken[:4]), []
    monkeypatch.setattr(module, "hash64", lambda content: hashed.append(len(content)) or len(hashed))
    units = codec.encode(spoken[:3], 16_000)
    codec.decode(units, codec.fingerprint)
    codec.decode(units, codec.fingerprint)
    assert len(hashed) == 1
    before = codec.fingerprint
    assert codec.fit(spoken[4:8]).fingerprint != before and len(hashed) == 2
