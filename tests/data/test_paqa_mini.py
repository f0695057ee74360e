"""PAQA-mini: answers are right, no rule of text alone is better than chance, what is gold is in the waveform."""

import itertools
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.audio import load_audio
from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import check_splits, read_manifest
from cogrl.data.recipes.paqa.mini import build_paqa_mini
from cogrl.data.recipes.paqa.mini_clip import MAX_S
from cogrl.data.recipes.paqa.mini_plan import FULL, SMOKE, Plan, cells
from cogrl.data.recipes.paqa.mini_questions import COUNTS, VOICES
from cogrl.data.recipes.paqa.plan import ASKED, HARD, SPEECH_ALONE, SPLITS
from cogrl.data.recipes.paqa.speakers import SPEAKERS
from cogrl.formats.choice import CHOICE
from cogrl.formats.paqa import PAQA

OPTIONS = {"say": 4, "count": 3, "environment": 4, "first": 3}
BLOCKS = {"say": 4, "count": 9, "environment": 4, "first": 9}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """As the command builds it, with a numpy voice."""
    folder = tmp_path_factory.mktemp("paqa") / "paqa-mini"
    assert main(["build", "paqa", "--tier", "smoke", "--reflections", "0", "--out", str(folder)]) == 0
    return {name: read_manifest(folder / f"{name}.jsonl") for name in ASKED}


def everything(corpus):
    return [example for examples in corpus.values() for example in examples]


def folder_of(corpus):
    return corpus["sft"][0].audio.parents[2]


def test_every_manifest_has_its_tasks_in_about_equal_number(corpus):
    for name, examples in corpus.items():
        counts = Counter(example.task for example in examples)
        assert counts == {task: max(8, BLOCKS[task]) for task in HARD.get(name, OPTIONS)}
    lines = Counter(cell.split for cell in cells(FULL, 0))
    assert lines == {"sft": 1796, "rl": 610, "val": 246, "test": 474, "msqa_hard": 216, "envqa_hard": 72}


