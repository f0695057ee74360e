"""Codecs for tests: the embedded one, trained on a few clips, and tiny random ones of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def spoken() -> list[np.ndarray]:
    """Twelve clips of the numpy voice, at 16 kHz: four speakers, three emotions."""
    from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
    from cogrl.data.synthesis.expressive import Line

    voice, texts = EmbeddedSynthesiser("numpy"), ("They moved the meeting to Friday.", "The train leaves at noon.")
    lines = [
        Line(texts[i % 2], emotion, "mid", voice.speakers[i], seed=i)
        for i in range(4)
        for emotion in ("sad", "happy", "anger")
    ]
    return [voice.say(line).waveform for line in lines]


@pytest.fixture(scope="session")
def mel_rvq(spoken):
    """The embedded codec: 2 codebooks of 32, trained on eight clips."""
    from cogrl.codecs.mel_rvq import MelRvq, MelRvqSizes

    sizes = MelRvqSizes(mel_bins=40, components=24, codebooks=2, size=32)
    return MelRvq(sizes).fit(spoken[:8], rounds=5).requires_grad_(False)


def tiny(kind: str):
    """A random model of a class of transformers whose codebooks are used."""
    from transformers import DacConfig, DacModel, EncodecConfig, EncodecModel, MimiConfig, MimiModel

    mimi = {"hidden_size": 16, "num_filters": 4, "upsampling_ratios": [8, 6, 5, 4], "codebook_size": 32}
    mimi |= {"codebook_dim": 8, "num_quantizers": 4, "vector_quantization_hidden_dimension": 8, "upsample_groups": 16}
    mimi |= {"num_hidden_layers": 1, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    dac = {"encoder_hidden_size": 4, "decoder_hidden_size": 32, "downsampling_ratios": (2, 4, 8, 5)}
    dac |= {"n_codebooks": 3, "codebook_size": 32, "codebook_dim": 4}
    encodec = {"hidden_size": 8, "num_filters": 2, "codebook_size": 32, "codebook_dim": 8}
    encodec |= {"target_bandwidths": [1.125]}
    made = {"mimi": (MimiModel, MimiConfig, mimi), "dac": (DacModel, DacConfig, dac)}
    made |= {"encodec": (EncodecModel, EncodecConfig, encodec)}
    model, config, sizes = made[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = model(config(**sizes))
        for name, value in found.state_dict().items():
            if name.endswith(("embed", "embed_sum")):  # a new codebook is all zeros
                torch.nn.init.normal_(value, std=0.05)
    return found


@pytest.fixture(scope="session")
def codec_dir(tmp_path_factory):
    """`codec_dir(kind)`: the folder of a tiny random codec of transformers."""
    import functools

    @functools.cache
    def folder(kind: str) -> Path:
        out = tmp_path_factory.mktemp("codec") / kind
        tiny(kind).save_pretrained(out)
        return out

    return folder
