"""A manifest of more lines than are worth holding: checked in several processes, parsed when asked for, remembered."""

import json
import os
import pickle

import numpy as np
import pytest
import soundfile

from cogrl import progress as progress_module
from cogrl.data import audio_memory, in_parallel, passed
from cogrl.data.audio_check import check_audio_files
from cogrl.data.audio_memory import SUFFIX, remembered
from cogrl.data.lazy_examples import LazyExamples
from cogrl.data.line_check import check_lines
from cogrl.data.manifest_file import ManifestFile
from cogrl.data.module import AudioData

COUNT = 1203


def written(folder, records):
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def records():
    return [{"id": f"c{i}", "audio": f"audio/{i % 7}.wav", "text": f"line {i}"} for i in range(COUNT)]


@pytest.fixture
def corpus(tmp_path, records):
    """A manifest whose lines share seven files."""
    (tmp_path / "audio").mkdir()
    for i in range(7):
        sound = np.random.default_rng(i).normal(0, 0.1, 4000)
        soundfile.write(tmp_path / f"audio/{i}.wav", sound, 16_000, subtype="PCM_16")
    return written(tmp_path, records)


@pytest.fixture
def processes(monkeypatch):
    """Several processes for a few lines."""
    monkeypatch.setattr(in_parallel, "MANY", 1000)


def test_lines_are_read_from_the_file_when_they_are_asked_for(corpus):
    examples = LazyExamples(ManifestFile(corpus))
    assert len(examples) == COUNT and examples[-1].id == f"c{COUNT - 1}" and examples[5].where == f"{corpus}:6"
    assert [e.id for e in examples[3:6]] == ["c3", "c4", "c5"]
    assert examples[0] is not examples[0]
    assert len(pickle.dumps(examples)) < 20 * COUNT, "more than where each line begins goes to a worker"


def test_a_copy_in_another_process_refuses_a_manifest_that_changed(corpus):
    held = pickle.dumps(ManifestFile(corpus))
    corpus.write_text(corpus.read_text() + "\n")
    with pytest.raises(ValueError, match="has changed since it was opened"):
        pickle.loads(held)


def test_manifests_of_another_content_have_another_digest(corpus, records, tmp_path):
    first = ManifestFile(corpus).digest
    assert ManifestFile(corpus).digest == first
    assert ManifestFile(written(tmp_path, records[::-1])).digest != first


def test_bad_lines_of_all_processes_are_named_in_order_and_an_id_that_comes_twice_is_found_across_them(
    processes, corpus, records, tmp_path
):
    records[2]["emotoin"], records[700]["duration_s"], records[1100]["id"] = "anger", -1, "c9"
    with pytest.raises(ValueError) as refused:
        check_lines(ManifestFile(written(tmp_path, records)))
    lines = str(refused.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{corpus}:3 (c2)",
        f"{corpus}:701 (c700)",
        f"{corpus}:1101 (c9)",
    ]
    assert f"duplicate id 'c9', first at {corpus}:10" in lines[2]


def test_progress_is_shown_as_lines_of_a_log(processes, corpus, monkeypatch, capfd):
    monkeypatch.setattr(progress_module, "_LINE_EVERY_S", 1e-9)
    file = ManifestFile(corpus)
    check_lines(file)
    check_audio_files(LazyExamples(file))
    found = capfd.readouterr().err
    for what, count in (("check of train.jsonl", COUNT), ("check of audio headers", COUNT), ("check of sound", 7)):
        assert f"{what}: {count} of {count} (100 %)" in found
    assert f"check of train.jsonl: 1000 of {COUNT} (83 %)" in found and " left" in found


def start(corpus):
    """The check of all audio files; how many were not known before."""
    with remembered(corpus) as facts:
        before = len(facts)
        check_audio_files(LazyExamples(ManifestFile(corpus)), facts=facts)
    return len(facts) - before


def test_a_second_start_opens_only_what_changed(corpus, monkeypatch):
    monkeypatch.setattr(audio_memory, "MANY", 5)
    assert start(corpus) == 7 and corpus.with_name(corpus.name + SUFFIX).is_file()
    clip = corpus.parent / "audio/3.wav"
    times = clip.stat().st_atime_ns, clip.stat().st_mtime_ns
    clip.write_bytes(bytes(len(clip.read_bytes())))
    os.utime(clip, ns=times)  # nothing shows that it is another file, so it is not opened
    assert start(corpus) == 0
    os.utime(clip)
    with pytest.raises(ValueError, match=r"train\.jsonl:4 \(c3\): .*3\.wav: .*zero bytes"):
        start(corpus)


