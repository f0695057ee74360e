"""What the student learns from a teacher that reads."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from cogrl.model_input import describe
from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.objectives.attributes import ccc
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Align, Sft
from cogrl.stages.align import Weight, mean_frames
from cogrl.types import EMOTIONS, Clip, ClipBatch, Completions

OFF = Weight(0.0)
FORMATS = ["eips", "direct", "eips", "direct"]


def stage_of(policy, **settings):
    defaults = {"ce": OFF, "kd": OFF, "emotion": OFF, "dimensions": OFF, "sampling": Sampling(max_new_tokens=6)}
    stage = Align(policy, **(defaults | settings))
    stage.configure_model()
    stage.log = lambda *args, **kwargs: None
    return stage


@pytest.fixture
def audio_only(tiny_policy_dir):
    policy = Qwen2Audio(str(tiny_policy_dir), train_language_model=False, share_prompt=False).load()
    policy.lm_head_weight.data.mul_(30)  # a random head is nearly uniform: nothing would differ
    return policy


def test_the_weight_moves_in_a_line_and_stays():
    weight = Weight(1.0, 0.0, steps=4)
    assert [weight.at(step) for step in (0, 1, 2, 4, 9)] == [1.0, 0.75, 0.5, 0.0, 0.0]
    assert Weight(0.3).at(0) == Weight(0.3).at(7) == 0.3
    assert weight.used and Weight(0.0, 1.0, 5).used and not Weight(0.0).used


def test_cross_entropy_alone_is_supervised_fine_tuning(audio_only, clips):
    batch = ClipBatch(clips)
    sft = Sft(audio_only)
    sft.configure_model()
    loss = stage_of(audio_only, ce=Weight()).loss(batch, FORMATS)
    assert loss.item() == pytest.approx(sft.loss(batch, FORMATS).item(), rel=1e-5)


def written_out(stage, batch, formats):
    """The four terms by their formulas in float64, every logit at hand: T = 3 here."""
    policy, examples = stage.policy, [clip.example for clip in batch.clips]
    targets = policy.encode_targets(
        [example.targets[format] for example, format in zip(examples, formats, strict=True)]
    )
    lengths = targets.mask.sum(1).tolist()

    def logits(given):
        states = policy.token_states(stage.encode(batch, formats, given), targets)
        head, bias = policy.lm_head_weight.double(), policy.lm_head_bias.double()
        return states.hidden[states.rows].double() @ head.T + bias

    def by_sample(values):
        return torch.stack([part.mean() for part in values.split(lengths)]).mean()

    student = logits([clip.waveform for clip in batch.clips])
    teacher = logits([describe(example) for example in examples])
    p, q = ((z / 3.0).log_softmax(-1) for z in (teacher, student))
    first, second = (p, q) if stage.kd_direction == "forward" else (q, p)
    prompts = stage.encode(batch, formats, [clip.waveform for clip in batch.clips])
    frames = mean_frames(policy.prompt_embeds(prompts), prompts.input_ids == policy.audio_token_id)
    emotions = torch.tensor([EMOTIONS.index(example.emotion) for example in examples])
    dimensions = torch.tensor([[example.valence, example.arousal, example.dominance] for example in examples])
    return {
        "ce": by_sample(cross_entropy(student, targets.ids[targets.mask], reduction="none")),
        "kd": by_sample((first.exp() * (first - second)).sum(-1)),
        "emotion": cross_entropy(stage.emotion_head(frames), emotions),
        "dimensions": (stage.dimension_head(frames) - dimensions).square().mean(),
    }


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_loss_is_the_sum_of_its_terms_by_the_weights_of_the_step(audio_only, clips, monkeypatch, direction):
    monkeypatch.setattr(Align, "global_step", 1)
    weights = {"ce": Weight(0.5), "kd": Weight(7.0, 3.0, 4), "emotion": Weight(2.0, 0.0, 2), "dimensions": Weight(0.3)}
    stage = stage_of(audio_only, **weights, kd_temperature=3.0, kd_direction=direction)
    logged = {}
    stage.log = lambda name, value, **_: logged.update({name: value.item()})
    total = stage.loss(ClipBatch(clips), FORMATS).item()
    terms = {name: term.item() for name, term in written_out(stage, ClipBatch(clips), FORMATS).items()}
    assert logged == pytest.approx({f"align/{name}": value for name, value in terms.items()}, rel=1e-4)
    expected = 0.5 * terms["ce"] + 6.0 * terms["kd"] + 1.0 * terms["emotion"] + 0.3 * terms["dimensions"]
    assert total == pytest.approx(expected, rel=1e-4) and min(terms.values()) > 1e-2


def test_without_settings_it_is_re_llms_loss_with_both_response_terms(audio_only):
    stage = Align(audio_only)
    assert [w.at(step) for w in (stage.ce, stage.kd, stage.emotion, stage.dimensions) for step in (0, 999)] == [1.0] * 8
    assert (stage.kd_temperature, stage.kd_direction, stage.dimension_loss) == (2.0, "forward", "mse")


def test_the_concordance_loss_can_be_asked_for_by_name(policy, clips):
    stage = stage_of(policy, dimensions=Weight(), dimension_loss="ccc")
    frames = torch.randn(4, policy.lm_head_weight.shape[1])
    examples = [clip.example for clip in clips]
    labels = torch.tensor([example.dimensions for example in examples])
    expected = ccc(stage.dimension_head(frames), labels)
    assert stage.dimension_error(frames, examples).item() == pytest.approx(expected.item())


def test_the_outputs_of_the_head_are_held_against_the_dimensions_in_the_order_that_is_asked_for(policy, clips):
    """RE-LLM's targets are arousal, valence, dominance; a line's are valence, arousal, dominance."""
    examples, frames = [clip.example for clip in clips], torch.randn(len(clips), policy.width)
    stage = stage_of(policy, dimensions=Weight(), dimension_order=("arousal", "valence", "dominance"))
    labels = torch.tensor([[example.arousal, example.valence, example.dominance] for example in examples])
    expected = (stage.dimension_head(frames) - labels).square().mean()
    assert stage.dimension_error(frames, examples).item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(ValueError, match="must name each of valence, arousal, dominance once"):
        stage_of(policy, dimension_order=("arousal", "arousal", "dominance"))


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_distillation_reacts_to_the_first_response_token_and_not_to_what_follows_the_end(audio_only, clips, direction):
    """RE-LLM's released code takes the logits AT the response tokens, one too late at both ends."""
    batch = ClipBatch(clips[:1])
    stage = stage_of(audio_only, kd=Weight(), kd_direction=direction)
    prompts = stage.encode(batch, ["direct"], [clips[0].waveform])
    targets = stage.targets(batch, ["direct"])
    student = audio_only.token_states(prompts, targets)
    before = stage.distillation(student, targets, batch, ["direct"]).item()

    def disturbed(row):
        hidden = student.hidden.clone()
        hidden[row] += torch.randn(hidden.shape[1], generator=torch.Generator().manual_seed(0))
        return stage.distillation(replace(student, hidden=hidden), targets, batch, ["direct"]).item()

    first, end = prompts.input_ids.shape[1] - 1, prompts.input_ids.shape[1] - 1 + int(targets.mask.sum())
    assert student.rows[0] == first and end not in student.rows.tolist()
    assert abs(disturbed(first) - before) > 1e-4
    assert disturbed(end) == pytest.approx(before, abs=1e-6)


