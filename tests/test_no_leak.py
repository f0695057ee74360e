"""Nothing but the voice tells the emotion: prompts, transcripts, file names and ids are scanned."""

import re

import pytest
from format_instructions import INSTRUCTIONS

from cogrl.audio import load_audio
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.lime_conflict import PAIRS
from cogrl.data.recipes.lime_sentences import SENTENCES
from cogrl.types import EMOTIONS, INTENSITIES

STEMS = (*EMOTIONS, "angry", "furious", "joy", "glad", "sorrow", "afraid", "scared", "astonish", "disgusting", "calm")
TELLING = re.compile("|".join(rf"\b{stem}" for stem in STEMS), re.IGNORECASE)


def test_the_scan_finds_a_planted_label():
    assert TELLING.search("She sounds Angry.") and TELLING.search("disgusted")


@pytest.mark.parametrize("format", ["eips", "direct"])
def test_prompts_name_no_emotion(policy, smoke_corpus, format):
    manifests = [smoke_corpus / f"{split}.jsonl" for split in ("sft", "rl", "val", "test", "conflict")]
    examples = [e for manifest in manifests for e in read_manifest(manifest)]
    waveforms = [load_audio(e.audio, name=e.id) for e in examples]
    names = [e.id for e in examples]
    for given in (waveforms, [e.text for e in examples]):
        prompts = policy.encode_prompts([INSTRUCTIONS[format]] * len(examples), given, names)
        for ids in prompts.input_ids:
            text = policy.tokenizer.decode(ids[ids != policy.audio_token_id])
            assert INSTRUCTIONS[format] in text and not TELLING.search(text)


def test_no_sentence_of_the_corpus_names_an_emotion():
    texts = [s for listing in (SENTENCES, PAIRS) for sentences in listing.values() for s in sentences]
    assert len(texts) == 50 and [s for s in texts if TELLING.search(s)] == []


def test_ids_and_file_names_are_opaque(smoke_corpus):
    for split in ("sft", "rl", "val", "test", "conflict"):
        for e in read_manifest(smoke_corpus / f"{split}.jsonl"):
            name = str(e.audio.relative_to(smoke_corpus)).lower()
            assert not any(word in name or word in e.id for word in (*EMOTIONS, *INTENSITIES, e.speaker, e.text_group))


def test_prompts_of_one_sentence_differ_in_nothing_but_the_audio(policy, smoke_corpus):
    examples = read_manifest(smoke_corpus / "sft.jsonl")
    first = [e for e in examples if (e.speaker, e.text_group) == (examples[0].speaker, examples[0].text_group)]
    assert {e.emotion for e in first} == set(EMOTIONS) and len({e.text for e in first}) == 1
    prompts = policy.encode_prompts([INSTRUCTIONS["eips"]] * 7, [e.text for e in first[:7]], [e.id for e in first[:7]])
    assert len({tuple(ids.tolist()) for ids in prompts.input_ids}) == 1
