"""EAQA-mini: times are exact, answers are right, no letter is right more often, splits share no speaker and no word."""

import functools
import math
import random
import re
from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cogrl.audio import load_audio
from cogrl.cli.main import main
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import read_manifest
from cogrl.data.recipes.eaqa.clip import GAP_S, placed
from cogrl.data.recipes.eaqa.mini import build_eaqa_mini
from cogrl.data.recipes.eaqa.mini_supply import MiniSupply, words_by_part
from cogrl.data.recipes.eaqa.plan import FULL, MIX, SMOKE, sized, tasks_of
from cogrl.data.recipes.eaqa.routing import Flags, flags_of
from cogrl.data.recipes.eaqa.scenes import scenes
from cogrl.data.recipes.eaqa.sounds import EVENTS
from cogrl.data.recipes.eaqa.times import window, written
from cogrl.data.recipes.eaqa.voices import SPEAKERS, VOICES, WORDS
from cogrl.formats.segments import SegmentRules, overlap
from cogrl.types import Span

SIZES = "short=8,alone=8,pair=4,warm=4,cite=4,sft=16,rl=8,val=4,test=8"
SPLITS = ("sft", "rl", "val", "test")
WARM_UP_PARTS = ("short", "alone", "pair", "warm", "cite")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """As the command builds it."""
    folder = tmp_path_factory.mktemp("eaqa") / "eaqa-mini"
    assert main(["build", "eaqa", "--tier", "smoke", "--clips", SIZES, "--out", str(folder)]) == 0
    return {name: read_manifest(folder / f"{name}.jsonl") for name in FULL}


def everything(corpus):
    return [example for examples in corpus.values() for example in examples]


