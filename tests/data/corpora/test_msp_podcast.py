"""MSP-Podcast: columns by name, official partitions, what has no label or no words."""

import csv

import pytest

from cogrl.data.corpora import msp_podcast

HEAD = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]
ROWS = [
    ("A", 7, 1, 4, "1", "Train"),
    ("H", 4, 7, 1, "Unknown", "Train"),
    ("N", 4, 4, 4, "Unknown", "Train"),
    ("X", 4, 4, 4, "1", "Train"),
    ("C", 4, 4, 4, "1", "Train"),
    ("O", 4, 4, 4, "1", "Train"),
    ("U", 4, 4, 4, "2", "Development"),
    ("F", 4, 4, 4, "3", "Test1"),
    ("D", 4, 4, 4, "3", "Test2"),
    ("S", 4, 4, 4, "4", "Test3"),
]


def corpus(root, wav, rows=ROWS, head=HEAD):
    for folder in ("Labels", "Audios", "Transcripts"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    with (root / "Labels" / "labels_consensus.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for number, (label, act, val, dom, speaker, split) in enumerate(rows):
            name = f"MSP-PODCAST_0001_{number:04d}"
            record = dict(zip(HEAD, (f"{name}.wav", label, act, val, dom, speaker, "Male", split), strict=True))
            writer.writerow([record[key] for key in head if key in record])
            wav(root / "Audios" / f"{name}.wav", 0.1)
            (root / "Transcripts" / f"{name}.txt").write_text(f"So, number {number}.\n")
    return root


def test_official_partitions_and_labels_with_every_loss_counted(tmp_path, wav, written):
    reading = msp_podcast.read(corpus(tmp_path / "MSP", wav))
    assert reading.dropped == {"label X": 1, "label C": 1, "label O": 1, "partition Test3": 1}
    assert reading.disjoint == ("speaker",) and not reading.notes
    splits, card = written(reading)
    found = {name: [e.emotion for e in rows] for name, rows in splits.items()}
    assert found == {
        "train": ["anger", "happy", "neutral"],
        "val": ["surprise"],
        "test1": ["fear"],
        "test2": ["disgust"],
    }
    assert splits["test1"][0].speaker == splits["test2"][0].speaker == "msp-3"
    assert splits["train"][0].text == "So, number 0." and "partition Test3: 1" in card


@pytest.mark.parametrize("order", [HEAD, [HEAD[0], HEAD[1], "EmoDom", "EmoVal", "EmoAct", *HEAD[5:]]])
def test_ratings_are_read_by_the_names_of_their_columns(tmp_path, wav, order):
    first = msp_podcast.read(corpus(tmp_path, wav, head=order)).splits["train"][0]
    assert (first.valence, first.arousal, first.dominance) == (-1, 1, 0)


def test_unidentified_speakers_are_not_one_person(tmp_path, wav):
    train = msp_podcast.read(corpus(tmp_path, wav)).splits["train"]
    assert len({e.speaker for e in train}) == 3


def test_partitions_that_share_a_speaker_promise_nothing_and_say_so(tmp_path, wav, written):
    reading = msp_podcast.read(corpus(tmp_path / "MSP", wav, [*ROWS, ("S", 4, 4, 4, "1", "Test1")]))
    assert reading.disjoint == () and "share speakers" in reading.notes[0]
    assert len(written(reading)[0]["test1"]) == 2


def test_a_clip_without_a_transcript_is_counted_and_a_rating_off_the_scale_left_out(tmp_path, wav):
    root = corpus(tmp_path, wav, [("A", 0.5, 1, 4, "1", "Train"), *ROWS[1:]])
    (root / "Transcripts" / "MSP-PODCAST_0001_0001.txt").unlink()
    reading = msp_podcast.read(root)
    assert reading.dropped["no transcript"] == 1 and len(reading.splits["train"]) == 2
    assert reading.splits["train"][0].arousal is None
    assert reading.dropped["rating outside 1-7 (the clip is kept without it)"] == 1


def test_what_is_missing_or_misshapen_is_named(tmp_path, wav):
    with pytest.raises(FileNotFoundError, match=r"MSP-Podcast: .*expected Labels/labels_consensus.csv.*lab-msp.com"):
        msp_podcast.read(tmp_path)
    root = corpus(tmp_path / "MSP", wav, head=[name for name in HEAD if name != "EmoDom"])
    with pytest.raises(ValueError, match=r"labels_consensus.csv: has no column EmoDom; expected FileName"):
        msp_podcast.read(root)
    corpus(root, wav)
    table = root / "Labels" / "labels_consensus.csv"
    table.write_text(table.read_text() + "MSP-PODCAST_0009_0001.wav,A,4\n")
    with pytest.raises(ValueError, match=rf"labels_consensus.csv:{len(ROWS) + 2}: has fewer columns"):
        msp_podcast.read(root)
    corpus(root, wav)
    (root / "Audios" / "MSP-PODCAST_0001_0007.wav").unlink()
    with pytest.raises(ValueError, match=r"MSP-PODCAST_0001_0007: .*no such audio file"):
        msp_podcast.read(root)
    assert msp_podcast.read(root, partial=True).splits["test1"] == []
    (root / "Transcripts").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=r"expected .*Transcripts; the download is incomplete"):
        msp_podcast.read(root)


def test_transcripts_in_cp1252_are_decoded_and_unknown_bytes_counted_never_kept(tmp_path, wav, written):
    root = corpus(tmp_path / "MSP", wav)
    (root / "Transcripts" / "MSP-PODCAST_0001_0000.txt").write_bytes("It’s – “fine”.".encode("cp1252"))
    (root / "Transcripts" / "MSP-PODCAST_0001_0001.txt").write_bytes(b"It\x81s fine.")
    reading = msp_podcast.read(root)
    assert [e.text for e in reading.splits["train"]] == ["It’s – “fine”.", "So, number 2."]
    splits, card = written(reading)
    assert "characters that can not be read (U+FFFD, control characters): 1" in card
    assert "\ufffd" not in "".join(e.text for rows in splits.values() for e in rows)


def test_a_list_in_another_encoding_or_spelling_is_read(tmp_path, wav):
    root = corpus(tmp_path, wav)
    table = root / "Labels" / "labels_consensus.csv"
    text = table.read_text().replace("Development", "dev").replace("Train", "train").replace(".wav", ".WAV")
    table.write_bytes(text.encode("utf-16"))
    (root / "Audios").rename(root / "audios")
    splits = msp_podcast.read(root).splits
    assert [len(splits[name]) for name in ("train", "val", "test1", "test2")] == [3, 1, 1, 1]


def test_a_row_that_is_cut_is_counted_with_partial(tmp_path, wav):
    root = corpus(tmp_path, wav)
    table = root / "Labels" / "labels_consensus.csv"
    table.write_text(table.read_text() + "MSP-PODCAST_0009_0001.wav,A,4\n")
    reading = msp_podcast.read(root, partial=True)
    assert reading.dropped["row of the list is cut or damaged"] == 1 and len(reading.splits["train"]) == 3
