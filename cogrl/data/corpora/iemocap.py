"""IEMOCAP: ten actors in five dyadic sessions, scripted and improvised, labelled by listeners.

Source: https://sail.usc.edu/iemocap/ (Busso et al. 2008, doi:10.1007/s10579-008-9076-6). Licence: research only, on a
signed form. 16 kHz mono. Layout, as the release and public loaders have it:

    <raw>/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt
        [6.2901 - 8.2357] <tab> Ses01F_impro01_F000 <tab> neu <tab> [2.5000, 2.5000, 2.5000]
        the mean ratings are valence, activation, dominance, in this order, from 1 to 5
    <raw>/Session1/dialog/transcriptions/Ses01F_impro01.txt
        Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
    <raw>/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav

Labels: by default the four classes of the literature, excitement counted as happy (5,531 clips); `FOUR` and `SEVEN`
say what each code becomes, every other code is dropped and counted.
Splits: by session, so by speaker; test session 5 (as in RE-LLM, arXiv:2602.10716), val session 4. Scripted scenes are
played in every session, so splits share texts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
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
from cogrl.data.corpora.layout import clip_at, files
from cogrl.types import Emotion, Example

SOURCE = Source("IEMOCAP", "https://sail.usc.edu/iemocap/iemocap_release.htm", "research only, on a signed form")
FOUR: dict[str, Emotion] = {"ang": "anger", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"}
SEVEN: dict[str, Emotion] = FOUR | {"fea": "fear", "sur": "surprise", "dis": "disgust"}
_SESSIONS = range(1, 6)
_RATING = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\S+)\t(\w+)\t\[([^,\]]+), ([^,\]]+), ([^,\]]+)\]")
_LINE = re.compile(r"^(Ses\w+) \[[\d.]+-[\d.]+\]: *(.*)$", re.M)


def read(
    raw: Path,
    test_session: int = 5,
    val_session: int = 4,
    labels: Mapping[str, Emotion] = FOUR,
    partial: bool = False,
) -> Reading:
    """The corpus, split by session.

    Raises FileNotFoundError for a session or one of its three folders that is missing, and ValueError for clips that
    can not be read, unless `partial`.
    """
    if test_session == val_session or not {test_session, val_session} <= set(_SESSIONS):
        raise ValueError(f"test session {test_session} and val session {val_session} must be two of 1 to 5")
    expected = "the folders Session1 to Session5"
    root = within(raw, "Session[1-5]", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": [], "test": []}, ("speaker",), root=root, layout=expected)
    parts = ("dialog/EmoEvaluation", "dialog/transcriptions", "sentences/wav")
    folders = [root / f"Session{number}" / part for number in _SESSIONS for part in parts]
    require([folder for folder in folders if not folder.is_dir()], SOURCE, partial, reading.dropped)
    owner = {test_session: "test", val_session: "val"}
    refuse = leaving_out("line of EmoEvaluation is cut or damaged", partial, reading.dropped)
    found = [
        example
        for number in _SESSIONS
        for example in _session(root / f"Session{number}", owner.get(number, "train"), labels, reading, refuse)
    ]
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    return reading


def _session(
    folder: Path, split: str, labels: Mapping[str, Emotion], reading: Reading, refuse: Callable[[str], None]
) -> Iterator[Example]:
    texts: dict[str, str] = {}
    for path in _dialogs(folder / "dialog/transcriptions"):
        texts |= dict(_LINE.findall(transcript(path)))
    for path in _dialogs(folder / "dialog/EmoEvaluation"):
        for name, code, *ratings in _ratings(path, refuse):
            text = texts.get(name, "").strip()
            if code not in labels:
                reading.dropped[f"label {code}"] += 1
            elif not text:
                reading.dropped["no transcript"] += 1
            else:
                valence, arousal, dominance = (rescaled(rating, 1, 5) for rating in ratings)
                if None in (valence, arousal, dominance):
                    reading.dropped["rating outside 1-5 (the clip is kept without it)"] += 1
                yield Example(
                    id=f"iemocap-{name}",
                    audio=clip_at(folder / "sentences/wav" / path.stem / f"{name}.wav"),
                    split=split,
                    text=text,
                    text_group=same_words(text),
                    speaker=f"iemocap-{name[:5]}{name.rsplit('_', 1)[1][0]}",
                    emotion=labels[code],
                    valence=valence,
                    arousal=arousal,
                    dominance=dominance,
                    language="en",
                    source=f"IEMOCAP {SOURCE.url}",
                    licence=SOURCE.licence,
                )


def _dialogs(folder: Path) -> list[Path]:
    return [path for path in files(folder, ".txt") if path.name.startswith("Ses")]


def _ratings(path: Path, refuse: Callable[[str], None]) -> Iterator[tuple[str, ...]]:
    """Utterance, code and three ratings of each line that begins with a time; the other lines are single raters'."""
    for number, line in enumerate(transcript(path).split("\n"), start=1):
        found = _RATING.match(line)
        if found:
            yield found.groups()
        elif line.startswith("["):
            refuse(f"{path}:{number}: an utterance has time, name, code and three ratings, got {line[:80]!r}")
