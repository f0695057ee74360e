"""LIME-440K, the published core: one text spoken with several emotions at three intensities. (arXiv:2606.06940)

Source: https://huggingface.co/datasets/zhaoxiaoxian/LIME-440K_CogAudio-LLM, described at
https://github.com/zxzhao0/CogAudio-LLM. Licence: see the dataset's page. 22.05 kHz: train with `data.convert: true`.
Layout, from a public script that read the release:

    <raw>/PartA_json_CN/10.json, <raw>/PartB_json_EN/10.json: one object keyed by utterance id,
        "10_1_surprise": {"text": …, "emotion": "SURPRISE", "scenario": …, "group": "10_g_0",
                          "wav_path": "/10/medium/10_1_surprise.wav"}

The folder in `wav_path` is the intensity (low, medium, high). Where the audio archives unpack to is not described:
every folder PartA* (PartB*) of <raw> without json, and <raw> itself, is tried as the root of the paths. The leading
number of an id is taken for the speaker; the publishers do not say what it is.
Within a group the words are the same but the punctuation follows the emotion ("…!" for anger, "……" for sadness), so the
text alone would give the label away: every text is reduced to its words and a full stop. Groups whose words differ are
dropped, as are utterances without a transcript (Part B had some), each counted.
Splits: by words, drawn with `seed`, so that no text is in two splits; speakers are shared.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogrl.data.corpora.corpus import Reading, Source, leaving_out, require, same_words, with_audio, within
from cogrl.data.corpora.layout import clip_at, files, named
from cogrl.data.json_text import damage, parse_json
from cogrl.data.text_file import utf8_text
from cogrl.types import Emotion, Example, Intensity
from cogrl.words import CJK, words

SOURCE = Source(
    "LIME-440K", "https://huggingface.co/datasets/zhaoxiaoxian/LIME-440K_CogAudio-LLM", "see the dataset's page"
)
LABELS: dict[str, Emotion] = {
    "ANGER": "anger",
    "ANGRY": "anger",
    "HAPPY": "happy",
    "SAD": "sad",
    "SURPRISE": "surprise",
    "FEAR": "fear",
    "DISGUST": "disgust",
    "NEUTRAL": "neutral",
}
INTENSITY: dict[str, Intensity] = {"low": "low", "medium": "mid", "mid": "mid", "high": "high"}
PARTS = {"PartA": ("PartA_json_CN", "zh"), "PartB": ("PartB_json_EN", "en")}
_KEYS = ("text", "emotion", "scenario", "group", "wav_path")


def read(raw: Path, val_share: float = 0.05, test_share: float = 0.05, seed: int = 0, partial: bool = False) -> Reading:
    """The corpus, split by words.

    Raises FileNotFoundError for a missing part (unless `partial`: then one part is enough) or when no folder holds any
    of the audio, and ValueError for a file that is no such object, for a record without a field, or for clips that can
    not be read; `partial` leaves those out.
    """
    if val_share < 0 or test_share < 0 or val_share + test_share >= 1:
        raise ValueError(f"val_share={val_share} and test_share={test_share} must leave something for training")
    expected = "PartA_json_CN/*.json, PartB_json_EN/*.json and the audio"
    root = within(raw, "Part[AB]_json_*/*.json", SOURCE, expected)
    reading = Reading(SOURCE, {"train": [], "val": [], "test": []}, ("text_group",), root=root, layout=expected)
    folders = {part: named(root, folder) or root / folder for part, (folder, _) in PARTS.items()}
    require([folder for folder in folders.values() if not folder.is_dir()], SOURCE, partial, reading.dropped)
    found = [
        example
        for part, folder in folders.items()
        if folder.is_dir()
        for example in _part(root, part, folder, reading, partial)
    ]
    for example in with_audio(found, SOURCE, partial, reading.dropped):
        draw = random.Random(f"{seed}/{example.text_group}").random()
        split = "test" if draw < test_share else "val" if draw < test_share + val_share else "train"
        reading.splits[split].append(replace(example, split=split))
    return reading


def _part(root: Path, part: str, folder: Path, reading: Reading, partial: bool) -> Iterator[Example]:
    language = PARTS[part][1]
    records = {}
    for path in files(folder, ".json"):
        records |= {(path.stem, name): record for name, record in _records(path, partial, reading)}
    if not records:
        leaving_out("part without utterances", partial, reading.dropped)(f"{SOURCE.name}: {folder} holds no utterances")
        return
    leaks, different = _groups(records)
    reading.notes.append(f"{part}: punctuation differed by emotion within {leaks} groups; normalised in all")
    audio = _audio(root, part, [str(record["wav_path"]).lstrip("/") for record in records.values()], partial)
    for (file, name), record in records.items():
        path = audio[str(record["wav_path"]).lstrip("/")]
        label, level = str(record["emotion"]).upper(), path.parent.name.lower()
        reason = None
        if not words(str(record["text"] or "")):
            reason = "no transcript"
        elif (file, record["group"]) in different:
            reason = "group holds different words"
        elif label not in LABELS:
            reason = f"label {label}"
        elif level not in INTENSITY:
            reason = f"intensity folder {level}"
        if reason is not None:
            reading.dropped[reason] += 1
            continue
        text = plain(str(record["text"]))
        yield Example(
            id=f"lime-{part[-1]}-{level}-{name}",
            audio=path,
            split="",
            text=text,
            text_group=same_words(text),
            speaker=f"lime-{part[-1]}-{name.split('_')[0]}",
            emotion=LABELS[label],
            intensity=INTENSITY[level],
            scenario=record["scenario"] or None,
            language=language,
            synthesis={"group": record["group"]},
            source=f"LIME-440K {part} {SOURCE.url}",
            licence=SOURCE.licence,
        )


def plain(text: str) -> str:
    """The words and a full stop: the text without punctuation that gives the emotion away."""
    kept = words(text)
    return kept + ("。" if kept and CJK.match(kept[-1]) else ".")


def _records(path: Path, partial: bool, reading: Reading) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a file by utterance id."""
    broken = leaving_out("file of records is broken", partial, reading.dropped)
    try:
        content = parse_json(utf8_text(path))
    except ValueError as error:
        where = getattr(error.__cause__, "lineno", None)
        broken(f"{path}{f':{where}' if where else ''}: {error}; download the file again")
        return
    if not isinstance(content, dict):
        broken(f"{path}: must be an object keyed by utterance id, got {type(content).__name__}")
        return
    for name, record in content.items():
        missing = [key for key in _KEYS if key not in record] if isinstance(record, dict) else list(_KEYS)
        reason = damage({name: record})
        if missing:
            leave_out = leaving_out(f"record without {', '.join(missing)}", partial, reading.dropped)
            leave_out(f"{path}: {name}: missing {', '.join(missing)}; expected {', '.join(_KEYS)}")
        elif reason:
            leaving_out("record is damaged", partial, reading.dropped)(f"{path}: {reason}")
        else:
            yield name, record


