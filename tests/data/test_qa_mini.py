"""QA-mini: the answers are right, no rule of text alone is better than chance, the splits share nothing."""

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cogrl.audio import load_audio
from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.qa_mini.build import MAX_S, build_qa_mini
from cogrl.data.recipes.qa_mini.plan import FULL, SMOKE, SPLITS, Split, cells
from cogrl.data.recipes.qa_mini.tasks import EMOTIONS, TASKS
from cogrl.data.recipes.sounds import KINDS, sound
from cogrl.data.synthesis.acoustics import measure
from cogrl.formats import format_named

OPTIONS = {"emotion": 4, "lower_voice": 2, "word_count": 4, "first_sound": 2, "said": 4}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """As the command builds it, with a numpy voice."""
    folder = tmp_path_factory.mktemp("qa") / "qa-mini"
    assert main(["build", "qa-mini", "--tier", "smoke", "--out", str(folder)]) == 0
    return {split: read_manifest(folder / f"{split}.jsonl") for split in SPLITS}


def everything(corpus):
    return [example for examples in corpus.values() for example in examples]


def by_task(examples):
    return {task: [example for example in examples if example.task == task] for task in TASKS}


def test_every_split_has_equally_many_questions_of_each_task(corpus):
    for examples in corpus.values():
        assert {task: len(rows) for task, rows in by_task(examples).items()} == dict.fromkeys(TASKS, 16)


@pytest.mark.parametrize("plan", [SMOKE, FULL])
@pytest.mark.parametrize("seed", [0, 7])
def test_no_rule_of_letter_and_option_text_beats_chance(plan, seed):
    for (split, task), group in itertools.groupby(cells(plan, seed), lambda cell: (cell.split, cell.question.task)):
        rows, options = [cell.question for cell in group], OPTIONS[task]
        assert len(rows) == 16 * plan[split].blocks and {len(row.choices) for row in rows} == {options}
        letters = Counter(row.choices.index(row.answer) for row in rows)
        assert set(letters.values()) == {len(rows) // options} and len(letters) == options
        offered = Counter((text, place) for row in rows for place, text in enumerate(row.choices))
        right = Counter((row.answer, row.choices.index(row.answer)) for row in rows)
        texts = Counter(text for row in rows for text in row.choices)
        assert {texts[text] / sum(right[text, place] for place in range(options)) for text in texts} == {options}
        if options == 2:  # the other option is where this one is not
            assert all(offered[key] == 2 * right[key] for key in offered)
        if task == "said":  # of the same four: right once, wrong three times, each time at another letter
            sets = itertools.groupby(rows, lambda row: frozenset(row.choices))
            for _, four in sets:
                orders = [row.choices for row in four]
                assert all(sorted(column) == sorted(orders[0]) for column in zip(*orders, strict=True))


@pytest.mark.parametrize("plan", [SMOKE, FULL])
def test_splits_share_no_speaker_no_sentence_and_no_list_of_words(plan):
    owners = {}
    for cell in cells(plan, 3):
        for name in (*filter(None, cell.question.speaker.split("+")), cell.question.text_group):
            if name:
                assert owners.setdefault(name, cell.split) == cell.split
    assert len({name for name in owners if name.startswith("spk")}) == sum(split.speakers for split in plan.values())


def test_words_and_speaker_do_not_tell_the_emotion(corpus):
    for examples in corpus.values():
        said = {}
        for example in by_task(examples)["emotion"]:
            said.setdefault((example.text, example.speaker), Counter())[example.answer] += 1
            assert example.synthesis["emotion"] == example.answer and example.emotion is None
        assert said and all(counts == dict.fromkeys(EMOTIONS, 4) for counts in said.values())


def test_every_clip_fits_the_window_of_the_embedded_model(corpus):
    for examples in corpus.values():
        check_audio_files(examples, 16000, MAX_S)
    assert MAX_S == 4.0


def test_the_lower_voice_is_the_lower_one_when_its_half_of_the_clip_is_measured(corpus):
    for example in by_task(everything(corpus))["lower_voice"]:
        wave = load_audio(example.audio)
        silent = np.flatnonzero(np.abs(wave) < 1e-4)
        runs = np.split(silent, np.flatnonzero(np.diff(silent) > 1) + 1)
        pause = max((run for run in runs if 0.2 < run.mean() / len(wave) < 0.8), key=len)
        f0 = [measure(part, 16000).f0_hz for part in (wave[: pause[0]], wave[pause[-1] :])]
        assert example.answer == ("the first" if f0[0] < f0[1] else "the second")
        assert f0 == pytest.approx(example.synthesis["f0_hz"], rel=0.05)


def test_the_words_are_as_many_as_the_answer_says_and_the_first_is_the_one_asked_for(corpus):
    tasks = by_task(everything(corpus))
    numbers = ("", "one", "two", "three", "four", "five")
    assert all(numbers[len(example.text.split())] == example.answer for example in tasks["word_count"])
    for example in tasks["said"]:
        words = example.text.split()
        assert words[0] == example.answer and len(words) == 3 and not set(words[1:]) & set(example.choices)


def test_the_first_sound_is_the_one_that_starts_the_clip(corpus):
    """By the spectrum: the start of the clip is nearer to other takes of the right sound than to those of the other."""

    def spectrum(wave):
        return np.log(np.abs(np.fft.rfft(wave[: round(0.35 * 16000)], 8192))[:4000].reshape(100, -1).mean(1) + 1e-2)

    takes = {kind: [spectrum(sound(kind, np.random.default_rng(n), 16000)) for n in range(40)] for kind in KINDS}
    hits = []
    for example in by_task(everything(corpus))["first_sound"]:
        start = spectrum(load_audio(example.audio))
        distance = {kind: min(np.square(start - take).sum() for take in takes[kind]) for kind in example.choices}
        hits.append(min(distance, key=distance.get) == example.answer)
    assert len(hits) == 64 and np.mean(hits) > 0.95


def test_targets_name_the_right_option_in_any_order_of_the_options(corpus):
    for example in everything(corpus):
        assert set(example.targets) == {"choice", "think_choice"}
        for choices in (example.choices, example.choices[::-1]):
            asked = replace(example, choices=choices)
            for name, target in example.targets.items():
                assert format_named(name).answer(target, asked) == example.answer
        thought = re.fullmatch(r"<think>([^<>]+)</think><answer>([^<>]+)</answer>", example.targets["think_choice"])
        assert thought and thought[2] == example.answer and not re.search(r"\b[ABCD]\b", thought[1])
    lower = by_task(corpus["sft"])["lower_voice"][0]
    pitches = [round(hertz, -1) for hertz in lower.synthesis["f0_hz"]]
    assert f"about {pitches[0]:.0f} Hz, the second at about {pitches[1]:.0f} Hz" in lower.targets["think_choice"]


def test_sounds_have_neither_words_nor_speaker(corpus):
    for task, rows in by_task(everything(corpus)).items():
        for example in rows:
            lines = json.loads((example.audio.parents[2] / f"{example.split}.jsonl").read_text().splitlines()[0])
            assert {"id", "audio", "question", "choices", "answer"} <= set(lines)
            assert bool(example.text and example.speaker and example.text_group) == (task != "first_sound")


def test_names_do_not_tell_the_answer(corpus):
    for example in everything(corpus):
        assert re.fullmatch(rf".*/audio/{example.id[:2]}/{example.id}\.flac", example.audio.as_posix())
        assert re.fullmatch(r"[0-9a-f]{16}", example.id)
    assert len({example.id for example in everything(corpus)}) == 320


def test_the_card_counts_what_is_there(corpus):
    card = (corpus["sft"][0].audio.parents[2] / "CARD.md").read_text()
    assert "320 questions" in card and "| said | 25 % | 16 | 16 | 16 | 16 | A 16, B 16, C 16, D 16 |" in card
    assert "| lower_voice | 50 % | 16 | 16 | 16 | 16 | A 32, B 32 |" in card


def test_the_same_seed_asks_the_same_and_another_asks_something_else():
    assert cells(SMOKE, 0) == cells(SMOKE, 0)
    first, other = ([cell.question for cell in cells(SMOKE, seed)] for seed in (0, 1))
    assert sum(a == b for a, b in zip(first, other, strict=True)) < len(first) / 2


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ({"sft": Split(1, 26)}, "the plan needs 26 speakers, there are 24"),
        ({"sft": Split(60, 2)}, "the plan needs more than all lists of 2 words; ask for fewer blocks"),
    ],
)
def test_a_plan_beyond_what_there_is_is_refused(plan, reason):
    with pytest.raises(ValueError, match=reason):
        cells(plan, 0)


