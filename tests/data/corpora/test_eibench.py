"""HumDial-EIBench: multiple choice in the forms it may come in, and open answers."""

import json

import pytest

from cogrl.data.corpora import eibench

CHOICES = ["sad to happy", "happy to sad", "neutral throughout", "sad to angry"]


def item(name, emotions=("sad", "happy", "neutral"), **choice):
    turns = [
        {"input_emotion": emotion, "input_text": f"Turn {n}.", "response_text": f"Reply {n}."}
        for n, emotion in enumerate(emotions, start=1)
    ]
    return {"dialogue_id": name, "turns": turns, **choice}


def question(**change):
    return {"question": "How did it change?", "options": CHOICES, "answer": "A"} | change


def listing(folder, wav, stem, items):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.jsonl").write_text("".join(json.dumps(d) + "\n" for d in items))
    for d in items:
        for n in range(1, len(d["turns"]) + 1):
            wav(folder / stem / f"{d['dialogue_id']}_{n}.wav", 0.1)


@pytest.fixture
def raw(tmp_path, wav):
    for language in ("zh", "en"):
        folder = tmp_path / "EIBench" / language
        listing(folder, wav, "task1", [item("d1", **question())])
        listing(folder, wav, "task2", [item("d1", **question(answer="D"))])
        listing(folder, wav, "task3", [item("d1")])
        listing(folder, wav, "task4", [item("d9", ("happy",), **question(answer="happy to sad"))])
    return tmp_path / "EIBench"


def test_one_test_split_with_four_tasks_in_two_languages(raw, written):
    reading = eibench.read(raw)
    assert not reading.dropped
    splits, _ = written(reading)
    assert list(splits) == ["test"] and len(splits["test"]) == 8
    english = {e.task: e for e in splits["test"] if e.language == "en"}
    assert set(english) == {"trajectory", "reasoning", "empathy", "conflict"}
    assert [len(english[task].turns) for task in ("trajectory", "empathy", "conflict")] == [2, 1, 0]
    assert english["trajectory"].answer == "sad to happy" and english["reasoning"].answer == "sad to angry"
    assert english["conflict"].answer == "happy to sad" and english["conflict"].choices == tuple(CHOICES)
    assert english["empathy"].question is None and english["empathy"].text == "Turn 2."
    assert english["empathy"].turns[0].reply == "Reply 1."


@pytest.mark.parametrize(
    "given",
    [
        question(),
        question(answer="(a)"),
        question(answer="A."),
        question(answer="A. sad to happy"),
        question(answer="sad to happy"),
        question(options=[f"{letter}. {text}" for letter, text in zip("ABCD", CHOICES, strict=True)]),
        question(options=dict(zip("ABCD", CHOICES, strict=True))),
        {"query": "How?", "choices": CHOICES, "correct_answer": "a"},
    ],
)
def test_the_answer_is_the_text_of_the_choice_however_it_is_given(given):
    parsed = eibench.multiple_choice(given, "x:1")
    assert parsed["choices"] == tuple(CHOICES) and parsed["answer"] == CHOICES[0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (question(question=None), r"x:1 \(d\): needs question and options .*its keys: question, options, answer"),
        (question(options=[]), "needs question and options"),
        (question(answer=None), "needs answer or correct_answer; its keys"),
        (question(answer="E"), "answer 'E' is none of 'sad to happy'"),
        (question(answer="angry"), "answer 'angry' is none of"),
    ],
)
def test_a_question_that_can_not_be_scored_is_refused_with_the_keys_it_has(given, reason):
    with pytest.raises(ValueError, match=reason):
        eibench.multiple_choice(given, "x:1 (d)")


def test_a_json_list_is_read_like_lines(raw):
    path = raw / "en" / "task1.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.rename(path.with_suffix(".json")).write_text(json.dumps(records, indent=1))
    assert len(eibench.read(raw).splits["test"]) == 8


def test_an_unknown_list_is_counted_and_a_missing_language_named(raw, wav, tmp_path):
    listing(raw / "en", wav, "extra", [item("d2")])
    assert eibench.read(raw).dropped == {"unknown task list extra.jsonl": 1}
    for path in (raw / "zh").glob("*.jsonl"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"HumDial-EIBench: expected .*zh; .*huggingface.co/datasets/ASLP-lab"):
        eibench.read(raw)
    assert len(eibench.read(raw, partial=True).splits["test"]) == 4
    with pytest.raises(FileNotFoundError, match="expected the folders zh and en"):
        eibench.read(tmp_path / "nothing")


def test_a_line_without_choices_is_named_with_file_line_and_dialogue(raw, wav):
    listing(raw / "en", wav, "task1", [item("d1", **question()), item("d2", label="A")])
    with pytest.raises(ValueError, match=r"task1.jsonl:2 \(d2\): needs question and options .*dialogue_id, turns, lab"):
        eibench.read(raw)


def test_a_choice_keeps_a_letter_that_is_part_of_its_text():
    given = question(options=["A. Lincoln", "the mayor", "nobody"], answer="A. Lincoln")
    assert eibench.multiple_choice(given, "x:1")["choices"] == ("A. Lincoln", "the mayor", "nobody")


def test_no_choice_is_left_out_and_a_letter_must_go_with_its_text():
    many = [f"choice {n}" for n in range(10)]
    parsed = eibench.multiple_choice(question(options=many, answer="J"), "x:1")
    assert parsed["choices"] == tuple(many) and parsed["answer"] == "choice 9"
    with pytest.raises(ValueError, match="has 27 choices"):
        eibench.multiple_choice(question(options=[str(n) for n in range(27)]), "x:1")
    with pytest.raises(ValueError, match=r"answer 'B\. sad to happy' is none of"):
        eibench.multiple_choice(question(answer="B. sad to happy"), "x:1")


def test_a_broken_question_is_counted_with_partial(raw):
    path = raw / "en" / "task1.jsonl"
    record = json.loads(path.read_text())
    del record["answer"]
    path.write_text(json.dumps(record))
    reading = eibench.read(raw, partial=True)
    assert reading.dropped == {"line of a list is broken": 1} and len(reading.splits["test"]) == 7
