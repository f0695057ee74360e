"""The published wav2vec2 layout: its order, its pooling and its padding, on a tiny random model of the real class."""

import json

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from cogrl.models.emotion import EmotionSettings, read_encoder
from cogrl.models.emotion_encoder import AUDEERING, RE_LLM, DimensionLayout
from cogrl.models.emotion_wav2vec2 import Wav2Vec2Emotion
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
ROBUST = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
NAMES = {"arousal": 0, "dominance": 1, "valence": 2}


@pytest.fixture
def published(tmp_path):
    """A folder as the published one: legacy `.bin`, weight norm under its old names, named outputs, an extractor."""

    def write(id2label=None, drop=(), **settings):
        labels = {i: name for name, i in NAMES.items()} if id2label is None else id2label
        config = Wav2Vec2Config(
            **SIZES, **(ROBUST | settings), id2label=labels, label2id={v: k for k, v in labels.items()}
        )
        with torch.random.fork_rng():
            torch.manual_seed(3)
            backbone = Wav2Vec2Model(config)
            head = {"dense": torch.nn.Linear(24, 24), "out_proj": torch.nn.Linear(24, 3)}
        state = {f"wav2vec2.{name}": value for name, value in backbone.state_dict().items()}
        conv = "wav2vec2.encoder.pos_conv_embed.conv"
        for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
            state[f"{conv}.{old}"] = state.pop(f"{conv}.parametrizations.weight.{new}")
        state |= {f"classifier.{layer}.{n}": v for layer, part in head.items() for n, v in part.state_dict().items()}
        folder = tmp_path / "published"
        folder.mkdir(exist_ok=True)
        torch.save({name: value for name, value in state.items() if name not in drop}, folder / "pytorch_model.bin")
        described = config.to_dict() | {"architectures": ["Wav2Vec2ForSpeechClassification"], "pooling_mode": "mean"}
        (folder / "config.json").write_text(json.dumps(described))
        Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
        return folder, backbone.eval(), head

    return write


@pytest.fixture
def waves():
    rng = np.random.default_rng(0)
    lengths = (16_000, 4_321, 9_999, 1_600)
    return [(0.3 * rng.standard_normal(n) * np.hanning(n) + 0.05).astype(np.float32) for n in lengths]


@torch.no_grad()
def test_the_outputs_are_the_original_recipes_in_our_order_and_scale(published, waves):
    """One clip at a time, zero mean and unit variance, mean over all frames: the readme of the public model."""
    folder, backbone, head = published()
    encoder = read_encoder(folder).eval()
    assert isinstance(encoder, Wav2Vec2Emotion) and (encoder.width, encoder.sampling_rate) == (24, 16_000)
    for wave in waves:
        normal = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        pooled = backbone(torch.from_numpy(normal)[None]).last_hidden_state.mean(1)
        arousal, dominance, valence = head["out_proj"](torch.tanh(head["dense"](pooled)))[0].tolist()
        embedding, dimensions = encoder([wave])
        assert torch.allclose(embedding, pooled, atol=1e-5)
        expected = [2 * value - 1 for value in (valence, arousal, dominance)]
        assert dimensions[0].tolist() == pytest.approx(np.clip(expected, -1, 1).tolist(), abs=1e-5)
        assert len({round(value, 3) for value in dimensions[0].tolist()}) == 3  # so that their order is checked


@torch.no_grad()
def test_padding_leaks_into_no_embedding(published, waves):
    encoder = read_encoder(published()[0]).eval()
    embedding, dimensions = encoder(waves)
    for i, wave in enumerate(waves):
        alone, own = encoder([wave])
        assert torch.allclose(embedding[i], alone[0], atol=1e-5) and torch.allclose(dimensions[i], own[0], atol=1e-5)
    backwards, _ = encoder(waves[::-1])
    assert torch.allclose(backwards.flip(0), embedding, atol=1e-5)


