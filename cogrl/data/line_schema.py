"""What a line of a manifest may hold: one pydantic model, and its errors in the words of a manifest."""

import difflib
from collections.abc import Callable, Mapping
from itertools import pairwise
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cogrl.formats import FORMATS, format_named
from cogrl.types import EMOTIONS, INTENSITIES, SENTIMENTS, Emotion, Intensity, Sentiment

_ALLOWED = {"emotion": EMOTIONS, "intensity": INTENSITIES, "text_sentiment": SENTIMENTS}
SLACK_S = 0.01
"""By how much a turn may end after the clip: times are often rounded."""
_ROUTES = {"A": "eips (or ieat, where it opens with <think>)", "B": "direct"}
"""What targets were keyed by before they were keyed by format, and what to name them now."""


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _unit(value: float) -> float:
    if not -1 <= value <= 1:
        raise ValueError(f"must lie in [-1, 1], got {value!r}")
    return value


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"must be positive, got {value!r}")
    return value


def _time(value: float) -> float:
    if not 0 <= value < float("inf"):
        raise ValueError(f"must not be negative, got {value!r}")
    return value


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError(f"must be finite, got {value!r}")
    return value


def _distinct(choices: list[Any]) -> list[Any]:
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"must be non-empty strings, got {choices!r}")
    if choices and (len(choices) < 2 or len(set(choices)) < len(choices)):
        raise ValueError(f"must be two or more different texts, got {choices!r}")
    return choices


def _named_texts(targets: dict[str, Any]) -> dict[str, Any]:
    for name, target in targets.items():
        if name in _ROUTES:
            raise ValueError(f"are named by format, and {name} is of an older cogrl: rename {name} to {_ROUTES[name]}")
        if name not in FORMATS and "." not in name:
            format_named(name)  # raises; an own format's import path is looked up by who trains it
        if not isinstance(target, str) or not target.strip():
            raise ValueError(f"must hold non-empty text, got {target!r} for {name!r}")
    return targets


Filled = Annotated[str, AfterValidator(_filled)]
Unit = Annotated[float, AfterValidator(_unit)]
Positive = Annotated[float, AfterValidator(_positive)]


class TurnLine(BaseModel):
    """An earlier turn. `audio` has to be there; null says that the turn was typed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Filled
    audio: Filled | None
    emotion: Emotion = Field(default=None)
    reply: str = Field(default=None)
    duration_s: Positive = Field(default=None)


class SpanLine(BaseModel):
    """A part of the clip; its times are in seconds from the beginning."""

    model_config = ConfigDict(extra="forbid", strict=True)

    start_s: Annotated[float, AfterValidator(_time)]
    end_s: Positive

    @model_validator(mode="after")
    def _lasts(self) -> "SpanLine":
        if self.end_s <= self.start_s:
            raise ValueError(f"ends at {self.end_s:g} s, but starts at {self.start_s:g} s")
        return self


class SpokenTurnLine(SpanLine):
    """A turn within the clip."""

    speaker: Filled
    text: Filled


class EventLine(SpanLine):
    """What is heard in a part of the clip."""

    name: Filled


class SpokenReplyLine(BaseModel):
    """The reply as it is to be spoken; units are of the codec with this fingerprint."""

    model_config = ConfigDict(extra="forbid", strict=True)

    audio: Filled
    text: Filled
    emotion: Emotion = Field(default=None)
    codec: Filled = Field(default=None)
    units: list[list[int]] = Field(default=None)

    @model_validator(mode="after")
    def _of_a_codec(self) -> "SpokenReplyLine":
        if (self.codec is None) != (self.units is None):
            raise ValueError("has units without a codec, or a codec without units; encode it again")
        return self


_PARTS: dict[str, tuple[str, type[BaseModel]]] = {
    "turns": ("turn", TurnLine),
    "speech": ("speech, turn", SpokenTurnLine),
    "events": ("event", EventLine),
    "evidence": ("evidence, part", SpanLine),
}
"""The keys that hold a list of objects: what one is called, and what it holds."""


class Line(BaseModel):
    """A line: the fields of `Example` but `where`. What is left out stays unset, and null is no value of a field."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: Filled
    audio: Filled
    split: Filled = Field(default=None)
    text: Filled = Field(default=None)
    text_group: Filled = Field(default=None)
    speaker: Filled = Field(default=None)
    emotion: Emotion = Field(default=None)
    intensity: Intensity = Field(default=None)
    scenario: str = Field(default=None)
    valence: Unit = Field(default=None)
    arousal: Unit = Field(default=None)
    dominance: Unit = Field(default=None)
    duration_s: Positive = Field(default=None)
    text_sentiment: Sentiment = Field(default=None)
    cause: str = Field(default=None)
    turns: list[TurnLine] = Field(default=None)
    speech: list[SpokenTurnLine] = Field(default=None)
    events: list[EventLine] = Field(default=None)
    evidence: list[SpanLine] = Field(default=None)
    environment: Filled = Field(default=None)
    snr_db: Annotated[float, AfterValidator(_finite)] = Field(default=None)
    question: str = Field(default=None)
    choices: Annotated[list[Any], AfterValidator(_distinct)] = Field(default=None)
    answer: str = Field(default=None)
    task: str = Field(default=None)
    language: str = Field(default=None)
    targets: Annotated[dict[str, Any], AfterValidator(_named_texts)] = Field(default=None)
    spoken_reply: SpokenReplyLine = Field(default=None)
    synthesis: dict[str, Any] = Field(default=None)
    source: str = Field(default=None)
    licence: str = Field(default=None)

    @model_validator(mode="after")
    def _asked(self) -> "Line":
        if {"choices", "answer"} & self.model_fields_set and not (self.question or "").strip():
            raise ValueError("choices and answer need a question")
        if self.choices and self.answer is not None and self.answer not in self.choices:
            listed = ", ".join(map(repr, self.choices))
            raise ValueError(f"answer {self.answer!r} is none of the choices: {listed}")
        return self

    @model_validator(mode="after")
    def _spoken_in_turn(self) -> "Line":
        speech = self.speech or []
        for number, (turn, following) in enumerate(pairwise(speech), start=1):
            if following.start_s < turn.end_s:
                raise ValueError(
                    f"speech, turn {number + 1} starts at {following.start_s:g} s, before turn {number} ends at "
                    f"{turn.end_s:g} s; turns come in their order and do not overlap: cut them or leave the line out"
                )
        return self

    @model_validator(mode="after")
    def _within_the_clip(self) -> "Line":
        for key in ("speech", "events", "evidence"):
            for number, part in enumerate(getattr(self, key) or [], start=1):
                if self.duration_s and part.end_s > self.duration_s + SLACK_S:
                    raise ValueError(
                        f"{_PARTS[key][0]} {number} ends at {part.end_s:g} s, the clip lasts {self.duration_s:g} s"
                    )
        return self


