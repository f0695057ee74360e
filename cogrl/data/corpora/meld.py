"""MELD: utterances of the series Friends, labelled in context by people who saw the scene.

Source: https://github.com/declare-lab/MELD (arXiv:1810.02508), archive MELD.Raw.tar.gz. Licence: GPL-3.0 of the
repository; the clips are from a television series. Layout, from the official readme and public loaders:

    <raw>/train/train_sent_emo.csv (or <raw>/train_sent_emo.csv), <raw>/dev_sent_emo.csv, <raw>/test_sent_emo.csv
        columns Utterance, Speaker, Emotion, Dialogue_ID, Utterance_ID by name; val or valid for dev are read, too
    <raw>/train_splits/, <raw>/dev_splits_complete/, <raw>/output_repeated_splits_test/, each also below train/, dev/,
        test/: dia<Dialogue_ID>_utt<Utterance_ID>.mp4

Clips are mp4 video, which cogrl does not decode: extract the audio beside them first,

    for f in */*.mp4; do ffmpeg -i "$f" -ac 1 -ar 16000 "${f%.mp4}.flac"; done

Labels: joy and sadness become happy and sad, the other five keep their names. Two clips of the official archive have no
usable media, train dia125_utt3 (damaged) and dev dia110_utt7 (absent); they are dropped and counted.
Splits: the official ones, dev -> val. They share speakers (the six friends) and words ("Yeah.").
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cogrl.data.corpora.corpus import Reading, Source, leaving_out, require, same_words, with_audio, within
from cogrl.data.corpora.layout import VALIDATION, clips, named
from cogrl.data.table import read_table
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
    "train": (("train",), ("train_splits",)),
    "val": (VALIDATION, ("dev_splits_complete",)),
    "test": (("test",), ("output_repeated_splits_test",)),
}
"""Names of the split and of its clip folder; `<name>_splits` and `<name>_splits_complete` are looked for, too."""
WITHOUT_MEDIA = {("train", "dia125_utt3"), ("val", "dia110_utt7")}
_COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
Row = Mapping[str, str]
_EXTRACT = 'for f in {folder}/*.[mM][pP]4; do ffmpeg -i "$f" -ac 1 -ar 16000 "${{f%.*}}.flac"; done'


def read(raw: Path, partial: bool = False) -> Reading:
    """The corpus in its official splits.

    Raises FileNotFoundError for a missing list or folder, and ValueError for folders that hold only video, with the
    command that extracts the audio, for lists without the columns above, or for clips that can not be read.
    """
    expected = "train_sent_emo.csv (or train/train_sent_emo.csv), dev_sent_emo.csv, test_sent_emo.csv and clip folders"
    root = within(raw, "*_sent_emo.csv", SOURCE, expected)
    if root != Path(raw).resolve() and root.name.lower() in ("train", "test", *VALIDATION):
        root = root.parent
    reading = Reading(SOURCE, {name: [] for name in SPLITS}, root=root, layout=expected)
    missing: list[Path] = []
    found: list[Example] = []
    for split, (names, folders) in SPLITS.items():
        spelt = [*folders, *(f"{name}{end}" for name in names for end in ("_splits_complete", "_splits"))]
        table = _in_either(root, names, [f"{name}_sent_emo.csv" for name in names])
        folder = _in_either(root, names, spelt)
        missing += [root / name for name, path in ((f"{names[0]}_sent_emo.csv", table), (spelt[0], folder)) if not path]
        if table and folder:
            refuse = leaving_out("row of a list is cut or damaged", partial, reading.dropped)
            found += _split(split, read_table(table, _COLUMNS, refuse), folder, reading)
    require(missing, SOURCE, partial, reading.dropped)
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    return reading


def _in_either(root: Path, folders: Sequence[str], names: Sequence[str]) -> Path | None:
    """What has one of the `names` in `root`, else in the folder of the split."""
    inner = named(root, *folders)
    return named(root, *names) or (named(inner, *names) if inner else None)


def _split(split: str, rows: Iterable[tuple[str, Row]], folder: Path, reading: Reading) -> Iterator[Example]:
    audio = {path.stem: path for path in clips(folder)}
    if not audio and any(path.suffix.lower() == ".mp4" for path in folder.iterdir()):
        extract = _EXTRACT.format(folder=shlex.quote(str(folder)))
        raise ValueError(f"MELD: {folder} holds video only; extract the audio: {extract}")
    return filter(None, (_example(row, split, folder, audio, reading) for _, row in rows))


def _example(row: Row, split: str, folder: Path, audio: dict[str, Path], reading: Reading) -> Example | None:
    name = f"dia{row['Dialogue_ID'].strip()}_utt{row['Utterance_ID'].strip()}"
    text = row["Utterance"].strip()
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
