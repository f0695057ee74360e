"""The optimiser schedule, testing and predicting, and one real fit of the supervised stages."""

import math
from functools import partial

import pytest
import pytorch_lightning as pl
import torch

from cogrl.data.clips import Batches
from cogrl.data.module import AudioData
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Perceive, Sft
from cogrl.stages.optim import Optim

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
}


def test_the_learning_rate_warms_up_and_falls_to_zero():
    cosine = Optim(warmup_steps=4, schedule="cosine")
    assert [cosine.scale(step, 12) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert cosine.scale(8, 12) == pytest.approx(0.5)
    assert cosine.scale(12, 12) == pytest.approx(0.0)
    assert Optim(warmup_steps=4).scale(100, 12) == 1.0
    assert all(cosine.scale(s, 12) >= cosine.scale(s + 1, 12) for s in range(4, 12))


def test_sft_loss_is_the_mean_of_each_samples_token_mean(policy, clips):
    stage = Sft(policy)
    with torch.no_grad():
        one_by_one = [
            stage.loss(_batch([clip]), [format]).item()
            for clip, format in zip(clips, ["eips", "direct"] * 2, strict=True)
        ]
        together = stage.loss(_batch(clips), list(["eips", "direct"] * 2)).item()
    assert together == pytest.approx(sum(one_by_one) / 4, abs=1e-5)
    assert one_by_one[0] == pytest.approx(math.log(400), rel=0.1)  # an untrained policy knows nothing


def test_sft_memorises_a_handful_of_clips(policy, clips):
    torch.manual_seed(0)
    stage, batch = Sft(policy), _batch(clips[:2])
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = stage.loss(batch, ["direct", "direct"])
        loss.backward()
        optimizer.step()
    answers = stage.answer(batch, "direct").texts
    assert answers == [clip.example.targets["direct"] for clip in clips[:2]]


def test_a_clip_without_a_target_is_named(policy, clips):
    from dataclasses import replace

    clip = replace(clips[0], example=replace(clips[0].example, targets={"direct": "I hear you."}))
    with pytest.raises(ValueError, match=rf"{clip.example.id}.*no target for format eips"):
        Sft(policy).loss(_batch([clip]), ["eips"])


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_a_step_in_bfloat16_runs_and_changes_weights(policy, smoke_corpus, precision):
    before = {n: p.detach().clone() for n, p in policy.named_parameters()}
    stage = Sft(policy, optim=Optim(lr=1e-2))
    pl.Trainer(max_steps=1, precision=precision, **QUIET).fit(
        stage, AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=2)
    )
    assert any(not torch.equal(p.float(), before[n].float()) for n, p in policy.named_parameters())


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        (Sft, {"targets": {"eips": "x"}}, r"no target for format direct; add targets\.direct"),
        (partial(Sft, reads="words"), {"text": ""}, "no text to read; add it to this line or train with reads: audio"),
        (Perceive, {"valence": None}, "no valence; add it to this line or train with vad_coef: 0"),
        (Perceive, {"emotion": None}, "no emotion, which is what this stage teaches; add it to this line"),
    ],
)
def test_a_line_a_stage_can_not_learn_from_is_refused_at_the_start(policy, clips, kind, change, reason):
    from dataclasses import replace

    stage = kind(policy)
    good = clips[0].example
    stage.check([good])
    with pytest.raises(ValueError, match=rf"{good.where} \({good.id}\): {reason}"):
        stage.check([good, replace(good, **change)])


def test_perceive_without_dimensions_learns_emotion_alone(policy, clips):
    from dataclasses import replace

    stage = Perceive(policy, vad_coef=0.0)
    stage.configure_model()
    bare = [replace(c, example=replace(c.example, valence=None, arousal=None, dominance=None)) for c in clips]
    loss, _ = stage.loss_and_accuracy(_batch(bare), mask_frames=0)
    assert loss.isfinite()


def test_perceive_hears_through_a_half_precision_policy(tiny_policy_dir, clips):
    stage = Perceive(Qwen2Audio(str(tiny_policy_dir), dtype="bfloat16"))
    stage.configure_model()
    loss, _ = stage.loss_and_accuracy(_batch(clips), mask_frames=0)
    loss.backward()
    assert stage.head.weight.grad.abs().sum() > 0 and stage.policy.audio_tower.conv1.weight.grad.abs().sum() > 0


def test_perceive_trains_the_tower_and_leaves_the_language_model_alone(policy, smoke_corpus):
    before = {n: p.detach().clone() for n, p in policy.named_parameters()}
    stage = Perceive(policy, optim=Optim(lr=1e-2))
    pl.Trainer(max_steps=2, **QUIET).fit(stage, AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=8))
    changed = {n for n, p in policy.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all("audio_tower" in n or "multi_modal_projector" in n for n in changed)
    assert not any("embed_positions" in n for n in changed)


def test_perceive_learns_what_it_is_shown(policy, smoke_corpus):
    torch.manual_seed(0)
    data = AudioData(train=str(smoke_corpus / "sft.jsonl"), batch_size=14, keep_in_memory=True)
    stage = Perceive(policy, mask_frames=0, optim=Optim(lr=1e-2))
    trainer = pl.Trainer(max_epochs=60, **QUIET)
    trainer.fit(stage, data)
    shown = Batches(data.clips("train"))[list(range(28))]
    with torch.no_grad():
        _, accuracy = stage.loss_and_accuracy(shown, mask_frames=0)
    assert accuracy > 0.5, "of seven emotions"


def test_test_and_predict_answer_both_formats(policy, smoke_corpus):
    stage = Sft(policy, sampling=Sampling(max_new_tokens=5))
    data = AudioData(test=str(smoke_corpus / "test.jsonl"), batch_size=4)
    trainer = pl.Trainer(**QUIET)
    [metrics] = trainer.test(stage, data, verbose=False)
    assert {"test/eips/reward", "test/eips/emotion", "test/direct/reward", "test/direct/empathy"} <= set(metrics)
    records = [record for batch in trainer.predict(stage, data) for record in batch]
    assert [r["id"] for r in records] == [e.id for e in data.examples["test"]]
    assert all(set(r) == {"id", "eips", "direct"} for r in records)


def _batch(clips):
    from cogrl.types import ClipBatch

    return ClipBatch(clips)
