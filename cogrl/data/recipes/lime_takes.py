"""Takes: clips as they are made, kept with what was measured on them until a corpus is complete.

A take is known by what decides its sound (line, synthesiser, number of the take), not by the corpus it is for: a build
that was killed goes on, and one with other gates, another annotator or more texts starts from the takes there are. One
line of `takes.jsonl` is a take that was made, or a transcript of one; a process appends its line when its file is
complete. What could not be made leaves nothing behind and is tried again by the next build.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from cogrl.audio import write_flac
from cogrl.data.recipes.lime_clips import Clip
from cogrl.data.recipes.lime_gates import Gates, Sound, Take, full_scale_share, measured, validate_take
from cogrl.data.synthesis.command import Transcriber
from cogrl.data.synthesis.expressive import Line, Speech, Synthesiser

SAMPLING_RATE = 16000
_LIST = "takes.jsonl"
Notes = dict[str, dict[str, Any]]
"""By name of a take, what is known of it."""


@dataclass(frozen=True)
class TakeResult:
    """What became of a clip: the file and the notes of the take that passed, or None; and why those before did not.

    `lost` is why nothing could be made; `away` says that the synthesiser or transcriber could not be reached.
    """

    clip: Clip
    audio: Path | None = None
    take: int = 0
    sound: Sound | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()
    lost: str = ""
    away: bool = False


@dataclass(frozen=True)
class TakeRenderer:
    """Renders takes into `folder` and applies the gates to them. Copied into the worker processes."""

    folder: Path
    synthesiser: Synthesiser
    gates: Gates
    language: str
    seed: int
    transcriber: Transcriber | None = None

    def notes(self) -> Notes:
        """What earlier builds noted about takes whose files are there; a line torn by a crash is passed over."""
        notes: Notes = {}
        file = self.folder / _LIST
        for line in file.read_bytes().split(b"\n") if file.is_file() else []:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            known = notes.setdefault(entry["take"], {"transcripts": {}})
            known["transcripts"] |= entry.pop("transcripts", {})
            known |= entry
        return {name: known for name, known in notes.items() if "sound" in known and self.path(name).is_file()}

    def name(self, clip: Clip, take: int) -> str:
        """64 hex digits that identify a take."""
        parts = (self.synthesiser.version, self.language, self.seed, take)
        parts += (clip.text, clip.emotion, clip.intensity, clip.speaker)
        return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()

    def path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name[:32]}.flac"

    def known(self, clip: Clip, notes: Notes) -> Notes:
        """The part of `notes` that is about this clip."""
        names = [self.name(clip, take) for take in range(1, self.gates.takes + 1)]
        return {name: notes[name] for name in names if name in notes}

    def make(self, work: tuple[Clip, Notes]) -> TakeResult:
        """The first take that passes every gate; takes that `Notes` know are not made again."""
        clip, notes = work
        refused = []
        for take in range(1, self.gates.takes + 1):
            name = self.name(clip, take)
            try:
                entry = notes.get(name) or self._record(clip, name)
                transcript = self._transcript(entry, name)
            except (ValueError, OSError) as error:
                if not isinstance(error, ValueError | ConnectionError | TimeoutError):
                    raise  # a full disk is no fault of this clip
                lost = " ".join(str(error).split())
                return TakeResult(clip, refused=tuple(refused), lost=lost, away=not isinstance(error, ValueError))
            sound = Sound(**entry["sound"])
            reason = validate_take(Take(clip.text, self.language, sound, transcript), self.gates)
            if reason is None:
                return TakeResult(clip, self.path(name), take, sound, entry["facts"], tuple(refused))
            refused.append(reason)
        return TakeResult(clip, refused=tuple(refused))

    def _record(self, clip: Clip, name: str) -> dict[str, Any]:
        line = Line(clip.text, clip.emotion, clip.intensity, clip.speaker, self.language, int(name[:8], 16))
        speech = self.synthesiser.say(line)
        waveform = _at_16k(speech)
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flac(path, waveform, SAMPLING_RATE)
        sound = measured(waveform, SAMPLING_RATE, full_scale_share(speech.waveform))
        entry = {"take": name, "sound": asdict(sound), "facts": dict(speech.facts)}
        self._note(entry)
        return entry

    def _transcript(self, entry: Mapping[str, Any], name: str) -> str | None:
        if self.transcriber is None:
            return None
        version = self.transcriber.version
        if version not in entry.get("transcripts", {}):
            said = self.transcriber.transcript(self.path(name), self.language)
            self._note({"take": name, "transcripts": {version: said}})
            return said
        return entry["transcripts"][version]

    def _note(self, entry: Mapping[str, Any]) -> None:
        """One line, in one write: processes append to the same file."""
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        file = os.open(self.folder / _LIST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line)
        finally:
            os.close(file)


def _at_16k(speech: Speech) -> np.ndarray:
    waveform = speech.waveform.astype(np.float32)
    if speech.sampling_rate != SAMPLING_RATE:
        waveform = soxr.resample(waveform, speech.sampling_rate, SAMPLING_RATE)
    peak = float(np.abs(waveform).max(initial=0.0))
    # resampling overshoots full scale by a little; the clip is turned down rather than cut
    return waveform / peak if peak > 1.0 else waveform