def _groups(records: dict) -> tuple[int, set[tuple[str, str]]]:
    """How many groups leak through punctuation, and which hold different words."""
    texts = defaultdict(set)
    for (file, _), record in records.items():
        if record["text"]:
            texts[file, record["group"]].add(str(record["text"]).strip())
    different = {group for group, found in texts.items() if len({words(text) for text in found}) > 1}
    return sum(len(found) > 1 for group, found in texts.items() if group not in different), different


def _audio(root: Path, part: str, names: Sequence[str], partial: bool) -> dict[str, Path]:
    """Where each file is: the first folder of the part that holds it, else the first one; archives may be spread.

    Raises FileNotFoundError when no folder holds any of them, unless `partial`.
    """
    inner = [path for path in sorted(root.iterdir()) if path.is_dir() and path.name.lower().startswith(part.lower())]
    folders = [path for path in inner if "json" not in path.name.lower()] + [root]
    found = {name: _first_file([folder / name for folder in folders]) for name in names}
    if not partial and not any(found.values()):
        tried = ", ".join(map(str, folders))
        raise FileNotFoundError(
            f"{SOURCE.name}: {names[0]} is in none of {tried}, nor is any of the other {len(names) - 1} files; unpack "
            f"the audio archives of {part} into {root / part}_wav. Get them from {SOURCE.url}"
        )
    return {name: path or folders[0] / name for name, path in found.items()}


def _first_file(paths: Sequence[Path]) -> Path | None:
    exact = next((path for path in paths if path.is_file()), None)
    return exact or next((path for path in map(clip_at, paths) if path.is_file()), None)
