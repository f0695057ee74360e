"""`cogrl build lime` end to end: balanced, resumable, gated, the same for any number of workers."""

import itertools
import json
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import tone_speaker

from cogrl.data.audio_check import check_audio_files
from cogrl.data.manifest import check_splits, read_manifest
from cogrl.data.recipes.annotate import Annotations, Annotator, TemplateAnnotator
from cogrl.data.recipes.lime import Recipe, build_lime
from cogrl.data.recipes.lime_clips import Split, clips
from cogrl.data.recipes.lime_gates import Gates
from cogrl.data.recipes.lime_outcome import outcome
from cogrl.data.recipes.lime_takes import TakeResult
from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
from cogrl.data.synthesis.expressive import Speech, Synthesiser, decoded
from cogrl.evaluate.polarity import text_sentiment
from cogrl.formats.eips import EIPS, perceived_emotion
from cogrl.types import EMOTIONS, INTENSITIES

PLAN = {"sft": Split(2, 2, 1), "test": Split(1, 1)}
CLIPS = 63


class Tones(Synthesiser):
    """A voice of tones, in threads; `fault(line, how often it was asked for)` may raise or change the samples."""

    version, origin, licence, speakers = "tones", "tones", "CC0", ("ann", "bob", "cat", "dan")

    def __init__(self, fault=lambda line, times, samples: samples):
        self.fault, self.said, self.seeds, self.lock = fault, [], [], threading.Lock()

    def check(self, language):
        pass

    def pool(self, workers):
        return ThreadPoolExecutor(workers or 2)

    def say(self, line):
        key = (line.text, line.emotion, line.intensity, line.speaker)
        with self.lock:
            self.said.append(key)
            self.seeds.append(line.seed)
            times = self.said.count(key)
        speech = decoded(tone_speaker.spoken(*key, line.seed), "tones")
        return Speech(self.fault(line, times, speech.waveform), speech.sampling_rate, {"pitch": line.seed % 7})


def recipe(voice=None, **settings):
    return Recipe(**{"splits": PLAN, "synthesiser": voice or Tones()} | settings)


