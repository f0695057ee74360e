"""From targets to units by the commands: what is said, what is left out, and what another command makes of it."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from cogrl.audio import load_audio
from cogrl.cli.main import main
from cogrl.codecs import read_codec
from cogrl.data.line import line_of, parse_line
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.formats.ieat import IEAT
from cogrl.types import REPLY_EMOTIONS

REPLIES = ("Okay, that is clear.", "You sound sad.")


@pytest.fixture
def dialogue_lines(smoke_corpus, workdir):
    """`train.jsonl` and `val.jsonl`: short replies with a thought before them."""
    examples = read_manifest(smoke_corpus / "sft.jsonl")
    for name, part in (("train", examples[:7]), ("val", examples[7:9])):
        rows = []
        for i, example in enumerate(part):
            reply = REPLIES[i % 2]
            thought = IEAT.render({"thinking": "A secret thought of a voice.", "reply": reply})
            rows.append(replace(example, targets={"ieat": thought, "direct": reply}))
        write_manifest(workdir / f"{name}.jsonl", rows)
    return workdir


def test_replies_are_said_and_coded_and_no_thought_is(dialogue_lines, capsys, monkeypatch):
    from cogrl.data.recipes import spoken_replies

    asked, say = [], spoken_replies.say
    monkeypatch.setattr(spoken_replies, "say", lambda work: asked.append(work[1]) or say(work))
    monkeypatch.setattr(EmbeddedSynthesiser, "pool", lambda self, workers: ThreadPoolExecutor(1))  # to look on
    made = ["build", "spoken-replies", "--manifest", "train.jsonl", "val.jsonl", "--out", "spoken", "--tier", "smoke"]
    assert main(made) == 0
    assert {line.text for line in asked} == set(REPLIES) and {line.speaker for line in asked} == {"spk01"}
    found = read_manifest(dialogue_lines / "spoken" / "train.jsonl")
    assert [one.spoken_reply.emotion for one in found] == [REPLY_EMOTIONS[one.emotion] for one in found]
    assert [one.spoken_reply.text for one in found] == [one.targets["direct"] for one in found]
    assert len(load_audio(found[0].spoken_reply.audio)) > 4000
    asked.clear()
    assert main(made) == 0 and asked == []  # the clips are there

    codec = ["build", "speech-codec", "--manifest", "spoken/train.jsonl", "--out", "codec", "--codebooks", "2"]
    assert main([*codec, "--size", "16"]) == 0
    report = json.loads((dialogue_lines / "codec" / "report.json").read_text())
    assert report["held_out"] == 2 and 0 < report["distance_db"] < 30 and report["bits_a_second"] == 200
    units = ["build", "speech-units", "--manifest", "spoken/train.jsonl", "spoken/val.jsonl", "--codec", "codec"]
    assert main([*units, "--out", "units"]) == 0
    coded = read_manifest(dialogue_lines / "units" / "train.jsonl")
    space = read_codec("codec").space
    assert [space.error(one.spoken_reply.units, one.spoken_reply.codec) for one in coded] == [None] * 7
    assert "7 replies in units of cogrl_mel_rvq-2x16-" in capsys.readouterr().out
    assert main([*units, "--out", "spoken"]) == 2 and "would replace" in capsys.readouterr().err
    assert main(["build", "speech-units", "--manifest", "train.jsonl", "--codec", "codec", "--out", "other"]) == 2
    assert "no spoken_reply to encode; make them with: cogrl build spoken-replies" in capsys.readouterr().err


def test_lines_of_one_id_in_two_manifests_say_their_own_replies(dialogue_lines, capsys):
    """Ids are unique within a manifest alone."""
    train, val = (read_manifest(dialogue_lines / f"{name}.jsonl") for name in ("train", "val"))
    assert train[1].targets["direct"] != val[0].targets["direct"]
    write_manifest(dialogue_lines / "val.jsonl", [replace(val[0], id=train[1].id)])
    made = ["build", "spoken-replies", "--manifest", "train.jsonl", "val.jsonl", "--tier", "smoke", "--workers", "1"]
    assert main([*made, "--out", "spoken"]) == 0
    mine, other = (read_manifest(dialogue_lines / "spoken" / f"{name}.jsonl") for name in ("train", "val"))
    assert mine[1].spoken_reply.text != other[0].spoken_reply.text
    assert mine[1].spoken_reply.audio.resolve() != other[0].spoken_reply.audio.resolve()
    before = (dialogue_lines / "val.jsonl").read_text()
    assert main([*made, "--out", "."]) == 2 and "would replace train.jsonl" in capsys.readouterr().err
    assert (dialogue_lines / "val.jsonl").read_text() == before


def test_replies_that_sound_like_another_emotion_are_left_out(dialogue_lines, mel_units, emotion_dir, monkeypatch):
    from cogrl.cli.build.speech_units import encoded
    from cogrl.rewards import spoken_emotion

    examples, codec = mel_units
    listener = spoken_emotion.read_listener(str(emotion_dir))
    wanted = examples[0].spoken_reply.emotion
    shares = [0.7 if tone == wanted else 0.1 for tone in spoken_emotion.TONES]
    monkeypatch.setattr(spoken_emotion, "tones", lambda listener, sounds: [shares])
    kept, rejected = encoded(examples, codec, listener)
    assert {one.spoken_reply.emotion for one in kept} == {wanted} and 0 < len(kept) < len(examples)
    assert set(rejected) == {one.id for one in examples if one.spoken_reply.emotion != wanted}
    assert f"sounds like {wanted}" in next(iter(rejected.values()))
    assert len(encoded(examples, codec, None)[0]) == len(examples)


@pytest.fixture
def mel_units(dialogue_lines, speech_codec_dir):
    from cogrl.types import SpokenReply

    examples = [
        replace(one, spoken_reply=SpokenReply(one.audio, "Yes.", REPLY_EMOTIONS[one.emotion]))
        for one in read_manifest(dialogue_lines / "train.jsonl")
    ]
    return examples, read_codec(speech_codec_dir)


def test_a_line_keeps_its_spoken_reply(mel_units, tmp_path):
    from cogrl.cli.build.speech_units import encoded

    (example, *_), _ = encoded(mel_units[0][:1], mel_units[1], None)
    reloaded = parse_line(line_of(example, tmp_path).encode(), example.where, tmp_path)
    assert np.array_equal(reloaded.spoken_reply.units, example.spoken_reply.units)
    assert replace(reloaded.spoken_reply, audio=example.spoken_reply.audio) == example.spoken_reply
    assert reloaded.spoken_reply.audio.resolve() == example.spoken_reply.audio.resolve()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"audio": "a.flac"}, "spoken_reply: missing key 'text'"),
        ({"audio": "a.flac", "text": "Yes.", "unit": []}, "spoken_reply: unknown key 'unit'; did you mean 'units'?"),
        ({"audio": "a.flac", "text": "Yes.", "emotion": "joy"}, "spoken_reply: unknown emotion 'joy'; allowed: anger"),
        ({"audio": "a.flac", "text": "Yes.", "units": [[1]]}, "has units without a codec"),
        ({"audio": "a.flac", "text": "Yes.", "codec": "x", "units": [[0.5]]}, "spoken_reply: units"),
        ("Yes.", "spoken_reply must be an object"),
    ],
)
def test_a_damaged_spoken_reply_is_refused_with_its_line(reply, message, tmp_path):
    line = json.dumps({"id": "one", "audio": "clip.flac", "spoken_reply": reply})
    with pytest.raises(ValueError, match=r"train.jsonl:3 \(one\)") as found:
        parse_line(line.encode(), "train.jsonl:3", tmp_path)
    assert message in str(found.value)
