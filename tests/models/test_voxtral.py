"""Voxtral: what the contract of every family does not say."""

import base64
import json
import shutil

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast, VoxtralProcessor

from cogrl.models.voxtral import PLACEHOLDER, Voxtral, VoxtralFrontEnd
from cogrl.models.windows import windows_of

PATTERN = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+"


@pytest.fixture(scope="module")
def published(family_dir, tmp_path_factory):
    """A folder as the published one: Mistral's own tokenizer file, no chat template."""
    folder = tmp_path_factory.mktemp("published") / "voxtral"
    shutil.copytree(family_dir("voxtral"), folder)
    own = PreTrainedTokenizerFast.from_pretrained(folder)
    special = own.convert_ids_to_tokens(range(26))
    texts = [*(bytes([i]) for i in range(256)), b"he", b"ar", b"hear"]
    vocab = [
        {"rank": i, "token_bytes": base64.b64encode(text).decode(), "token_str": None} for i, text in enumerate(texts)
    ]
    tekken = {
        "config": {
            "pattern": PATTERN,
            "num_vocab_tokens": len(texts),
            "default_vocab_size": len(texts) + len(special),
            "default_num_special_tokens": len(special),
            "version": "v11",
        },
        "vocab": vocab,
        "special_tokens": [{"rank": i, "token_str": name, "is_control": True} for i, name in enumerate(special)],
    }
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / name).unlink(missing_ok=True)
    (folder / "tekken.json").write_text(json.dumps(tekken))
    return folder


def test_the_published_tokenizer_file_is_read_without_mistrals_package(published, clips, tmp_path):
    policy = Voxtral(str(published)).load()
    assert policy.tokenizer("hear").input_ids == [26 + 258]  # bytes and merges stand behind the special tokens
    prompts = policy.encode_prompts(["What is said?"], [clips[0].waveform], ["a"])
    spoken = "[BEGIN_AUDIO]" + PLACEHOLDER * 50
    assert policy.tokenizer.decode(prompts.input_ids[0]) == f"<s>[INST]{spoken}What is said?[/INST]"
    assert policy.tokenizer.convert_tokens_to_ids(PLACEHOLDER) == policy.audio_token_id == 24
    assert policy.encode_targets(["Oh."]).ids[0, -1] == policy.tokenizer.convert_tokens_to_ids("</s>")
    policy.save(tmp_path)
    assert (tmp_path / "tekken.json").read_text() == (published / "tekken.json").read_text()
    reloaded = Voxtral(str(tmp_path)).load().encode_prompts(["What is said?"], [clips[0].waveform], ["a"])
    assert torch.equal(reloaded.input_ids, prompts.input_ids)


def test_a_long_clip_is_read_as_its_own_processor_reads_it(make_policy):
    """Padded to whole windows, its mels scaled by the loudest of all of them."""
    policy = make_policy("voxtral")
    extractor, rng = policy.processor.feature_extractor, np.random.default_rng(0)
    waves = [rng.normal(size=n).astype(np.float32) * np.linspace(1, 9, n, dtype=np.float32) for n in (150_000, 64_000)]
    theirs = VoxtralProcessor(extractor, policy.tokenizer)._retrieve_input_features(
        waves,
        extractor.nb_max_frames,
        sampling_rate=16_000,
        padding=True,
        truncation=False,
        pad_to_multiple_of=extractor.n_samples,
        return_tensors="pt",
    )
    ours = windows_of(policy.audio_tensors(waves), extractor.nb_max_frames)
    assert ours.clip.tolist() == [0, 0, 0, 1]
    torch.testing.assert_close(ours.features, theirs, rtol=0, atol=1e-5)


def test_a_tokenizer_without_the_placeholder_is_refused(family_dir, tiny_policy_dir, tmp_path):
    shutil.copytree(family_dir("voxtral"), tmp_path / "mixed")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_policy_dir / name, tmp_path / "mixed" / name)
    with pytest.raises(ValueError, match=r"the tokenizer has no \[AUDIO\]; copy the tokenizer of the audio model"):
        VoxtralFrontEnd.from_pretrained(tmp_path / "mixed")