def set_up(corpus, **settings):
    data = AudioData(train=str(corpus), **settings)
    data.setup("fit")
    return data


@pytest.fixture
def passed_once(corpus, monkeypatch):
    """A manifest that has passed all checks, which were kept although it is short."""
    monkeypatch.setattr(audio_memory, "MANY", 5)
    monkeypatch.setattr(passed, "MANY", 5)
    set_up(corpus)
    return corpus


def no_line_is_parsed(*arguments):
    raise AssertionError("a line was parsed")


def test_while_nothing_has_changed_a_second_start_parses_no_line_and_knows_as_much(passed_once, monkeypatch):
    first = set_up(passed_once, decode_first=False).checked["train"]
    known, parsed = ManifestFile.known, []
    monkeypatch.setattr(ManifestFile, "checked", no_line_is_parsed)
    monkeypatch.setattr(ManifestFile, "known", lambda file, place: parsed.append(place) or known(file, place))
    second = set_up(passed_once, decode_first=False).checked["train"]
    assert len(parsed) < 7  # the type checker of the tests looks at one line of a sequence that it is shown
    assert second.digest == first.digest and second.dialogues == first.dialogues == []
    assert (second.facts.rows == first.facts.rows).all() and len(second.facts) == 7


def test_a_clip_a_line_or_a_setting_that_changed_is_looked_at_in_full(passed_once, records, tmp_path):
    with pytest.raises(ValueError, match=r"train\.jsonl:1 \(c0\).* the limit is 0\.1 s"):
        set_up(passed_once, max_s=0.1)
    clip = tmp_path / "audio/3.wav"
    whole = clip.read_bytes()
    clip.write_bytes(bytes(len(whole)))
    with pytest.raises(ValueError, match=r"train\.jsonl:4 \(c3\).*zero bytes"):
        set_up(passed_once)
    clip.write_bytes(whole[:3000])
    with pytest.raises(ValueError, match=r"train\.jsonl:4 \(c3\).*is cut"):
        set_up(passed_once)
    clip.unlink()
    with pytest.raises(ValueError, match=r"train\.jsonl:4 \(c3\).*no such audio file"):
        set_up(passed_once)
    clip.write_bytes(whole)
    set_up(passed_once)
    records[5]["emotion"] = "angry"
    with pytest.raises(ValueError, match=r"train\.jsonl:6 \(c5\): unknown emotion 'angry'"):
        set_up(written(tmp_path, records))


def test_splits_are_still_compared_when_no_line_is_parsed(passed_once, tmp_path):
    other = tmp_path / "val.jsonl"
    other.write_text(json.dumps({"id": "c7", "audio": "audio/0.wav"}) + "\n")
    with pytest.raises(ValueError, match=r"val\.jsonl:1 \(c7\): id 'c7' of split 'val' is also in split 'train'"):
        set_up(passed_once, val=str(other))


def test_a_shared_clip_is_found_by_whatever_name_the_folder_is_called_and_where_it_has_moved(
    passed_once, tmp_path, monkeypatch
):
    moved = tmp_path / "moved"
    passed_once.with_name("val.jsonl").write_text(json.dumps({"id": "v", "audio": "audio/0.wav"}) + "\n")
    monkeypatch.chdir(tmp_path)
    said = r"audio 'audio/0\.wav' of split 'val' is also in split 'train'"
    with pytest.raises(ValueError, match=said):
        set_up(passed_once, val="val.jsonl")
    moved.mkdir()
    for name in [path.name for path in tmp_path.iterdir() if path != moved]:
        os.rename(tmp_path / name, moved / name)
    with pytest.raises(ValueError, match=r"moved/audio/0\.wav' of split 'val' is also in split 'train'"):
        set_up(moved / "train.jsonl", val=str(moved / "val.jsonl"))


def test_headers_alone_are_remembered_as_such(corpus, monkeypatch):
    monkeypatch.setattr(audio_memory, "MANY", 5)
    silent = corpus.parent / "audio/2.wav"
    soundfile.write(silent, np.zeros(4000), 16_000)
    with remembered(corpus) as facts:
        check_audio_files(LazyExamples(ManifestFile(corpus)), facts=facts, decode=False)
    with pytest.raises(ValueError, match=r"train\.jsonl:3 \(c2\).*silen"):
        start(corpus)


def test_a_folder_that_can_not_be_written_is_warned_of_and_training_goes_on(corpus, monkeypatch):
    monkeypatch.setattr(audio_memory, "MANY", 5)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.warns(UserWarning, match="can not be written .* next start checks them once more"):
        assert start(corpus) == 7


def refuse(*paths):
    raise PermissionError("read-only")
