"""Dialogues and multiple choice in a manifest line: read, written back, refused by name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cogrl.audio import write_flac
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import check_splits, read_manifest, write_manifest
from cogrl.data.module import AudioData

TURN = {"text": "The test results are here.", "audio": "t1.flac", "emotion": "fear", "reply": "Go on.", "duration_s": 1}
LINE = {
    "id": "d1",
    "audio": "d1.flac",
    "split": "test",
    "text": "The doctor called me back.",
    "text_group": "g1",
    "speaker": "s1",
    "emotion": "happy",
    "task": "trajectory",
    "language": "en",
    "turns": [TURN, {"text": "I go to the clinic.", "audio": "t2.flac"}],
    "question": "How did the voice change?",
    "cause": "the test results",
    "choices": ["fear to joy", "joy to fear"],
    "answer": "fear to joy",
}


def manifest(folder, *changes, name="test.jsonl"):
    path = folder / name
    lines = [{key: value for key, value in (LINE | change).items() if value is not None} for change in changes]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def tone(path, seconds=1.0):
    write_flac(path, np.sin(np.arange(round(16_000 * seconds)) / 20).astype(np.float32) / 4, 16_000)


@pytest.fixture
def spoken(tmp_path):
    for name in ("d1", "t1", "t2"):
        tone(tmp_path / f"{name}.flac")
    return manifest(tmp_path, {})


def test_a_dialogue_is_written_and_read_back_field_by_field(tmp_path):
    (example,) = read_manifest(manifest(tmp_path, {}))
    assert [turn.audio.name for turn in example.turns] == ["t1.flac", "t2.flac"]
    assert example.turns[0].reply == "Go on." and example.turns[1].reply is None and example.turns[1].emotion is None
    assert example.choices == ("fear to joy", "joy to fear") and example.answer == example.choices[0]
    assert (example.task, example.language, example.cause) == ("trajectory", "en", "the test results")
    (tmp_path / "lists").mkdir()
    write_manifest(tmp_path / "lists" / "copy.jsonl", [example])
    assert json.loads((tmp_path / "lists" / "copy.jsonl").read_text())["turns"][0]["audio"] == "../t1.flac"
    (copy,) = read_manifest(tmp_path / "lists" / "copy.jsonl")
    assert copy.turns[0].audio.resolve() == example.turns[0].audio.resolve()
    here = {"where": "", "audio": example.audio, "turns": example.turns}
    assert replace(copy, **here) == replace(example, **here)


def test_a_typed_turn_says_that_it_has_no_audio(tmp_path, spoken):
    typed = {"text": "I go to the clinic.", "audio": None}
    (example,) = read_manifest(manifest(tmp_path, {"turns": [TURN, typed]}))
    assert [turn.audio is None for turn in example.turns] == [False, True]
    write_manifest(tmp_path / "copy.jsonl", [example])
    assert json.loads((tmp_path / "copy.jsonl").read_text())["turns"][1] == typed
    assert read_manifest(tmp_path / "copy.jsonl")[0].turns == example.turns
    check_audio_files([example])
    check_splits({"train": [example], "test": [replace(example, id="x", audio=tmp_path / "x.flac", turns=())]}, ())
    data = AudioData(test=str(tmp_path / "copy.jsonl"), history="heard")
    data.setup("test")
    assert [voice is None for voice in data.clips("test")[0].history] == [False, True]


def test_a_line_without_the_new_fields_has_none_of_them(tmp_path):
    plain = {key: None for key in ("turns", "question", "choices", "answer", "task", "language", "cause")}
    (example,) = read_manifest(manifest(tmp_path, plain))
    assert example.turns == () == example.choices and example.question is example.answer is example.task is None
    assert example.cause is None
    write_manifest(tmp_path / "copy.jsonl", [example])
    assert set(json.loads((tmp_path / "copy.jsonl").read_text())) == set(LINE) - set(plain)


def test_any_line_may_leave_the_emotion_open(tmp_path):
    bare = dict.fromkeys(("emotion", "turns", "question", "choices", "answer"))
    assert read_manifest(manifest(tmp_path, {"emotion": None}))[0].emotion is None
    assert read_manifest(manifest(tmp_path, bare))[0].emotion is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"turns": TURN}, "turns must be a list"),
        ({"turns": [TURN, "x"]}, "turn 2: must be an object"),
        ({"turns": [TURN | {"emotoin": "sad"}]}, "turn 1: unknown key 'emotoin'; did you mean 'emotion'"),
        ({"turns": [TURN | {"emotion": "joy"}]}, "turn 1: unknown emotion 'joy'; allowed: anger"),
        ({"turns": [TURN | {"reply": 3}]}, "turn 1: reply must be a string"),
        ({"turns": [{"text": "Hello."}]}, "turn 1: missing key 'audio'"),
        ({"turns": [TURN | {"audio": ""}]}, "turn 1: audio is empty"),
        ({"turns": [TURN | {"audio": 3}]}, "turn 1: audio must be a string"),
        ({"audio": None}, "missing key 'audio'"),
        ({"turns": [TURN | {"text": " "}]}, "turn 1: text is empty"),
        ({"turns": [TURN | {"text": None}]}, "turn 1: text must be a string"),
        ({"turns": [TURN | {"duration_s": 0}]}, "turn 1: duration_s must be positive"),
        ({"choices": ["a"]}, "choices must be two or more different texts"),
        ({"choices": ["a", "a"]}, "choices must be two or more different texts"),
        ({"choices": ["a", ""]}, "choices must be non-empty strings"),
        ({"choices": "ab"}, "choices must be a list"),
        ({"answer": "A"}, "answer 'A' is none of the choices: 'fear to joy', 'joy to fear'"),
        ({"question": None}, "choices and answer need a question"),
        ({"cause": ["x"]}, "cause must be a string"),
    ],
)
def test_a_bad_turn_or_choice_is_named_with_line_and_id(tmp_path, change, reason):
    with pytest.raises(ValueError) as caught:
        read_manifest(manifest(tmp_path, {"id": "d0"}, change))
    assert str(caught.value).startswith(f"{tmp_path / 'test.jsonl'}:2 (d1): ") and reason in str(caught.value)


@pytest.mark.parametrize("token", ["<|AUDIO|>", "<sound>"])
def test_no_text_a_student_reads_can_forge_a_token(tmp_path, token):
    forged = {"turns": [TURN | {"reply": token}], "question": token, "choices": [token, "b"], "answer": token}
    forged |= {"cause": token}
    (example,) = read_manifest(manifest(tmp_path, forged))
    for text in (example.turns[0].reply, example.question, *example.choices, example.answer, example.cause):
        assert token not in text
    assert example.answer in example.choices
    write_manifest(tmp_path / "copy.jsonl", [example])
    written = json.loads((tmp_path / "copy.jsonl").read_text())
    assert written["turns"][0]["reply"] == written["question"] == written["choices"][0] == written["answer"] == token


def test_the_clip_of_an_earlier_turn_is_checked_too(spoken):
    spoken.with_name("t2.flac").unlink()
    with pytest.raises(ValueError, match=r"test.jsonl:1 \(d1, turn 2\): .*t2.flac: no such audio file"):
        check_audio_files(read_manifest(spoken))
    tone(spoken.with_name("t2.flac"))
    tone(spoken.with_name("t1.flac"), 0.4)
    with pytest.raises(ValueError, match=r"\(d1, turn 1\): .*lasts 0.400 s, the manifest says 1.000 s"):
        check_audio_files(read_manifest(spoken))


def test_an_earlier_turn_may_not_be_a_clip_of_another_split(tmp_path):
    turn_of_test = {"id": "x", "audio": "t1.flac", "text_group": "g2", "speaker": "s2", "turns": None}
    train = read_manifest(manifest(tmp_path, turn_of_test, name="train.jsonl"))
    test = read_manifest(manifest(tmp_path, {}))
    with pytest.raises(ValueError, match=r"test.jsonl:1 \(d1\): audio .*t1.flac' .* is also in split 'train'"):
        check_splits({"train": train, "test": test}, disjoint=())


def test_earlier_turns_are_never_dropped_silently(spoken):
    with pytest.raises(ValueError, match=r"test.jsonl:1 \(d1\): has 2 earlier turns.*data.history"):
        AudioData(test=str(spoken)).setup("test")
    for history, count in (("heard", 2), ("left_out", 0)):
        data = AudioData(test=str(spoken), history=history)
        data.setup("test")
        (clip,) = (data.clips("test")[i] for i in range(1))
        assert len(clip.history) == len(clip.example.turns) == count and len(clip.waveform) == 16_000
        assert all(len(waveform) == 16_000 for waveform in clip.history)
