"""Traces of PAQA: quotes exist, planted errors are diagnosed and corrected, what fails is left out by name."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cogrl.data.line import line_of, parse_line
from cogrl.data.recipes.paqa.assembly import assembled
from cogrl.data.recipes.paqa.quotes import LEAST_OVERLAP, missing_quotes, overlap, quotes
from cogrl.data.recipes.paqa.reflection import WRONG, reflections
from cogrl.data.recipes.paqa.template import trace
from cogrl.data.recipes.paqa.traces import TemplateWriter, TraceWriter, validate_trace, with_targets
from cogrl.data.recipes.traces import Traces
from cogrl.formats.paqa import PAQA
from cogrl.types import Example, SpokenTurn

SPEECH = (SpokenTurn("low", 0.2, 1.0, "kettle river"), SpokenTurn("high", 1.2, 2.0, "window apple"))
TASKS = {
    "say": ("What does the low voice say?", ("kettle river", "window apple", "kettle apple", "window river")),
    "count": ("How many people take a turn?", ("2", "1", "3")),
    "environment": ("What is in the background?", ("rain", "wind", "hum", "beeps")),
    "first": ("Which voice speaks first?", ("low", "middle", "high")),
}


def line(task, number=0, split="sft"):
    question, choices = TASKS[task]
    return Example(
        f"{task}{number}",
        Path(f"/a/{task}{number}.flac"),
        split,
        speech=SPEECH,
        environment="rain",
        snr_db=3.5,
        duration_s=2.2,
        question=question,
        choices=choices,
        answer=choices[0],
        task=task,
    )


def lines(count=8):
    return with_targets([line(task, number) for number in range(count) for task in TASKS], TemplateWriter())[0]


@pytest.mark.parametrize(
    ("quote", "transcript", "least", "most"),
    [
        ("kettle river", "window apple kettle river", 1.0, 1.0),
        ("Kettle, river!", "… kettle river.", 1.0, 1.0),
        ("kettle rivers", "kettle river", 0.9, 0.95),
        ("kettle apple", "kettle river window apple", 0.5, 0.8),
        ("window", "kettle river", 0.0, 0.5),
        ("", "kettle river", 0.0, 0.0),
        ("kettle", "", 0.0, 0.0),
        ("水在那里", "我说水在那里了", 1.0, 1.0),
    ],
)
def test_overlap_is_that_of_the_most_similar_place(quote, transcript, least, most):
    assert least <= overlap(quote, transcript) <= most


def test_quotes_are_turns_attributions_and_what_stands_in_quotation_marks():
    names = {"low", "Speaker 1", "Speaker 12"}
    assert list(quotes("asr", "low: a b; Speaker 12: c; d: e", names)) == [("low", "a b"), ("Speaker 12", "c; d: e")]
    text = 'in rain low says kettle river, not window; Speaker 12 says "I went home". He heard “a bus”'
    assert list(quotes("reflect", text, names)) == [
        ("low", "kettle river"),
        ("Speaker 12", "I went home"),
        (None, "I went home"),
        (None, "a bus"),
    ]


def test_words_of_another_speaker_are_no_quote():
    fields = trace(line("say"))
    assert missing_quotes(fields, SPEECH, fields) == []
    fields["reasoning"] = "low says window apple"
    (message,) = missing_quotes(fields, SPEECH, fields)
    assert message.startswith("reasoning quotes low: 'window apple', overlap 0.") and LEAST_OVERLAP == 0.85
    fields["reasoning"] = "high says window apple"
    assert missing_quotes(fields, SPEECH, fields) == []


@pytest.mark.parametrize("task", TASKS)
def test_the_right_trace_passes_and_each_damage_is_named(task):
    example = line(task)
    assert validate_trace(example, trace(example)) is None
    wrong = example.choices[1]
    for damage, reason in (
        ({"final_answer": wrong}, f"its answer is '{wrong}', not '{example.answer}'"),
        ({"asr": "low: kettle river"}, "asr leaves out high: 'window apple'"),
        ({"asr": trace(example)["asr"] + "; low: monkey guitar"}, "asr quotes low: 'monkey guitar', overlap 0."),
        ({"description": 'somebody says "sugar"'}, "description quotes 'sugar', overlap 0."),
        ({"environment": "<ENV>rain"}, "markup inside one"),
        ({"planning": " "}, "an empty field"),
    ):
        assert reason in validate_trace(example, trace(example) | damage)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task": "translate"}, "task 'translate' has no template; there are templates for say, count"),
        ({"speech": ()}, "has no speech to write about"),
        ({"answer": "window river"}, "is the text of no turn"),
    ],
)
def test_a_line_that_no_template_fits_is_rejected_with_the_reason(change, reason):
    kept, rejected, _ = with_targets([replace(line("say"), **change)], TemplateWriter())
    assert kept == [] and reason in rejected["say0"]


def test_a_line_without_environment_says_none():
    kept, _, _ = with_targets([replace(line("say"), environment=None, snr_db=None)], TemplateWriter())
    assert PAQA.parse(kept[0].targets["paqa"])["environment"] == "none"
    (triple,) = reflections(kept, 1.0, 0)
    assert "with nothing around low says kettle river, not" in triple.targets["paqa"]


@pytest.mark.parametrize("kind", WRONG)
def test_a_planted_error_is_diagnosed_by_environment_speaker_and_words_and_corrected(kind):
    examples = {example.id: example for example in lines()}
    found = [
        triple for triple in reflections(list(examples.values()), 1.0, 0) if triple.synthesis["reflection"] == kind
    ]
    assert found
    for triple in found:
        fields, source = PAQA.parse(triple.targets["paqa"]), examples[triple.synthesis["reflection_of"]]
        right, wrong = source.answer, fields["response"]
        assert wrong != right == triple.answer == fields["final_answer"] and wrong in triple.choices
        assert sorted(triple.choices) == sorted(source.choices) and triple.id != source.id
        assert (triple.audio, triple.speech, triple.question) == (source.audio, source.speech, source.question)
        assert triple.targets["choice"] == right and PAQA.answer(triple.targets["paqa"], triple) == right
        assert "rain" in fields["reflect"] and "low says kettle river" in fields["reflect"]
        assert f"{right}, not {wrong}" in fields["reflect"]
        unchanged = {"wrong_option": {"response"}, "misread_noise": {"response", "reasoning", "summary", "environment"}}
        before = PAQA.parse(source.targets["paqa"])
        changed = {name for name in before if fields[name] != before[name]}
        assert changed == unchanged.get(kind, {"response", "reasoning", "summary"})
        if kind == "wrong_speaker":
            assert wrong in ("window apple", "high")
        if kind == "contradiction":
            assert wrong in ("kettle apple", "window river", "1", "3")


def test_reflections_are_as_many_as_asked_for_of_all_kinds_at_all_letters():
    found = list(reflections(lines(32), 0.5, 0))
    kinds = Counter(triple.synthesis["reflection"] for triple in found)
    assert len(found) == 64 and kinds == dict.fromkeys(WRONG, 16)
    for options in (3, 4):
        letters = Counter(t.choices.index(t.answer) for t in found if len(t.choices) == options)
        assert max(letters.values()) - min(letters.values()) <= 1 and len(letters) == options
    assert len({triple.id for triple in found}) == 64 and list(reflections(lines(32), 0.5, 0)) == found
    assert list(reflections(lines(32), 0.0, 0)) == []


def test_the_kind_of_an_error_is_kept_in_the_manifest():
    for triple in reflections(lines(), 0.2, 0):
        read = parse_line(line_of(triple, Path("/a")).encode(), "x:1", Path("/a"))
        assert read.synthesis == triple.synthesis and read.targets == triple.targets and read.speech == triple.speech


class Careless(TraceWriter):
    """Attributes the words of one to the other, on one line of four."""

    version = "careless"

    def write(self, examples):
        fields = {example.id: trace(example) for example in examples}
        for name in fields:
            if name.startswith("say"):
                fields[name] |= {"description": "high says kettle river"}
        return Traces(fields)


def test_lines_that_quote_what_is_not_said_are_dropped_named_and_counted():
    made = [line(task, number, "sft") for number in range(4) for task in TASKS]
    rows, rejected, _ = assembled(made, Careless(), 0.0, 0)
    assert sorted(rejected) == [f"say{number}" for number in range(4)] and len(rows["sft"]) == 12
    assert all("description quotes high: 'kettle river', overlap" in reason for reason in rejected.values())


def test_nothing_is_left_out_of_a_triple_for_the_error_that_is_planted():
    made = [line(task, number, "sft") for number in range(4) for task in TASKS]
    rows, rejected, _ = assembled(made, TemplateWriter(), 1.0, 0)
    assert rejected == {} and len(rows["sft"]) == 16 + 16


class Offline(TraceWriter):
    version = "offline"

    def write(self, examples):
        return Traces({}, unanswered={examples[0].id: "refused"}, report="0 answered")


def test_a_corpus_does_not_shrink_because_a_server_is_down():
    with pytest.raises(ConnectionError, match=r"1 of 1 lines got no answer \(say0: refused\); run the same command"):
        assembled([line("say")], Offline(), 0.0, 0)


def test_a_corpus_of_which_nothing_is_left_is_refused():
    with pytest.raises(ValueError, match="every line was rejected, such as say0: has no speech"):
        assembled([replace(line("say"), speech=())], TemplateWriter(), 0.0, 0)