def test_the_teacher_reads_the_emotion_and_the_student_does_not(audio_only, clips):
    batch = ClipBatch(clips)
    stage = stage_of(audio_only, kd=Weight())
    read = stage.encode(batch, FORMATS, [describe(clip.example) for clip in clips])
    prompts = stage.encode(batch, FORMATS, [clip.waveform for clip in clips])
    decode = audio_only.tokenizer.batch_decode
    for clip, teacher, student in zip(clips, decode(read.input_ids), decode(prompts.input_ids), strict=True):
        assert clip.example.emotion in teacher and clip.example.text in teacher
        assert not any(emotion in student for emotion in EMOTIONS) and clip.example.text not in student


def test_the_teacher_reads_the_cause_where_there_is_one_and_no_emotion_where_there_is_none(clips):
    example = replace(clips[0].example, emotion="sad", text="They moved the exam.")
    assert describe(example) == 'The speaker says, with the voice of sad: "They moved the exam."'
    caused = replace(example, cause='"the exam"')
    assert describe(caused) == describe(example) + ' The cause: "the exam"'
    assert describe(replace(example, emotion=None)) == 'The speaker says: "They moved the exam."'


def test_a_student_that_reads_what_the_teacher_reads_has_nothing_to_learn(audio_only, clips):
    batch = ClipBatch(clips)
    stage = stage_of(audio_only, kd=Weight())
    targets = stage.targets(batch, FORMATS)
    read = stage.encode(batch, FORMATS, [describe(clip.example) for clip in clips])
    assert stage.distillation(audio_only.token_states(read, targets), targets, batch, FORMATS).abs() < 1e-5
    prompts = stage.encode(batch, FORMATS, [clip.waveform for clip in clips])
    assert stage.distillation(audio_only.token_states(prompts, targets), targets, batch, FORMATS) > 1e-3


def test_distillation_moves_the_ears_and_leaves_the_language_model(audio_only, clips):
    loss = stage_of(audio_only, kd=Weight()).loss(ClipBatch(clips), FORMATS)
    loss.backward()
    assert all(p.grad is None for p in audio_only.model.model.language_model.parameters())
    trained = [p for p in audio_only.audio_tower.parameters() if p.requires_grad]
    assert trained and all(p.grad.abs().sum() > 0 for p in trained)


