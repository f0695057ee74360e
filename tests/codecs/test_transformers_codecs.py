"""The codecs of transformers behind the interface, on tiny random models of their classes."""

import numpy as np
import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from cogrl.codecs import read_codec
from cogrl.codecs.transformers_codecs import Encodec

RATES = {"mimi": (24_000, 12.5, 4), "dac": (16_000, 50.0, 3), "encodec": (24_000, 75.0, 3)}
"""Sampling rate, frames a second and codebooks of the tiny models."""


def noise(seconds: float, rate: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(int(seconds * rate))).astype(np.float32)


def codes_of(codec, clip):
    """The class's own codes, (k, f)."""
    samples = torch.tensor(clip)[None, None]
    return codec.model.encode(samples).audio_codes.reshape(-1, codec.encode([clip], codec.sampling_rate)[0].shape[0])


@pytest.mark.parametrize("kind", RATES)
def test_units_are_those_of_the_class_and_come_back_as_sound(codec_dir, kind, tmp_path):
    codec = read_codec(codec_dir(kind))
    rate, frame_rate, codebooks = RATES[kind]
    assert (codec.sampling_rate, codec.frame_rate, codec.codebooks, codec.size) == (rate, frame_rate, codebooks, 32)
    clip = noise(0.9, rate)
    (units,) = codec.encode([clip], rate)
    assert units.shape[1] == codebooks and len(units.unique()) > 3
    assert torch.equal(codes_of(codec, clip).T, units)
    (sound,) = codec.decode([units], codec.fingerprint)
    assert len(sound) == len(units) * codec.samples_a_frame and np.isfinite(sound).all() and np.ptp(sound) > 0
    other = (units + 1) % 32
    assert not np.allclose(codec.decode([other], codec.fingerprint)[0], sound)
    codec.save(tmp_path)
    assert read_codec(tmp_path).fingerprint == codec.fingerprint


@pytest.mark.parametrize("kind", RATES)
def test_fewer_codebooks_are_the_first_ones(codec_dir, kind):
    whole, two = read_codec(codec_dir(kind)), read_codec(codec_dir(kind), codebooks=2)
    clip = noise(0.4, whole.sampling_rate)
    assert torch.equal(two.encode([clip], two.sampling_rate)[0], whole.encode([clip], whole.sampling_rate)[0][:, :2])
    assert len(two.decode(two.encode([clip], two.sampling_rate), two.fingerprint)[0])
    with pytest.raises(ValueError, match="codebooks=9"):
        read_codec(codec_dir(kind), codebooks=9)


def test_units_of_one_codec_are_not_spoken_by_another(codec_dir):
    dac, encodec = (read_codec(codec_dir(kind)) for kind in ("dac", "encodec"))
    units = dac.encode([noise(0.2, 16_000)], 16_000)
    with pytest.raises(ValueError, match="encode the replies with that codec"):
        encodec.decode(units, dac.fingerprint)


def test_a_codec_whose_units_do_not_say_all_is_refused():
    model = EncodecModel(EncodecConfig(hidden_size=8, num_filters=2, codebook_size=8, codebook_dim=8, normalize=True))
    with pytest.raises(ValueError, match="its units need a scale beside them"):
        Encodec(model, 2)
    stereo = EncodecModel(
        EncodecConfig(hidden_size=8, num_filters=2, codebook_size=8, codebook_dim=8, audio_channels=2)
    )
    with pytest.raises(ValueError, match="audio_channels=2: replies are mono"):
        Encodec(stereo, 2)
