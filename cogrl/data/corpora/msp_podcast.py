"""MSP-Podcast: spontaneous speech from podcasts, rated by listeners in classes and dimensions.

Source: https://www.lab-msp.com/MSP/MSP-Podcast.html (arXiv:2509.09791). Licence: academic, on a signed agreement.
16 kHz mono. Layout, from the readme of release 1.12:

    <raw>/Labels/labels_consensus.csv     FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
                                          activation, valence, dominance: columns by name, each from 1 to 7
    <raw>/Audios/MSP-PODCAST_0001_0008.wav
    <raw>/Transcripts/MSP-PODCAST_0001_0008.txt

Labels: A S H U F D N; C (contempt), O (other) and X (no agreement) are dropped and counted, as are clips without a
transcript (about 3,200 of release 1.12) and Test3, whose labels are not published.
Splits: the official ones, Train -> train, Development (Validation in old releases) -> val, Test1 -> test1, Test2 ->
test2. Train, val and one test set share no speaker; test1 and test2 do share some. The audeering encoder of RE-LLM was
trained on release 1.7: its scores here are contaminated.
"""

from collections.abc import Mapping
from pathlib import Path

from cogrl.data.corpora.corpus import (
    Reading,
    Source,
    leaving_out,
    require,
    rescaled,
    same_words,
    transcript,
    with_audio,
    within,
)
from cogrl.data.corpora.layout import VALIDATION, clip_at, named
from cogrl.data.table import read_table
from cogrl.types import Emotion, Example

SOURCE = Source("MSP-Podcast", "https://www.lab-msp.com/MSP/MSP-Podcast.html", "academic, on a signed agreement")
LABELS: dict[str, Emotion] = {
    "A": "anger",
    "S": "sad",
    "H": "happy",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "N": "neutral",
}
SPLITS = {"train": "train", "test1": "test1", "test2": "test2"} | dict.fromkeys(VALIDATION, "val")
"""By the name of the partition in lower case."""
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Split_Set")


def read(raw: Path, partial: bool = False) -> Reading:
    """The corpus in its official partitions; train, val and one of the two test sets share no speaker.

    Raises FileNotFoundError for a missing list or folder, and ValueError for a list without the columns above, for rows
    that are cut, or for clips that can not be read; `partial` leaves out rows, clips and transcripts, not the list.
    """
    expected = "Labels/labels_consensus.csv, Audios/ and Transcripts/"
    root = within(raw, "Labels/labels_consensus.csv", SOURCE, expected)
    together = (("train", "val", "test1"), ("train", "val", "test2"))
    splits = {name: [] for name in ("train", "val", "test1", "test2")}
    reading = Reading(SOURCE, splits, ("speaker",), together, root=root, layout=expected)
    labels, audios, transcripts = (named(root, name) or root / name for name in ("Labels", "Audios", "Transcripts"))
    require([folder for folder in (audios, transcripts) if not folder.is_dir()], SOURCE, partial, reading.dropped)
    refuse = leaving_out("row of the list is cut or damaged", partial, reading.dropped)
    rows = read_table(named(labels, "labels_consensus.csv"), COLUMNS, refuse)
    found = (_example(row, audios, transcripts, reading) for _, row in rows)
    for example in with_audio(filter(None, found), SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    speakers = {name: {example.speaker for example in rows} for name, rows in reading.splits.items()}
    if any(speakers["train"] & speakers[name] for name in ("val", "test1", "test2")) or any(
        speakers["val"] & speakers[name] for name in ("test1", "test2")
    ):
        reading.disjoint = ()
        reading.notes.append("the official partitions of this release share speakers beyond the two test sets")
    return reading


def _example(row: Mapping[str, str], audios: Path, transcripts: Path, reading: Reading) -> Example | None:
    name = Path(row["FileName"].strip()).stem
    split, emotion = SPLITS.get(row["Split_Set"].strip().lower()), LABELS.get(row["EmoClass"].strip().upper())
    text = transcript(transcripts / f"{name}.txt").strip()
    reason = None
    if split is None:
        reason = f"partition {row['Split_Set']}"
    elif emotion is None:
        reason = f"label {row['EmoClass']}"
    elif not text:
        reason = "no transcript"
    if reason is not None:
        reading.dropped[reason] += 1
        return None
    arousal, valence, dominance = (rescaled(row[name], 1, 7) for name in ("EmoAct", "EmoVal", "EmoDom"))
    if None in (valence, arousal, dominance):
        reading.dropped["rating outside 1-7 (the clip is kept without it)"] += 1
    # Each clip of an unidentified speaker counts as a speaker of its own: two need not be the same person.
    speaker = row["SpkrID"] if row["SpkrID"] != "Unknown" else f"unknown-{name}"
    return Example(
        id=name,
        audio=clip_at(audios / row["FileName"].strip()),
        split=str(split),
        text=text,
        text_group=same_words(text),
        speaker=f"msp-{speaker}",
        emotion=emotion,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        language="en",
        source=f"MSP-Podcast {SOURCE.url}",
        licence=SOURCE.licence,
    )