def test_adapters_take_no_part_in_the_teachers_pass(tiny_policy_dir, clips):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(dropout=0.0)).load()
    stage = stage_of(policy, kd=Weight())
    batch = ClipBatch(clips)
    targets = stage.targets(batch, FORMATS)
    read = stage.encode(batch, FORMATS, [describe(clip.example) for clip in clips])
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    student = policy.token_states(read, targets)  # the same text, but through the adapters
    assert stage.distillation(student, targets, batch, FORMATS) > 1e-3
    repeated = policy.token_states(read, targets)
    torch.testing.assert_close(student.hidden, repeated.hidden)  # they are on again afterwards


def test_a_teacher_that_would_move_is_refused(tiny_policy_dir):
    with pytest.raises(ValueError, match="the teacher would move with the student"):
        Align(Qwen2Audio(str(tiny_policy_dir)))
    Align(Qwen2Audio(str(tiny_policy_dir)), kd=OFF)
    Align(Qwen2Audio(str(tiny_policy_dir)), teacher=Qwen2Audio(str(tiny_policy_dir)))


def test_a_teacher_of_its_own_is_read_and_frozen(tiny_policy_dir, clips):
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    stage = stage_of(policy, kd=Weight(), teacher=Qwen2Audio(str(tiny_policy_dir)))
    loss = stage.loss(ClipBatch(clips), FORMATS)
    loss.backward()
    assert all(p.grad is None for p in stage.teacher.parameters())
    assert policy.lm_head_weight.grad.abs().sum() > 0
    frozen = Qwen2Audio(str(tiny_policy_dir), train_language_model=False).load()
    alone = stage_of(frozen, kd=Weight()).loss(ClipBatch(clips), FORMATS)
    assert loss.item() == pytest.approx(alone.item(), rel=1e-4)


def test_the_teacher_can_give_the_responses(audio_only, clips):
    stage = stage_of(audio_only, ce=Weight(), kd=Weight(), responses="teacher")
    targets = stage.targets(ClipBatch(clips), FORMATS)
    assert isinstance(targets, Completions) and targets.ids.shape[1] <= 6
    assert stage.loss(ClipBatch(clips), FORMATS).isfinite()
    bare = [Clip(replace(clip.example, targets={}), clip.waveform) for clip in clips]
    assert stage.validate(bare[0].example) is None and stage.loss(ClipBatch(bare), FORMATS).isfinite()


def test_the_heads_see_the_audio_frames_only(policy, clips):
    stage = stage_of(policy, emotion=Weight(), dimensions=Weight())
    batch = ClipBatch(clips)
    prompts = stage.encode(batch, FORMATS, [clip.waveform for clip in clips])
    embeds = policy.prompt_embeds(prompts)
    audio = prompts.input_ids == policy.audio_token_id
    frames = mean_frames(embeds, audio)
    disturbed = embeds + torch.randn_like(embeds) * ~audio[..., None]
    assert torch.allclose(mean_frames(disturbed, audio), frames)
    expected = torch.stack([embeds[i][audio[i]].mean(0) for i in range(len(clips))])
    assert torch.allclose(frames, expected, atol=1e-6)
    loss = stage.loss(batch, FORMATS)
    loss.backward()
    assert stage.emotion_head.weight.grad.abs().sum() > 0 and stage.dimension_head.weight.grad.abs().sum() > 0


def test_the_heads_learn_from_the_frames_of_a_half_precision_policy(tiny_policy_dir, clips):
    policy = Qwen2Audio(str(tiny_policy_dir), dtype="bfloat16", train_language_model=False)
    stage = stage_of(policy, emotion=Weight(), dimensions=Weight())
    stage.loss(ClipBatch(clips), FORMATS).backward()
    assert stage.emotion_head.weight.dtype == torch.float32
    assert stage.emotion_head.weight.grad.abs().sum() > 0 and stage.dimension_head.weight.grad.abs().sum() > 0


def test_a_clip_without_dimensions_is_refused_while_they_are_learnt(policy, clips):
    bare = replace(clips[0].example, valence=None)
    assert "valence, arousal and dominance" in stage_of(policy, ce=Weight(), dimensions=Weight()).validate(bare)
    assert stage_of(policy, ce=Weight()).validate(bare) is None


def test_a_clip_without_an_emotion_is_refused_while_its_head_learns(policy, clips):
    bare = replace(clips[0].example, emotion=None)
    for emotion in (Weight(), Weight(0.0, 1.0, 5)):
        assert "no emotion" in stage_of(policy, ce=Weight(), emotion=emotion).validate(bare)
    assert stage_of(policy, ce=Weight()).validate(bare) is None


def test_a_clip_without_words_is_refused_where_a_teacher_reads_them(tiny_policy_dir, clips):
    bare = replace(clips[0].example, text="")
    policy = Qwen2Audio(str(tiny_policy_dir), train_language_model=False).load()
    for stage in (stage_of(policy, kd=Weight()), stage_of(policy, ce=Weight(), responses="teacher")):
        assert "no text for the teacher to read" in stage.validate(bare)
    assert stage_of(policy, ce=Weight()).validate(bare) is None
