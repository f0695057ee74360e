"""ESD: both published folder forms, four encodings, speakers held out."""

from collections import Counter

import pytest

from cogrl.data.corpora import esd

EMOTIONS = {"Neutral": 0, "Angry": 1, "Happy": 2, "Sad": 3, "Surprise": 4}
ENCODINGS = {"0011": "utf-8", "0012": "utf-16", "0013": "cp1252", "0001": "gb2312", "0002": "utf-16", "0003": "utf-8"}


def corpus(root, wav, speakers=range(1, 21), sentences=(1, 2), nested=("0012",)):
    """Speakers with two sentences in five emotions, numbered as ESD numbers them."""
    for number in speakers:
        speaker, lines = f"{number:04d}", []
        for label, block in EMOTIONS.items():
            for sentence in sentences:
                name = f"{speaker}_{350 * block + sentence:06d}"
                below = "train" if speaker in nested else ""
                wav(root / speaker / label / below / f"{name}.wav", 0.05)
                text = f"这是第{sentence}句。" if number <= 10 else f"It’s sentence {sentence}."
                gap = " " if sentence == 2 and speaker == "0014" else "\t"
                lines.append(f"{name}{gap}{text}\t{'中立' if number <= 10 else label}")
        encoding = ENCODINGS.get(speaker, "utf-8")
        (root / speaker / f"{speaker}.txt").write_bytes("\r\n".join(lines).encode(encoding))
    (root / "ReadMe.txt").write_text("…")
    return root


@pytest.fixture
def english(tmp_path, wav):
    return corpus(tmp_path / "ESD" / "Emotion Speech Dataset", wav, range(11, 21))


def test_the_whole_corpus_is_read_whatever_the_form_and_the_encoding(tmp_path, wav, written):
    reading = esd.read(corpus(tmp_path / "ESD", wav))
    assert not reading.dropped and reading.disjoint == ("speaker",)
    splits, _ = written(reading)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 160, "val": 20, "test": 20}
    assert {e.speaker for e in splits["test"]} == {"esd-0010", "esd-0020"}
    assert {e.speaker for e in splits["val"]} == {"esd-0009", "esd-0019"}
    texts = {(e.language, e.text) for e in splits["train"]}
    assert texts == {
        (lang, text.format(n)) for lang, text in (("zh", "这是第{}句。"), ("en", "It’s sentence {}.")) for n in (1, 2)
    }
    labels = {(e.id[-6:], e.emotion) for e in splits["train"]}
    assert ("000351", "anger") in labels and ("001402", "surprise") in labels and ("000001", "neutral") in labels
    assert Counter(e.emotion for e in splits["test"]) == dict.fromkeys(esd.LABELS.values(), 4)
    assert all(e.duration_s == 0.05 and "research" in e.licence and "github.com" in e.source for e in splits["test"])


def test_one_sentence_is_one_text_group_with_all_emotions_of_all_speakers(english, written):
    splits, _ = written(esd.read(english.parent, languages=("en",)))
    groups = {}
    for e in splits["train"]:
        groups.setdefault(e.text_group, set()).add((e.speaker, e.emotion))
    assert len(groups) == 2 and all(len(members) == 8 * 5 for members in groups.values())


def test_test_speakers_keep_the_first_sentences_in_every_emotion(english):
    reading = esd.read(english, languages=("en",), test_texts=1)
    assert Counter(e.emotion for e in reading.splits["test"]) == dict.fromkeys(esd.LABELS.values(), 1)
    assert reading.dropped == {"test speakers: beyond the first 1 sentences": 5}
    assert len(reading.splits["train"]) == 80


def test_the_speakers_of_the_splits_are_the_ones_asked_for(english):
    reading = esd.read(english, ("en",), val_speakers=("0011",), test_speakers=("0012", "0013"))
    assert {e.speaker for e in reading.splits["val"]} == {"esd-0011"}
    assert {e.speaker for e in reading.splits["test"]} == {"esd-0012", "esd-0013"}
    assert len(reading.splits["train"]) == 70


def test_missing_speakers_and_emotions_are_named_or_counted(english):
    with pytest.raises(FileNotFoundError, match=r"ESD: expected .*0001/0001.txt, .* and 55 more.*github.com/HLTSing"):
        esd.read(english)
    for clip in (english / "0015" / "Happy").iterdir():
        clip.unlink()
    (english / "0015" / "Happy").rmdir()
    with pytest.raises(FileNotFoundError, match=r"expected .*0015/Happy; the download is incomplete.*--partial"):
        esd.read(english, ("en",))
    reading = esd.read(english, ("en",), partial=True)
    assert reading.dropped == {"folder or list is missing": 1} and len(reading.splits["train"]) == 78


def test_clips_without_text_or_with_other_names_are_counted(english, wav):
    wav(english / "0011" / "Sad" / "0011_001450.wav")
    wav(english / "0011" / "Sad" / "take2.wav")
    assert esd.read(english, ("en",)).dropped == {"no transcript": 1, "file name is not <speaker>_<6 digits>": 1}


def test_a_damaged_clip_is_named(english):
    (english / "0011" / "Sad" / "0011_001051.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match=r"esd-0011_001051: .*cannot be decoded"):
        esd.read(english, ("en",))
    assert esd.read(english, ("en",), partial=True).dropped == {"audio is missing, empty or damaged": 1}


def test_an_unknown_language_is_refused(english):
    with pytest.raises(ValueError, match="ESD has no language 'fr'; available: zh, en"):
        esd.read(english, ("fr",))


def test_other_spellings_of_folders_suffixes_and_lists_are_read(english):
    for clip in list(english.rglob("*.wav")):
        clip.rename(clip.with_suffix(".WAV"))
    (english / "0011" / "Angry").rename(english / "0011" / "angry")
    (english / "0011" / "0011.txt").rename(english / "0011" / "0011.TXT")
    reading = esd.read(english, ("en",))
    assert not reading.dropped and sum(map(len, reading.splits.values())) == 100


def test_a_folder_without_any_audio_is_not_passed_over(english):
    for clip in (english / "0015" / "Happy").iterdir():
        clip.rename(clip.with_suffix(".m4a"))
    with pytest.raises(FileNotFoundError, match=r"expected .*0015/Happy; the download is incomplete"):
        esd.read(english, ("en",))
    assert esd.read(english, ("en",), partial=True).dropped == {"folder or list is missing": 1}
