"""PAQA of recordings: mixed by the same code, splits disjoint, bad clips named, traces by template or by chat."""

import json
import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from chat_server import ChatServer

from cogrl.audio import load_audio
from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.retry import RetryPolicy
from cogrl.cli.described import described
from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.paqa.recorded import build_paqa
from cogrl.data.recipes.paqa.template import trace
from cogrl.data.recipes.paqa.traces import TraceWriter
from cogrl.data.recipes.paqa.traces_chat import ChatWriter, checked
from cogrl.data.recipes.recordings import LIST, SHARES, Recording, by_part, dealt
from cogrl.formats.paqa import PAQA

LABELS = ("bus", "cafe", "park", "rain", "train")
MANIFESTS = ("sft", "rl", "val", "test", "msqa_hard", "envqa_hard")


def voice(seconds, hertz, rate=16_000):
    """A buzz between silences."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.2 * sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 6))
    return np.concatenate([np.zeros(rate // 5), wave, np.zeros(rate // 3)])


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Thirteen speakers, four sentences each, two rates and mono or stereo; five environments of four files."""
    root, rng, lines = tmp_path_factory.mktemp("material"), np.random.default_rng(0), []
    (root / "speech").mkdir()
    for n in range(13):
        for k in range(4):
            name, rate = f"s{n}-{k}.wav", (16_000, 22_050)[n % 2]
            wave = voice(0.4 + 0.05 * k, 100 + 10 * n, rate)
            soundfile.write(root / "speech" / name, np.stack([wave] * (1 + n % 2), 1), rate)
            lines.append(
                {"id": name, "audio": name, "speaker": f"p{n}", "text": f"Sentence {n} of person {k}, please."}
            )
    (root / "speech" / LIST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    for label in LABELS:
        (root / "environments" / label).mkdir(parents=True)
        for k in range(4):
            noise = rng.standard_normal(round(16_000 * (0.5 + k))) / 8
            soundfile.write(root / "environments" / label / f"{k}.flac", noise, 16_000)
    return root


def command(material, out, *words):
    folders = ["--speech", str(material / "speech"), "--environments", str(material / "environments")]
    return main(["build", "paqa", *folders, "--out", str(out), "--questions", "36", "--max-s", "6", *words])


@pytest.fixture(scope="module")
def corpus(material, tmp_path_factory):
    out = tmp_path_factory.mktemp("recorded") / "paqa"
    assert command(material, out) == 0
    return {name: read_manifest(out / f"{name}.jsonl") for name in MANIFESTS}


def everything(corpus):
    return [row for rows in corpus.values() for row in rows]


def test_lines_have_the_gold_of_what_was_mixed(corpus, material):
    texts = {line["speaker"]: set() for line in map(json.loads, (material / "speech" / LIST).open())}
    for line in map(json.loads, (material / "speech" / LIST).open()):
        texts[line["speaker"]].add(line["text"])
    for row in everything(corpus):
        names = [turn.speaker for turn in row.speech]
        assert names == [f"Speaker {n + 1}" for n in range(len(names))] and row.environment in LABELS
        assert all(turn.text in texts[row.synthesis["speakers"][turn.speaker]] for turn in row.speech)
        assert 0 <= row.snr_db <= (5 if row.split.endswith("hard") else 20)
    assert {row.task for row in corpus["sft"]} == {"say", "count", "environment", "first"}
    check_audio_files(everything(corpus), 16_000, 6.0)


def test_answers_are_right_and_no_letter_or_option_is_right_more_often(corpus):
    for name, rows in corpus.items():
        for task, options in (("say", 4), ("first", 4), ("environment", 4), ("count", 3)):
            asked = [row for row in rows if row.task == task and "reflection" not in row.synthesis]
            assert asked or name.endswith("hard")
            for row in asked:
                turns = {turn.speaker: turn.text for turn in row.speech}
                right = {
                    "say": turns.get(row.question[len("What does ") : -len(" say?")]),
                    "first": row.speech[0].text,
                    "environment": row.environment,
                    "count": str(len(row.speech)),
                }
                assert right[task] == row.answer
                if task in ("say", "first"):
                    assert sum(turn.text in row.choices for turn in row.speech) == 2
            letters = Counter(row.choices.index(row.answer) for row in asked)
            assert len(set(letters.values())) <= 1 and len(letters) in (0, options)


def test_splits_share_no_speaker_no_text_and_no_file_of_an_environment(corpus):
    owners = defaultdict(set)
    for row in everything(corpus):
        split = row.split if row.split in SHARES else "test"
        for thing in (*row.speaker.split("+"), *(turn.text for turn in row.speech)):
            owners[thing].add(split)
        owners[row.environment, row.synthesis["environment_file"]].add(split)
    assert all(len(splits) == 1 for splits in owners.values())


def test_times_and_level_are_those_of_the_waveform(corpus):
    """The silence around a recording is cut off, its turn is where it sounds, and the noise has the level drawn."""
    off = []
    for row in everything(corpus):
        wave, spoken = load_audio(row.audio).astype(np.float64), np.zeros(round(row.duration_s * 16_000), bool)
        for turn in row.speech:
            spoken[round(turn.start_s * 16_000) : round(turn.end_s * 16_000)] = True
        noise, both = (np.mean(np.square(wave[where])) for where in (~spoken, spoken))
        off.append(10 * math.log10((both - noise) / noise) - row.snr_db)
    assert np.abs(off).max() < 1.0 and abs(np.mean(off)) < 0.1


def test_traces_say_what_the_line_says_and_triples_are_there(corpus):
    triples = [row for row in corpus["sft"] if "reflection" in row.synthesis]
    assert {row.synthesis["reflection"] for row in triples} == {
        "wrong_option",
        "wrong_speaker",
        "contradiction",
        "misread_noise",
    }
    for row in everything(corpus):
        fields = PAQA.parse(row.targets["paqa"])
        assert PAQA.answer(row.targets["paqa"], row) == row.answer
        assert fields["asr"] == "; ".join(f"{turn.speaker}: {turn.text}" for turn in row.speech)


def test_the_build_is_found_again_and_does_not_depend_on_workers(corpus, material, tmp_path, capsys):
    folder = corpus["sft"][0].audio.parents[2]
    assert command(material, folder) == 0 and "nothing to do" in capsys.readouterr().out
    assert command(material, tmp_path / "one", "--workers", "1") == 0
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 100 and all((folder / f).read_bytes() == (tmp_path / "one" / f).read_bytes() for f in files)


def test_bad_clips_are_left_out_named_and_counted(material, tmp_path, capsys):
    speech, environments = tmp_path / "speech", tmp_path / "environments"
    speech.mkdir()
    lines = [json.loads(line) for line in (material / "speech" / LIST).open()]
    lines = [line | {"audio": str(material / "speech" / line["audio"])} for line in lines]
    (speech / "empty.wav").write_bytes(b"")
    soundfile.write(speech / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(speech / "long.wav", voice(3.0, 120), 16_000)
    for name in ("empty.wav", "silent.wav", "long.wav", "missing.wav"):
        lines.append({"id": name, "audio": name, "speaker": "p0", "text": name})
    lines.append({"id": "mute", "audio": lines[0]["audio"], "speaker": "p0"})
    (speech / LIST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    environments.mkdir()
    for label in LABELS:
        (environments / label).symlink_to(material / "environments" / label)
    (environments / "void").mkdir()
    (environments / "void" / "empty.flac").write_bytes(b"")
    words = ["build", "paqa", "--speech", str(speech), "--environments", str(environments), "--max-s", "6"]
    assert main([*words, "--questions", "9", "--out", str(tmp_path / "out")]) == 0
    assert " 6 left out" in capsys.readouterr().out
    rejected = {row["id"]: row["reason"] for row in map(json.loads, (tmp_path / "out/rejected.jsonl").open())}
    names = ("empty.wav", "silent.wav", "long.wav", "missing.wav", "mute", "empty.flac")
    by_name = {name: next(reason for key, reason in rejected.items() if name in key) for name in names}
    assert "is silent" in by_name["silent.wav"] and "lasts 3.00 s, 3 turns of at most" in by_name["long.wav"]
    assert "no text" in by_name["mute"] and all(by_name.values())
    assert f"{LIST}:53 (empty.wav)" in "".join(rejected) and "void" not in (tmp_path / "out/sft.jsonl").read_text()
    card = (tmp_path / "out" / "CARD.md").read_text()
    assert "Left out: 6" in card and "(silent.wav): " in card


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speech", "{speech}"], "--speech and --environments belong together"),
        (["--writer", "x.yaml"], "--writer writes traces for recordings"),
        (["--speech", "{root}", "--environments", "{environments}"], "holds no speech.jsonl"),
        (["--speech", "{speech}", "--environments", "{speech}"], "holds no folder with usable recordings"),
        (["--speech", "{speech}", "--environments", "{environments}", "--snr-db", "-3", "3"], "louder than the speech"),
        (["--speech", "{speech}", "--environments", "{environments}", "--max-s", "2"], "0 are too few"),
    ],
)
def test_other_folders_and_flags_are_refused(material, tmp_path, capsys, words, message):
    places = {"root": material, "speech": material / "speech", "environments": material / "environments"}
    assert main(["build", "paqa", "--out", str(tmp_path / "x"), *(word.format(**places) for word in words)]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_speakers_are_dealt_so_that_every_part_has_enough():
    parts = dealt([str(n) for n in range(40)], 3, random.Random(0))
    assert {part: len(names) for part, names in parts.items()} == {"sft": 21, "rl": 8, "val": 4, "test": 7}
    assert sorted(name for names in parts.values() for name in names) == sorted(map(str, range(40)))
    with pytest.raises(ValueError, match="11 are too few: each of sft, rl, val, test needs 3"):
        dealt([str(n) for n in range(11)], 3, random.Random(0))


def test_a_text_that_several_parts_say_belongs_to_one():
    texts = [f"sentence {k}" for k in range(20)]
    spoken = [
        Recording(Path(f"p{n}-{k}.wav"), f"p{n}", (text, f"{text.title()}!")[n % 2], "", None, 1.0)
        for n in range(16)
        for k, text in enumerate(texts)
    ]
    rejected = {}
    parts = by_part(spoken, 3, random.Random(0), rejected)
    owners = defaultdict(set)
    for part, found in parts.items():
        assert len({one.speaker for one in found}) >= 3
        for one in found:
            owners[one.text.lower().strip("!")].add(part)
            owners[one.speaker].add(part)
    assert len(owners) == 36 and all(len(names) == 1 for names in owners.values())
    assert len(rejected) == len(spoken) - sum(map(len, parts.values())) > 0
    assert all("its text is said in" in reason for reason in rejected.values())


def test_too_few_texts_for_four_options_are_refused(material, tmp_path):
    lines = [json.loads(line) for line in (material / "speech" / LIST).open()]
    for line in lines:
        line["audio"], line["text"] = str(material / "speech" / line["audio"]), f"Sentence {line['id'][-5]}."
    (tmp_path / LIST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match="recordings are too few or too much alike"):
        build_paqa(tmp_path, material / "environments", tmp_path / "out", 9, max_s=6.0)


@pytest.fixture(scope="module")
def server():
    with ChatServer() as server:
        yield server


def test_a_chat_model_that_quotes_what_is_not_said_is_asked_again_and_rejected(server, corpus, tmp_path):
    server.behave()
    retry = RetryPolicy(attempts=2, attempt_s=20.0, pause_s=0.01)
    writer = ChatWriter(ChatClient(Endpoint(server.base_url, "writer"), retry, cache=tmp_path / "kept.sqlite"))
    rows = corpus["val"][:3]
    made = writer.write(rows)
    assert isinstance(writer, TraceWriter) and made.fields == {} and set(made.rejected) == {row.id for row in rows}
    assert all("its answer is 'A short line about what was said.'" in reason for reason in made.rejected.values())
    body = server.stats()["last"]["body"]
    assert body["response_format"]["json_schema"]["schema"] == PAQA.json_schema()
    assert set(json.loads(body["messages"][1]["content"])) == {
        "speech", "environment", "snr_db", "question", "choices", "answer",
    }  # fmt: skip
    assert server.stats()["requests"] == 6


def test_an_answer_of_a_chat_model_is_a_trace_when_its_quotes_exist(corpus):
    row = corpus["val"][0]
    right = trace(row) | {"reasoning": f'Speaker 1 says "{row.speech[0].text}"', "reflect": ""}
    assert checked(row, f"```json\n{json.dumps(right)}\n```") == {k: v for k, v in right.items() if k != "reflect"}
    for change, reason in (
        ({"reasoning": 'Speaker 1 says "the bus is late"'}, "reasoning quotes Speaker 1: 'the bus is late'"),
        ({"asr": "Speaker 1: hello"}, "asr leaves out Speaker 1"),
        ({"final_answer": "(c)"}, "its answer is"),
        ({"summary": None}, "an empty field"),
    ):
        wrong = {**right, **change}
        if wrong["final_answer"] == "(c)" and row.choices[2] == row.answer:
            wrong["final_answer"] = "(a)"
        with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
            checked(row, json.dumps(wrong))


def test_a_writer_without_a_cache_is_refused_and_the_example_file_describes_one(server):
    with pytest.raises(ValueError, match="traces are paid for"):
        ChatWriter(ChatClient(Endpoint(server.base_url, "writer")))
    file = Path(__file__).parents[2] / "configs/annotator/paqa_chat.yaml"
    assert isinstance(described(file, "writer", TraceWriter, str(file)), ChatWriter)
