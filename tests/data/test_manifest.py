import json
from dataclasses import fields, replace

import numpy as np
import pytest

from cogrl.audio import write_flac
from cogrl.data.audio_check import check_audio_files
from cogrl.data.line_schema import Line, TurnLine
from cogrl.data.manifest import check_splits, read_manifest, write_manifest
from cogrl.data.markup import escape_markup
from cogrl.types import Example, Turn

LINE = {
    "id": "c01",
    "audio": "audio/c01.flac",
    "split": "sft",
    "text": "The exam is next week.",
    "text_group": "t01",
    "speaker": "spk01",
    "emotion": "fear",
    "intensity": "low",
    "valence": -1,
    "duration_s": 0.5,
    "targets": {"eips": "<thought>…</thought><response>Ok.</response>", "direct": "Ok."},
    "synthesis": {"pitch_st": 1.5, "measured": {"f0_hz": 210.0}},
}


def manifest(folder, *changes, name="train.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps({**LINE, "id": f"c{i}", **c}) + "\n" for i, c in enumerate(changes)))
    return path


def test_what_is_written_is_read_back_byte_for_byte(tmp_path):
    source = manifest(tmp_path, {}, {"scenario": "school", "dominance": 0.25, "source": "x", "licence": "CC0"})
    examples = read_manifest(source)
    assert examples[0].audio == tmp_path / "audio/c01.flac" and examples[1].where == f"{source}:2"
    write_manifest(tmp_path / "copy.jsonl", examples)
    copied = read_manifest(tmp_path / "copy.jsonl")
    assert [replace(example, where="") for example in copied] == [replace(example, where="") for example in examples]
    write_manifest(tmp_path / "again.jsonl", copied)
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "copy.jsonl").read_bytes()


def test_a_line_needs_an_id_and_audio_and_nothing_else(tmp_path):
    path = tmp_path / "least.jsonl"
    path.write_text('{"id": "q1", "audio": "q1.wav"}\n')
    (example,) = read_manifest(path)
    assert (example.id, example.audio) == ("q1", tmp_path / "q1.wav")
    given = {field.name for field in fields(example) if getattr(example, field.name) not in (None, "", (), {})}
    assert given == {"id", "audio", "where"}
    write_manifest(tmp_path / "copy.jsonl", [example])
    assert (tmp_path / "copy.jsonl").read_bytes() == path.read_bytes()
    for key in ("id", "audio"):
        path.write_text(json.dumps({"id": "q1", "audio": "q1.wav"} | {key: None}) + "\n")
        with pytest.raises(ValueError, match=f"{key} must be a string, got None"):
            read_manifest(path)
        path.write_text("{}")
        with pytest.raises(ValueError, match=r"least.jsonl:1: missing key 'id', 'audio'"):
            read_manifest(path)