@pytest.mark.parametrize(("blocks", "speakers"), [(0, 2), (1, 3), (1, 0)])
def test_a_split_needs_a_block_and_pairs_of_speakers(blocks, speakers):
    with pytest.raises(ValueError, match="pairs of a woman and a man"):
        Split(blocks, speakers)


def test_a_finished_build_is_found_again_and_an_unknown_tier_refused(corpus, tmp_path, capsys):
    folder = corpus["sft"][0].audio.parents[2]
    content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["build", "qa-mini", "--tier", "smoke", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "nothing to do" in printed and f"{folder}: 80 sft, 80 rl, 80 val, 80 test questions" in printed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == content
    assert main(["build", "qa-mini", "--tier", "maxi", "--out", str(tmp_path / "x")]) == 2
    assert "unknown tier 'maxi'; available: mini, smoke" in capsys.readouterr().err


def test_the_build_does_not_depend_on_the_number_of_workers(corpus, tmp_path):
    alone = build_qa_mini(tmp_path / "qa", "smoke", workers=1, plan={"sft": SMOKE["sft"]})
    folder = corpus["sft"][0].audio.parents[2]
    built = {path.relative_to(alone.out): path.read_bytes() for path in alone.out.rglob("*.[fj][ls]*")}
    assert len(built) == 80 + 2 and alone.questions == {"sft": 80}
    del built[Path("build.json")]
    assert all(content == (folder / name).read_bytes() for name, content in built.items())
