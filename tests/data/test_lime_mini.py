import hashlib
import itertools
import random
import re
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest

from cogrl.audio import audio_info
from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import check_splits, read_manifest
from cogrl.data.recipes.lime_mini import MAX_S, build_lime_mini
from cogrl.data.recipes.lime_plan import MINI, SMOKE, Split, cells, sentences
from cogrl.data.recipes.lime_text import targets
from cogrl.data.synthesis.emotions import dimensions, reading
from cogrl.formats.direct import DIRECT
from cogrl.formats.eips import EIPS, perceived_emotion
from cogrl.types import EMOTIONS, INTENSITIES

TINY = tuple(Split(name, 1, 1, 1) for name in ("sft", "rl", "val", "test"))
SPLITS = ("sft", "rl", "val", "test")


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("lime") / "corpus"
    summary = build_lime_mini(out, "smoke", workers=2)
    assert summary.clips == {"sft": 84, "rl": 42, "val": 14, "test": 42, "conflict": 28} and not summary.cached
    return {split: read_manifest(out / f"{split}.jsonl") for split in SPLITS}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny") / "corpus"
    build_lime_mini(out, "smoke", workers=1, plan=TINY)
    return out


def test_words_speaker_and_intensity_say_nothing_about_the_emotion(corpus):
    for examples in corpus.values():
        cells_found: dict[tuple, Counter] = {}
        for example in examples:
            key = (example.speaker, example.text, example.intensity, example.scenario)
            cells_found.setdefault(key, Counter())[example.emotion] += 1
        best_guess = sum(max(counts.values()) for counts in cells_found.values())
        assert best_guess * len(EMOTIONS) == len(examples)


def test_splits_share_neither_speakers_nor_sentences_nor_clips(corpus):
    check_splits(corpus)
    leaked = {**corpus, "test": [*corpus["test"], replace(corpus["sft"][0], id="new", split="test")]}
    with pytest.raises(ValueError, match="is also in split 'sft'"):
        check_splits(leaked)


def test_every_clip_is_sound_and_as_long_as_its_line_says(corpus):
    for examples in corpus.values():
        check_audio_files(examples, 16000, MAX_S)
        for example in examples:
            assert audio_info(example.audio).duration_s == example.duration_s


def test_names_tags_and_order_do_not_leak_the_label(corpus):
    for examples in corpus.values():
        for example in examples:
            assert re.fullmatch(r"[0-9a-f]{16}", example.id)
            assert re.search(rf"/audio/{example.id[:2]}/{example.id}\.flac$", example.audio.as_posix())
            header = example.audio.read_bytes()[:8192].lower()
            assert not any(word.encode() in header for word in (*EMOTIONS, example.speaker))
        order = [example.emotion for example in examples]
        changes = sum(a != b for a, b in itertools.pairwise(order))
        assert changes > 0.6 * len(order) and order[:7] != list(EMOTIONS)


def test_targets_and_gold_belong_to_the_emotion_of_the_clip(corpus):
    for example in corpus["sft"]:
        assert perceived_emotion(example.targets["eips"]) == example.emotion
        assert EIPS.parse(example.targets["eips"]) and DIRECT.parse(example.targets["direct"])
        assert {"pitch_st", "rate", "level_db", "measured"} <= set(example.synthesis)
        assert None not in (example.valence, example.arousal, example.dominance)