def test_a_question_line_is_read_whether_its_answer_is_chosen_or_open(tmp_path):
    path = tmp_path / "questions.jsonl"
    asked = {"id": "q1", "audio": "q1.wav", "question": "Which came first?", "choices": ["bell", "horn"]}
    lines = [asked | {"answer": "horn"}, asked | {"id": "q2"}, {**asked, "id": "q3", "choices": [], "answer": "a horn"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    chosen, hidden, open_answer = read_manifest(path)
    assert (chosen.choices, chosen.answer) == (("bell", "horn"), "horn") and hidden.answer is None
    assert (open_answer.choices, open_answer.answer) == ((), "a horn")


def test_a_line_may_hold_what_an_example_holds():
    assert set(Line.model_fields) == {field.name for field in fields(Example)} - {"where"}
    assert set(TurnLine.model_fields) == {field.name for field in fields(Turn)}


@pytest.mark.parametrize("key", ["choice", "think_choice", "eips", "my_formats.Terse"])
def test_targets_are_named_by_the_format_they_are_for(tmp_path, key):
    (example,) = read_manifest(manifest(tmp_path, {"targets": {key: "B"}}))
    assert example.targets == {key: "B"}


def test_audio_paths_follow_the_manifest_unless_a_root_is_given(tmp_path):
    source = manifest(tmp_path, {})
    assert read_manifest(source, audio_root=tmp_path / "elsewhere")[0].audio == tmp_path / "elsewhere/audio/c01.flac"
    (tmp_path / "lists").mkdir()
    write_manifest(tmp_path / "lists" / "a.jsonl", read_manifest(source))
    assert json.loads((tmp_path / "lists" / "a.jsonl").read_text())["audio"] == "../audio/c01.flac"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"emotoin": "sad"}, "unknown key 'emotoin'; did you mean 'emotion'?"),
        ({"where": "x:1"}, "unknown key 'where'"),
        ({"emotion": "joy"}, "unknown emotion 'joy'; allowed: anger, happy, sad"),
        ({"intensity": "max"}, "unknown intensity 'max'; allowed: low, mid, high"),
        ({"valence": -1.01}, r"valence must lie in \[-1, 1\], got -1.01"),
        ({"arousal": float("nan")}, "arousal is no finite number"),
        ({"dominance": True}, "dominance must be a number"),
        ({"duration_s": 0}, "duration_s must be positive"),
        ({"duration_s": "1"}, "duration_s must be a number"),
        ({"text": "  "}, "text is empty"),
        ({"speaker": 3}, "speaker must be a string, got 3"),
        ({"targets": {"eips": " "}}, "targets must hold non-empty text, got ' ' for 'eips'"),
        ({"targets": {"C": "x"}}, "no format is called 'C'; known: eips, direct, ieat"),
        ({"targets": {"drect": "x"}}, "did you mean direct?"),
        ({"targets": {"A": "x"}}, "targets are named by format, and A is of an older cogrl: rename A to eips"),
        ({"targets": {"B": "x"}}, "rename B to direct"),
        ({"targets": {"": "x"}}, "no format is called ''"),
        ({"text_group": ""}, "text_group is empty"),
        ({"targets": ["x"]}, "targets must be an object"),
        ({"id": "c0"}, r"duplicate id 'c0', first at .*train.jsonl:1"),
    ],
)
def test_a_bad_line_is_named_with_file_and_line(tmp_path, change, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_manifest(manifest(tmp_path, {}, change))
    assert str(caught.value).startswith(f"{tmp_path / 'train.jsonl'}:2 ({change.get('id', 'c1')}): ")


@pytest.mark.parametrize("line", ["{", "[1]", "null", '{"id": "x"}', "\udcff"])
def test_a_line_that_is_no_example_at_all_is_named_too(tmp_path, line):
    path = manifest(tmp_path, {})
    path.write_bytes(path.read_bytes() + b"\n" + line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ValueError, match=r"train.jsonl:3( \(x\))?: (not JSON|not UTF-8|a line must be|missing key)"):
        read_manifest(path)


def test_all_bad_lines_are_reported_at_once_up_to_twenty(tmp_path):
    with pytest.raises(ValueError) as caught:
        read_manifest(manifest(tmp_path, *[{"emotion": "joy"}] * 23))
    lines = str(caught.value).splitlines()
    assert len(lines) == 21 and lines[19].startswith(f"{tmp_path / 'train.jsonl'}:20 (c19): ") and "3 more" in lines[20]


def test_a_missing_or_empty_manifest_prints_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"cogrl build lime-mini --out {tmp_path}"):
        read_manifest(tmp_path / "sft.jsonl")
    (tmp_path / "sft.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="holds no examples"):
        read_manifest(tmp_path / "sft.jsonl")


@pytest.mark.parametrize("token", ["<|AUDIO|>", "<|audio_bos|>", "<|im_end|>", "<sound>", "</audio>", "[AUDIO]"])
def test_a_transcript_cannot_forge_a_control_token(tmp_path, token):
    path = manifest(tmp_path, {"text": f"Say {token} now.", "targets": {"direct": f"{token}{token}"}})
    example = read_manifest(path)[0]
    assert token not in example.text and token not in example.targets["direct"]
    assert example.text.replace("\\", "") == f"Say {token} now."
    write_manifest(tmp_path / "copy.jsonl", [example])
    assert json.loads((tmp_path / "copy.jsonl").read_text())["text"] == f"Say {token} now."


def test_ordinary_text_and_the_thought_tags_pass_unescaped():
    for text in (
        "a < b | c > d",
        "I felt [sad] today",
        LINE["targets"]["eips"],
        "5<6>4",
        "C:\\audio",
        "[Perception] fear",
    ):
        assert escape_markup(text) == text


def test_escaping_twice_is_escaping_once():
    once = escape_markup("<|AUDIO|> <sound> [AUDIO]")
    assert escape_markup(once) == once


def test_splits_that_share_a_speaker_or_sentence_are_refused_with_both_lines(tmp_path):
    first = read_manifest(manifest(tmp_path, {"id": "a", "audio": "a.flac"}, name="sft.jsonl"))
    for change, field in (({"text_group": "t02"}, "speaker"), ({"speaker": "spk02"}, "text_group")):
        other = read_manifest(manifest(tmp_path, {"id": "b", "audio": "b.flac", **change}, name="test.jsonl"))
        with pytest.raises(ValueError, match=f"{field} .* of split 'test' is also in split 'sft'") as caught:
            check_splits({"sft": first, "test": other})
        assert "sft.jsonl:1" in str(caught.value) and "test.jsonl:1" in str(caught.value)
        check_splits({"sft": first, "test": other}, disjoint=())


def test_splits_are_held_apart_by_speaker_and_sentence_only_where_both_lines_have_them(tmp_path):
    first, other = tmp_path / "sft.jsonl", tmp_path / "test.jsonl"
    for speaker in ("", "spk01"):
        given = {"speaker": speaker} if speaker else {}
        first.write_text(json.dumps({"id": "a", "audio": "a.flac"} | given) + "\n")
        other.write_text(json.dumps({"id": "b", "audio": "b.flac"}) + "\n")
        check_splits({"sft": read_manifest(first), "test": read_manifest(other)})
    other.write_text(json.dumps({"id": "b", "audio": "b.flac", "speaker": "spk01"}) + "\n")
    with pytest.raises(ValueError, match="speaker 'spk01' of split 'test' is also in split 'sft'"):
        check_splits({"sft": read_manifest(first), "test": read_manifest(other)})


def test_one_clip_in_two_splits_is_refused_whatever_may_be_shared(tmp_path):
    first = read_manifest(manifest(tmp_path, {"id": "a"}, name="sft.jsonl"))
    with pytest.raises(ValueError, match=r"audio .* is also in split 'sft'"):
        check_splits({"sft": first, "rl": [replace(first[0], id="b")]}, disjoint=())


def test_the_preflight_reports_every_bad_clip_and_notices_later_damage(tmp_path):
    (tmp_path / "audio").mkdir()
    path = manifest(tmp_path, *({"audio": f"audio/{name}.flac"} for name in "abc"))
    for name, seconds in (("a", 0.5), ("b", 0.3)):
        write_flac(tmp_path / "audio" / f"{name}.flac", np.sin(np.arange(16000 * seconds, dtype=np.float32)) / 2, 16000)
    examples = read_manifest(path)
    with pytest.raises(ValueError) as caught:
        check_audio_files(examples)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}:2 (c1): ") and "0.300 s" in first
    assert second.startswith(f"{path}:3 (c2): ") and "no such audio file" in second
    check_audio_files(examples[:1])
    (tmp_path / "audio" / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(ValueError, match="cannot be decoded"):
        check_audio_files(examples[:1])
    with pytest.raises(ValueError, match=r"limit is 0.1 s"):
        write_flac(tmp_path / "audio" / "a.flac", np.sin(np.arange(8000, dtype=np.float32)) / 2, 16000)
        check_audio_files(examples[:1], max_s=0.1)
