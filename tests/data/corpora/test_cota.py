"""CoTA's published lines: options out of the text, strict answers, thoughts that any order of choices leaves right."""

import json
from collections import Counter

import pytest

from cogrl.cli.main import main
from cogrl.data.choice_order import refuse_lettered_targets
from cogrl.data.corpora import cota
from cogrl.data.corpora.cota import _by_text
from cogrl.data.manifest import read_manifest
from cogrl.formats.paqa import PAQA
from cogrl.formats.think_choice import THINK_CHOICE

OPTIONS = ["one person", "two people", "three people", "four people"]
ASKED = "How many people are speaking? (a) one person (b) two people (c) three people (d) four people"


def output(response, reasoning="Two voices are told apart, so (b) fits.", summary="There are (b) two people."):
    caption = "<CAPTION>A man and a woman talk about a bus.</CAPTION>"
    return (
        f"<THINK>\n<PLANNING>Count the voices.</PLANNING>\n{caption}\n<REASONING>{reasoning}</REASONING>\n"
        f"<SUMMARY>{summary}</SUMMARY>\n</THINK>\n<RESPONSE>{response}</RESPONSE>"
    )


def row(number, **change):
    audios = [f"CoTA/multiSpeaker/audio/{number // 2}.wav"]
    plain = {"id": f"r{number}", "instruction": f"<audio>{ASKED}", "output": output("(b) two people"), "audios": audios}
    return {key: value for key, value in (plain | change).items() if value is not None}