def check_line(record: Mapping[str, Any]) -> None:
    """Raises ValueError with what is wrong with a line first: unknown keys, missing keys, values."""
    try:
        Line.model_validate(record)
    except ValidationError as error:
        raise ValueError(_message(error)) from error


def _message(error: ValidationError) -> str:
    order = {"extra_forbidden": 0, "missing": 1}
    found = sorted(error.errors(include_url=False), key=lambda one: order.get(one["type"], 2))
    first = found[0]
    where, fields = first["loc"], Line
    prefix = ""
    if len(where) > 1 and where[0] in _PARTS:
        called, fields = _PARTS[where[0]]
        prefix, where = f"{called} {where[1] + 1}: ", where[2:]
    if len(where) > 1 and where[0] == "spoken_reply":
        prefix, fields, where = "spoken_reply: ", SpokenReplyLine, where[1:]
    key = str(where[0]) if where else ""
    if first["type"] == "missing":
        missing = [
            str(one["loc"][-1]) for one in found if one["type"] == "missing" and one["loc"][:-1] == first["loc"][:-1]
        ]
        return f"{prefix}missing key {', '.join(map(repr, missing))}"
    say = _SAYINGS.get(first["type"], lambda key, one, fields: f"{key}: {one['msg']}, got {one['input']!r}")
    return f"{prefix}{say(key, first, fields)}".strip()


def _unknown_key(key: str, error: Mapping[str, Any], fields: type[BaseModel]) -> str:
    close = difflib.get_close_matches(key, fields.model_fields, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(fields.model_fields)}"
    return f"unknown key {key!r}; {hint}"


def _must_be(kind: str) -> Callable[[str, Mapping[str, Any], type[BaseModel]], str]:
    return lambda key, error, fields: f"{key} must be {kind}, got {error['input']!r}".lstrip()


_SAYINGS = {
    "extra_forbidden": _unknown_key,
    "literal_error": lambda key, error, fields: (
        f"unknown {key} {error['input']!r}; allowed: {', '.join(_ALLOWED[key])}"
    ),
    "value_error": lambda key, error, fields: f"{key} {error['ctx']['error']}",
    "string_type": _must_be("a string"),
    "float_type": _must_be("a number"),
    "list_type": _must_be("a list"),
    "dict_type": _must_be("an object"),
    "model_type": _must_be("an object"),
}
"""By the type of a pydantic error: the message, of the key, the error and the model the key belongs to."""
