"""Lines with perception gold: read back as written, refused by file, line and id where they can not be true."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.data.audio_check import check_audio_files
from cogrl.data.line import line_of, parse_line
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.module import AudioData
from cogrl.types import Event, Span, SpokenTurn

TURNS = [
    {"speaker": "low", "start_s": 0.1, "end_s": 0.4, "text": "kettle <|AUDIO|> river"},
    {"speaker": "Speaker 2", "start_s": 0.4, "end_s": 1, "text": "水、window"},
]
LINE = {
    "id": "q1",
    "audio": "a.wav",
    "question": "What does the low voice say?",
    "choices": ["kettle river", "window apple"],
    "answer": "kettle river",
    "speech": TURNS,
    "environment": "rain",
    "snr_db": -3,
}


def read(tmp_path, *lines):
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return read_manifest(tmp_path / "q.jsonl")


def changed(turn, **fields):
    """The line with other fields in one of its turns; None takes a field out."""
    turns = [dict(one) for one in TURNS]
    turns[turn] = {key: value for key, value in (turns[turn] | fields).items() if value is not None}
    return LINE | {"speech": turns}


def test_speech_environment_and_snr_are_read_and_written_back(tmp_path):
    (example,) = read(tmp_path, LINE)
    assert example.speech[1] == SpokenTurn("Speaker 2", 0.4, 1.0, "水、window")
    assert "<|AUDIO|>" not in example.speech[0].text  # no transcript forges a token
    assert (example.environment, example.snr_db) == ("rain", -3.0) and isinstance(example.snr_db, float)
    assert json.loads(line_of(example, tmp_path)) == LINE | {"speech": [TURNS[0], TURNS[1] | {"end_s": 1.0}]}
    write_manifest(tmp_path / "copy.jsonl", [example])
    (copy,) = read_manifest(tmp_path / "copy.jsonl")
    assert (copy.speech, copy.environment, copy.snr_db) == (example.speech, example.environment, example.snr_db)
    plain = parse_line(json.dumps({"id": "x", "audio": "a.wav"}).encode(), "q:1", tmp_path)
    assert (plain.speech, plain.environment, plain.snr_db) == ((), None, None)


def test_events_and_evidence_are_read_and_written_back(tmp_path):
    gold = {"events": [{"name": "knock", "start_s": 0.2, "end_s": 0.5}], "evidence": [{"start_s": 0.4, "end_s": 1.0}]}
    (example,) = read(tmp_path, LINE | gold)
    assert example.events == (Event(0.2, 0.5, "knock"),) and example.evidence == (Span(0.4, 1.0),)
    assert example.evidence[0].duration_s == pytest.approx(0.6)
    written = json.loads(line_of(example, tmp_path))
    assert {key: written[key] for key in gold} == gold


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE | {"events": [{"name": "", "start_s": 0, "end_s": 1}]}, "event 1: name is empty"),
        (LINE | {"evidence": [{"start_s": 0.5, "end_s": 0.5}]}, "ends at 0.5 s, but starts at 0.5 s"),
        (
            LINE | {"duration_s": 1.0, "evidence": [{"start_s": 0.5, "end_s": 1.5}]},
            "evidence, part 1 ends at 1.5 s, the clip lasts 1 s",
        ),
        (LINE | {"speech": "low: kettle"}, "speech must be a list, got 'low: kettle'"),
        (LINE | {"speech": ["kettle"]}, "must be an object"),
        (changed(0, speaker=None), "speech, turn 1: missing key 'speaker'"),
        (changed(1, text=" "), "speech, turn 2: text is empty"),
        (changed(1, start=0.4), "speech, turn 2: unknown key 'start'; did you mean 'start_s'?"),
        (changed(0, start_s="0.1"), "speech, turn 1: start_s must be a number, got '0.1'"),
        (changed(0, start_s=-0.1), "start_s must not be negative, got -0.1"),
        (changed(0, end_s=0.1), "ends at 0.1 s, but starts at 0.1 s"),
        (changed(1, start_s=0.39), "turn 2 starts at 0.39 s, before turn 1 ends at 0.4 s"),
        (LINE | {"speech": TURNS[::-1]}, "turn 2 starts at 0.1 s, before turn 1 ends at 1 s"),
        (LINE | {"duration_s": 0.9}, "speech, turn 2 ends at 1 s, the clip lasts 0.9 s"),
        (LINE | {"environment": ""}, "environment is empty"),
        (LINE | {"environment": ["rain"]}, "environment must be a string"),
        (LINE | {"snr_db": "3"}, "snr_db must be a number, got '3'"),
        (LINE | {"snr": 3}, "unknown key 'snr'; did you mean 'snr_db'?"),
        (LINE | {"question": None}, "question must be a string, got None"),
        ({key: value for key, value in LINE.items() if key != "question"}, "choices and answer need a question"),
        (LINE | {"choices": ["kettle river"]}, "must be two or more different texts"),
        (LINE | {"answer": "kettle apple"}, "answer 'kettle apple' is none of the choices: 'kettle river'"),
    ],
)
def test_a_line_that_can_not_be_true_is_refused_by_file_line_and_id(tmp_path, line, reason):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, LINE, line | {"id": "q2"})
    assert f"{tmp_path / 'q.jsonl'}:2 (q2): " in str(caught.value) and reason in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_an_snr_that_is_no_number_is_refused(tmp_path, text):
    (tmp_path / "q.jsonl").write_text(json.dumps(LINE).replace('"snr_db": -3', f'"snr_db": {text}') + "\n")
    with pytest.raises(ValueError, match=r"q.jsonl:1 \(q1\): snr_db is no finite number"):
        read_manifest(tmp_path / "q.jsonl")


def tone(path: Path, seconds: float) -> None:
    soundfile.write(path, np.sin(np.arange(round(16_000 * seconds)) / 20) / 4, 16_000)


def test_turns_after_the_end_of_the_clip_are_refused_when_its_audio_is_checked(tmp_path):
    """Without duration_s only the samples say how long it is."""
    examples = read(tmp_path, LINE)
    tone(tmp_path / "a.wav", 0.995)
    check_audio_files(examples)  # times are rounded: 10 ms are allowed
    tone(tmp_path / "a.wav", 0.9)
    with pytest.raises(ValueError, match=r"q.jsonl:1 \(q1\): speech, turn 2 ends at 1 s, the clip lasts 0.900 s"):
        check_audio_files(examples)


def test_two_lines_about_one_clip_are_checked_each(tmp_path):
    tone(tmp_path / "a.wav", 0.6)
    short = LINE | {"speech": TURNS[:1]}
    check_audio_files(read(tmp_path, short))
    with pytest.raises(ValueError, match=r"q.jsonl:2 \(q2\): speech, turn 2 ends at 1 s"):
        check_audio_files(read(tmp_path, short, LINE | {"id": "q2"}))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.unlink(), "no such audio file"),
        (lambda path: tone(path, 4.5), "lasts 4.50 s, the limit is 4 s"),
        (lambda path: tone(path, 0.5), "speech, turn 2 ends at 1 s, the clip lasts 0.500 s"),
    ],
)
def test_a_clip_that_can_not_be_heard_as_its_line_says_is_refused_before_training(tmp_path, spoil, reason):
    tone(tmp_path / "a.wav", 1.5)
    read(tmp_path, LINE)
    data = AudioData(train=str(tmp_path / "q.jsonl"), max_s=4.0)
    data.setup("fit")
    spoil(tmp_path / "a.wav")
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        AudioData(train=str(tmp_path / "q.jsonl"), max_s=4.0).setup("fit")
    assert "q.jsonl:1 (q1)" in str(caught.value) and reason in str(caught.value)
