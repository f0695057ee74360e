"""ESD, the Emotional Speech Dataset: 20 speakers read 350 parallel sentences with five acted emotions.

Source: https://github.com/HLTSingapore/Emotional-Speech-Data (arXiv:2105.14762). Licence: research only, on a signed
form. 16 kHz mono. Layout, as public loaders of the archive describe it; both forms of the first line occur:

    <raw>/0011/Angry/0011_000351.wav      or      <raw>/0011/Angry/{train,evaluation,test}/0011_000351.wav
    <raw>/0011/0011.txt                   id <tab> text <tab> emotion, sometimes with a space for the first tab;
                                          UTF-8, UTF-16, GB 2312 or Latin-1, by speaker

Speakers 0001-0010 speak Mandarin, 0011-0020 English. Clip n of a speaker reads sentence (n - 1) % 350. The emotion is
the folder's: the third column of the lists is partly Chinese.
Splits: by speaker, test 0010 and 0020 (CogAudio-LLM, arXiv:2606.06940, tests on 1,000 clips of two held-out speakers
and does not name them), val 0009 and 0019. Of a test speaker only the first `test_texts` sentences are kept, each with
all five emotions. The splits share sentences: every speaker reads the same ones.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from cogrl.data.corpora.corpus import Reading, Source, require, same_words, transcript, with_audio, within
from cogrl.data.corpora.layout import clips, named
from cogrl.types import Emotion, Example

SOURCE = Source(
    "ESD",
    "https://github.com/HLTSingapore/Emotional-Speech-Data",
    "research only, on a signed licence form",
)
LABELS: dict[str, Emotion] = {
    "Angry": "anger",
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Surprise": "surprise",
}
_SENTENCES = 350
_LANGUAGES = {"zh": range(1, 11), "en": range(11, 21)}
_LEGACY = {"zh": "gb18030", "en": "cp1252"}


def read(
    raw: Path,
    languages: Sequence[str] = ("zh", "en"),
    val_speakers: Sequence[str] = ("0009", "0019"),
    test_speakers: Sequence[str] = ("0010", "0020"),
    test_texts: int = 100,
    partial: bool = False,
) -> Reading:
    """The corpus, split by speaker.

    Raises FileNotFoundError for a speaker, emotion folder or list that is missing, and ValueError for clips that can
    not be read, unless `partial`.
    """
    unknown = [language for language in languages if language not in _LANGUAGES]
    if unknown:
        raise ValueError(f"ESD has no language {unknown[0]!r}; available: {', '.join(_LANGUAGES)}")
    expected = "a folder for each speaker, 0001 to 0020, such as 0011/Angry/*.wav"
    root = within(raw, "00[012][0-9]", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": [], "test": []}, ("speaker",), root=root, layout=expected)
    owner = dict.fromkeys(val_speakers, "val") | dict.fromkeys(test_speakers, "test")
    missing: list[Path] = []
    found: list[Example] = []
    for language in languages:
        for speaker in (f"{number:04d}" for number in _LANGUAGES[language]):
            there = {name: named(root / speaker, name) for name in (f"{speaker}.txt", *LABELS)}
            empty = [label for label in LABELS if there[label] and not clips(there[label], below=True)]
            missing += [root / speaker / name for name, path in there.items() if path is None or name in empty]
            found += _speaker(root / speaker, language, owner.get(speaker, "train"), test_texts, reading.dropped)
    require(missing, SOURCE, partial, reading.dropped)
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        reading.splits[example.split].append(example)
    return reading


def _speaker(folder: Path, language: str, split: str, test_texts: int, dropped: Counter[str]) -> Iterator[Example]:
    texts = transcripts(named(folder, f"{folder.name}.txt"), language)
    for label, emotion in LABELS.items():
        inner = named(folder, label)
        for audio in clips(inner, below=True) if inner else ():
            number = re.fullmatch(rf"{folder.name}_(\d{{6}})", audio.stem)
            if number is None:
                dropped["file name is not <speaker>_<6 digits>"] += 1
            elif audio.stem not in texts:
                dropped["no transcript"] += 1
            elif split == "test" and (int(number[1]) - 1) % _SENTENCES >= test_texts:
                dropped[f"test speakers: beyond the first {test_texts} sentences"] += 1
            else:
                yield Example(
                    id=f"esd-{audio.stem}",
                    audio=audio,
                    split=split,
                    text=texts[audio.stem],
                    text_group=same_words(texts[audio.stem]),
                    speaker=f"esd-{folder.name}",
                    emotion=emotion,
                    language=language,
                    source=f"ESD {SOURCE.url}",
                    licence=SOURCE.licence,
                )


def transcripts(path: Path | None, language: str) -> dict[str, str]:
    """Text by utterance id; empty when there is no list."""
    content = transcript(path, _LEGACY[language]) if path else ""
    rows = re.findall(r"^\s*(\d{4}_\d{6})[\t ]+([^\t\n]*)", content, re.M)
    return {name: text.strip() for name, text in rows if text.strip()}
