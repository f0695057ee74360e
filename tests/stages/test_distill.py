"""The two halves of implicit internalisation: mixed targets, and the explicit format as teacher of the direct one."""

import copy

import pytest
import torch

from cogrl.models.lora import Lora
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Distill, Sft
from cogrl.stages.distill import opening, without_end
from cogrl.types import ClipBatch, Completions, Rollouts


def stage_of(policy, thoughts=None, answers=None, **settings):
    """A stage whose samples are given, as texts of eips and B."""
    stage = Distill(policy, sampling=Sampling(max_new_tokens=12), **settings)
    stage.configure_model()
    stage.log = lambda *args, **kwargs: None
    given = {"eips": thoughts, "direct": answers}

    def draw(batch, format):
        prompts = stage.encode(batch, [format] * len(batch), [clip.waveform for clip in batch.clips])
        ends = ["end"] * len(batch)
        completions = policy.encode_targets(given[format])
        zeros = torch.zeros(completions.ids.shape)
        return Rollouts(batch.clips, [format] * len(batch), prompts, completions, zeros, given[format], ends, 1)

    if thoughts:
        stage.draw = draw
    return stage


THOUGHT = "<thought>\n[Perception] sad\n</thought><response>"


def test_without_the_second_term_it_is_the_papers_mixed_training(policy, clips):
    batch = ClipBatch(clips)
    formats = ["eips", "direct", "eips", "direct"]
    assert stage_of(policy).loss(batch, formats).item() == pytest.approx(Sft(policy).loss(batch, formats).item())
    assert stage_of(policy).shares == {"eips": 0.5, "direct": 0.5}


def test_the_end_token_is_left_out_where_there_is_one():
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, True]])
    kept = without_end(
        Completions.from_mask(torch.zeros(3, 3, dtype=torch.long), mask), torch.tensor([True, True, False])
    )
    assert kept.mask.tolist() == [[True, True, False], [False, False, False], [True, True, True]]


def test_a_thought_ends_where_its_reply_begins():
    assert opening(THOUGHT + "I am sorry.</response>") == THOUGHT
    assert opening("no thought at all") is None


def test_the_teacher_scores_the_students_words_behind_its_own_thought(policy, clips):
    stage = stage_of(policy)
    words = without_end(policy.encode_targets(["I am sorry.", "Oh."]), torch.ones(2, dtype=torch.bool))
    behind = stage.after([THOUGHT, None], words)
    decode = policy.tokenizer.decode
    assert decode(behind.ids[0]).startswith(THOUGHT + "I am sorry.")
    assert decode(behind.ids[0][behind.mask[0]]) == "I am sorry."
    assert decode(behind.ids[1][behind.mask[1]]) == "Oh."


def test_the_divergence_is_that_of_the_two_formats_word_by_word(policy, clips):
    policy.lm_head_weight.data.mul_(30)
    batch = ClipBatch(clips[:2])
    stage = stage_of(policy, [THOUGHT + "x", THOUGHT + "y"], ["I am so sorry.", "Oh dear."], on_policy=1.0)
    ours = stage.self_distillation(batch)
    expected = []
    for i in range(2):
        one = ClipBatch([clips[i]])
        ids = policy.tokenizer(["I am so sorry.", "Oh dear."][i], add_special_tokens=False).input_ids
        logits = {}
        for format, head in (("direct", []), ("eips", policy.tokenizer(THOUGHT, add_special_tokens=False).input_ids)):
            prompts = stage.encode(one, [format], [clips[i].waveform])
            completion = torch.tensor([head + ids])
            mask = torch.tensor([[False] * len(head) + [True] * len(ids)])
            states = policy.token_states(prompts, Completions.from_mask(completion, mask))
            logits[format] = states.hidden[states.rows] @ policy.lm_head_weight.T + policy.lm_head_bias
        student, teacher = (logits[format].double().log_softmax(-1) for format in ("direct", "eips"))
        expected.append((student.exp() * (student - teacher)).sum(-1).mean())
    assert ours.item() == pytest.approx(sum(expected).item() / 2, rel=1e-4)
    assert ours > 1e-2


def test_the_teacher_takes_no_gradient(policy, clips):
    batch = ClipBatch(clips[:1])
    stage = stage_of(policy, [THOUGHT + "x"], ["Oh dear."], on_policy=1.0)
    stage.self_distillation(batch).backward()
    ours = policy.lm_head_weight.grad.clone()
    policy.zero_grad()
    frozen = copy.deepcopy(policy)
    states = policy.token_states
    policy.token_states = lambda prompts, words: (
        frozen.token_states(prompts, words) if words.mask.shape[1] > 8 else states(prompts, words)
    )
    stage.self_distillation(batch).backward()
    assert (policy.lm_head_weight.grad - ours).norm() < 1e-4 * ours.norm()


def test_only_the_student_has_dropout(tiny_policy_dir, clips):
    pytest.importorskip("peft", reason="adapters need the extra cogrl[lora]")
    policy = Qwen2Audio(str(tiny_policy_dir), lora=Lora(dropout=0.5)).load()
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    stage = stage_of(policy, [THOUGHT + "x"], ["Oh dear."], on_policy=1.0)
    policy.train()
    hidden, token_states = {"student": [], "teacher": []}, policy.token_states

    def spy(prompts, words):
        states = token_states(prompts, words)
        hidden["student" if torch.is_grad_enabled() else "teacher"].append(states.hidden.detach())
        return states

    policy.token_states = spy
    for _ in range(2):
        stage.self_distillation(ClipBatch(clips[:1]))
    torch.testing.assert_close(*hidden["teacher"])
    assert (hidden["student"][0] - hidden["student"][1]).abs().max() > 0.01
    assert policy.training


def test_clips_without_a_usable_thought_teach_nothing(policy, clips):
    policy.lm_head_weight.data.mul_(30)
    both = stage_of(policy, [THOUGHT + "x", "no thought"], ["Oh dear.", "I see."], on_policy=1.0)
    alone = stage_of(policy, [THOUGHT + "x"], ["Oh dear."], on_policy=1.0)
    shared = both.self_distillation(ClipBatch(clips[:2]))
    assert shared.item() == pytest.approx(alone.self_distillation(ClipBatch(clips[:1])).item() / 2, rel=1e-4)
    none = stage_of(policy, ["no thought"], ["Oh dear."], on_policy=1.0).self_distillation(ClipBatch(clips[:1]))
    none.backward()
    assert none == 0


def test_a_real_step_samples_both_formats(policy, clips):
    stage = stage_of(policy, on_policy=0.5)
    divergence = stage.self_distillation(ClipBatch(clips[:2]))
    divergence.backward()
    assert divergence.isfinite() and divergence >= 0


def test_a_negative_weight_is_refused(policy):
    with pytest.raises(ValueError, match="must not be negative"):
        Distill(policy, on_policy=-1.0)
