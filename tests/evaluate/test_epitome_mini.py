"""The embedded rated corpus is one that the classifiers train on, and rated by the rule of its clauses."""

import random
from collections import Counter

import pytest
import torch
from transformers import AutoTokenizer, RobertaConfig, RobertaModel

from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.exploring import clauses, levels
from cogrl.evaluate.epitome import BiEncoder, Epitome, load
from cogrl.evaluate.epitome_data import read_posts
from cogrl.evaluate.epitome_mini import BASE, RATED, drawn, write_rated
from cogrl.evaluate.epitome_train import refuse_no_roberta
from cogrl.model_input import describe
from cogrl.types import EMOTIONS


@pytest.fixture(scope="module")
def examples(smoke_corpus):
    return read_manifest(smoke_corpus / "sft.jsonl")


@pytest.fixture(scope="module")
def rated(examples, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    assert write_rated(folder, examples, replies=6) == 6 * 7 * len({example.text for example in examples})
    return folder


def test_every_text_is_said_in_every_voice_and_replied_to_alike_in_both_files(rated, examples):
    er, ex = (read_posts(rated / f"{name}.csv") for name in RATED)
    assert [(p.seeker, p.response) for p in er] == [(p.seeker, p.response) for p in ex]
    assert [p.level for p in er] != [p.level for p in ex]
    posts = {describe(example) for example in examples}
    assert {post.seeker for post in er} == posts  # the corpus has every text in all seven emotions
    assert set(Counter(post.seeker_id for post in er).values()) == {6}


def test_every_level_occurs_for_a_voice_with_a_feeling():
    rng = random.Random(0)
    for emotion in EMOTIONS:
        found = [levels(drawn(emotion, rng), emotion) for _ in range(200)]
        expected = {0} if emotion == "neutral" else {0, 1, 2}
        assert {each["ER"] for each in found} == expected
        assert {each["EX"] for each in found} == ({0, 1} if emotion == "neutral" else {0, 1, 2})
    assert all(any(vars(drawn("sad", rng)).values()) for _ in range(50))


def test_the_base_is_a_roberta_that_reads_what_stands_in_the_corpus(rated):
    refuse_no_roberta(str(rated / BASE))
    tokenizer = AutoTokenizer.from_pretrained(rated / BASE)
    post = read_posts(rated / "ER.csv")[0]
    ids = tokenizer(post.response).input_ids
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == post.response
    assert max(len(tokenizer(p.seeker).input_ids) for p in read_posts(rated / "ER.csv")) <= 64


def test_the_base_tells_the_emotion_that_a_clause_is_meant_for(rated):
    """Its states of a clause are nearest, by cosine, to those of another clause for the same emotion."""
    tokenizer = AutoTokenizer.from_pretrained(rated / BASE)
    model = RobertaModel.from_pretrained(rated / BASE, add_pooling_layer=False).eval()
    said = [(clause, emotion) for emotion in EMOTIONS for clause in clauses(emotion)]
    with torch.no_grad():
        batch = tokenizer([clause for clause, _ in said], padding=True, return_tensors="pt")
        states = torch.nn.functional.normalize(model(**batch).last_hidden_state[:, 0], dim=-1)
    nearest = (states @ states.T).fill_diagonal_(-1.0).argmax(1).tolist()
    same = [said[other][1] == emotion for (_, emotion), other in zip(said, nearest, strict=True)]
    assert sum(same) / len(same) > 0.9


@pytest.mark.parametrize("reads", ["words", "description"])
def test_a_classifier_is_given_spoken_lines_in_the_form_that_it_was_trained_on(rated, examples, reads, monkeypatch):
    seen, encode = [], Epitome.encode
    monkeypatch.setattr(Epitome, "encode", lambda self, *texts: seen.append(texts) or encode(self, *texts))
    tokenizer, model = (
        AutoTokenizer.from_pretrained(rated / BASE),
        BiEncoder(RobertaConfig.from_pretrained(rated / BASE)),
    )
    found = Epitome("ER", model, tokenizer, 64, {}, reads).rate(examples[:3], ["Oh no.", "", "I see."])
    posts = [example.text if reads == "words" else describe(example) for example in examples[:3]]
    assert seen == [([posts[0], posts[2]], ["Oh no.", "I see."])] and found[1] == 0


def test_what_a_classifier_reads_is_saved_with_it(rated, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(rated / BASE)
    model = BiEncoder(RobertaConfig.from_pretrained(rated / BASE))
    Epitome("EX", model, tokenizer, 64, {}, "description").save(tmp_path)
    assert load(tmp_path).reads == "description"
