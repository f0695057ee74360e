"""EAQA of recordings: the same clips and questions of folders, bad files named, thoughts by template."""

import json
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile

from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.eaqa.recorded_supply import RecordedSupply, SoundFile, longest_s
from cogrl.data.recipes.eaqa.routing import Flags, flags_of

SPLITS = ("sft", "rl", "val", "test")
LABELS = ("bell", "door", "rain")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Twelve speakers, four sentences each, two rates; three sounds of four files, one of them long."""
    root, rng, lines = tmp_path_factory.mktemp("material"), np.random.default_rng(0), []
    (root / "speech").mkdir()
    for n in range(12):
        for k in range(4):
            name, rate = f"s{n}-{k}.wav", (16_000, 22_050)[n % 2]
            t = np.arange(round((0.4 + 0.1 * k) * rate)) / rate
            wave = np.concatenate([np.zeros(rate // 5), 0.2 * np.sin(2 * np.pi * (150 + 20 * n) * t), np.zeros(500)])
            soundfile.write(root / "speech" / name, wave, rate)
            lines.append({"id": name, "audio": name, "speaker": f"p{n}", "text": f"Sentence {n} of {k}."})
    (root / "speech/speech.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for label in LABELS:
        (root / "sounds" / label).mkdir(parents=True)
        for k in range(4):
            noise = rng.standard_normal(16_000 * (5 if k == 3 else 1)) / 8
            soundfile.write(root / "sounds" / label / f"{k}.flac", noise, 16_000)
    return root


def command(material, out, *words):
    folders = ["--speech", str(material / "speech"), "--sounds", str(material / "sounds")]
    sizes = ["--clips", "sft=8,rl=4,val=2,test=4"]
    return main(["build", "eaqa", *folders, "--out", str(out), "--max-s", "20", *sizes, *words])


@pytest.fixture(scope="module")
def corpus(material, tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "eaqa"
    assert command(material, out) == 0
    return {name: read_manifest(out / f"{name}.jsonl") for name in SPLITS}


def everything(corpus):
    return [row for rows in corpus.values() for row in rows]


def test_clips_are_of_three_speakers_and_two_sounds_in_noise(corpus):
    for row in everything(corpus):
        assert [turn.speaker for turn in row.speech] == ["Speaker 1", "Speaker 2", "Speaker 3"]
        names = [event.name for event in row.events]
        assert len(names) == 5 and len({name for name in names if name in LABELS}) == 2
        assert 6 <= row.duration_s <= 20 and row.duration_s % 0.5 == 0
        assert all(event.duration_s <= 3 for event in row.events)
    check_audio_files(everything(corpus), 16_000, 20.0)


def test_answers_are_right_and_options_are_said_in_the_clip_or_elsewhere(corpus):
    for row in everything(corpus):
        said, names = {turn.speaker: turn.text for turn in row.speech}, [event.name for event in row.events]
        found = {
            "say": lambda row, said, names: said[row.question[len("What does ") : -len(" say?")]],
            "after": lambda row, said, names: said[names[names.index(row.question.split("after the ")[1][:-1]) + 1]],
            "order": lambda row, said, names: min(row.choices, key=names.index),
        }[row.task](row, said, names)
        assert found == row.answer and len(row.choices) == (2 if row.task == "order" else 4)
        if row.task != "order":
            assert set(said.values()) < set(row.choices)
    letters = Counter(row.choices.index(row.answer) for row in corpus["sft"] if len(row.choices) == 4)
    assert max(letters.values()) - min(letters.values()) <= 2


def test_splits_share_no_speaker_no_text_and_no_file_of_a_sound(corpus):
    owners = defaultdict(set)
    for row in everything(corpus):
        for thing in (*row.synthesis["speakers"].values(), *(turn.text for turn in row.speech)):
            owners[thing].add(row.split)
    assert all(len(splits) == 1 for splits in owners.values())


def test_thoughts_are_valid_and_rl_has_none(corpus):
    for name in ("sft", "val"):
        assert all(flags_of(row) == Flags() for row in corpus[name])
    assert all(not row.targets for name in ("rl", "test") for row in corpus[name])


def test_the_build_is_found_again(corpus, material, capsys):
    assert command(material, corpus["sft"][0].audio.parents[2]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_bad_files_are_left_out_by_name(material, tmp_path, capsys):
    speech, sounds = tmp_path / "speech", tmp_path / "sounds"
    speech.mkdir()
    lines = [json.loads(line) for line in (material / "speech/speech.jsonl").open()]
    lines = [line | {"audio": str(material / "speech" / line["audio"])} for line in lines]
    soundfile.write(speech / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(speech / "long.wav", np.sin(np.arange(16_000 * 9) / 9) / 4, 16_000)
    for name in ("silent.wav", "long.wav"):
        lines.append({"id": name, "audio": name, "speaker": "p0", "text": name})
    (speech / "speech.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for label in LABELS:
        (sounds / label).mkdir(parents=True)
        (sounds / label / "1.flac").write_bytes((material / "sounds" / label / "1.flac").read_bytes())
    (sounds / "bell/empty.flac").write_bytes(b"")
    words = ["build", "eaqa", "--speech", str(speech), "--sounds", str(sounds), "--max-s", "20", "--clips"]
    assert main([*words, "sft=1,rl=0,val=0,test=0", "--out", str(tmp_path / "out")]) == 0
    assert " 3 left out" in capsys.readouterr().out
    rejected = {row["id"]: row["reason"] for row in map(json.loads, (tmp_path / "out/rejected.jsonl").open())}
    by_name = {name: reason for key, reason in rejected.items() for name in ("silent", "long", "empty") if name in key}
    assert "is silent" in by_name["silent"] and by_name["empty"]
    assert "lasts 9.00 s, 3 turns of at most 4.20 s and 2 sounds fit into --max-s 20" in by_name["long"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speech", "{speech}"], "--speech and --sounds belong together"),
        (["--speech", "{sounds}", "--sounds", "{sounds}"], "holds no speech.jsonl"),
        (["--speech", "{speech}", "--sounds", "{speech}"], "holds no folder with usable recordings"),
        (["--speech", "{speech}", "--sounds", "{sounds}", "--max-s", "8"], "0 are too few"),
        (
            ["--speech", "{speech}", "--sounds", "{sounds}", "--tasks", "count=0.5,say=0.5"],
            "no other question of task count",
        ),
    ],
)
def test_other_folders_and_flags_are_refused(material, tmp_path, capsys, words, message):
    places = {"speech": material / "speech", "sounds": material / "sounds"}
    assert main(["build", "eaqa", "--out", str(tmp_path / "x"), *(word.format(**places) for word in words)]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_one_sound_is_too_few(material, tmp_path, capsys):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/bell").symlink_to(material / "sounds/bell")
    words = ["--speech", str(material / "speech"), "--sounds", str(tmp_path / "sounds")]
    assert main(["build", "eaqa", *words, "--out", str(tmp_path / "x")]) == 2
    assert "a clip has 2 different sounds, only bell are there" in capsys.readouterr().err


def test_the_longest_recordings_fit(tmp_path):
    assert longest_s(20.4, 3, 2) == pytest.approx((20.0 - 0.2 - 4 * 0.3 - 2 * 3.0) / 3)
    supply = RecordedSupply("sft", [], {"bell": [SoundFile(tmp_path, 3.0)]}, 20.4, random.Random(0))
    with pytest.raises(ValueError, match="sft: 0 recordings are too few or too much alike for clips of 3 speakers"):
        supply.items(3, 1, ["say"])