@functools.cache
def some(seed):
    """A fifth of the clips of the whole corpus."""
    return drawn({name: replace(part, clips=part.clips // 5) for name, part in FULL.items()}, seed)


def drawn(plan, seed=0):
    words = words_by_part(seed)
    return scenes(plan, seed, (5.0, 15.0), lambda part, rng: MiniSupply(part, words[part.speakers], rng))


def test_every_manifest_has_its_tasks_by_their_shares(corpus):
    counts = {name: Counter(row.task for row in rows) for name, rows in corpus.items()}
    assert counts["short"] == {"said": 8} and counts["alone"] == {"when": 8}
    assert counts["pair"] == counts["warm"] == {"when": 4} and counts["cite"] == {"cite": 4}
    assert counts["sft"] == {"say": 49, "after": 4, "two": 4, "count": 3, "order": 2, "pitch": 2}
    full = Counter(task for clip in tasks_of(FULL["sft"], random.Random(0)) for task in clip)
    assert [full[task] for task in MIX] == [2432, 192, 192, 128, 128, 128]


def gold_answer(row):
    """By what is heard when, not by how the line was made."""
    said = {turn.speaker: turn.text for turn in row.speech}
    names = [event.name for event in row.events]
    spoken = [name for name in names if name in said]
    found = {
        "said": lambda: row.text,
        "say": lambda: said[re.fullmatch(r"What does the (.+) say\?", row.question)[1]],
        "after": lambda: said[names[names.index(row.question.split("after the ")[1][:-1]) + 1]],
        "two": lambda: two(row.question[len("What do the ") :], said, spoken),
        "when": lambda: "; ".join(f"{cue} {start}, {end}" for cue, start, end in seconds(row)),
        "cite": lambda: " ".join(f"hear {cue}<seg>{start}, {end}</seg>" for cue, start, end in seconds(row)),
        "order": lambda: min(row.choices, key=names.index),
        "pitch": lambda: ("the second", "the first")[names.index("high beep") < names.index("low beep")],
        "count": lambda: str(round(duration(row, "knock") / 0.13)),
    }
    return found[row.task]()


def test_answers_agree_with_the_gold_of_the_line(corpus):
    for row in everything(corpus):
        names = [event.name for event in row.events]
        assert list(row.events) == sorted(row.events, key=lambda event: event.start_s)
        assert gold_answer(row) == row.answer, row
        assert len(set(names)) == len(names) and set(names) <= {*EVENTS, *(f"{voice} voice" for voice in VOICES)}


def seconds(row):
    """What is heard in which whole seconds, in the order in which the answer names it; up to six things."""
    events = {event.name.removesuffix(" voice"): event for event in row.events}
    named = re.findall(r"([a-z ]+?)(?: |<seg>)\d+, \d+", row.answer)
    cues = [cue.strip().removeprefix("hear ") for cue in named]
    assert len(set(cues)) == len(cues) == min(6, len(events))
    return [(cue, math.floor(events[cue].start_s), math.ceil(events[cue].end_s)) for cue in cues]


def two(question, said, spoken):
    first = spoken.index(question.split(" and the one")[0])
    return ", ".join(said[name] for name in spoken[first : first + 2])


def duration(row, name):
    return next(event.duration_s for event in row.events if event.name == name)


def test_the_evidence_is_where_the_answer_is(corpus):
    for row in everything(corpus):
        spans = {(event.start_s, event.end_s): event.name for event in row.events}
        names = [spans[part.start_s, part.end_s] for part in row.evidence]
        said = {turn.speaker: turn.text for turn in row.speech}
        if row.task in ("said", "say", "after", "two"):
            assert ", ".join(said[name] for name in names) == row.answer
        elif row.task == "order":
            assert sorted(names) == sorted(row.choices) and names[0] == row.answer
        elif row.task in ("when", "cite"):
            assert {name.removesuffix(" voice") for name in names} == {cue for cue, _, _ in seconds(row)}
        else:
            assert names == ["knock"] or sorted(names) == ["high beep", "low beep"]


def test_times_are_those_of_the_waveform_and_gaps_are_quiet(corpus):
    """What is named is as much louder than the rest of the clip as was drawn; the ends are exact to 20 ms."""
    check_audio_files(everything(corpus), 16_000, 10.0)
    off = []
    for row in {row.audio: row for row in everything(corpus)}.values():
        wave = load_audio(row.audio).astype(np.float64)
        inside = np.zeros(len(wave), bool)
        for event in row.events:
            inside[round(event.start_s * 16_000) : round(event.end_s * 16_000)] = True
        noise, both = (np.mean(np.square(wave[where])) for where in (~inside, inside))
        off.append(10 * np.log10((both - noise) / noise) - row.snr_db)
        apart = [b.start_s - a.end_s for a, b in pairwise(row.events)]
        assert min(apart, default=GAP_S) >= GAP_S - 1e-9 and len(wave) == row.duration_s * 16_000
    assert np.abs(off).max() < 1.5 and abs(np.mean(off)) < 0.3


def test_targets_cite_valid_parts_right_behind_what_is_sought(corpus):
    rules = SegmentRules()
    with_target = [row for row in everything(corpus) if "echo" in row.targets]
    assert {row.split for row in with_target} == {"sft", "val"} and len(with_target) == 80
    for row in with_target:
        text = row.targets["echo"]
        assert flags_of(row) == Flags() and text.endswith(f"<answer>{row.answer}</answer>")
        found = rules.citations(text, row.duration_s)
        assert [one.invalid for one in found] == [None] * len(row.evidence)
        for part in row.evidence:  # each on the grid, around it
            held = [one.span for one in found if one.span.start_s <= part.start_s and part.end_s <= one.span.end_s]
            assert any(span.duration_s < part.duration_s + 2 and overlap(span, part) > 0.05 for span in held)
        if row.task == "say":
            voice = row.question.split()[3]
            assert re.fullmatch(rf"<think>hear {voice}<seg>\d, \d+</seg> {row.answer}</think>.*", text)
    for name in ("rl", "test"):
        assert all(not row.targets for row in corpus[name])
    for name in WARM_UP_PARTS:
        assert all(row.targets == {"choice": row.answer} for row in corpus[name])


def test_lists_are_in_an_order_of_their_own(corpus):
    for name in ("warm", "cite"):
        orders = [[start for _, start, _ in seconds(row)] for row in corpus[name]]
        assert any(order != sorted(order) for order in orders)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((3.69, 4.17), "3, 5"),
        ((3.0, 4.0), "3, 4"),
        ((2.99, 4.01), "2, 5"),
        ((9.6, 9.9), "9, 10"),
        ((0.0, 0.2), "0, 1"),
    ],
)
def test_a_window_is_the_shortest_on_the_grid(span, expected):
    assert written(window(Span(*span))) == expected


@pytest.mark.parametrize("seed", [0, 5])
def test_no_letter_and_no_option_is_right_more_often(seed):
    rows = [(scene.split, asked) for scene in some(seed) for asked in scene.asked if asked.choices]
    for split in ("sft", "rl", "test"):
        for task, options in (("count", 4), ("pitch", 2), ("order", 2)):
            asked = [one for name, one in rows if name == split and one.task == task]
            letters = Counter(one.choices.index(one.answer) for one in asked)
            assert len(letters) == options and max(letters.values()) - min(letters.values()) <= 1
            right = Counter((tuple(sorted(one.choices)), one.answer) for one in asked)
            for choices in {tuple(sorted(one.choices)) for one in asked}:
                times = [right[choices, choice] for choice in choices]
                assert max(times) - min(times) <= 1


def test_splits_share_no_speaker_and_no_word():
    owners = defaultdict(set)
    for scene in some(0):
        for thing in (thing for item in scene.items if item.text for thing in (item.text, item.speaker)):
            owners[thing].add(scene.split if scene.split in SPLITS else "sft")
    assert all(len(splits) == 1 for splits in owners.values())
    words = words_by_part(0)
    assert {part: len(texts) for part, texts in words.items()} == {"sft": 375, "rl": 125, "test": 100, "val": 25}
    assert sorted(text for texts in words.values() for text in texts) == sorted(WORDS)
    assert sum(len(people) for voices in SPEAKERS.values() for people in voices.values()) == 48


def test_the_order_of_a_clip_says_nothing_about_its_questions():
    """Voices and sounds are at every place, and so is what is asked for."""
    scenes = [scene for scene in some(0) if len(scene.items) == 8]
    asked = [asked.evidence[0] for scene in scenes for asked in scene.asked if asked.task == "say"]
    long = Counter(place for place in asked)
    assert set(long) == set(range(8)) and max(long.values()) < 1.8 * min(long.values())


def test_the_build_does_not_depend_on_workers_and_is_found_again(corpus, tmp_path, capsys):
    words = [
        "build",
        "eaqa",
        "--tier",
        "smoke",
        "--clips",
        "short=2,alone=0,pair=0,warm=0,cite=0,sft=2,rl=0,val=0,test=0",
    ]
    outs = [tmp_path / "one", tmp_path / "two"]
    for workers, out in zip(("1", "2"), outs, strict=True):
        assert main([*words, "--workers", workers, "--out", str(out)]) == 0
    capsys.readouterr()
    files = [path.relative_to(outs[0]) for path in outs[0].rglob("*") if path.is_file()]
    assert len(files) == 4 + 2 + 3 and all((outs[0] / f).read_bytes() == (outs[1] / f).read_bytes() for f in files)
    assert main([*words, "--out", str(outs[0])]) == 0
    printed = capsys.readouterr().out
    assert "nothing to do" in printed and "2 short, 8 sft questions" in printed


def test_another_seed_asks_something_else():
    first, same, other = (drawn(SMOKE, seed) for seed in (0, 0, 1))
    assert first == same and not {scene.id for scene in first} & {scene.id for scene in other}
    assert [scene.items for scene in first] != [scene.items for scene in other]


def test_shares_of_tasks_and_numbers_of_clips_may_be_others():
    plan = sized(SMOKE, {"sft": 8, "short": 0}, {"say": 0.75, "two": 0.25})
    assert "short" not in plan and plan["warm"].shares == SMOKE["warm"].shares
    tasks = Counter(task for clip in tasks_of(plan["sft"], random.Random(0)) for task in clip)
    assert tasks == {"say": 24, "two": 8}
    assert all(clip.count("two") == 1 for clip in tasks_of(plan["sft"], random.Random(0)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tier", "maxi"], "unknown tier 'maxi'; available: mini, smoke"),
        (["--snr-db", "-5", "10"], "--snr-db -5 10: give a range of 0 dB or more"),
        (["--snr-db", "10", "5"], "give a range of 0 dB or more"),
        (
            ["--clips", "long=4"],
            "--clips long=4: give 0 or more clips of short, alone, pair, warm,",
        ),
        (["--clips", "sft=-1"], "give 0 or more clips"),
        (["--tasks", "say=0.5"], "--tasks say=0.5: shares of say, after"),
        (["--tasks", "sing=1"], "shares of say, after, two, count, order, pitch"),
        (
            ["--tasks", "say=0.6,count=0.4"],
            "count=0.4: it is asked once about a clip of 4 questions; give at most",
        ),
        (["--writer", "x.yaml"], "--writer writes thoughts for recordings"),
    ],
)
def test_what_can_not_be_built_is_refused_before_any_work(tmp_path, capsys, words, message):
    assert main(["build", "eaqa", "--tier", "smoke", "--out", str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_items_that_do_not_fit_are_refused():
    rng = np.random.default_rng(0)
    starts = placed([8_000] * 4, 16_000 * 4, rng, "clip")
    assert starts[0] >= 1_600 and starts[-1] + 8_000 <= 64_000 - 1_600
    assert min(b - a for a, b in pairwise(starts)) >= 8_000 + 4_800
    with pytest.raises(ValueError, match=r"clip: 4 items of 2\.00 s with 0\.3 s between them do not fit into 3 s"):
        placed([8_000] * 4, 16_000 * 3, rng, "clip")


def test_the_card_counts_what_is_there(corpus):
    card = (corpus["sft"][0].audio.parents[2] / "CARD.md").read_text()
    assert f"{len(everything(corpus))} lines about 64 clips" in card and "Nothing was left out" in card
    assert "| say | open | 0 | 0 | 0 | 0 | 0 | 49 | 25 | 12 | 25 |" in card


def test_names_do_not_tell_the_answer(corpus):
    for example in everything(corpus):
        assert re.fullmatch(r"[0-9a-f]{16}", example.id)
        assert re.fullmatch(r".*/audio/([0-9a-f]{2})/\1[0-9a-f]{14}\.flac", example.audio.as_posix())


def test_a_build_of_the_library_says_what_it_made(tmp_path):
    sizes = dict.fromkeys(FULL, 0) | {"test": 1}
    made = build_eaqa_mini(tmp_path / "x", "smoke", clips=sizes)
    assert made.questions == {"test": 4} and made.audio_s == 10.0 and made.rejected == 0
    assert Path(made.out / "CARD.md").is_file()
