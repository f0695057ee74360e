"""Earlier turns of a dialogue: each clip in its place, in its own row, and nothing else than before without them."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from format_instructions import INSTRUCTIONS
from whole_window import whole_window

from cogrl.model_input import audio_input, describe, teacher_input, text_input
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages import Align, Perceive, Sft
from cogrl.stages.align import Weight, last_clip
from cogrl.types import EMOTIONS, Clip, ClipBatch, Completions, Conversation, Prompts, Turn

FORMATS = ["eips", "direct", "eips", "direct"]
COUNTS = (3, 1, 2, 2)


@pytest.fixture
def policy(make):
    return make()


@pytest.fixture
def dialogues(clips):
    """Four clips after two heard turns, none, a typed and a heard one (no reply in between), and one heard turn."""

    def turn(i, reply, typed=False):
        example = clips[i].example
        return Turn(f"Turn {i} was said.", None if typed else example.audio, EMOTIONS[i], reply)

    def dialogue(i, turns, voices):
        history = tuple(None if v is None else clips[v].waveform for v in voices)
        return Clip(replace(clips[i].example, turns=tuple(turns)), clips[i].waveform, history)

    return [
        dialogue(0, [turn(1, "Go on."), turn(2, "I see.")], (1, 2)),
        clips[1],
        dialogue(2, [turn(0, None, typed=True), turn(3, "And then?")], (None, 3)),
        dialogue(3, [turn(2, "Yes.")], (2,)),
    ]


def encoded(policy, clips, given=audio_input):
    names = [clip.example.id for clip in clips]
    return policy.encode_prompts([INSTRUCTIONS["eips"]] * len(clips), [given(clip) for clip in clips], names)


def targets_of(policy, clips):
    return policy.encode_targets([clip.example.targets["direct"] for clip in clips])


@torch.no_grad()
def logprobs(policy, clips):
    targets = targets_of(policy, clips)
    return policy.token_logprobs(encoded(policy, clips), targets).logprobs, targets.mask


def said(prompts, policy, row):
    ids = prompts.input_ids[row][prompts.attention_mask[row].bool()]
    return policy.tokenizer.decode(ids)


def frames_of(policy, waveform):
    return int(policy.audio_token_counts(torch.tensor([len(waveform)]))[0])


def test_every_turn_stands_in_its_place_with_as_many_placeholders_as_frames(policy, dialogues):
    prompts = encoded(policy, dialogues)
    assert prompts.clip_counts == COUNTS and len(prompts.audio["input_features"]) == sum(COUNTS)
    clip = dialogues[0]
    audio = [
        "<|audio_bos|>" + "<|AUDIO|>" * frames_of(policy, waveform) + "<|audio_eos|>\n"
        for waveform in (*clip.history, clip.waveform)
    ]
    assert said(prompts, policy, 0) == (
        f"<|im_start|>user\n{audio[0]}<|im_end|>\n<|im_start|>assistant\nGo on.<|im_end|>\n"
        f"<|im_start|>user\n{audio[1]}<|im_end|>\n<|im_start|>assistant\nI see.<|im_end|>\n"
        f"<|im_start|>user\n{audio[2]}{INSTRUCTIONS['eips']}<|im_end|>\n<|im_start|>assistant\n"
    )
    typed = said(prompts, policy, 2)
    assert typed.startswith("<|im_start|>user\nTurn 0 was said.<|im_end|>\n<|im_start|>user\n<|audio_bos|>")
    assert [typed.count(role) for role in ("user\n", "assistant\n", "<|audio_bos|>")] == [3, 2, 2]


def test_without_history_prompts_are_those_of_the_bare_clips(policy, dialogues, clips):
    """Loaded without its turns, and as a conversation of one turn."""
    bare = policy.encode_prompts([INSTRUCTIONS["eips"]] * 4, [c.waveform for c in clips], list("abcd"))
    for given in (lambda c: audio_input(replace(c, history=())), lambda c: Conversation((c.waveform,))):
        ours = encoded(policy, dialogues, given)
        assert torch.equal(ours.input_ids, bare.input_ids) and torch.equal(ours.attention_mask, bare.attention_mask)
        assert ours.clip_counts == bare.clip_counts == (1,) * 4 and ours.audio.keys() == bare.audio.keys()
        torch.testing.assert_close(dict(ours.audio), dict(bare.audio))
        torch.testing.assert_close(policy.prompt_embeds(ours), policy.prompt_embeds(bare))
    n = frames_of(policy, clips[0].waveform)
    assert said(bare, policy, 0) == (
        f"<|im_start|>user\n<|audio_bos|>{'<|AUDIO|>' * n}<|audio_eos|>\n{INSTRUCTIONS['eips']}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@torch.no_grad()
def test_log_probs_equal_those_of_the_hugging_face_forward(policy, dialogues):
    prompts, targets = encoded(policy, dialogues), targets_of(policy, dialogues)
    ids = torch.cat([prompts.input_ids, targets.ids], 1)
    mask = torch.cat([prompts.attention_mask, targets.mask.long()], 1)
    logits = policy.model(input_ids=ids, attention_mask=mask, **whole_window(policy, prompts.audio)).logits
    logits[..., [policy.audio_token_id, *chain(*policy.audio_markers)]] = -torch.inf
    start = prompts.input_ids.shape[1]
    theirs = logits[:, start - 1 : -1].log_softmax(-1).gather(-1, targets.ids[..., None]).squeeze(-1)
    ours = policy.token_logprobs(prompts, targets).logprobs
    torch.testing.assert_close(ours[targets.mask], theirs[targets.mask], rtol=0, atol=1e-5)


def test_swapping_two_history_clips_changes_the_log_probs_of_their_row_alone(make, dialogues):
    policy = make()
    policy.lm_head_weight.data.mul_(30)  # a random head is nearly uniform: little would differ
    before, mask = logprobs(policy, dialogues)
    first = replace(dialogues[0], history=dialogues[0].history[::-1])
    after, _ = logprobs(policy, [first, *dialogues[1:]])
    assert (before - after)[0][mask[0]].abs().max() > 1e-3
    torch.testing.assert_close(after[1:], before[1:], rtol=0, atol=1e-5)


def test_no_history_leaks_into_another_row(make, dialogues):
    """Rows in another order, and each alone: every dialogue keeps its own turns."""
    policy = make()
    before, mask = logprobs(policy, dialogues)
    for order in ([1, 3, 0, 2], [2, 0, 3, 1]):
        after, _ = logprobs(policy, [dialogues[i] for i in order])
        torch.testing.assert_close(after, before[order], rtol=0, atol=1e-5)
    for i, clip in enumerate(dialogues):
        alone, own = logprobs(policy, [clip])
        torch.testing.assert_close(alone[0][own[0]], before[i][mask[i]], rtol=0, atol=1e-5)


@torch.no_grad()
def test_packed_prompts_equal_repeated_ones(make, dialogues):
    values = []
    for share in (True, False):
        policy = make(share_prompt=share)
        policy.lm_head_weight.mul_(8)
        rollouts = HFEngine().sample(
            policy, dialogues, FORMATS, Sampling(max_new_tokens=9), 3, generator=torch.Generator().manual_seed(0)
        )
        scored = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=3).logprobs
        torch.testing.assert_close(scored, rollouts.sampling_logprobs, rtol=0, atol=1e-5)
        values.append(scored)
    torch.testing.assert_close(*values, rtol=0, atol=1e-5)


def test_each_clip_of_a_group_is_encoded_once(policy, dialogues):
    seen = []
    policy.audio_tower.register_forward_hook(lambda module, args, out: seen.append(out[0].shape))
    rollouts = HFEngine().sample(policy, dialogues, FORMATS, Sampling(max_new_tokens=3), group_size=4)
    policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=4)
    policy.audio_embeds({name: value[: sum(COUNTS)] for name, value in rollouts.prompts.audio.items()})
    assert seen == [seen[2]] * 3


@torch.no_grad()
def test_selected_groups_keep_their_own_clips(policy, dialogues):
    rollouts = HFEngine().sample(policy, dialogues, FORMATS, Sampling(max_new_tokens=5), group_size=2)
    whole = policy.token_logprobs(rollouts.prompts, rollouts.completions, group_size=2).logprobs
    for index in ([3, 0], [1], [2, 2, 1]):
        part = rollouts.groups(index)
        assert part.prompts.clip_counts == tuple(COUNTS[i] for i in index)
        ours = policy.token_logprobs(part.prompts, part.completions, group_size=2).logprobs
        torch.testing.assert_close(ours, whole[rollouts.rows_of(index)], rtol=0, atol=1e-5)


def test_a_selection_of_prompts_that_are_read_has_no_audio(policy, dialogues):
    mixed = policy.encode_prompts(["Listen."] * 2, [dialogues[0].waveform, "Hello."], ["a", "b"])
    assert mixed.clip_counts == (1, 0)
    written = mixed.select(torch.tensor([1]))
    assert written.audio == {} and torch.equal(policy.prompt_embeds(written)[0], policy.prompt_embeds(mixed)[1])


def test_clips_that_are_not_the_prompts_own_are_refused(policy, dialogues):
    prompts = encoded(policy, dialogues)
    fewer = {name: value[1:] for name, value in prompts.audio.items()}
    for counts in (None, COUNTS[1:], COUNTS):
        with pytest.raises(ValueError, match=r"4 prompts with .* clips, but the tensors hold"):
            Prompts(prompts.input_ids, prompts.attention_mask, fewer, counts)
    with pytest.raises(ValueError, match="4 prompts with"):
        Prompts(prompts.input_ids, prompts.attention_mask, {}, COUNTS)
    turned = {name: value.flip(0) for name, value in prompts.audio.items()}
    for audio, counts in ((fewer, (2, 1, 2, 2)), (turned, COUNTS)):
        wrong = Prompts(prompts.input_ids, prompts.attention_mask, audio, counts)
        with pytest.raises(ValueError, match=r"audio frames for .* placeholders: these are other rows' clips"):
            policy.prompt_embeds(wrong)


def test_a_clip_has_a_waveform_for_each_turn_or_for_none(dialogues):
    with pytest.raises(ValueError, match="1 waveforms of earlier turns, 2 turns"):
        replace(dialogues[0], history=dialogues[0].history[:1])
    with pytest.raises(ValueError, match="2 replies for 2 turns"):
        Conversation(("a", "b"), (None, None))


@pytest.mark.parametrize("where", ["reply", "text"])
def test_a_placeholder_written_into_a_turn_is_refused_by_name(policy, dialogues, where):
    clip = dialogues[2]
    turns = tuple(replace(turn, **{where: "So <|AUDIO|> it is."}) for turn in clip.example.turns)
    forged = replace(clip, example=replace(clip.example, id="clip-7", turns=turns))
    with pytest.raises(ValueError, match=r"clip-7: .* must not contain the audio token"):
        encoded(policy, [dialogues[0], forged])
    with pytest.raises(ValueError, match=r"clip-7: .* must not contain the audio token"):
        policy.encode_prompts(["Listen."], ["<|AUDIO|>"], ["clip-7"])


@pytest.mark.parametrize("seconds", [0.05, 4.5])
def test_an_earlier_turn_the_encoder_can_not_hear_whole_is_refused_by_name(policy, dialogues, seconds):
    wave = np.zeros(int(seconds * 16_000), dtype=np.float32)
    clip = replace(dialogues[0], history=(dialogues[0].history[0], wave))
    with pytest.raises(ValueError, match=rf"{clip.example.id}, turn 2: .* this model hears 0.1 to 4 s"):
        encoded(policy, [clip])


def test_the_text_only_control_reads_every_turn_and_the_teacher_how_it_was_said(policy, dialogues):
    written = encoded(policy, dialogues, text_input)
    assert written.clip_counts == (0,) * 4 and written.audio == {}
    words, clip = said(written, policy, 0), dialogues[0]
    places = [words.index(text) for text in ("Turn 1 was said.", "Go on.", "Turn 2 was said.", "I see.")]
    assert places == sorted(places) and words.index(clip.example.text) > places[-1]
    assert not any(emotion in words for emotion in EMOTIONS)
    taught = said(encoded(policy, dialogues, teacher_input), policy, 2)
    assert "user\nTurn 0 was said.<|im_end|>" in taught  # typed: it has no voice
    assert 'user\nThe speaker says, with the voice of surprise: "Turn 3 was said."<|im_end|>' in taught
    assert describe(dialogues[2].example) in taught
    assert text_input(replace(clip, history=())) == clip.example.text
    assert teacher_input(replace(clip, history=())) == describe(clip.example)


def test_the_template_of_the_published_qwen2_audio_numbers_the_clips(tiny_policy_dir, dialogues):
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    policy.processor.chat_template = policy.processor.default_chat_template
    text = said(encoded(policy, dialogues), policy, 0)
    assert text.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nAudio 1: <")
    assert text.index("Audio 1: ") < text.index("Go on.") < text.index("Audio 2: ") < text.index("Audio 3: ")


def test_the_heads_of_align_see_the_turn_to_answer_alone(policy, dialogues, clips):
    off = Weight(0.0)
    stage = Align(policy, ce=off, kd=off, dimensions=off)
    stage.configure_model()
    stage.log = lambda *args, **kwargs: None
    alone, together = stage.loss(ClipBatch(clips), FORMATS), stage.loss(ClipBatch(dialogues), FORMATS)
    assert together.item() == pytest.approx(alone.item(), rel=1e-5)
    runs = torch.tensor([[0, 1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 1, 1]]).bool()
    assert last_clip(runs).int().tolist() == [[0, 0, 0, 0, 0, 1, 0], [0] * 7, [0, 0, 0, 0, 0, 1, 1]]


def test_gradients_reach_the_tower_through_the_history(policy, dialogues):
    prompts, targets = encoded(policy, dialogues[:1]), targets_of(policy, dialogues[:1])
    audio = {name: value.clone() for name, value in prompts.audio.items()}
    audio["input_features"].requires_grad_(True)
    own = replace(prompts, audio=audio)
    policy.token_logprobs(own, Completions.from_mask(targets.ids, targets.mask)).logprobs.sum().backward()
    assert (audio["input_features"].grad.abs().sum((1, 2)) > 0).all()


def test_what_is_trained_on_is_checked_with_all_its_turns(policy, dialogues, tmp_path):
    from cogrl.audio import write_flac

    write_flac(tmp_path / "long.flac", np.zeros(5 * 16_000, dtype=np.float32), 16_000)
    example = dialogues[0].example
    long = replace(example.turns[1], audio=tmp_path / "long.flac")
    bad = replace(example, turns=(example.turns[0], long))
    stage = Sft(policy)
    stage.check([example, dialogues[2].example])
    with pytest.raises(ValueError, match=rf"{example.where} \({example.id}\): turn 2: 5.00 s of audio"):
        stage.check([bad])
    with pytest.raises(ValueError, match=r"no earlier turns; set data.history: left_out"):
        Perceive(policy).check([example])
