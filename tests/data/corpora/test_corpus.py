"""What all readers share: words, scales, atomic writing, promises that are held to."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from cogrl.data.corpora.corpus import (
    Reading,
    Source,
    decoded,
    rescaled,
    same_words,
    with_audio,
    within,
    words,
    write_corpus,
)
from cogrl.data.manifest import read_manifest
from cogrl.types import Example, Turn

SOURCE = Source("Toy", "https://example.org/toy", "CC0")


def example(path, name="a", split="train", speaker="s1"):
    return Example(name, path, split, "Well, well.", "g", speaker, "sad")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Never!", "never..."),
        ("I don’t know", "I don't know?!"),
        ("订好了？！", "订好了......"),
        ("我，没想到", "我没想到。"),
        ("Ｙｅｓ", "yes"),
    ],
)
def test_punctuation_and_case_do_not_make_other_words(one, other):
    assert words(one) == words(other) and same_words(one) == same_words(other)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_every_encoding_the_corpora_mix(encoding):
    assert decoded("It’s late.".encode(encoding), "cp1252") == "It’s late."
    assert decoded("订好了".encode("gb2312"), "gb18030") == decoded("订好了".encode(), "gb18030") == "订好了"
    assert decoded("It\x92s late.".encode(), "cp1252") == "It’s late."


def test_other_words_are_other_words():
    assert len({same_words(text) for text in ("I do", "I do not", "Ido", "we'll", "well", "好", "好了")}) == 7


def test_ratings_are_rescaled_to_plus_minus_one_and_nonsense_is_none():
    assert [rescaled(value, 1, 5) for value in ("1", "3", "5.0")] == [-1, 0, 1]
    assert [rescaled(value, 1, 7) for value in ("1", "4", "7")] == [-1, 0, 1]
    assert rescaled("5.5", 1, 5) is None and rescaled("", 1, 5) is None and rescaled("nan", 1, 7) is None


def test_a_corpus_may_lie_one_folder_down_and_another_layout_says_where_to_get_it(tmp_path):
    (tmp_path / "raw" / "release" / "clips").mkdir(parents=True)
    assert within(tmp_path / "raw", "clips", SOURCE, "clips/") == tmp_path / "raw" / "release"
    with pytest.raises(FileNotFoundError, match=r"Toy: .*raw has another layout; expected wavs/.*example.org/toy"):
        within(tmp_path / "raw", "wavs", SOURCE, "wavs/")
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; expected wavs/"):
        within(tmp_path / "nowhere", "wavs", SOURCE, "wavs/")


def test_durations_come_from_the_files_and_every_bad_file_is_named(tmp_path, wav):
    good, empty = wav(tmp_path / "good.wav", 0.25), wav(tmp_path / "empty.wav", 0)
    spoken = replace(example(good), turns=(Turn("Hm.", good),))
    dropped = Counter()
    (kept,) = with_audio([spoken], SOURCE, False, dropped)
    assert kept.duration_s == 0.25 == kept.turns[0].duration_s and not dropped
    bad = [example(empty, "b"), example(tmp_path / "no.wav", "c"), replace(spoken, id="d", turns=(Turn("x", empty),))]
    with pytest.raises(ValueError) as caught:
        with_audio([spoken, *bad], SOURCE, False, dropped)
    first, *rest = str(caught.value).splitlines()
    assert "3 clips can not be read; --partial leaves them out" in first
    assert [line.split(":")[0] for line in rest] == ["b", "c", "d, turn 1"]
    assert with_audio([spoken, *bad], SOURCE, True, dropped) == [kept]
    assert dropped == {"audio is missing, empty or damaged": 3}


def test_manifests_point_at_the_audio_where_it_lies_even_through_links(tmp_path, wav):
    audio = wav(tmp_path / "disk" / "raw" / "a.wav")
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    write_corpus(Reading(SOURCE, {"train": [example(audio)]}), tmp_path / "link" / "out")
    (read,) = read_manifest(tmp_path / "link" / "out" / "train.jsonl")
    assert read.audio.resolve() == audio and read.audio.is_file()
    assert not list((tmp_path / "link" / "out").glob("*.wav"))


def test_what_a_reading_promises_is_checked_before_anything_is_replaced(tmp_path, wav):
    a, b = wav(tmp_path / "a.wav"), wav(tmp_path / "b.wav")
    splits = {"train": [example(a)], "test": [example(b, "b", "test")]}
    write_corpus(Reading(SOURCE, splits), tmp_path / "out")
    before = (tmp_path / "out" / "test.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"test.jsonl:1 \(b\): speaker 's1' of split 'test' is also in split 'train'"):
        write_corpus(Reading(SOURCE, splits, ("speaker",)), tmp_path / "out")
    assert (tmp_path / "out" / "test.jsonl").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    write_corpus(Reading(SOURCE, splits, ("speaker",), (("train",), ("test",))), tmp_path / "out")


def test_a_duplicate_id_or_an_empty_reading_is_refused(tmp_path, wav):
    a, b = wav(tmp_path / "a.wav"), wav(tmp_path / "b.wav")
    with pytest.raises(ValueError, match=r"train.jsonl:2 \(a\): duplicate id 'a'"):
        write_corpus(Reading(SOURCE, {"train": [example(a), example(b)]}), tmp_path / "out")
    with pytest.raises(ValueError, match=r"Toy: nothing is left to write; dropped: \{'label x': 2\}"):
        write_corpus(Reading(SOURCE, {"train": []}, dropped=Counter({"label x": 2})), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_names_source_licence_promise_and_every_loss(tmp_path, wav):
    reading = Reading(SOURCE, {"train": [example(wav(tmp_path / "a.wav"))]}, ("speaker",), (), Counter({"label x": 2}))
    reading.notes.append("twice recorded")
    card = write_corpus(reading, tmp_path / "out")
    for part in ("https://example.org/toy", "CC0", "disjoint: [speaker]", "sad 1", "- label x: 2", "twice recorded"):
        assert part in card
    assert (tmp_path / "out" / "CORPUS.md").read_text() == card


def test_when_nothing_is_left_the_message_says_what_was_found_and_what_was_expected(tmp_path, wav):
    (tmp_path / "raw" / "Angry").mkdir(parents=True)
    (tmp_path / "raw" / "Angry" / "a.aiff").write_bytes(b"FORM")
    reading = Reading(SOURCE, {"train": []}, root=tmp_path / "raw", layout="clips/*.wav")
    with pytest.raises(ValueError) as caught:
        write_corpus(reading, tmp_path / "out")
    message = str(caught.value)
    assert "nothing is left to write; dropped: nothing; found in " in message
    assert "Angry/a.aiff; expected clips/*.wav" in message


def test_a_name_no_file_can_hold_is_counted_and_not_a_traceback_at_the_end(tmp_path, wav):
    odd = wav(tmp_path / "a.wav").rename(tmp_path / b"\xff.wav".decode("utf-8", "surrogateescape"))
    kept = with_audio([example(odd), example(wav(tmp_path / "b.wav"), "b")], SOURCE, False, dropped := Counter())
    assert [e.id for e in kept] == ["b"]
    assert dropped == {"characters that can not be read (U+FFFD, control characters)": 1}


def test_the_card_says_which_files_need_conversion(tmp_path, wav):
    plain, other = wav(tmp_path / "a.wav"), tmp_path / "b.wav"
    soundfile.write(other, np.zeros((4410, 2)), 44_100)
    card = write_corpus(Reading(SOURCE, {"train": [example(plain)]}), tmp_path / "plain")
    assert "Audio files: 1 at 16000 Hz with 1 channel." in card and "convert" not in card
    spoken = replace(example(other, "b"), turns=(Turn("Hm.", plain),))
    card = write_corpus(Reading(SOURCE, {"train": [example(plain), spoken]}), tmp_path / "mixed")
    assert "Audio files: 2 at 16000 Hz with 1 channel, 1 at 44100 Hz with 2 channels." in card
    assert "`data.convert: true`" in card and "`cogrl evaluate --convert`" in card


def test_a_cut_file_is_no_clip_of_half_the_length(tmp_path, wav):
    path = wav(tmp_path / "a.wav", 0.5)
    path.write_bytes(path.read_bytes()[:-8000])
    with pytest.raises(ValueError, match=r"a: .*a.wav: is cut: holds 0.250 of the 0.500 s"):
        with_audio([example(path)], SOURCE, False, Counter())
