"""EPITOME classifiers, really trained: a tiny random RoBERTa on a small CSV in the public layout."""

import csv
import json
import random

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from cogrl.cli.main import main
from cogrl.evaluate.epitome import BiEncoder, Epitome, load, load_all
from cogrl.evaluate.epitome_data import COLUMNS, Post, read_posts, split_by_seeker
from cogrl.evaluate.epitome_train import Recipe, loss_of, marked, train

PHRASES = {0: "", 1: "i hope it gets better", 2: "i am so sorry that this hurts you"}
TOPICS = ("work", "school", "sleep", "money", "friends")
FILLER = ["try to eat well .", "people told me the same .", "go for a walk , maybe .", "that is how it goes ."]


def rows(n: int, seed: int = 0) -> list[dict]:
    """The level is in the response; two responses to each post."""
    rng, found = random.Random(seed), []
    for i in range(n):
        level = rng.randrange(3)
        said = [rng.choice(FILLER), PHRASES[level], rng.choice(FILLER)]
        post = f"i am down about {TOPICS[i // 2 % 5]} , {rng.choice(FILLER)}"
        rationale = f"{PHRASES[level]}|" if level else ""
        words = " ".join(filter(None, said))
        found.append(dict(zip(COLUMNS, (f"s{i // 2}", f"r{i}", post, words, level, rationale), strict=True)))
    return found


