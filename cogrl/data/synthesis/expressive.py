"""Expressive synthesis behind one interface: a line to say, in; samples, out.

Three implementations exist: `embedded` (this package's own), `command` (any program) and `service` (any HTTP server).
"""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

from cogrl.audio import decode_audio
from cogrl.types import Emotion, Intensity, Waveform


@dataclass(frozen=True)
class Line:
    """What is to be said, and how. `seed` differs from take to take; a deterministic voice may ignore it."""

    text: str
    emotion: Emotion
    intensity: Intensity
    speaker: str
    language: str = "en"
    seed: int = 0


@dataclass(frozen=True)
class Speech:
    """Mono samples as they were made, at their own rate, and the synthesiser's own parameters, for the manifest."""

    waveform: Waveform
    sampling_rate: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Synthesiser(Protocol):
    """Says lines. It is copied to where it works: it holds settings, neither connections nor processes.

    `version` names all that decides how it sounds, `origin` is how a card calls it, `licence` the terms of its audio.
    """

    version: str
    origin: str
    licence: str
    speakers: Sequence[str]

    def check(self, language: str) -> None:
        """Raises, before any work, what would keep it from speaking: ImportError, FileNotFoundError, ValueError."""
        ...

    def pool(self, workers: int | None) -> Executor:
        """Where `say` is to run; `workers` overrides how many at once."""
        ...

    def say(self, line: Line) -> Speech:
        """The line, spoken. Raises ValueError when it can not be rendered, OSError without a reachable synthesiser."""
        ...


FIELDS = ("text", "emotion", "intensity", "speaker", "language", "seed")
"""Placeholders that stand for a field of a line: `{text}` and so on."""
_PLACE = re.compile(r"\{([a-z_]+)\}")


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """`template`, a string or lists and objects of them, with each `{name}` replaced, but none inside the values.

    A string that is nothing but one placeholder becomes the value itself, numbers included.
    """
    if isinstance(template, str):
        whole = _PLACE.fullmatch(template)
        if whole:
            return values[whole[1]]
        return _PLACE.sub(lambda match: str(values[match[1]]), template)
    if isinstance(template, Mapping):
        return {name: filled(part, values) for name, part in template.items()}
    if isinstance(template, list | tuple):
        return [filled(part, values) for part in template]
    return template


def check_places(template: Any, known: Sequence[str], needed: Sequence[str], name: str) -> None:
    """Raises ValueError for an unknown placeholder in `template` and for a needed one that is not there."""
    found = _places(template)
    for place in found:
        if place not in known:
            raise ValueError(f"{name} holds the unknown placeholder {{{place}}}; known: {', '.join(known)}")
    missing = [f"{{{place}}}" for place in needed if place not in found]
    if missing:
        raise ValueError(f"{name} has no place for {', '.join(missing)}: {template!r}")


def values_of(line: Line) -> dict[str, Any]:
    return asdict(line)


def decoded(content: bytes, name: str) -> Speech:
    """Mono samples of an audio file's bytes, in any format libsndfile reads; channels are averaged.

    Raises ValueError, naming `name`, for what is no audio, is cut, empty, off the scale, or holds NaN or infinity.
    """
    samples, rate = decode_audio(content, name)
    return Speech(samples.mean(axis=1), rate)


def _places(template: Any) -> set[str]:
    if isinstance(template, str):
        return set(_PLACE.findall(template))
    parts = template.values() if isinstance(template, Mapping) else template
    return set().union(*map(_places, parts)) if isinstance(template, Mapping | list | tuple) else set()