def test_the_rendered_level_is_the_gold_level(corpus):
    for example in corpus["sft"]:
        gold = example.synthesis["level_db"]
        twins = [e for e in corpus["sft"] if e.speaker == example.speaker]
        offsets = [e.synthesis["measured"]["level_db"] - e.synthesis["level_db"] for e in twins]
        assert abs(example.synthesis["measured"]["level_db"] - gold - sorted(offsets)[len(offsets) // 2]) < 1.0


def test_the_build_does_not_depend_on_the_number_of_workers(tiny, tmp_path):
    build_lime_mini(tmp_path / "corpus", "smoke", workers=2, plan=TINY)
    assert files(tmp_path / "corpus") == files(tiny)
    other = {cell.digest(1) for cell in cells(TINY)}
    assert not other & {cell.digest(0) for cell in cells(TINY)}


def test_a_finished_build_is_left_alone_and_a_damaged_one_is_made_again(tiny, capsys):
    before = {path: path.stat().st_mtime_ns for path in tiny.rglob("*")}
    assert build_lime_mini(tiny, "smoke", plan=TINY).cached
    assert "nothing to do" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tiny.rglob("*")} == before

    content = files(tiny)
    victim = next(tiny.glob("audio/*/*.flac"))
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    victim.write_bytes(damaged)
    (tiny / "sft.jsonl").unlink()
    assert not build_lime_mini(tiny, "smoke", plan=TINY, workers=1).cached
    assert files(tiny) == content
    assert [path.name for path in tiny.parent.iterdir()] == ["corpus"]


def test_a_folder_with_other_files_is_refused_before_any_work(tmp_path):
    (tmp_path / "thesis.tex").write_text("…")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        build_lime_mini(tmp_path, "smoke", plan=TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(FileExistsError, match="is a file"):
        build_lime_mini(tmp_path / "thesis.tex", "smoke", plan=TINY)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*choose another output folder"):
        build_lime_mini(tmp_path / "file" / "lime", "smoke", plan=TINY)


def test_unknown_and_planned_tiers_say_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="unknown tier 'maxi'; available: smoke, mini"):
        build_lime_mini(tmp_path / "x", "maxi")
    for tier in ("natural", "real"):
        with pytest.raises(NotImplementedError, match="not available yet; use: smoke, mini"):
            build_lime_mini(tmp_path / "x", tier)
    assert not list(tmp_path.iterdir())


def test_the_card_counts_what_is_there(corpus):
    folder = corpus["sft"][0].audio.parents[2]
    card = (folder / "CARD.md").read_text()
    assert "210 clips" in card and "| sft | 84 |" in card and (folder / "CARD.png").stat().st_size > 10_000
    assert all(re.search(rf"\| {emotion} \| [+-]\d", card) for emotion in EMOTIONS)


def test_the_default_plan_is_balanced_and_disjoint():
    for plan in (SMOKE, MINI):
        clips = cells(plan)
        assert len({cell.digest(0)[:16] for cell in clips}) == len(clips)
        for field in ("speaker", "text_group"):
            owners = {(getattr(cell, field), cell.split) for cell in clips}
            assert len(owners) == len({value for value, _ in owners})
        for split in plan:
            for emotion in EMOTIONS:
                counts = Counter(c.intensity for c in clips if (c.split, c.emotion) == (split.name, emotion))
                levels = [counts[level] for level in INTENSITIES]
                assert max(levels) - min(levels) <= 1 and sum(levels) == split.speakers * split.texts * split.takes
    assert {c.scenario for c in cells(MINI) if c.split == "test"} == {scenario for _, scenario, _ in sentences()}


def test_women_and_men_read_in_every_split_of_the_default_plan():
    for split in MINI:
        women = {c.speaker.name: c.speaker.female for c in cells(MINI) if c.split == split.name}.values()
        assert abs(sum(women) - len(women) / 2) <= 0.5


def test_a_plan_beyond_the_supply_is_refused():
    with pytest.raises(ValueError, match="needs more than"):
        cells((Split("sft", 25, 1, 1),))
    with pytest.raises(ValueError, match="needs more than"):
        cells((Split("sft", 1, 40, 1), Split("rl", 1, 3, 1)))


def test_sentences_are_distinct_neutral_statements():
    texts = [text for _, _, text in sentences()]
    assert len(set(texts)) == len(texts) == 42
    assert all(re.fullmatch(r"[A-Z][A-Za-z ]+\.", text) for text in texts)
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    assert not words & {*EMOTIONS, "angry", "scared", "sadly", "great", "terrible", "sorry", "love", "hate"}


def described(cell):
    """What decides a clip of seed 0: id, words, voice, gold and targets."""
    digest = cell.digest(0)
    rng = np.random.default_rng(int(digest, 16))
    prosody = asdict(reading(cell.emotion, cell.intensity, rng))
    gold = dimensions(cell.emotion, cell.intensity, rng)
    made = targets(cell.emotion, cell.intensity, cell.scenario, cell.text, random.Random(digest))
    return digest[:16], cell.split, cell.text, asdict(cell.speaker), prosody, gold, made


def test_the_default_plan_is_the_corpus_that_the_published_numbers_rest_on(corpus):
    """A change of this number needs the demo to be run again, on all its seeds."""
    number = hashlib.sha256(repr([described(cell) for cell in cells(MINI)]).encode()).hexdigest()
    assert number == "e32991b62d227b479954e1b9c4701529abe737e9457418837a261d4176dab44a"
    found = {e.id: e for examples in corpus.values() for e in examples}
    for name, split, text, speaker, prosody, gold, made in map(described, cells(SMOKE)):
        e = found[name]
        assert (e.split, e.text, e.speaker, dict(e.targets)) == (split, text, speaker["name"], made)
        assert {**e.synthesis, "measured": 0} == prosody | {"measured": 0} and tuple(e.dimensions) == gold