def build(out, voice=None, **settings):
    return build_lime(out, recipe(voice, **settings), text_sentiment, 2)


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rejected(out):
    return [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("lime") / "lime"
    made = build(out)
    assert made.clips == {"sft": 42, "test": 21} and not made.rejected and not made.cached
    return out


@pytest.fixture(scope="module")
def corpus(folder):
    return {split: read_manifest(folder / f"{split}.jsonl") for split in PLAN}


def test_whoever_only_reads_is_right_one_time_in_seven(corpus):
    for examples in corpus.values():
        assert Counter(e.emotion for e in examples) == dict.fromkeys(EMOTIONS, len(examples) // 7)
        cells: dict[tuple, Counter] = {}
        for e in examples:
            cells.setdefault((e.speaker, e.text, e.intensity, e.scenario, e.licence, e.source), Counter())[
                e.emotion
            ] += 1
        assert all(counts == dict.fromkeys(EMOTIONS, 1) for counts in cells.values())
        assert {e.intensity for e in examples} == set(INTENSITIES)


def test_splits_share_nothing_and_every_file_is_sound(corpus):
    check_splits(corpus)
    for examples in corpus.values():
        check_audio_files(examples)


def test_a_line_has_all_that_training_needs(corpus):
    for e in corpus["sft"]:
        assert (
            perceived_emotion(e.targets["eips"]) == e.emotion
            and EIPS.parse(e.targets["eips"])["response"] == e.targets["direct"]
        )
        assert None not in (e.valence, e.arousal, e.dominance) and e.text_sentiment == "neutral" and e.language == "en"
        assert e.licence == "CC0" and "tones" in e.source and e.synthesis["take"] == 1 and "pitch" in e.synthesis
        assert e.synthesis["measured"]["duration_s"] == e.duration_s


def test_names_and_order_tell_nothing(corpus, folder):
    for examples in corpus.values():
        for e in examples:
            assert e.audio.relative_to(folder).as_posix() == f"audio/{e.id[:2]}/{e.id}.flac"
            assert re.fullmatch(r"[0-9a-f]{16}", e.id) and not any(w.encode() in e.audio.read_bytes() for w in EMOTIONS)
        order = [e.emotion for e in examples]
        assert sum(a != b for a, b in itertools.pairwise(order)) > 0.6 * len(order)


def test_the_result_does_not_depend_on_the_workers_and_nothing_else_is_left(folder, tmp_path):
    for workers in (1, 5):
        build_lime(tmp_path / "lime", replace(recipe(), seed=0), text_sentiment, workers)
        assert files(tmp_path / "lime") == files(folder) and len(list(tmp_path.iterdir())) == 1
        (tmp_path / "lime").rename(tmp_path.parent / f"done{workers}-{tmp_path.name}")
    build_lime(tmp_path / "lime", recipe(seed=1), text_sentiment)
    ours, theirs = (
        {path.split("/")[-1] for path in files(out) if "audio" in path} for out in (folder, tmp_path / "lime")
    )
    assert not ours & theirs


def test_embedded_clips_are_what_the_voice_says_made_in_processes(tmp_path):
    voice = EmbeddedSynthesiser("numpy")
    build_lime(tmp_path / "lime", recipe(voice, splits={"sft": Split(1, 1)}), text_sentiment, 1)
    examples = read_manifest(tmp_path / "lime" / "sft.jsonl")
    assert len(examples) == 21 and {e.speaker for e in examples} == {"spk01"}
    high = {e.emotion: e for e in examples if e.intensity == "high"}
    assert high["anger"].synthesis["measured"]["level_db"] > high["sad"].synthesis["measured"]["level_db"] + 3


def test_a_finished_corpus_is_left_alone_and_a_damaged_one_is_made_again(folder, tmp_path, capsys):
    voice = Tones()
    build(tmp_path / "lime", voice)
    repeated = build(tmp_path / "lime", voice)
    assert repeated.cached and repeated.clips == {"sft": 42, "test": 21} and len(voice.said) == CLIPS
    assert "nothing to do" in capsys.readouterr().out
    next((tmp_path / "lime").rglob("*.flac")).write_bytes(b"x")
    assert not build(tmp_path / "lime", voice).cached and files(tmp_path / "lime") == files(folder)


def silent(line, times, samples):
    bad = line.emotion == "fear" and line.intensity == "high" and line.speaker == "ann"
    return samples * 0.0 if bad else samples


def test_a_clip_that_no_take_saves_takes_its_reading_with_it_and_the_rest_stays_balanced(tmp_path):
    made = build(tmp_path / "lime", Tones(silent))
    assert made.clips == {"sft": 21, "test": 21}
    assert made.rejected == {("take", "loudness"): 2, ("reading", "complete"): 1}
    assert len(list((tmp_path / "lime").rglob("*.flac"))) == 42
    takes, reading = rejected(tmp_path / "lime")[:2], rejected(tmp_path / "lime")[2]
    assert [take["take"] for take in takes] == [1, 2] and "dBFS" in takes[0]["detail"]
    assert reading["speaker"] == "ann" and reading["detail"] == "1 of 21 clips are missing: fear/high"
    card = (tmp_path / "lime" / "CARD.md").read_text()
    assert (
        "| take | loudness | 2 |" in card and "| reading | complete | 1 |" in card and "| take | clipping | 0 |" in card
    )
    assert "2 of 3 readings are kept" in card and "no transcriber is configured" in card and "CC0" in card


def test_a_refused_clip_is_made_again_as_often_as_the_gates_say(tmp_path):
    voice = Tones(lambda line, times, samples: samples * 0.0 if line.emotion == "sad" and times == 1 else samples)
    made = build(tmp_path / "lime", voice)
    assert made.clips == {"sft": 42, "test": 21} and made.rejected == {("take", "loudness"): 9}
    taken = [e.synthesis["take"] for split in PLAN for e in read_manifest(tmp_path / "lime" / f"{split}.jsonl")]
    assert Counter(taken) == {1: 54, 2: 9} and len(set(voice.seeds)) == 72  # another draw, not the same once more
    with pytest.raises(ValueError, match=r"no reading is left for sft, test \(takes refused: 9 by loudness\)"):
        build(tmp_path / "one", Tones(voice.fault), gates=Gates(takes=1))


def test_overdriven_speech_is_seen_before_it_is_resampled(tmp_path):
    voice = Tones(lambda line, times, samples: (samples * 9).clip(-1, 1) if line.speaker == "ann" else samples)
    made = build(tmp_path / "lime", voice, gates=Gates(level_db=(-45.0, 0.0), takes=1), give_up_after=99)
    assert made.rejected == {("take", "clipping"): 21, ("reading", "complete"): 1}


def test_a_build_that_failed_keeps_what_it_made_and_only_the_rest_is_made_again(folder, tmp_path):
    def away(line, times, samples):
        if line.emotion == "disgust":
            raise ConnectionError("nobody there")
        return samples

    voice = Tones(away)
    with pytest.raises(ConnectionError, match=r"9 of 63 clips could not be made.*nobody there; run the same command"):
        build(tmp_path / "lime", voice)
    assert not (tmp_path / "lime").exists()
    healthy = Tones()
    build(tmp_path / "lime", healthy)
    assert sorted(line[1] for line in healthy.said) == ["disgust"] * 9
    assert files(tmp_path / "lime") == files(folder) and len(list(tmp_path.iterdir())) == 1


def test_other_gates_and_thoughts_start_from_the_clips_there_are(tmp_path):
    voice = Tones()
    build_lime(tmp_path / "lime", recipe(voice), text_sentiment, keep_takes=True)
    assert len(voice.said) == CLIPS and (tmp_path / ".lime.takes").is_dir()
    made = build_lime(tmp_path / "lime", recipe(voice, gates=Gates(silent_share=0.7)), text_sentiment)
    assert not made.cached and len(voice.said) == CLIPS and not (tmp_path / ".lime.takes").exists()


def test_a_note_torn_by_a_crash_and_a_clip_that_vanished_are_made_again(folder, tmp_path):
    voice = Tones()
    build_lime(tmp_path / "lime", recipe(voice), text_sentiment, keep_takes=True)
    notes = tmp_path / ".lime.takes" / "takes.jsonl"
    lines = notes.read_bytes().splitlines(keepends=True)
    notes.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    next((tmp_path / ".lime.takes").rglob("*.flac")).unlink()
    (tmp_path / "lime" / "CARD.md").unlink()
    build(tmp_path / "lime", voice)
    assert CLIPS + 1 <= len(voice.said) <= CLIPS + 2 and files(tmp_path / "lime") == files(folder)


def test_something_broken_is_noticed_after_a_few_clips_not_after_all(tmp_path):
    def refuse(line, times, samples):
        raise ValueError("no such voice: ann")

    voice = Tones(refuse)
    with pytest.raises(ValueError, match=r"5 clips in a row came to nothing.*no such voice: ann; put that right"):
        build(tmp_path / "lime", voice, give_up_after=5)
    with pytest.raises(ValueError, match=r"6 clips in a row came to nothing.*loudness: -120"):
        build(tmp_path / "lime", Tones(lambda line, times, samples: samples * 0), give_up_after=6)


def test_a_line_that_a_voice_refuses_is_listed_and_leaves_no_note(tmp_path):
    def refuse(line, times, samples):
        if (line.speaker, line.emotion, line.intensity) == ("ann", "happy", "mid"):
            raise ValueError("a word\nit can not say")
        return samples

    made = build_lime(tmp_path / "lime", recipe(Tones(refuse)), text_sentiment, keep_takes=True)
    assert made.rejected == {("clip", "not made"): 1, ("reading", "complete"): 1}
    assert rejected(tmp_path / "lime")[0]["detail"] == "a word it can not say"
    assert len((tmp_path / ".lime.takes" / "takes.jsonl").read_text().splitlines()) == CLIPS - 1


class PartlyRejecting(Annotator):
    """Templates, with utterances that it rejects or can not answer."""

    version = "partly-rejecting"

    def __init__(self, rejects=(), silent=()):
        self.rejects, self.silent = rejects, silent

    def annotate(self, utterances):
        made = TemplateAnnotator().annotate(utterances)
        refused = {u.id: "not about that" for u in utterances if (u.scenario, u.emotion) in self.rejects}
        lost = {u.id: "status 500" for u in utterances if u.emotion in self.silent}
        return Annotations({k: v for k, v in made.targets.items() if k not in refused}, refused, lost)


def test_a_reading_with_a_refused_thought_is_never_spoken(tmp_path):
    voice = Tones()
    made = build(tmp_path / "lime", voice, annotator=PartlyRejecting([("workplace", "anger")]))
    assert made.clips == {"sft": 21, "test": 21} and len(voice.said) == 42
    assert made.rejected == {("thought", "refused"): 3, ("reading", "complete"): 1}


def test_a_corpus_does_not_shrink_because_the_annotator_was_away(tmp_path):
    voice = Tones()
    with pytest.raises(ConnectionError, match=r"9 of 63 clips got no thought \(.*status 500\); run the same command"):
        build(tmp_path / "lime", voice, annotator=PartlyRejecting(silent=["fear"]))
    assert not voice.said and not (tmp_path / "lime").exists()


def test_a_group_whose_spelling_follows_the_emotion_is_dropped():
    planned = clips({"sft": Split(2, 1)}, ("travel",), {"travel": ["So it went.", "So it came."]}, ["ann"], 0)
    leaking = [replace(c, text="So it went!") if c.emotion == "anger" and "went" in c.text else c for c in planned]
    made = [TakeResult(clip, audio=Path("x")) for clip in leaking]
    result = outcome([], {}, leaking, made)
    assert {one.clip.text for one in result.kept} == {"So it came."} and result.count("reading") == {
        "same_punctuation": 1
    }
    assert len(outcome([], {}, planned, [TakeResult(clip, audio=Path("x")) for clip in planned]).kept) == 42


def test_recipes_that_can_not_be_built_are_refused_before_any_work(tmp_path):
    class NotInstalled(Tones):
        def check(self, language):
            raise ImportError("not installed")

    for settings, kind, reason in (
        ({"scenarios": ("travel", "casino")}, ValueError, r"scenarios .*casino.*one or more"),
        ({"scenarios": ()}, ValueError, "scenarios"),
        ({"language": "zh"}, ValueError, "the templates are English"),
        ({"language": "zh", "annotator": PartlyRejecting()}, ValueError, "the grammar is English"),
        ({"splits": {"sft": Split(1, 9)}}, ValueError, "ask for 9 speakers"),
        ({"splits": {"sft": Split(5000, 1)}}, ValueError, "too few sentences"),
        ({"voice": NotInstalled()}, ImportError, "not installed"),
    ):
        with pytest.raises(kind, match=reason):
            build(tmp_path / "lime", **settings)
        assert not (tmp_path / "lime").exists()
    (tmp_path / "lime").mkdir()
    (tmp_path / "lime" / "thesis.tex").write_text("…")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        build(tmp_path / "lime")


def test_without_a_lexicon_the_card_says_what_was_not_checked(tmp_path):
    build_lime(tmp_path / "lime", recipe(splits={"test": Split(1, 1)}), None)
    assert "The sentiment of the words was not checked" in (tmp_path / "lime" / "CARD.md").read_text()
    assert read_manifest(tmp_path / "lime" / "test.jsonl")[0].text_sentiment is None