def write(path, lines):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder with a random RoBERTa of a few thousand weights and a word tokenizer."""
    folder = tmp_path_factory.mktemp("roberta")
    words = sorted({word for row in rows(200) for word in f"{row['seeker_post']} {row['response_post']}".split()})
    vocabulary = {word: i for i, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=70,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


FAST = Recipe(lr=3e-3, batch_size=16, epochs=16, dropout=0.0)


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory) -> Epitome:
    posts = read_posts(write(tmp_path_factory.mktemp("csv") / "er.csv", rows(240)))
    return train("ER", posts, base, FAST, note=lambda line: None)


@pytest.fixture
def fresh(base) -> Epitome:
    from transformers import AutoTokenizer

    torch.manual_seed(0)
    return Epitome("ER", BiEncoder(RobertaConfig.from_pretrained(base)), AutoTokenizer.from_pretrained(base), 64, {})


def test_it_learns_the_level_and_the_rationale_of_held_out_seekers(trained):
    r = trained.report
    assert r["accuracy_low"] > r["majority_accuracy"] + 0.2 and r["macro_f1"] > 0.7
    assert r["rationale_f1"] > 0.7 and 40 <= r["held_out"] <= 56


def test_labels_that_say_nothing_are_not_learnt(base, tmp_path):
    lines, rng = rows(240), random.Random(1)
    levels = [line["level"] for line in lines]
    rng.shuffle(levels)
    posts = read_posts(write(tmp_path / "er.csv", [line | {"level": x} for line, x in zip(lines, levels, strict=True)]))
    found = train("ER", posts, base, Recipe(lr=2e-3, batch_size=16, epochs=3), note=lambda line: None)
    assert found.report["accuracy_low"] < 0.45


def test_levels_run_from_0_to_2_and_an_empty_reply_has_none(trained):
    said = ["i am down about work"] * 4
    replies = [*(f"{FILLER[1]} {PHRASES[level]} {FILLER[2]}" for level in (2, 1, 0)), " "]
    assert trained.levels(said, replies).tolist() == [2, 1, 0, 0]


def test_a_level_does_not_depend_on_the_batch(trained):
    posts = [Post("s", r["seeker_post"], r["response_post"], r["level"]) for r in rows(30, seed=3)]
    seekers, responses = [p.seeker for p in posts], [p.response for p in posts]
    with torch.no_grad():
        logits = trained.model.eval()(*trained.encode(seekers, responses))[0]
        alone = [trained.model(*trained.encode([s], [r]))[0] for s, r in zip(seekers, responses, strict=True)]
    torch.testing.assert_close(logits, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_the_response_attends_to_the_seeker(fresh):
    for layer in (fresh.model.value, fresh.model.out, fresh.model.levels[1], fresh.model.levels[4]):
        torch.nn.init.normal_(layer.weight)
    fresh.model.eval()
    one, other = (fresh.model(*fresh.encode([said], ["go for a walk"]))[0] for said in ("money", "friends sleep"))
    assert (one - other).abs().max() > 1e-3


def test_the_seeker_encoder_is_not_trained(trained, base):
    start = RobertaModel.from_pretrained(base, add_pooling_layer=False).state_dict()
    assert all(torch.equal(value, start[name]) for name, value in trained.model.seeker.state_dict().items())
    assert not torch.equal(
        trained.model.response.embeddings.word_embeddings.weight, start["embeddings.word_embeddings.weight"]
    )


def test_the_loss_is_the_weighted_sum_of_levels_and_rationales(fresh):
    fresh.model.eval()
    posts = [Post("s", "money", "go for a walk", 2, ((0, 6),)), Post("t", "work", "i am", 0)]
    both, level, rationale = (
        loss_of(fresh, posts, Recipe(level_coef=a, rationale_coef=b)).item()
        for a, b in ((1.0, 0.5), (1.0, 0.0), (0.0, 0.5))
    )
    assert both == pytest.approx(level + rationale) and min(level, rationale) > 0
    assert Recipe() == Recipe(2e-5, 32, 4, 64, 0.1, 1.0, 0.5, 0.2, 12)


def test_tokens_of_the_rationale_are_marked_and_padding_is_not_scored(fresh):
    posts = [Post("s", "x", "go for a walk , maybe .", 2, ((3, 8),)), Post("t", "x", "i am", 0)]
    marks = marked(fresh, posts)
    assert marks[0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0]  # <s> go [for a] walk , maybe . </s>
    assert marks[1].tolist() == [0, 0, 0, 0, -100, -100, -100, -100, -100]


def test_a_long_post_is_cut_at_the_longest_length(base, fresh):
    batch = fresh.encode(["walk " * 200], ["walk " * 200])
    assert batch[0].shape == batch[2].shape == (1, 64)


def test_a_saved_classifier_answers_as_before(trained, tmp_path):
    trained.save(tmp_path / "ER")
    (reloaded,) = load_all(tmp_path).values()
    posts = rows(20, seed=5)
    said, replies = [r["seeker_post"] for r in posts], [r["response_post"] for r in posts]
    assert np.array_equal(reloaded.levels(said, replies), trained.levels(said, replies))
    assert reloaded.report == trained.report and load(tmp_path / "ER").mechanism == "ER"
    (tmp_path / "ER").rename(tmp_path / "EX")
    with pytest.raises(ValueError, match="holds the classifier of ER"):
        load_all(tmp_path)
    with pytest.raises(FileNotFoundError, match="cogrl epitome train"):
        load_all(tmp_path / "nowhere")


def test_the_public_layout_is_read(tmp_path):
    text = (
        "sp_id,rp_id,seeker_post,response_post,level,rationales\n"
        'a1,b1,"Help. I, too.","Why? ""Now""? I know.",2,Why?|I know.|\n'
        "a1,b2,Help. I,No idea,0,\n"
        "a2,b3,Tired,Hang in there,1,not in the response|\n"
    )
    (tmp_path / "er.csv").write_text(text)
    first, second, third = read_posts(tmp_path / "er.csv")
    assert first.response == 'Why? "Now"? I know.' and first.level == 2
    assert [first.response[a:b] for a, b in first.spans] == ["Why?", "I know."]
    assert second.spans == third.spans == () and second.seeker_id == first.seeker_id
    assert [post.lost for post in (first, second, third)] == [0, 0, 1]


def test_a_rationale_is_found_whatever_white_space_lies_between_its_words(tmp_path):
    """The public files have two spaces, line ends and no-break spaces in responses where the rationales have one."""
    response = "It is  hard,\nI know.\u00a0 I  feel (a lot)  like you. "
    rationales = "is hard, I know.|I feel (a lot) like you.|  hard,   I |"
    (post,) = read_posts(
        write(tmp_path / "ip.csv", [dict(zip(COLUMNS, ("s", "r", "x", response, 2, rationales), strict=True))])
    )
    assert [response[a:b] for a, b in post.spans] == ["is  hard,\nI know.", "I  feel (a lot)  like you.", "hard,\nI"]
    assert post.response == response and post.lost == 0


def test_words_of_a_rationale_that_was_not_found_are_never_trained_as_none(fresh):
    fresh.model.eval()
    half = Post("s", "x", "go for a walk , maybe .", 2, ((3, 8),), lost=1)
    marks = marked(fresh, [half, Post("t", "x", "i am", 0)])
    assert marks[0].tolist() == [-100, -100, 1, 1, -100, -100, -100, -100, -100]
    assert marks[1].tolist() == [0, 0, 0, 0, -100, -100, -100, -100, -100]
    nothing = loss_of(fresh, [Post("s", "x", "go for a walk", 2, (), lost=1)], Recipe(level_coef=0.0)).item()
    assert nothing == 0.0  # no token is known: no loss, and no 0 / 0


def test_rationales_that_were_not_found_are_counted_where_a_user_reads_and_in_the_saved_report(base, tmp_path, capsys):
    lines = rows(40)
    marked_lines = [line for line in lines if line["rationales"]]
    for line in marked_lines[:3]:
        line["rationales"] = "these words are elsewhere|" + line["rationales"]
    write(tmp_path / "er.csv", lines)
    arguments = ["--mechanism", "ER", "--data", str(tmp_path / "er.csv"), "--base", str(base), "--epochs", "1"]
    assert main(["epitome", "train", *arguments, "--out", str(tmp_path / "epitome")]) == 0
    assert f"3 of {len(marked_lines) + 3} rationales are no part of their response" in capsys.readouterr().out
    report = json.loads((tmp_path / "epitome/ER/epitome.json").read_text())["report"]
    assert (report["rationales_not_found"], report["rationales"]) == (3, len(marked_lines) + 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_of_a_spreadsheet_program_is_read(tmp_path, encoding):
    text = "sp_id,rp_id,seeker_post,response_post,level,rationales\na,b,I’m down,It’s hard,2,It’s|\n"
    (tmp_path / "er.csv").write_bytes(text.encode(encoding))
    (post,) = read_posts(tmp_path / "er.csv")
    assert post.response == "It’s hard" and post.seeker == "I’m down" and post.spans == ((0, 4),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,seeker_post,response_post,ER_label,ER_rationale\n1,a,b,0,\n", "no column sp_id, rp_id, level, rationales"),
        ("sp_id,rp_id,seeker_post,response_post,level,rationales\n", "holds no lines"),
        (
            "sp_id,rp_id,seeker_post,response_post,level,rationales\na,b,c,d,3,\n",
            ":2: level must be 0, 1 or 2, got '3'",
        ),
        ("sp_id,rp_id,seeker_post,response_post,level,rationales\na,b,c,d\n", ":2: has fewer columns than the head"),
        ("sp_id,rp_id,seeker_post,response_post,level,rationales\na,b,c, ,1,\n", ":2: response_post is empty"),
    ],
)
def test_another_layout_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "er.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_posts(tmp_path / "er.csv")


def test_a_seeker_is_on_one_side_only():
    posts = [Post(f"s{i % 20}", "a", "b", 0) for i in range(100)]
    learn, held_out = split_by_seeker(posts)
    assert {p.seeker_id for p in learn}.isdisjoint(p.seeker_id for p in held_out)
    assert len(learn) == 80 and len(held_out) == 20
    with pytest.raises(ValueError, match="leaves one side empty"):
        split_by_seeker(posts, held_out=0.01)


def test_from_csv_to_the_report(base, tmp_path, smoke_corpus, tiny_policy_dir, capsys):
    write(tmp_path / "ex.csv", rows(40))
    arguments = ["--mechanism", "EX", "--data", str(tmp_path / "ex.csv"), "--base", str(base), "--epochs", "1"]
    assert main(["epitome", "train", *arguments, "--out", str(tmp_path / "epitome")]) == 0
    assert "always the commonest level" in capsys.readouterr().out
    data = ["--data", str(smoke_corpus / "test.jsonl"), "--out", str(tmp_path / "report"), "--max-new-tokens", "4"]
    chosen = ["--policy", f"tiny={tiny_policy_dir}", "--epitome", str(tmp_path / "epitome"), "--draws", "0"]
    assert main(["evaluate", *chosen, *data]) == 0
    assert "EX, 0-2" in (tmp_path / "report" / "report.md").read_text()
    figures = json.loads((tmp_path / "report" / "report.json").read_text())["policies"]["tiny"]
    assert (
        0 <= figures["EX_direct"]["mean"] <= 2 and "ER_direct" not in figures and "response_difference" not in figures
    )
