"""Prompt and answer have to fit into the model's positions, and that is known before anything is decoded."""

from dataclasses import replace

import pytest
import torch
from format_instructions import INSTRUCTIONS

from cogrl.data.clips import Clips
from cogrl.data.manifest import with_history
from cogrl.model_input import audio_input
from cogrl.models.prompt_length import PromptBudget
from cogrl.stages import DrSapo, Sft
from cogrl.types import EMOTIONS, ClipBatch, Turn


@pytest.fixture
def policy(make):
    return make()


@pytest.fixture
def dialogues(policy, clips):
    """No earlier turn; a heard one; a typed and a heard one; as they are on disk."""
    said = [Turn(f"Turn {i} was said.", clips[i].example.audio, EMOTIONS[i], "Go on.") for i in (1, 2)]
    typed = Turn("This was typed.", None, None, None)
    turns = [(), (said[0],), (typed, said[1])]
    examples = [replace(clips[i].example, turns=turns[i]) for i in range(3)]
    from_disk = Clips(examples, policy.sampling_rate, policy.max_audio_s, keep_in_memory=False)
    return [from_disk[i] for i in range(len(examples))]


def lengths(policy, clips, format):
    names = [clip.example.id for clip in clips]
    return policy.encode_prompts(
        [INSTRUCTIONS[format]] * len(clips), [audio_input(c) for c in clips], names
    ).attention_mask.sum(1)


@pytest.mark.parametrize("format", ["eips", "direct"])
def test_headers_and_texts_tell_the_length_of_every_prompt(policy, dialogues, format):
    budget = PromptBudget(policy)
    counted = [budget.prompt(INSTRUCTIONS[format], clip.example) for clip in dialogues]
    assert counted == lengths(policy, dialogues, format).tolist() and len(set(counted)) == 3


def test_what_fits_exactly_is_taken_and_one_token_more_is_refused(policy, dialogues, monkeypatch):
    clip, budget = dialogues[1], PromptBudget(policy)
    prompt = int(torch.stack([lengths(policy, [clip], format) for format in ("eips", "direct")]).max())
    answer = max(budget.answer(text) for text in clip.example.targets.values())
    for sampled in (answer - 1, answer + 5):
        longest = max(answer, sampled)
        monkeypatch.setattr(policy.model.config.get_text_config(), "max_position_embeddings", prompt + longest)
        assert budget.overflow(clip.example, INSTRUCTIONS.values(), sampled) is None
        monkeypatch.setattr(policy.model.config.get_text_config(), "max_position_embeddings", prompt + longest - 1)
        assert budget.overflow(clip.example, INSTRUCTIONS.values(), sampled) == (
            f"a prompt of {prompt} tokens and up to {longest} of answer; this model has {prompt + longest - 1} "
            "positions: shorten the dialogue or the target, or lower sampling.max_new_tokens (of cogrl evaluate and "
            "generate: --max-new-tokens)"
        )


@pytest.mark.parametrize("kind", [Sft, DrSapo])
def test_a_line_that_is_too_long_is_refused_by_name_before_training(policy, dialogues, kind, monkeypatch):
    short = dialogues[0].example
    long = replace(short, turns=dialogues[1].example.turns)
    stage = kind(policy)
    need = max(stage.prompt_budget.prompt(instruction, short) for instruction in INSTRUCTIONS.values())
    need += max(stage.sampling.max_new_tokens, *map(stage.prompt_budget.answer, short.targets.values()))
    monkeypatch.setattr(policy.model.config.get_text_config(), "max_position_embeddings", need)
    stage.check([short])
    with pytest.raises(ValueError, match=rf"^{long.where} \({long.id}\): a prompt of \d+ tokens and up to"):
        stage.check([short, long])
    stage.check(with_history([long], "left_out"))


def test_a_prompt_longer_than_the_positions_is_never_encoded(policy, dialogues, monkeypatch):
    limit = int(lengths(policy, dialogues[:1], "eips")[0])
    monkeypatch.setattr(policy.model.config.get_text_config(), "max_position_embeddings", limit)
    assert lengths(policy, dialogues[:1], "eips").tolist() == [limit]
    with pytest.raises(
        ValueError, match=rf"{dialogues[1].example.id}: a prompt of \d+ tokens; this model has {limit} pos"
    ):
        Sft(policy).loss(ClipBatch(dialogues[:2]), ["eips", "eips"])