@pytest.mark.parametrize("plan", [SMOKE, FULL])
@pytest.mark.parametrize("seed", [0, 7])
def test_no_rule_of_letter_and_option_text_beats_chance(plan, seed):
    for (_, task), group in itertools.groupby(cells(plan, seed), lambda cell: (cell.split, cell.question.task)):
        rows, options = [cell.question for cell in group], OPTIONS[task]
        assert {len(row.choices) for row in rows} == {options}
        letters = Counter(row.choices.index(row.answer) for row in rows)
        assert set(letters.values()) == {len(rows) // options} and len(letters) == options
        right, offered = Counter(row.answer for row in rows), Counter(text for row in rows for text in row.choices)
        assert {text: options * right[text] for text in offered} == offered
        both = Counter((row.answer, row.choices.index(row.answer)) for row in rows)
        if options == 3:
            assert set(both.values()) == {len(rows) // 9}
        for start in range(0, len(rows), 4) if options == 4 else ():  # each option once at each letter
            four = [row.choices for row in rows[start : start + 4]]
            assert all(sorted(column) == sorted(four[0]) for column in zip(*four, strict=True))


def test_every_word_of_an_option_stands_in_two_of_the_four():
    for cell in cells(FULL, 1):
        if cell.question.task == "say":
            firsts, seconds = zip(*(choice.split() for choice in cell.question.choices), strict=True)
            assert sorted(Counter(firsts).values()) == sorted(Counter(seconds).values()) == [2, 2]


def test_the_option_of_another_voice_is_wrong_and_often_heard():
    """Who takes what is said for the answer is wrong half the time where two speak."""
    rows = [cell.question for cell in cells(FULL, 2) if cell.question.task == "say"]
    asked = {id(row): row.question.split()[3] for row in rows}
    assert all([turn.text for turn in row.turns if turn.speaker == asked[id(row)]] == [row.answer] for row in rows)
    several = [row for row in rows if len(row.turns) > 1]
    offered = [sum(turn.text in row.choices for turn in row.turns) for row in several]
    assert set(offered) == {2} and len(several) > 0.7 * len(rows)
    for row in several:
        assert len({word for turn in row.turns for word in turn.text.split()}) == 2 * len(row.turns)
    first = [row.turns[0].speaker == asked[id(row)] for row in several if len(row.turns) == 2]
    assert 0.4 < sum(first) / len(first) < 0.6


@pytest.mark.parametrize("plan", [SMOKE, FULL])
def test_splits_share_no_speaker(plan):
    owners = {}
    for cell in cells(plan, 3):
        split = cell.split if cell.split in SPLITS else "test"
        for turn in cell.question.turns:
            assert owners.setdefault(turn.source[0][1], split) == split
    people = [{name for names in voices.values() for name in names} for voices in SPEAKERS.values()]
    assert sum(map(len, people)) == len(set.union(*people)) == 23


def test_each_split_has_every_word_in_both_places():
    for split in ("sft", "rl"):
        pairs = {turn.text for cell in cells(FULL, 0) if cell.split == split for turn in cell.question.turns}
        assert [len({pair.split()[place] for pair in pairs}) for place in (0, 1)] == [16, 16]


def test_hard_manifests_are_loud_environments_of_the_test_speakers(corpus):
    for name, tasks in HARD.items():
        assert all(0 <= row.snr_db <= 5 and row.task in tasks for row in corpus[name])
        assert {s for row in corpus[name] for s in row.speaker.split("+")} <= {
            name for names in SPEAKERS["test"].values() for name in names
        }
    assert all(len(row.speech) > 1 for row in corpus["msqa_hard"] if row.task != "count")
    check_splits({name: corpus[name] for name in ("sft", "rl", "val", "msqa_hard")})
    check_splits({name: corpus[name] for name in ("test", *HARD)}, disjoint=[])


def test_the_snr_is_spread_evenly_over_its_range():
    drawn = [cell.snr_db for cell in cells(FULL, 0) if cell.split == "test" and cell.question.task == "say"]
    assert [sum(low <= level < low + 5 for level in drawn) for low in (0, 5, 10, 15)] == [30] * 4
    narrow = [cell.snr_db for cell in cells(SMOKE, 0, (12.0, 14.0)) if cell.split in SPLITS]
    assert 12 <= min(narrow) < 12.3 and 13.7 < max(narrow) <= 14


def test_every_clip_fits_the_window_of_the_embedded_model(corpus):
    for examples in corpus.values():
        check_audio_files(examples, 16000, MAX_S)
    assert MAX_S == 4.0 and max(example.duration_s for example in everything(corpus)) < 4.0


def test_without_the_environment_the_same_questions_are_about_the_speech_alone(corpus):
    alone = read_manifest(folder_of(corpus) / f"{SPEECH_ALONE}.jsonl")
    assert len(alone) == len(corpus["test"])
    for row, test in zip(alone, corpus["test"], strict=True):
        kept = ("id", "question", "choices", "answer", "speech", "task", "duration_s")
        assert [getattr(row, name) for name in kept] == [getattr(test, name) for name in kept]
        assert (row.environment, row.snr_db, row.targets) == (None, None, {}) and row.audio != test.audio
        (speech, rate), (mix, _) = soundfile.read(row.audio), soundfile.read(test.audio)
        spoken = np.zeros(len(speech), bool)
        for turn in row.speech:
            spoken[round(turn.start_s * rate) : round(turn.end_s * rate)] = True
        assert len(mix) == len(speech) and not speech[~spoken].any() and mix[~spoken].any()
        level_db = 10 * np.log10(np.mean(speech[spoken] ** 2) / np.mean((mix - speech) ** 2))
        assert level_db == pytest.approx(test.snr_db, abs=0.1)


def test_answers_agree_with_the_gold_of_the_line(corpus):
    for row in everything(corpus):
        voices = [turn.speaker for turn in row.speech]
        said = {turn.speaker: turn.text for turn in row.speech}
        found = {
            "say": lambda row, said: said[re.fullmatch(r"What does the (\w+) voice say\?", row.question)[1]],
            "count": lambda row, said: str(len(row.speech)),
            "environment": lambda row, said: row.environment,
            "first": lambda row, said: row.speech[0].speaker,
        }[row.task](row, said)
        assert found == row.answer and len(set(voices)) == len(voices) and set(voices) <= set(VOICES)
        assert row.text == " ".join(turn.text for turn in row.speech) and row.split in ASKED


def test_targets_are_the_canonical_trace_and_name_the_right_option_in_any_order(corpus):
    for row in everything(corpus):
        fields = PAQA.parse(row.targets["paqa"])
        voices = [turn.speaker for turn in row.speech]
        assert fields["environment"] == row.environment
        assert fields["speaker"] == f"{len(voices)}: {', '.join(voices)}"
        assert fields["asr"] == "; ".join(f"{turn.speaker}: {turn.text}" for turn in row.speech)
        assert fields["description"] == f"{voices[0]} is first" and "reflect" not in fields
        assert fields["summary"] == fields["response"] == fields["final_answer"] == row.answer
        assert row.answer in fields["reasoning"]
        if row.task == "say":
            asked = row.question.split()[3]
            assert asked in fields["planning"] and fields["reasoning"] == f"{asked} says {row.answer}"
        for choices in (row.choices, row.choices[::-1]):
            asked = replace(row, choices=choices)
            assert CHOICE.answer(row.targets["choice"], asked) == PAQA.answer(row.targets["paqa"], asked) == row.answer


def test_names_do_not_tell_the_answer(corpus):
    for example in everything(corpus):
        assert re.fullmatch(rf".*/audio/{example.id[:2]}/{example.id}\.flac", example.audio.as_posix())
        assert re.fullmatch(r"[0-9a-f]{16}", example.id)


def test_the_card_counts_what_is_there(corpus):
    card = (folder_of(corpus) / "CARD.md").read_text()
    assert "170 lines about 170 clips" in card and "planted error: none" in card and "Nothing was left out" in card
    assert "| first | 33 % | 9 | 9 | 9 | 9 | 9 | 0 | A 15, B 15, C 15 |" in card
    assert "| environment | 25 % | 8 | 8 | 8 | 8 | 0 | 8 | A 10, B 10, C 10, D 10 |" in card


def test_a_finished_build_is_found_again(corpus, capsys):
    folder = folder_of(corpus)
    content = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert main(["build", "paqa", "--tier", "smoke", "--reflections", "0", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "nothing to do" in printed and "34 sft, 34 rl, 34 val, 34 test, 26 msqa_hard, 8 envqa_hard" in printed
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tier", "maxi"], "unknown tier 'maxi'; available: mini, smoke"),
        (["--snr-db", "-5", "10"], "--snr-db -5 10: the environment would be louder than the speech"),
        (["--snr-db", "10", "5"], "LOW must not be above HIGH"),
        (["--snr-db", "0", "nan"], "give a range of 0 dB or more"),
        (["--reflections", "1.5"], "--reflections 1.5 must lie in [0, 1]"),
    ],
)
def test_an_unknown_tier_and_an_environment_louder_than_the_speech_are_refused(tmp_path, capsys, words, message):
    assert main(["build", "paqa", "--out", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_the_build_does_not_depend_on_the_number_of_workers(corpus, tmp_path):
    alone = build_paqa_mini(tmp_path / "paqa", "smoke", workers=1, size=Plan({"val": 8}, speakers=1, takes=1))
    built = {path.relative_to(alone.out): path.read_bytes() for path in alone.out.rglob("*.[fj][ls]*")}
    assert len(built) == 34 + 3 and alone.questions == {"val": 34}
    del built[Path("build.json")]
    assert built.pop(Path("rejected.jsonl")) == b"" and alone.rejected == 0
    assert all(content == (folder_of(corpus) / name).read_bytes() for name, content in built.items())


def test_the_same_seed_asks_the_same_and_another_asks_something_else():
    assert cells(SMOKE, 0) == cells(SMOKE, 0)
    first, other = ([cell.question for cell in cells(SMOKE, seed)] for seed in (0, 1))
    assert sum(a == b for a, b in zip(first, other, strict=True)) < len(first) / 4


def test_the_level_of_the_environment_in_the_pauses_is_the_drawn_one(corpus):
    """Environments without gaps: what is in the pauses is as loud under the speech."""
    off = []
    for row in everything(corpus):
        if row.environment in ("rain", "hum", "engine") and row.snr_db < 12:
            wave, spoken = load_audio(row.audio), np.zeros(round(row.duration_s * 16000), bool)
            for turn in row.speech:
                spoken[round(turn.start_s * 16000) : round(turn.end_s * 16000)] = True
            noise, both = (float(np.mean(np.square(wave[where], dtype=np.float64))) for where in (~spoken, spoken))
            off.append(10 * np.log10((both - noise) / noise) - row.snr_db)
    assert len(off) > 15 and abs(np.mean(off)) < 0.3 and np.abs(off).max() < 2.5


def test_counts_are_what_the_options_say():
    assert [int(count) for count in COUNTS] == list(range(1, len(VOICES) + 1))
