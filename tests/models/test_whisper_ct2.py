"""What is read out of a CTranslate2 file is the encoder that went in."""

import pytest
import torch
from ct2_file import ct2_file, ct2_variables
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from cogrl.models.whisper_ct2 import encoder_state, read_variables

POSITIONS = 40


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"d_model": 128, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 96}
        encoder = WhisperEncoder(WhisperConfig(num_mel_bins=8, max_source_positions=POSITIONS, **sizes)).eval()
        for name, parameter in encoder.named_parameters():
            parameter.data.normal_(1.0 if "norm.weight" in name else 0.0, 0.1)  # no two alike, biases and norms too
    encoder.load_state_dict({name: value.half().float() for name, value in encoder.state_dict().items()})
    return encoder


def test_the_encoder_that_was_stored_comes_back_bit_by_bit(encoder):
    state = encoder_state(read_variables(ct2_file(ct2_variables(encoder))), POSITIONS)
    expected = encoder.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) and state[name].dtype == torch.float32 for name in expected)


def test_a_shorter_window_keeps_the_first_positions(encoder):
    state = encoder_state(read_variables(ct2_file(ct2_variables(encoder))), 15)
    assert torch.equal(state["embed_positions.weight"], encoder.embed_positions.weight[:15])


def test_the_decoder_is_left_out(encoder):
    stored = ct2_variables(encoder)
    more = stored | {"decoder/conv1/weight": stored["encoder/conv1/weight"] + 1}
    state = encoder_state(read_variables(ct2_file(more)), POSITIONS)
    assert torch.equal(state["conv1.weight"], encoder.conv1.weight)


@pytest.mark.parametrize("wrong", [{"version": 5}, {"kind": "TransformerSpec"}])
def test_another_format_or_model_is_refused(encoder, wrong):
    with pytest.raises(ValueError, match=r"no Whisper model of CTranslate2's format 6: format \d, kind"):
        read_variables(ct2_file(ct2_variables(encoder), **wrong))


def test_quantised_weights_are_refused(encoder):
    with pytest.raises(ValueError, match="stored as type 1; only float32"):
        read_variables(ct2_file(ct2_variables(encoder), dtype=1))


def test_a_file_that_ends_early_is_no_model(encoder):
    content = ct2_file(ct2_variables(encoder))
    with pytest.raises(ValueError, match=r"cannot reshape|must be a multiple"):
        read_variables(content[: len(content) // 2])
