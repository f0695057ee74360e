"""What a LIME build came to: the clips that are kept, as examples, and everything that was rejected with its reason."""

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cogrl.data import manifest
from cogrl.data.recipes.lime_clips import Clip
from cogrl.data.recipes.lime_gates import complete, same_punctuation
from cogrl.data.recipes.lime_takes import TakeResult
from cogrl.data.synthesis import emotions
from cogrl.types import Example

Entry = dict[str, Any]


@dataclass
class Outcome:
    """The clips that are kept, and the rejections of sentences, thoughts, takes, clips and readings, as listed."""

    kept: list[TakeResult] = field(default_factory=list)
    rejected: list[Entry] = field(default_factory=list)

    def count(self, kind: str) -> Counter[str]:
        """Rejections of a kind by reason."""
        return Counter(entry["reason"] for entry in self.rejected if entry["kind"] == kind)


def outcome(
    sentences: Iterable[Mapping[str, str]],
    thoughts: Mapping[str, str],
    clips: Sequence[Clip],
    made: Sequence[TakeResult],
) -> Outcome:
    """Keeps whole readings only: with all emotions at all intensities, and the same text for each of them.

    `thoughts` are the annotator's reasons by clip; a reading with one of these was never made.
    """
    result = Outcome(rejected=[{"kind": "sentence", **entry} for entry in sentences])
    for clip in clips:
        if clip.id in thoughts:
            result.rejected.append({"kind": "thought", "id": clip.id, "reason": "refused", "detail": thoughts[clip.id]})
    for one in made:
        for take, (gate, detail) in enumerate(one.refused, start=1):
            result.rejected.append({"kind": "take", "id": one.clip.id, "take": take, "reason": gate, "detail": detail})
        if one.lost:
            result.rejected.append({"kind": "clip", "id": one.clip.id, "reason": "not made", "detail": one.lost})
    good = {one.clip.id: one for one in made if one.audio is not None}
    spellings: dict[str, set[str]] = {}
    for clip in clips:
        spellings.setdefault(clip.text_group, set()).add(clip.text)
    for (group, speaker), reading in itertools.groupby(clips, key=lambda clip: clip.reading):
        own = [good[clip.id] for clip in reading if clip.id in good]
        gates = {
            "complete": complete({(one.clip.emotion, one.clip.intensity) for one in own}),
            "same_punctuation": same_punctuation(spellings[group]),
        }
        reasons = [(gate, detail) for gate, detail in gates.items() if detail is not None]
        if not reasons:
            result.kept += own
        for gate, detail in reasons[:1]:
            result.rejected.append(
                {"kind": "reading", "text_group": group, "speaker": speaker, "reason": gate, "detail": detail}
            )
    return result


def write_corpus(
    work: Path,
    splits: Iterable[str],
    result: Outcome,
    targets: Mapping[str, Mapping[str, str]],
    shared: Mapping[str, Any],
) -> dict[str, list[Example]]:
    """Manifests, audio and `rejected.jsonl` in `work`; `shared` are fields that all lines have. Returns what it wrote.

    The manifests are read back and held to their promise. Raises ValueError when a split has nothing left.
    """
    shutil.rmtree(work / "audio", ignore_errors=True)
    examples = sorted((_example(work, one, targets, shared) for one in result.kept), key=lambda row: row.id)
    found = {name: [row for row in examples if row.split == name] for name in splits}
    empty = [name for name, rows in found.items() if not rows]
    if empty:
        reasons = ", ".join(f"{count} by {reason}" for reason, count in result.count("take").most_common())
        raise ValueError(
            f"no reading is left for {', '.join(empty)} (takes refused: {reasons or 'none'}); loosen the gates, raise "
            "gates.takes, or ask for more texts"
        )
    for name, rows in found.items():
        manifest.write_manifest(work / f"{name}.jsonl", rows)
    written = {name: manifest.read_manifest(work / f"{name}.jsonl") for name in found}
    manifest.check_splits(written)
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in result.rejected)
    (work / "rejected.jsonl").write_text("".join(lines), encoding="utf-8")
    return written


def _example(
    work: Path, made: TakeResult, targets: Mapping[str, Mapping[str, str]], shared: Mapping[str, Any]
) -> Example:
    clip, sound = made.clip, asdict(made.sound)
    path = work / "audio" / clip.id[:2] / f"{clip.id}.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    _link(made.audio, path)
    rng = np.random.default_rng(int(clip.id, 16))
    valence, arousal, dominance = emotions.dimensions(clip.emotion, clip.intensity, rng)
    return Example(
        id=clip.id,
        audio=path,
        split=clip.split,
        text=clip.text,
        text_group=clip.text_group,
        speaker=clip.speaker,
        emotion=clip.emotion,
        intensity=clip.intensity,
        scenario=clip.scenario,
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        duration_s=sound["duration_s"],
        targets=targets[clip.id],
        synthesis={**made.facts, "take": made.take, "measured": sound},
        **shared,
    )


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
