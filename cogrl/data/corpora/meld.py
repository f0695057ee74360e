"""MELD: utterances of the series Friends, labelled in context by people who saw the scene.

Source: https://github.com/declare-lab/MELD (arXiv:1810.02508), archive MELD.Raw.tar.gz. Licence: GPL-3.0 of the
repository; the clips are from a television series. Layout, from the official readme and public loaders:

    <raw>/train/train_sent_emo.csv (or <raw>/train_sent_emo.csv), <raw>/dev_sent_emo.csv, <raw>/test_sent_emo.csv
        columns Utterance, Speaker, Emotion, Dialogue_ID, Utterance_ID by name
    <raw>/train_splits/, <raw>/dev_splits_complete/, <raw>/output_repeated_splits_test/, each also below train/, dev/,
        test/: dia<Dialogue_ID>_utt<Utterance_ID>.mp4

Clips are mp4 video, which cogrl does not decode: extract the audio beside them first,

    for f in */*.mp4; do ffmpeg -i "$f" -ac 1 -ar 16000 "${f%.mp4}.flac"; done

Labels: joy and sadness become happy and sad, the other five keep their names. Two clips of the official archive have no
usable media, train dia125_utt3 (damaged) and dev dia110_utt7 (absent); they are dropped and counted.
Splits: the official ones, dev -> val. They share speakers (the six friends) and words ("Yeah.").
"""

import csv
import io
from pathlib import Path

from cogrl.data.corpora.corpus import Reading, Source, decoded, require, same_words, with_audio, within
from cogrl.types import Emotion, Example

SOURCE = Source("MELD", "https://github.com/declare-lab/MELD", "GPL-3.0 (annotations); clips of a television series")
LABELS: dict[str, Emotion] = {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprise",
}
SPLITS = {
    "train": ("train", "train_splits"),
    "val": ("dev", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}
WITHOUT_MEDIA = {("train", "dia125_utt3"), ("val", "dia110_utt7")}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
_EXTRACT = 'for f in {folder}/*.mp4; do ffmpeg -i "$f" -ac 1 -ar 16000 "${{f%.mp4}}.flac"; done'


def read(raw: Path, partial: bool = False) -> Reading:
    """The corpus in its official splits.

    Raises FileNotFoundError for a missing list or folder, and ValueError for folders that hold only video, with the
    command that extracts the audio, for lists without the columns above, or for clips that can not be read.
    """
    expected = "train_sent_emo.csv (or train/train_sent_emo.csv), dev_sent_emo.csv, test_sent_emo.csv and clip folders"
    root = within(raw, "*_sent_emo.csv", SOURCE, expected)
    reading = Reading(SOURCE, {name: [] for name in SPLITS})
    missing: list[Path] = []
    found: list[Example] = []
    for split, (official, clips) in SPLITS.items():
        table = _first(root / f"{official}_sent_emo.csv", root / official / f"{official}_sent_emo.csv")
        folder = _first(root / clips, root / official / clips)
        absent = [path for path in (table, folder) if not path.exists()]
        missing += absent
        found += [] if absent else _split(split, table, folder, reading)
    require(missing, SOURCE, partial, reading.dropped)
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    return reading


def _first(*paths: Path) -> Path:
    return next((path for path in paths if path.exists()), paths[0])


def _split(split: str, table: Path, folder: Path, reading: Reading) -> list[Example]:
    audio = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".wav", ".flac")}
    if not audio and any(folder.glob("*.mp4")):
        raise ValueError(f"MELD: {folder} holds video only; extract the audio: {_EXTRACT.format(folder=folder)}")
    rows = csv.DictReader(io.StringIO(decoded(table.read_bytes(), "cp1252"), newline=""))
    absent = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
    if absent:
        raise ValueError(f"{table}: has no column {', '.join(absent)}; expected {', '.join(_COLUMNS)}")
    return [example for row in rows if (example := _example(row, split, folder, audio, reading)) is not None]


def _example(row: dict[str, str], split: str, folder: Path, audio: dict[str, Path], reading: Reading) -> Example | None:
    name, text = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}", row["Utterance"].strip()
    emotion = LABELS.get(row["Emotion"].strip().lower())
    reason = None
    if (split, name) in WITHOUT_MEDIA:
        reason = "no usable media in the official archive"
    elif emotion is None:
        reason = f"label {row['Emotion']}"
    elif not text:
        reason = "no transcript"
    if reason is not None:
        reading.dropped[reason] += 1
        return None
    return Example(
        id=f"meld-{split}-{name}",
        audio=audio.get(name, folder / f"{name}.flac"),
        split=split,
        text=text,
        text_group=same_words(text),
        speaker=f"meld-{row['Speaker'].strip()}",
        emotion=emotion,
        language="en",
        source=f"MELD {SOURCE.url}",
        licence=SOURCE.licence,
    )
