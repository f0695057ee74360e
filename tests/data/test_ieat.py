"""IEAT-mini end to end: rendered, thought, checked, resumed; and thoughts for recorded dialogues."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from format_instructions import INSTRUCTIONS

from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import check_splits, read_manifest
from cogrl.data.module import AudioData
from cogrl.data.recipes import ieat
from cogrl.data.recipes.ieat import build_ieat, think_manifest
from cogrl.data.recipes.ieat_checks import leaks, named_emotions, ungrounded
from cogrl.data.recipes.ieat_dialogue import Thinker, Thoughts, dialogue_of
from cogrl.data.recipes.ieat_plan import MINI, SMOKE, Split, scripts, talks
from cogrl.data.recipes.ieat_template import TemplateThinker
from cogrl.data.recipes.lime_plan import MINI as LIME
from cogrl.formats.ieat import IEAT
from cogrl.model_input import audio_input, teacher_input
from cogrl.types import EMOTIONS

TINY = (Split("train", (0, 0), (0, 0)), Split("val", (18, 18), (7, 7)), Split("test", (20, 20), (9, 9)))


ONE = TINY[:1]


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("ieat") / "corpus"
    made = build_ieat(out, "smoke", workers=2, plan=TINY)
    assert made.dialogues == {"train": 14, "val": 14, "test": 14} and not made.rejected and not made.cached
    return out


@pytest.fixture(scope="module")
def corpus(folder):
    return {split: read_manifest(folder / f"{split}.jsonl") for split in ("train", "val", "test")}


def test_no_text_a_student_reads_names_an_emotion(corpus):
    read = [turn.reply for examples in corpus.values() for e in examples for turn in e.turns]
    assert len(read) == 84 and leaks([*read, *INSTRUCTIONS.values()]) is None


def test_what_the_student_reads_is_the_same_for_all_emotions_and_both_causes(corpus):
    for examples in corpus.values():
        cells: dict[tuple, Counter] = {}
        for e in examples:
            replies = tuple(turn.reply for turn in e.turns)
            key = (e.speaker, e.text, *(turn.text for turn in e.turns), replies, e.intensity, e.scenario)
            cells.setdefault(key, Counter())[e.emotion, e.synthesis["cause_turn"]] += 1
        for found in cells.values():
            assert found == {(emotion, cause): 1 for emotion in EMOTIONS for cause in (0, 1)}


def test_the_cause_is_the_turn_that_sounds_like_the_last_one(corpus):
    for e in (e for examples in corpus.values() for e in examples):
        felt = [turn.emotion for turn in e.turns]
        assert [emotion == e.emotion for emotion in felt] == [turn == e.synthesis["cause_turn"] for turn in range(2)]


def test_every_thought_names_the_emotion_and_quotes_its_cause(corpus):
    for e in (e for examples in corpus.values() for e in examples):
        thinking = e.targets["ieat"].removeprefix("<think>\n").partition("\n</think>\n\n")[0]
        cause = e.cause
        assert named_emotions(thinking) == {e.emotion} and cause in thinking
        assert e.turns[e.synthesis["cause_turn"]].text.rstrip(".") in cause
        assert ungrounded(dialogue_of(e), cause) is None


def test_no_spoken_target_holds_a_thought(corpus):
    for e in (e for examples in corpus.values() for e in examples):
        assert e.targets["ieat"].startswith("<think>\n") and e.targets["ieat"].count("</think>") == 1
        assert IEAT.answer(e.targets["ieat"], e) == IEAT.answer(e.targets["direct"], e) == e.targets["direct"]
        assert "think" not in e.targets["direct"] and e.cause not in e.targets["direct"]


@pytest.mark.parametrize("history", ["heard", "left_out"])
def test_a_teacher_reads_the_cause_and_no_student_does(policy, folder, history):
    for split in ("train", "val", "test"):
        data = AudioData(test=str(folder / f"{split}.jsonl"), history=history)
        data.setup("test")
        clips = data.clips("test")
        clips = [clips[i] for i in range(len(clips))]
        names = [clip.example.id for clip in clips]
        for instruction in INSTRUCTIONS.values():
            prompts = {
                given: policy.encode_prompts([instruction] * len(clips), [given(clip) for clip in clips], names)
                for given in (audio_input, teacher_input)
            }
            students, teachers = (
                policy.tokenizer.batch_decode(prompts[given].input_ids) for given in (audio_input, teacher_input)
            )
            for clip, student, teacher in zip(clips, students, teachers, strict=True):
                cause, words = f"The cause: {clip.example.cause}", clip.example.cause.strip('"')
                assert cause in teacher and clip.example.emotion in teacher and clip.example.text in teacher
                assert words not in student and "The cause" not in student and "The speaker says" not in student
                assert instruction in student and leaks([student]) is None
                assert student.count("<|audio_bos|>") == (3 if history == "heard" else 1)


def test_every_turn_has_sound_audio_and_splits_share_nothing(corpus):
    check_splits(corpus)
    for examples in corpus.values():
        check_audio_files(examples, max_s=4.0)
        assert all(len(e.turns) == 2 and all(turn.duration_s for turn in e.turns) for e in examples)


def test_the_history_reaches_the_clips(folder):
    data = AudioData(train=str(folder / "train.jsonl"), history="heard", keep_in_memory=True)
    data.setup("fit")
    clip = data.clips("train")[0]
    assert [len(waveform) for waveform in clip.history] == [round(16_000 * t.duration_s) for t in clip.example.turns]


def test_clips_are_byte_for_byte_lime_mini_s(folder, smoke_corpus):
    shared = files(folder / "audio").items() & files(smoke_corpus / "audio").items()
    assert len(shared) == 7  # the first speaker reads the first sentence with every emotion


def test_another_seed_gives_other_clips_and_other_dialogues():
    one, other = ({talk.digest(seed) for talk in talks(MINI)} for seed in (0, 1))
    assert len(one) == len(other) == len(talks(MINI)) and not one & other


class Interrupted(TemplateThinker):
    def think(self, dialogues):
        raise KeyboardInterrupt


def test_a_build_that_was_stopped_goes_on_where_it_was_and_ends_as_any_other(folder, tmp_path, capsys, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        build_ieat(tmp_path / "out", "smoke", workers=1, plan=ONE, thinker=Interrupted())
    (unfinished,) = tmp_path.iterdir()
    assert unfinished.name.startswith(".out.unfinished-") and not (tmp_path / "out").exists()
    clips = sorted(unfinished.rglob("*.flac"))
    stamps = {clip.relative_to(unfinished): clip.stat().st_mtime_ns for clip in clips[1:]}
    clips[0].unlink()
    monkeypatch.setattr(Interrupted, "think", TemplateThinker.think)
    build_ieat(tmp_path / "out", "smoke", workers=1, plan=ONE, thinker=Interrupted())
    assert f"going on, {len(clips) - 1} of {len(clips)} clips are there" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in stamps} == stamps
    made, other = files(tmp_path / "out"), files(folder)  # one worker here, two there; other splits change nothing
    assert made["train.jsonl"] == other["train.jsonl"] and len(made) == 21 + 5
    assert all(made[name] == other[name] for name in made if name.endswith(".flac"))


def test_a_finished_build_is_left_alone_and_other_files_are_safe(folder, tmp_path, capsys):
    before = files(folder)
    assert build_ieat(folder, "smoke", plan=TINY).cached and "nothing to do" in capsys.readouterr().out
    assert files(folder) == before
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        build_ieat(tmp_path, "smoke", plan=TINY)


class WrongOnce(Thinker):
    """Gets the first dialogue wrong, the second right, and rejects the rest itself."""

    version = "wrong-once"

    def think(self, dialogues):
        made = TemplateThinker().think(dialogues).thoughts
        first, second, *rest = [dialogue.id for dialogue in dialogues]
        thoughts = {first: replace(made[first], thinking="I hear nothing."), second: made[second]}
        return Thoughts(thoughts, dict.fromkeys(rest, "no idea: 'x'"))


def test_a_thinker_s_word_is_not_taken_for_its_checks(folder, tmp_path):
    made = think_manifest(folder / "val.jsonl", tmp_path / "new" / "val.jsonl", WrongOnce())
    assert made.dialogues == {"val": 1} and made.rejected.total() == 13
    (kept,) = read_manifest(tmp_path / "new" / "val.jsonl")
    assert kept.audio.resolve().is_relative_to(folder.resolve()) and kept.turns[0].audio.is_file()
    listed = [json.loads(line) for line in (tmp_path / "new" / "val.jsonl.rejected.jsonl").read_text().splitlines()]
    assert len(listed) == 13 and {row["reason"].split(":")[0] for row in listed} == {
        "no idea",
        f"the thinking does not hold its cause {listed[-1]['reason'].split('cause ')[1]}",
    }


def test_lines_that_are_no_dialogues_are_counted_and_a_leaking_history_is_rejected(folder, smoke_corpus, tmp_path):
    with pytest.raises(ValueError, match=r"sft.jsonl: every line was rejected, such as .*: has no earlier turns"):
        think_manifest(smoke_corpus / "sft.jsonl", tmp_path / "x.jsonl", TemplateThinker())
    lines = [json.loads(line) for line in (folder / "val.jsonl").read_text().splitlines()]
    lines[0]["turns"][1]["reply"] = "You sound furious."
    lines[1]["language"] = "zh"
    lines[2]["turns"][0] |= {"text": "I was so glad of the meeting.", "audio": None}
    source = folder.parent / "leaky.jsonl"
    for line in lines:
        line["audio"] = f"corpus/{line['audio']}"
        for turn in line["turns"]:
            turn["audio"] = turn["audio"] and f"corpus/{turn['audio']}"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = think_manifest(source, tmp_path / "x.jsonl", TemplateThinker())
    assert made.dialogues == {"x": 11}
    assert made.rejected == {
        "a text the student reads names anger": 1,
        "a text the student reads names happy": 1,
        "the templates are English, the dialogue is zh": 1,
    }


class Offline(Thinker):
    version = "offline"

    def think(self, dialogues):
        return Thoughts({}, {}, {dialogues[0].id: "no route to host"}, "1 failed")


def test_a_server_that_is_down_shrinks_no_corpus(folder, tmp_path):
    with pytest.raises(ConnectionError, match=r"1 of 14 dialogues got no answer .*no route to host.*\(1 failed\)"):
        think_manifest(folder / "val.jsonl", tmp_path / "x.jsonl", Offline())
    assert not list(tmp_path.iterdir())


def test_the_default_plan_keeps_lime_mini_s_test_speakers_for_the_test(tmp_path):
    found: dict[str, set] = {}
    for talk in talks(MINI):
        found.setdefault(talk.split, set()).add((talk.clips[0].speaker.name, talk.script))
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 56, "val": 4, "test": 12}
    tested = {name for name, _ in found["test"]}
    assert tested == {f"spk{n}" for n in range(21, 25)} and LIME[-1].speakers == 4
    assert len(scripts()) == 12 and len({text for _, _, lines in scripts() for _, text in lines}) == 36
    assert {talk.split for talk in talks(SMOKE)} == {"train", "val", "test"}


def test_the_command_builds_and_says_what_it_made(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.setattr(ieat.ieat_plan, "SMOKE", TINY)
    assert main(["build", "ieat", "--tier", "smoke", "--out", str(folder)]) == 0
    assert "IEAT-mini (tier smoke, seed 0) is already in" in capsys.readouterr().out
    args = ["build", "ieat", "--manifest", str(folder / "val.jsonl"), "--out", str(tmp_path / "val.jsonl")]
    assert main(args) == 0
    assert "14 val dialogues, 0 rejected (made on this machine)" in capsys.readouterr().out
    assert main([*args, "--thinker", str(tmp_path / "no.yaml")]) == 2
    assert "no.yaml is missing; start from configs/annotator/ieat_chat.yaml" in capsys.readouterr().err
    (tmp_path / "bad.yaml").write_text("thinker:\n  class_path: cogrl.data.recipes.ieat_chat.ChatThinker\n")
    assert main([*args, "--thinker", str(tmp_path / "bad.yaml")]) == 2
    assert "bad.yaml" in capsys.readouterr().err
