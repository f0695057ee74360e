"""Echo's rows: both layouts, parts that are not in the clip, broken rows by reason."""

import json

import pytest

from cogrl.cli.main import main
from cogrl.data.corpora import echo_rows
from cogrl.data.manifest import read_manifest

CHOICES = ["a dog", "a car", "rain", "a door"]
TARGET = "<think>listen behind the bell <seg>0.2, 0.6</seg> a bark</think><answer>a dog</answer>"


def plain(number, **change):
    row = {"id": number, "audio_path": f"wavs/{number}.wav", "question": "What follows?", "multi_choice": CHOICES}
    row = row | {"answer": "rain"} | change
    return {key: value for key, value in row.items() if value is not None}


def swift(number, target=TARGET, **change):
    messages = [{"role": "user", "content": "<audio>What\nfollows?"}, {"role": "assistant", "content": target}]
    return {"id": number, "messages": messages, "audios": [f"wavs/{number}.wav"]} | change


@pytest.fixture
def corpus(tmp_path, wav):
    """`corpus(*rows)`: the folder with these rows, and a clip of 1 s for each."""

    def build(*rows):
        for row in rows:
            for path in [row.get("audio_path"), *(row.get("audios") or [])]:
                if path:
                    wav(tmp_path / "raw" / path, 1.0)
        (tmp_path / "raw" / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / "raw"

    return build


def examples(reading):
    return {example.id: example for rows in reading.splits.values() for example in rows}


def test_both_layouts_are_read(corpus):
    found = examples(echo_rows.read(corpus(plain(1), swift(2))))
    one, two = found["eaqa-1"], found["eaqa-2"]
    assert sorted(one.choices) == sorted(CHOICES) and one.answer == "rain" and one.targets == {"choice": "rain"}
    assert (two.question, two.choices, two.answer) == ("What follows?", (), "a dog")
    assert two.targets == {"echo": TARGET}


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("<seg>0.2, 1.6</seg>", "<seg>0.2, 1.6</seg> is outside in 1.00 s"),
        ("<seg>0.6, 0.2</seg>", "is reversed"),
        ("<seg>0.2, 0.3</seg>", "is too_short"),
        ("<seg>1..2</seg>", "is malformed"),
    ],
)
def test_a_target_that_cites_what_can_not_be_heard_is_left_out_and_its_question_kept(corpus, tag, reason):
    reading = echo_rows.read(corpus(plain(1), swift(2, TARGET.replace("<seg>0.2, 0.6</seg>", tag))))
    assert examples(reading)["eaqa-2"].targets == {} and examples(reading)["eaqa-2"].answer == "a dog"
    notes = "\n".join(reading.notes)
    assert "1 rows have a target that is not to be trained on" in notes and reason in notes
    assert "list.jsonl:2 (2)" in notes


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (plain(9, answer="B"), "answer is no choice"),
        (plain(9, question=" "), "question is empty"),
        (plain(9, multi_choice=None), "row without multi_choice"),
        (plain(9, multi_choice=["one"]), "row with a question that can not be asked"),
        (plain(1), "row with a question that can not be asked"),
        (swift(9, audios=["wavs/9.wav", "wavs/9.wav"]), "row with none or several clips"),
        (swift(9, messages=[{"role": "user", "content": "Hm?"}]), "row that is no question and answer"),
        (swift(9, messages="Hm?"), "row that is no question and answer"),
        (swift(9, "<think>so</think> a dog"), "reply without an answer"),
    ],
)
def test_a_broken_row_is_refused_by_line_or_counted(corpus, row, reason):
    raw = corpus(plain(1), row)
    with pytest.raises(ValueError, match=r"list\.jsonl:2 \(\d\): .*--partial leaves it out"):
        echo_rows.read(raw)
    reading = echo_rows.read(raw, partial=True)
    assert reading.dropped == {reason: 1} and list(examples(reading)) == ["eaqa-1"]


def test_a_clip_that_is_shorter_than_the_shortest_part_is_rejected(corpus, wav):
    raw = corpus(plain(1), plain(2))
    wav(raw / "wavs/2.wav", 0.15)
    with pytest.raises(ValueError, match=r"lasts 0\.15 s, no part of 0\.2 s can be cited"):
        echo_rows.read(raw)
    assert echo_rows.read(raw, partial=True).dropped == {"clip shorter than the shortest part": 1}


def test_the_command_writes_manifests(corpus, tmp_path, capsys):
    raw, out = corpus(plain(1), swift(2), plain(3, answer="x")), tmp_path / "out"
    assert main(["build", "echo-rows", "--raw", str(raw), "--out", str(out), "--partial", "--held-out", "0"]) == 0
    assert len(read_manifest(out / "train.jsonl")) == 2 and "answer is no choice" in capsys.readouterr().out
