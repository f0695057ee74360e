"""The Speak branch: what it draws is what it scores, it leaves the text alone, and it travels with the policy."""

import json

import pytest
import torch
from format_instructions import INSTRUCTIONS
from safetensors.torch import load_file, save_file
from transformers import Qwen2AudioForConditionalGeneration

from cogrl.models.check import check_policy
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy
from cogrl.models.speak import ReplyStates, SpeakSettings, reply_states
from cogrl.models.speak_decoder import SpeakDecoder, SpeakSizes
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.spoken import Speaking, unit_steps

THOUGHT, REPLY = "<think>\nI hear fear.\n</think>\n\n", "You sound scared."


@pytest.fixture
def decoder():
    """Two frames of two units a step, ends drawn often."""
    made = SpeakDecoder(6, codebooks=2, size=5, sizes=SpeakSizes(group=2, width=16, layers=2, heads=2))
    for name, value in made.named_parameters():
        if name in ("units", "chosen", "choose", "bias", "start"):
            torch.nn.init.normal_(value, std=0.7)
    return made.requires_grad_(False)


def drawn_by(decoder, context, mask, steps=6, seed=0):
    generator, draw = torch.Generator().manual_seed(seed), Sampling(0.9).draw
    found = list(decoder.stream(context, mask, lambda logits: draw(logits, generator), steps))
    return tuple(torch.stack(part, 1) for part in zip(*found, strict=True))


def replies_of(lengths, seed=0):
    torch.manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), max(lengths), 6), mask


def test_what_is_drawn_is_scored_the_same(decoder):
    """Step by step with what went before kept, head by head; against all steps at once."""
    context, mask = replies_of([4, 7, 1, 5, 3, 6])
    drawn, logprobs = drawn_by(decoder, context, mask)
    reloaded, _ = decoder(context, mask, drawn, temperature=0.9)
    assert torch.allclose(reloaded, logprobs, atol=1e-5) and (logprobs < -0.1).any()
    ends = (drawn == decoder.end).flatten(1).any(1)
    assert ends.any() and not ends.all()  # rows that end, and rows that the budget cuts


def test_a_stream_of_units_alone_is_that_in_company(decoder):
    """Replies and streams of different lengths side by side: neither padding is read."""
    context, mask = replies_of([4, 7, 2])
    streams = [torch.randint(5, (frames, 2)) for frames in (3, 6, 1)]
    units = torch.full((3, 6, 2), decoder.end)
    for row, stream in zip(units, streams, strict=True):
        row[: len(stream)] = stream
    together = decoder.steps(units)
    found, _ = decoder(context, mask, together)
    for i, stream in enumerate(streams):
        alone = decoder.steps(stream[None])
        expected, _ = decoder(context[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()], alone)
        assert torch.allclose(found[i, : alone.shape[1]], expected[0], atol=1e-5)
        assert not found[i, alone.shape[1] :].any()


def test_the_choices_are_the_frames_before_the_end_and_the_end(decoder):
    units = torch.tensor([[[1, 2], [3, 4], [0, 1]], [[1, 2], [5, 5], [5, 5]]])
    drawn = decoder.steps(units)
    assert drawn.tolist() == [[[1, 2, 3, 4], [0, 1, 5, 5]], [[1, 2, 5, 5], [5, 5, 5, 5]]]
    assert decoder.free(drawn).int().tolist() == [[[1, 1, 1, 1], [1, 1, 1, 0]], [[1, 1, 1, 0], [0, 0, 0, 0]]]


def test_the_end_is_for_the_first_unit_of_a_frame_and_each_unit_knows_those_before_it(decoder):
    context, mask = replies_of([3])
    drawn = decoder.steps(torch.tensor([[[1, 2], [3, 4]]]))
    logits = decoder.logits(context, mask, drawn)
    assert (logits[..., [1, 3], decoder.end] < -1e3).all() and (logits[..., [0, 2], decoder.end] > -1e3).all()
    changed = drawn.clone()
    changed[0, 0, 1] = 4
    moved = (decoder.logits(context, mask, changed) - logits).abs().amax(-1)[0] > 1e-6
    assert moved.tolist() == [[False, False, True, True], [True, True, True, True]]


def states_of(policy, clips, texts):
    names = [clip.example.id for clip in clips]
    prompts = policy.encode_prompts([INSTRUCTIONS["direct"]] * len(clips), [clip.waveform for clip in clips], names)
    targets = policy.encode_targets(texts)
    return policy.token_states(prompts, targets), targets


@torch.no_grad()
def test_text_is_the_same_to_the_last_bit_with_the_branch_and_without(policy, speaking_policy, clips):
    found = []
    for one in (policy, speaking_policy):
        names = [clip.example.id for clip in clips]
        prompts = one.encode_prompts([INSTRUCTIONS["direct"]] * 4, [clip.waveform for clip in clips], names)
        found.append(one.token_logprobs(prompts, one.encode_targets([THOUGHT + REPLY] * 4)).logprobs)
    assert torch.equal(*found) and (found[0] < 0).any()


