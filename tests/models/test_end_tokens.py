"""Which token ends an answer, where the files of a folder name several: as in published chat models."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.saved import saved_policy
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.stages.distill import without_end

TEXT, TURN = "<|endoftext|>", "<|im_end|>"


@pytest.fixture
def folder_of(make, tmp_path):
    """`folder_of(eos_token, listed)`: a folder of each family whose tokenizer and generation_config say so."""

    def build(eos_token: str | None, listed: list[str] | str | None):
        policy = make()
        folder = shutil.copytree(policy.path, tmp_path / "policy")
        settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"eos_token": eos_token}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        ids = listed and policy.tokenizer.convert_tokens_to_ids(listed)
        file = folder / "generation_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ids}))
        return str(folder)

    return build


def load(folder: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return saved_policy(folder)


def ids(policy, *texts: str) -> list[int]:
    return sorted(policy.tokenizer.convert_tokens_to_ids(list(texts)))


def test_a_folder_of_one_end_token_keeps_it(make):
    policy = make()
    assert list(policy.end_ids) == ids(policy, TURN) == [policy.model.generation_config.eos_token_id]
    assert policy.encode_targets(["Oh."]).ids[0, -1] == policy.tokenizer.eos_token_id


def test_targets_end_with_the_token_that_ends_a_turn_of_the_chat_template(folder_of):
    policy = load(folder_of(TEXT, [TEXT, TURN]))
    assert policy.tokenizer.eos_token == TEXT and list(policy.end_ids) == ids(policy, TEXT, TURN)
    targets = policy.encode_targets(["Oh dear.", "I hear you, and I am sorry."])
    last = targets.ids[torch.arange(2), targets.mask.sum(1) - 1]
    assert last.tolist() == ids(policy, TURN) * 2
    assert policy.tokenizer.decode(targets.ids[0][targets.mask[0]]) == "Oh dear." + TURN


@torch.no_grad()
def test_sampling_stops_at_each_end_token_of_the_folder_and_texts_hold_neither(folder_of, clips, monkeypatch):
    policy = load(folder_of(TEXT, [TEXT, TURN]))
    torch.manual_seed(0)
    few = torch.full_like(policy.lm_head_bias, -1e4)
    few[[*policy.end_ids, *range(300, 312)]] = 0.0
    monkeypatch.setattr(type(policy), "lm_head_bias", few)
    rollouts = HFEngine().sample(
        policy, clips, ["eips", "direct", "eips", "direct"], Sampling(max_new_tokens=40), group_size=8
    )
    tokens, mask, done = rollouts.completions.ids, rollouts.completions.mask, rollouts.finished
    last = tokens[torch.arange(len(tokens)), mask.sum(1) - 1]
    ends = torch.tensor(policy.end_ids)
    assert set(last[done].tolist()) == set(policy.end_ids)  # by both of them
    assert torch.isin(tokens, ends).logical_and(mask).sum(1).tolist() == done.long().tolist()
    assert not any(end in text for text in rollouts.texts for end in (TEXT, TURN))
    words = without_end(rollouts.completions, done)
    assert not torch.isin(tokens[words.mask], ends).any() and words.mask.sum() == mask.sum() - done.sum()


@pytest.mark.parametrize("eos_token", [TEXT, TURN])
def test_a_generation_config_that_never_ends_a_turn_is_named_and_the_export_stops_there(folder_of, eos_token, tmp_path):
    folder = folder_of(eos_token, TEXT)
    with pytest.warns(UserWarning) as said:
        policy = saved_policy(folder)
    [text] = [str(warning.message) for warning in said if "turn ends" in str(warning.message)]
    assert repr(folder) in text and f"'{TURN}' ({ids(policy, TURN)[0]})" in text and "generation_config.json" in text
    assert list(policy.end_ids) == ids(policy, TEXT, TURN)
    policy.save(tmp_path / "export")
    assert GenerationConfig.from_pretrained(tmp_path / "export").eos_token_id == ids(policy, TEXT, TURN)
    assert load(str(tmp_path / "export")).end_ids == policy.end_ids


def without_turn_ends(folder: str) -> str:
    """The folder with a chat template whose turns end with a full stop."""
    template = Path(folder) / "chat_template.jinja"
    assert TURN in template.read_text()
    template.write_text(template.read_text().replace(TURN, "."))
    return folder


def test_a_template_whose_turns_end_with_no_token_leaves_it_to_the_tokenizer(folder_of):
    assert load(without_turn_ends(folder_of(TEXT, TEXT))).ends.turn == TEXT


def test_a_folder_that_names_no_end_token_is_refused(folder_of):
    with pytest.raises(ValueError, match=r"names no end token: set eos_token in tokenizer_config\.json"):
        load(without_turn_ends(folder_of(None, None)))


@pytest.mark.parametrize("damage, message", [("vocabulary", r"ids up to \d+, the model has \d+"), ("pad", "pad_token")])
def test_a_tokenizer_of_another_model_is_refused_when_the_folder_is_read(tiny_policy_dir, tmp_path, damage, message):
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    folder = shutil.copytree(tiny_policy_dir, tmp_path / "policy")
    if damage == "vocabulary":
        policy.tokenizer.add_tokens(["<|new|>"], special_tokens=True)
    else:
        policy.tokenizer.pad_token = None
    policy.processor.save_pretrained(folder)
    with pytest.raises(ValueError, match=message):
        Qwen2Audio(str(folder)).load()