def test_the_order_follows_the_names_in_the_config(published, waves):
    encoder = read_encoder(published()[0])
    assert encoder.layout == AUDEERING
    other = read_encoder(published({0: "valence", 1: "arousal", 2: "dominance"})[0])
    assert other.layout.order == ("valence", "arousal", "dominance")
    assert read_encoder(published({i: f"LABEL_{i}" for i in range(3)})[0]).layout == AUDEERING
    with pytest.raises(ValueError, match="must name each of valence, arousal, dominance once"):
        read_encoder(published({0: "anger", 1: "joy", 2: "valence"})[0])


def test_a_saved_encoder_is_the_same_encoder(published, waves, tmp_path):
    encoder = read_encoder(published()[0]).eval()
    encoder.save(tmp_path / "again")
    reloaded = read_encoder(tmp_path / "again").eval()
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), reloaded.parameters(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(reloaded(waves), encoder(waves))
    assert reloaded.layout == encoder.layout


def test_weights_of_another_layout_are_refused_and_not_left_random(published):
    folder, *_ = published(drop=("classifier.out_proj.weight",))
    with pytest.raises(ValueError, match=r"missing keys classifier.out_proj.weight; expected the layout"):
        read_encoder(folder)


def test_convolutions_that_hear_the_padding_are_refused(published):
    folder, *_ = published(feat_extract_norm="group", do_stable_layer_norm=False, conv_bias=False)
    with pytest.raises(ValueError, match="feat_extract_norm='group': padding would change the embedding"):
        read_encoder(folder)


@torch.no_grad()
def test_a_policy_hears_with_it_and_keeps_it(published, tiny_policy_dir, clips, tmp_path):
    policy = Qwen2Audio(str(tiny_policy_dir), emotion=EmotionSettings(str(published()[0]))).load().train()
    policy.emotion.projection.weight.data.normal_()
    waveforms = [clip.waveform for clip in clips]
    frames, _ = policy.audio_embeds(policy.audio_tensors(waveforms))
    policy.save(tmp_path / "export")
    reloaded = saved_policy(str(tmp_path / "export"))
    torch.testing.assert_close(reloaded.audio_embeds(reloaded.audio_tensors(waveforms))[0], frames)
    names = [name for name, _ in reloaded.emotion.encoder.model.named_parameters()]
    assert {"classifier.dense.weight", "classifier.out_proj.bias"} <= set(names)
    assert all(name.startswith(("wav2vec2.", "classifier.")) for name in names)


@pytest.mark.parametrize("layout", [AUDEERING, RE_LLM, DimensionLayout(("dominance", "valence", "arousal"), 1.0, 7.0)])
def test_every_layout_goes_round(layout):
    """A-D-V of the encoder, A-V-D of RE-LLM's loss, and one whose permutation is not its own inverse."""
    ours = torch.rand(5, 3) * 2 - 1
    assert torch.allclose(layout.to_ours(layout.from_ours(ours)), ours, atol=1e-6)
    theirs = layout.from_ours(torch.tensor([-1.0, 0.0, 1.0]))
    middle = (layout.low + layout.high) / 2
    by_name = {"valence": layout.low, "arousal": middle, "dominance": layout.high}
    assert theirs.tolist() == [by_name[name] for name in layout.order]
    assert layout.to_ours(theirs).tolist() == [-1.0, 0.0, 1.0]


def test_the_orders_of_encoder_and_loss_are_not_the_same():
    """A-D-V out, A-V-D as target: so both are converted to cogrl's order."""
    native = torch.tensor([0.9, 0.2, 0.6])  # arousal, dominance, valence
    assert AUDEERING.to_ours(native).tolist() == pytest.approx([0.2, 0.8, -0.6])
    assert RE_LLM.from_ours(AUDEERING.to_ours(native)).tolist() == pytest.approx([0.9, 0.6, 0.2])


def test_a_layout_names_each_dimension_once_on_a_scale():
    with pytest.raises(ValueError, match="must name each of"):
        DimensionLayout(("arousal", "arousal", "valence"))
    with pytest.raises(ValueError, match=r"low=1\.0 must be less than high=0\.0"):
        DimensionLayout(AUDEERING.order, 1.0, 0.0)