@torch.no_grad()
def test_the_branch_reads_the_reply_and_through_it_the_thinking_but_no_thought(speaking_policy, clips):
    policy = speaking_policy
    before = len(policy.encode_targets([THOUGHT]).ids[0]) - 1  # without the end
    hidden, targets = states_of(policy, clips[:1], [THOUGHT + REPLY])
    read = reply_states(policy, hidden, targets, [before], [0])
    own = policy.embed(targets.ids[0, before:])
    assert policy.tokenizer.decode(targets.ids[0, before:-1]) == REPLY
    assert torch.equal(read.states[0, :, policy.width :], own) and read.mask.all()
    other, changed = states_of(policy, clips[:1], [THOUGHT.replace("fear", "joy!") + REPLY])
    after = reply_states(policy, other, changed, [len(changed.ids[0]) - len(own)], [0])
    assert torch.equal(after.states[0, :, policy.width :], own)
    assert (after.states - read.states).abs().max() > 1e-4  # by attention
    with pytest.raises(ValueError, match="its reply begins at 99: it is empty"):
        reply_states(policy, hidden, targets, [99], [0])


def test_the_branch_is_written_and_read_with_the_policy(speaking_policy, tmp_path):
    speaking_policy.save(tmp_path)
    reloaded = saved_policy(str(tmp_path))
    weights, expected = reloaded.state_dict(), speaking_policy.state_dict()
    assert weights.keys() == expected.keys() and any(name.startswith("speech.") for name in weights)
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())
    assert reloaded.speech.space == speaking_policy.speech.space
    assert not any(p.requires_grad for p in reloaded.speech.parameters())
    model = Qwen2AudioForConditionalGeneration.from_pretrained(tmp_path)  # an ordinary folder
    assert torch.equal(model.lm_head.weight, speaking_policy.lm_head_weight)


def test_a_branch_is_not_dropped_in_silence_nor_spoken_by_another_codec(
    speaking_policy, speech_codec_dir, tiny_policy_dir, tmp_path
):
    speaking_policy.save(tmp_path / "policy")
    path = str(tmp_path / "policy")
    for read in (lambda: Qwen2Audio(path).load(), lambda: check_policy(Qwen2Audio(path))):
        with pytest.raises(ValueError, match="holds a Speak branch, which this configuration would drop"):
            read()
    assert Qwen2Audio(path, speech=SpeakSettings(str(speech_codec_dir))).load().speech.space.codebooks == 2
    other = speaking_policy.speech.codec
    other.entries.mul_(2)
    other.save(tmp_path / "other")
    with pytest.raises(ValueError, match="out to use that one"):
        Qwen2Audio(path, speech=SpeakSettings(str(tmp_path / "other"))).load()
    with pytest.raises(ValueError, match=r"policy.speech.codec is not set and .* holds no Speak branch"):
        Qwen2Audio(str(tiny_policy_dir), speech=SpeakSettings()).load()
    for read in (Qwen2Audio.load, check_policy):
        with pytest.raises(FileNotFoundError, match="holds no codec"):
            read(Qwen2Audio(str(tiny_policy_dir), speech=SpeakSettings(str(tmp_path / "missing"))))


def test_a_branch_of_another_policy_is_refused(speaking_policy, tmp_path):
    speaking_policy.save(tmp_path)

    weights = load_file(tmp_path / "speak" / "model.safetensors")
    weights["take_in.weight"] = weights["take_in.weight"][:, :-4].contiguous()
    save_file(weights, tmp_path / "speak" / "model.safetensors")
    with pytest.raises(ValueError, match="for hidden states of width 30, the policy's have 32"):
        saved_policy(str(tmp_path))
    assert json.loads((tmp_path / "speak" / "config.json").read_text())["sizes"]["group"] == 2


def test_a_codec_that_was_swapped_for_another_is_refused(speaking_policy, tmp_path):
    speaking_policy.save(tmp_path)
    codec = speaking_policy.speech.codecs[0]
    file = tmp_path / "speak" / "codec" / "model.safetensors"
    save_file({name: value + 1 for name, value in codec.state_dict().items()}, file)
    with pytest.raises(ValueError, match="the codec beside it is"):
        saved_policy(str(tmp_path))


def test_a_budget_below_one_step_is_refused(speaking_policy):
    read = ReplyStates(torch.zeros(1, 1, 64), torch.ones(1, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match="max_frames=1 is less than the 2 frames of one step"):
        next(unit_steps(speaking_policy, read, Speaking(max_frames=1)))


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"width is a multiple of 2 \* heads"):
        SpeakSizes(width=30, heads=4)
