"""The embedded encoder and its training on the small corpus."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cogrl.audio import load_audio
from cogrl.cli.build.emotion import held_out_split, measured
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.models.emotion import read_encoder
from cogrl.models.emotion_mel import MelEmotion, padded
from cogrl.models.emotion_train import EncoderRecipe, disturbed, labels_of, train_encoder
from cogrl.types import EMOTIONS, Clip

FEW = EncoderRecipe(epochs=6, batch_size=8)


@pytest.fixture(scope="module")
def corpus(smoke_corpus):
    return [Clip(e, load_audio(e.audio)) for e in read_manifest(smoke_corpus / "sft.jsonl")]


@pytest.fixture(scope="module")
def encoder(corpus):
    return train_encoder(corpus, FEW)


@torch.no_grad()
def test_padding_leaks_into_no_embedding(encoder, clips):
    waves = [clip.waveform for clip in clips] + [clips[0].waveform[:n] for n in (1_601, 4_000, 7_777)]
    embedding, dimensions = encoder(waves)
    for i, wave in enumerate(waves):
        alone, own = encoder([wave])
        assert torch.allclose(embedding[i], alone[0], atol=1e-5) and torch.allclose(dimensions[i], own[0], atol=1e-5)
    mels, lengths = padded([encoder.mels(wave) for wave in waves])
    rubbish = torch.where(torch.arange(mels.shape[1])[:, None] < lengths[:, None, None], mels, 9.0)
    assert torch.allclose(encoder.embed(rubbish, lengths), embedding, atol=1e-5)


@torch.no_grad()
def test_the_embedding_tells_clips_apart_and_the_dimensions_stay_on_their_scale(encoder, clips):
    embedding, dimensions = encoder([clip.waveform for clip in clips])
    assert embedding.shape == (4, encoder.width) and dimensions.abs().max() <= 1
    assert torch.pdist(embedding).min() > 0.05
    for samples in (16_000, 320):  # silence, and the shortest clip there is
        assert encoder([np.zeros(samples, dtype=np.float32)])[0].isfinite().all()


def test_it_is_small(encoder):
    assert sum(p.numel() for p in encoder.parameters()) < 100_000


def test_training_learns_emotion_and_each_dimension_in_its_own_column(corpus):
    """Permuted columns would give a concordance near zero, or below."""
    learnt = train_encoder(corpus, replace(FEW, epochs=25, shift_bins=0, mask_frames=0, mask_bins=0))
    report = measured(learnt, corpus)
    assert report["emotion_accuracy"] > 0.8 and min(report["ccc"].values()) > 0.6
    emotions, targets = labels_of([clip.example for clip in corpus])
    first = corpus[0].example
    assert targets[0].tolist() == pytest.approx([first.valence, first.arousal, first.dominance])
    assert EMOTIONS[emotions[0]] == first.emotion


def test_the_same_seed_gives_the_same_weights_and_leaves_the_generator_alone(corpus, encoder):
    before = torch.get_rng_state()
    repeated = train_encoder(corpus, FEW)
    other = train_encoder(corpus, replace(FEW, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    for ours, theirs in zip(encoder.parameters(), repeated.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    assert (encoder.dense.weight - other.dense.weight).abs().max() > 0.05


def test_a_disturbance_keeps_the_original_and_its_shape():
    mels = torch.randn(50, 64)
    kept = mels.clone()
    masked = disturbed(mels, EncoderRecipe())
    assert masked.shape == mels.shape and torch.equal(mels, kept) and not torch.equal(masked, mels)
    still = EncoderRecipe(shift_bins=0, gain=0.0, mask_frames=0, mask_bins=0)
    assert torch.equal(disturbed(mels, still), mels)
    moved = [disturbed(mels, replace(still, shift_bins=2)) for _ in range(20)]
    shifts = {next(k for k in range(-2, 3) if torch.equal(one[:, 4:-4], mels.roll(k, 1)[:, 4:-4])) for one in moved}
    assert len(shifts) > 1  # bands up or down, as with another vocal-tract length, and nothing else


def test_a_saved_encoder_is_the_same_encoder(encoder, clips, tmp_path):
    encoder.save(tmp_path)
    reloaded = read_encoder(tmp_path)
    waves = [clip.waveform for clip in clips]
    assert isinstance(reloaded, MelEmotion) and reloaded.sizes == encoder.sizes
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), reloaded.parameters(), strict=True))
    with torch.no_grad():
        torch.testing.assert_close(reloaded(waves), encoder(waves))


def test_a_clip_without_labels_is_named(corpus):
    unlabelled = replace(corpus[1], example=replace(corpus[1].example, arousal=None, where="x.jsonl:2"))
    with pytest.raises(ValueError, match=r"x.jsonl:2 .* learns from emotion, valence, arousal and dominance"):
        train_encoder([corpus[0], unlabelled], FEW)


def test_held_out_clips_share_neither_speaker_nor_sentence_with_the_others(corpus):
    examples = [clip.example for clip in corpus]
    train, held_out = held_out_split(examples)
    for field in ("speaker", "text_group"):
        assert {getattr(e, field) for e in train}.isdisjoint({getattr(e, field) for e in held_out})
    assert train and held_out
    with pytest.raises(ValueError, match="several speakers who say the same sentences"):
        held_out_split([example for example in examples if example.speaker == examples[0].speaker])


def test_the_command_writes_an_encoder_and_says_how_well_it_hears(smoke_corpus, tmp_path, capsys):
    args = ["build", "emotion-encoder", "--manifest", str(smoke_corpus / "sft.jsonl"), "--epochs", "2"]
    args += ["--out", str(tmp_path / "emotion")]
    assert main(args) == 0
    said = capsys.readouterr().out
    assert "speakers and sentences it never heard: concordance (CCC) valence" in said and "emotion accuracy" in said
    report = json.loads((tmp_path / "emotion" / "report.json").read_text())
    assert set(report["ccc"]) == {"valence", "arousal", "dominance"} and report["held_out"] > 0
    assert read_encoder(tmp_path / "emotion").width == 64
    assert main(args) == 0 and "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("field", ["speaker", "text_group"])
def test_a_line_that_can_not_be_held_out_is_refused_by_name(smoke_corpus, tmp_path, capsys, field):
    examples = read_manifest(smoke_corpus / "sft.jsonl")
    write_manifest(tmp_path / "few.jsonl", [replace(examples[0], **{field: ""}), *examples[1:]])
    assert (
        main(["build", "emotion-encoder", "--manifest", str(tmp_path / "few.jsonl"), "--out", str(tmp_path / "e")]) == 2
    )
    said = capsys.readouterr().err
    assert f"few.jsonl:1 ({examples[0].id}): no {field}, by which clips are held out" in said
    assert not (tmp_path / "e").exists()