@pytest.fixture
def corpus(tmp_path, wav):
    """`corpus(changes, n)`: the folder with n rows, two a clip; `changes` by row."""

    def build(changes=None, n=8):
        rows = [row(i, **(changes or {}).get(i, {})) for i in range(n)]
        for one in rows:
            for path in one.get("audios") or []:
                wav(tmp_path / "raw" / path, 0.1)
        (tmp_path / "raw" / "part1_sft.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
        return tmp_path / "raw"

    return build


def examples(reading):
    return {example.id: example for rows in reading.splits.values() for example in rows}


def test_options_are_parsed_out_of_the_question_and_shuffled(corpus, written):
    splits, card = written(cota.read(corpus(n=40), held_out=0.2))
    found = [example for rows in splits.values() for example in rows]
    assert len(found) == 40 and "Nothing was dropped" in card
    for example in found:
        assert example.question == "How many people are speaking?" and sorted(example.choices) == sorted(OPTIONS)
        assert example.answer == "two people" and example.targets["choice"] == "two people"
    letters = Counter(example.choices.index(example.answer) for example in found)
    assert len(letters) == 4 and max(letters.values()) < 20  # all were (b) in the file
    refuse_lettered_targets(found)


def test_a_thought_speaks_of_choices_by_their_text(corpus):
    example = examples(cota.read(corpus()))["cota-r0"]
    target = example.targets["think_choice"]
    assert "so two people fits" in target and "There are two people." in target and "(b)" not in target
    assert "A man and a woman talk" in target and THINK_CHOICE.answer(target, example) == "two people"


def test_a_trace_with_all_sections_is_a_target_of_paqa(corpus):
    fields = dict.fromkeys(PAQA.json_schema()["required"], "x") | {"asr": "Speaker 1: hello", "summary": "(b)"}
    whole = PAQA.render(fields | {"response": "(b)", "final_answer": "(b) two people"})
    triple = PAQA.render(fields | {"response": "(a)", "reflect": "Speaker 2 speaks, too", "final_answer": "(b)"})
    found = examples(cota.read(corpus({0: {"output": whole}, 1: {"output": triple.replace("ENV>", "BGM>")}})))
    first, second = (PAQA.parse(found[f"cota-r{n}"].targets["paqa"]) for n in (0, 1))
    assert first["final_answer"] == first["response"] == first["summary"] == "two people"
    assert second["response"] == "one person" and second["final_answer"] == "two people" and second["reflect"]


@pytest.mark.parametrize(
    ("instruction", "question", "options"),
    [
        (f"<audio>{ASKED}", "How many people are speaking?", OPTIONS),
        ("<audio>\nWho (a) is it?\n(a) Ann, (b) Bob\n", "Who (a) is it?", ["Ann", "Bob"]),
        ("What? (A) a dog (B) plan (b) two (C) cat", "What?", ["a dog", "plan (b) two", "cat"]),
        ("<audio>What is said?", "What is said?", []),
        ("What? (b) x (c) y", "What? (b) x (c) y", []),
        ("(a) one (b) two", "", ["one", "two"]),
    ],
)
def test_the_options_are_those_behind_the_last_a(instruction, question, options):
    assert cota.split_options(instruction) == (question, options)


REJECTED = {
    "question without options": {"instruction": "<audio>What is said?"},
    "row with none or several clips": {"audios": []},
    "answer names no option": {"output": output("five people")},
    "row with a question that can not be asked": {"instruction": "<audio>Who? (a) Ann (b) ann"},
    "row without output": {"output": None},
}


@pytest.mark.parametrize("reason", REJECTED)
def test_a_row_that_can_not_be_used_is_refused_by_name_or_counted_by_reason(corpus, written, reason):
    raw = corpus({3: REJECTED[reason]})
    with pytest.raises(ValueError, match=r"part1_sft.jsonl:4 \(r3\): .*--partial leaves it out"):
        cota.read(raw)
    splits, card = written(cota.read(raw, partial=True))
    assert sum(map(len, splits.values())) == 7
    assert f"- {reason}: 1" in card and "left out: " in card and "part1_sft.jsonl:4 (r3)" in card


@pytest.mark.parametrize(
    "response", ["(a) one person and (b) two people", "bird family", "I cannot hear the clip", "(b) three people"]
)
def test_an_answer_that_could_be_read_in_two_ways_is_no_answer(corpus, response):
    reading = cota.read(corpus({0: {"output": output(response)}}), partial=True)
    assert reading.dropped == {"answer names no option": 1}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (output("b").replace("</CAPTION>", ""), "thought that does not parse"),
        (output("b").replace("<PLANNING>", "<PLANNING><PLANNING>"), "thought that does not parse"),
        (output("b", reasoning="Hence the answer is B."), "thought that calls choices by letter"),
        (output("b", reasoning="Option B fits."), "thought that calls choices by letter"),
        (output("b", summary="Answer: B"), "thought that calls choices by letter"),
    ],
)
def test_a_row_whose_thought_is_no_target_keeps_its_question_named_on_the_card(corpus, written, broken, reason):
    raw = corpus({2: {"output": broken}})
    splits, card = written(cota.read(raw))
    found = {example.id: example for rows in splits.values() for example in rows}
    assert found["cota-r2"].targets == {"choice": "two people"} and "think_choice" in found["cota-r3"].targets
    assert "1 rows have no thought to learn from" in card and "part1_sft.jsonl:3 (r2)" in card
    reading = cota.read(raw, only_traces=True, partial=True)
    assert reading.dropped == {reason: 1} and "cota-r2" not in examples(reading)


def test_the_command_writes_train_and_val(corpus, tmp_path, capsys):
    words = ["build", "cota", "--raw", str(corpus(n=20)), "--out", str(tmp_path / "out"), "--held-out", "0.2"]
    assert main([*words, "--keep-order", "--only-traces"]) == 0
    found = [example for name in ("train", "val") for example in read_manifest(tmp_path / "out" / f"{name}.jsonl")]
    assert len(found) == 20 and {example.choices for example in found} == {tuple(OPTIONS)}
    assert "# CoTA" in capsys.readouterr().out


def test_a_choice_that_holds_the_mark_of_another_one_is_put_in_once():
    assert _by_text("So (a) x (b) y fits, not (b).", ["x (b) y", "two"]) == "So x (b) y fits, not two."
