"""Spoken replies: the reply of each line, said in the emotion that suits it, as the target of a Speak stage.

Only what a line's `direct` and `ieat` targets say aloud is spoken; the thinking never reaches the synthesiser. How a
reply is said depends on the emotion that it answers (`cogrl.types.REPLY_EMOTIONS`). One speaker says all replies: the
assistant's voice. Clips are named by what decides their sound, so that a build that was stopped goes on.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soxr

from cogrl.audio import write_flac
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.synthesis.expressive import Line, Synthesiser
from cogrl.formats import format_named
from cogrl.progress import progress
from cogrl.types import REPLY_EMOTIONS, Example, SpokenReply

SAMPLING_RATE = 16_000
_SPOKEN = ("direct", "ieat")
"""Formats whose answer is what a voice says."""


@dataclass(frozen=True)
class SpokenSummary:
    """How many lines of each manifest have a spoken reply now, and why others do not."""

    lines: dict[str, int]
    rejected: Counter[str] = field(default_factory=Counter)


def speak_manifests(
    sources: Sequence[Path],
    out: Path,
    synthesiser: Synthesiser,
    speaker: str | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> SpokenSummary:
    """Writes the lines of each manifest with a `spoken_reply` to `out/<name of the manifest>`, clips to `out/replies`.

    Lines without an emotion or a reply, and clips that could not be made, are left out and counted. Raises ValueError
    for an unknown speaker, for two manifests of one name, for an `out` that would replace one of them, and where
    nothing is left of a manifest.
    """
    person = speaker or synthesiser.speakers[0]
    if person not in synthesiser.speakers:
        raise ValueError(f"speaker {person!r} is none of {', '.join(synthesiser.speakers)}")
    if len({source.name for source in sources}) < len(sources):
        raise ValueError(f"two of {', '.join(map(str, sources))} have one name; their outputs would be one file")
    replaced = [source for source in sources if source.resolve() == (out / source.name).resolve()]
    if replaced:
        raise ValueError(f"--out {out} would replace {replaced[0]}; give another folder")
    kept, rejected = {source.name: read_manifest(source) for source in sources}, Counter()
    for name, examples in kept.items():
        reasons = {example.id: unspeakable(example) for example in examples}
        rejected.update(reason for reason in reasons.values() if reason)
        kept[name] = [example for example in examples if not reasons[example.id]]
    languages = {example.language or "en" for examples in kept.values() for example in examples}
    for language in sorted(languages):
        synthesiser.check(language)
    lines = {name: [line_of_reply(example, person, seed) for example in examples] for name, examples in kept.items()}
    lost = render({line for of_manifest in lines.values() for line in of_manifest}, out, synthesiser, workers)
    rejected.update(lost[line] for of_manifest in lines.values() for line in of_manifest if line in lost)
    for name, examples in kept.items():
        found = [
            replace(
                example,
                spoken_reply=SpokenReply(
                    clip_of(line, out, synthesiser), reply_of(example), REPLY_EMOTIONS[example.emotion]
                ),
            )
            for example, line in zip(examples, lines[name], strict=True)
            if line not in lost
        ]
        if not found:
            raise ValueError(
                f"{name}: no line has a reply that could be spoken, such as: {next(iter(rejected), 'no lines')}"
            )
        write_manifest(out / name, found)
        kept[name] = found
    return SpokenSummary({name: len(examples) for name, examples in kept.items()}, rejected)


def reply_of(example: Example) -> str:
    """What is said aloud; '' where no target says anything."""
    said = (format_named(name).answer(example.targets[name], example) for name in _SPOKEN if name in example.targets)
    return next(said, "")


def unspeakable(example: Example) -> str | None:
    """Why there is no spoken reply to an example."""
    replies = {format_named(name).answer(example.targets[name], example) for name in _SPOKEN if name in example.targets}
    if not replies - {""}:
        return "no reply in targets.direct or targets.ieat"
    if len(replies) > 1:
        return "targets.direct and targets.ieat say different things"
    return None if example.emotion else "no emotion to answer"


def line_of_reply(example: Example, speaker: str, seed: int) -> Line:
    """What the synthesiser is asked for; the same reply to another user sounds a little different."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{example.id}".encode()).digest()[:4], "little")
    tone = REPLY_EMOTIONS[example.emotion]
    return Line(reply_of(example), tone, "mid", speaker, example.language or "en", draw)


def clip_of(line: Line, out: Path, synthesiser: Synthesiser) -> Path:
    """The file of a line."""
    name = hashlib.sha256(repr((synthesiser.version, line)).encode()).hexdigest()
    return out / "replies" / name[:2] / f"{name[:16]}.flac"


def render(lines: set[Line], out: Path, synthesiser: Synthesiser, workers: int | None) -> dict[Line, str]:
    """Makes the clips that are not there; the lines that could not be said, with the reason."""
    missing = sorted((line for line in lines if not clip_of(line, out, synthesiser).is_file()), key=repr)
    lost: dict[Line, str] = {}
    if not missing:
        return lost
    work = [(synthesiser, line, clip_of(line, out, synthesiser)) for line in missing]
    with synthesiser.pool(workers) as pool:
        made = progress(pool.map(say, work), "spoken replies", len(work), unit="clip")
        lost = {line: reason for line, reason in zip(missing, made, strict=True) if reason}
    return lost


def say(work: tuple[Synthesiser, Line, Path]) -> str | None:
    """Writes one clip; why it could not be made."""
    synthesiser, line, path = work
    try:
        speech = synthesiser.say(line)
    except ValueError as error:
        return f"the synthesiser refused it: {error}"
    waveform = speech.waveform.astype(np.float32)
    if speech.sampling_rate != SAMPLING_RATE:
        waveform = soxr.resample(waveform, speech.sampling_rate, SAMPLING_RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_flac(path, waveform / max(1.0, float(np.abs(waveform).max(initial=0.0))), SAMPLING_RATE)
    return None
