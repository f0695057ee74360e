"""MELD: the official lists and folders, video that must be extracted, two clips without media."""

import csv

import pytest
import soundfile

from cogrl.data.corpora import meld

HEAD = ["Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode"]
ROWS = {
    "train": [(0, 0, "joy", "Ross"), (0, 1, "sadness", "Ross"), (125, 3, "neutral", "Joey")],
    "dev": [(0, 0, "disgust", "Ross"), (110, 7, "neutral", "Phoebe")],
    "test": [(0, 0, "fear", "Mark"), (0, 1, "surprise", "Ross"), (1, 0, "anger", "Rachel")],
}
CLIPS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def corpus(root, wav, nested=True, extracted=True):
    for split, rows in ROWS.items():
        folder = root / split / CLIPS[split] if nested else root / CLIPS[split]
        table = root / split if nested and split == "train" else root
        folder.mkdir(parents=True)
        with (table / f"{split}_sent_emo.csv").open("w", newline="", encoding="cp1252") as file:
            writer = csv.writer(file)
            writer.writerow([*HEAD, "StartTime", "EndTime"])
            for number, (dialogue, utterance, emotion, speaker) in enumerate(rows):
                text = "Oh, it’s you, finally!"
                writer.writerow([number, text, speaker, emotion, "x", dialogue, utterance, 8, 21, "00:16:16,059", "…"])
                name = f"dia{dialogue}_utt{utterance}"
                if (split, name) == ("dev", "dia110_utt7"):
                    continue
                (folder / f"{name}.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom")
                if extracted and name != "dia125_utt3":
                    wav(folder / f"{name}.{'flac' if split == 'train' else 'wav'}", 0.1)
    return root


@pytest.mark.parametrize("nested", [True, False])
def test_official_splits_and_names_with_the_known_losses_counted(tmp_path, wav, written, nested):
    reading = meld.read(corpus(tmp_path / "raw" / "MELD.Raw", wav, nested).parent)
    assert reading.dropped == {"no usable media in the official archive": 2} and reading.disjoint == ()
    splits, card = written(reading)
    found = {name: [e.emotion for e in rows] for name, rows in splits.items()}
    assert found == {"train": ["happy", "sad"], "val": ["disgust"], "test": ["fear", "surprise", "anger"]}
    assert splits["train"][0].id == "meld-train-dia0_utt0" and splits["train"][0].audio.suffix == ".flac"
    assert splits["train"][0].text == "Oh, it’s you, finally!"
    assert splits["train"][0].speaker == splits["test"][1].speaker == "meld-Ross"
    assert "neither text_group nor speaker" in card and "disjoint: []" in card


def test_equal_words_are_one_text_group_across_the_splits(tmp_path, wav):
    splits = meld.read(corpus(tmp_path, wav)).splits
    assert len({e.text_group for rows in splits.values() for e in rows}) == 1


def test_video_alone_is_refused_with_the_command_that_extracts_it(tmp_path, wav):
    with pytest.raises(
        ValueError, match=r"train_splits holds video only; extract the audio: for f in .*train_splits/.*ffmpeg"
    ):
        meld.read(corpus(tmp_path, wav, extracted=False))


def test_what_is_missing_is_named(tmp_path, wav):
    with pytest.raises(FileNotFoundError, match=r"MELD: .*expected train_sent_emo.csv.*declare-lab/MELD"):
        meld.read(tmp_path)
    root = corpus(tmp_path / "MELD.Raw", wav)
    (root / "test" / CLIPS["test"] / "dia1_utt0.wav").unlink()
    with pytest.raises(ValueError, match=r"meld-test-dia1_utt0: .*dia1_utt0.flac: no such audio file"):
        meld.read(root)
    (root / "dev_sent_emo.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected .*dev_sent_emo.csv; the download is incomplete"):
        meld.read(root)
    reading = meld.read(root, partial=True)
    assert reading.splits["val"] == [] and len(reading.splits["test"]) == 2


def test_a_list_without_its_columns_and_an_unknown_label_are_named(tmp_path, wav):
    root = corpus(tmp_path, wav)
    table = root / "test_sent_emo.csv"
    table.write_text(table.read_text(encoding="cp1252").replace("surprise", "boredom"))
    assert meld.read(root).dropped["label boredom"] == 1
    table.write_text(table.read_text().replace("Dialogue_ID", "Dia"))
    with pytest.raises(ValueError, match=r"test_sent_emo.csv: has no column Dialogue_ID"):
        meld.read(root)


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_list_cut_in_mid_row_is_named_by_line_and_with_partial_counted(tmp_path, wav, cut):
    root = corpus(tmp_path, wav)
    table = root / "test_sent_emo.csv"
    lines = table.read_bytes().splitlines(keepends=True)
    table.write_bytes(b"".join(lines[:-1]) + b",".join(lines[-1].split(b",")[:cut]))
    with pytest.raises(ValueError, match=r"test_sent_emo\.csv:4: (has fewer columns|not CSV from here on)"):
        meld.read(root)
    reading = meld.read(root, partial=True)
    assert reading.dropped["row of a list is cut or damaged"] == 1 and len(reading.splits["test"]) == 2


def test_a_byte_that_no_encoding_knows_costs_its_clip_and_is_counted(tmp_path, wav, written):
    root = corpus(tmp_path / "MELD", wav)
    table = root / "test_sent_emo.csv"
    table.write_bytes(table.read_bytes().replace("it’s you".encode("cp1252"), b"it\x81s you", 1))
    splits, card = written(meld.read(root))
    assert len(splits["test"]) == 2 and "- characters that can not be read (U+FFFD, control characters): 1" in card


@pytest.mark.parametrize("name", ["val", "valid", "validation", "DEV"])
@pytest.mark.parametrize("suffix", [".WAV", ".mp3", ".Flac"])
def test_other_names_of_the_split_and_of_the_files_are_read(tmp_path, wav, name, suffix):
    root = corpus(tmp_path, wav, nested=False)
    (root / "dev_sent_emo.csv").rename(root / f"{name}_sent_emo.csv")
    folder = (root / CLIPS["dev"]).rename(root / f"{name}_splits_complete")
    for clip in folder.glob("*.wav"):
        samples, rate = soundfile.read(clip)
        kind = {".WAV": "WAV", ".mp3": "MP3", ".Flac": "FLAC"}[suffix]
        soundfile.write(clip.with_suffix(suffix), samples, rate, format=kind)
        clip.unlink()
    (example,) = meld.read(root).splits["val"]
    assert example.id == "meld-val-dia0_utt0" and example.audio == folder / f"dia0_utt0{suffix}"


def test_a_clip_that_is_there_twice_is_read_once_as_wav(tmp_path, wav):
    root = corpus(tmp_path, wav)
    clip = root / "test" / CLIPS["test"] / "dia0_utt0.wav"
    samples, rate = soundfile.read(clip)
    soundfile.write(clip.with_suffix(".mp3"), samples, rate, format="MP3")
    assert meld.read(root).splits["test"][0].audio == clip


def test_every_split_may_lie_in_a_folder_of_its_own(tmp_path, wav):
    root = corpus(tmp_path / "MELD.Raw", wav)
    for split in ("dev", "test"):
        (root / f"{split}_sent_emo.csv").rename(root / split / f"{split}_sent_emo.csv")
    assert {name: len(rows) for name, rows in meld.read(root).splits.items()} == {"train": 2, "val": 1, "test": 3}
