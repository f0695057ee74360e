"""Targets for spoken utterances: an annotator gets the words and the label, never the audio.

That is how LIME-440K was annotated (arXiv:2606.06940, section 2). `TemplateAnnotator` composes LIME-mini's clauses on
this machine; `annotate_chat.ChatAnnotator` asks a language model.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.data.recipes import lime_text
from cogrl.types import Emotion, Intensity


@dataclass(frozen=True)
class Utterance:
    """The input of an annotator. `id` decides what is random about its targets."""

    id: str
    text: str
    emotion: Emotion
    intensity: Intensity | None = None
    scenario: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Annotations:
    """By utterance id: targets in both formats; why an utterance got none; and whose answer did not come.

    `report` says what it took.
    """

    targets: Mapping[str, Mapping[str, str]]
    rejected: Mapping[str, str] = field(default_factory=dict)
    unanswered: Mapping[str, str] = field(default_factory=dict)
    report: str = "made on this machine"


@runtime_checkable
class Annotator(Protocol):
    """Writes the thought and the reply that a good assistant would have had.

    `version` names all that decides what it writes.
    """

    version: str

    def annotate(self, utterances: Sequence[Utterance]) -> Annotations: ...


class TemplateAnnotator(Annotator):
    """LIME-mini's clauses, drawn by the utterance's id: English, offline, the scenarios of LIME-mini and LIME only."""

    version = "templates 1"

    def annotate(self, utterances: Sequence[Utterance]) -> Annotations:
        """An utterance of another scenario or language is rejected; one without intensity counts as mid."""
        targets, rejected = {}, {}
        for spoken in utterances:
            if spoken.language not in (None, "en"):
                rejected[spoken.id] = f"the templates are English, the line is {spoken.language!r}"
                continue
            scenario, intensity = spoken.scenario or "unknown", spoken.intensity or "mid"
            try:
                rng = random.Random(spoken.id)
                targets[spoken.id] = lime_text.targets(spoken.emotion, intensity, scenario, spoken.text, rng)
            except KeyError as error:
                rejected[spoken.id] = str(error.args[0])
        return Annotations(targets, rejected)


def annotate_manifest(manifest: Path, out: Path, annotator: Annotator) -> Annotations:
    """Writes `manifest` to `out` with new targets; other fields stay, audio stays where it is.

    Rejected lines are left out and listed in `<out>.rejected.jsonl` with their reasons. Raises ConnectionError, and
    writes nothing, when answers did not come: a corpus must not shrink because a server was down. Run the command again
    then: answers that came are cached. Lines without text or emotion are rejected. Raises ValueError when all were.
    """
    examples = read_manifest(manifest)
    lacking = {e.id: "has no text to answer" for e in examples if not e.text}
    lacking |= {e.id: "has no emotion to write about" for e in examples if e.emotion is None}
    labelled = [e for e in examples if e.id not in lacking]
    asked = [Utterance(e.id, e.text, e.emotion, e.intensity, e.scenario, e.language) for e in labelled]
    made = annotator.annotate(asked)
    made = replace(made, rejected={**made.rejected, **lacking})
    if made.unanswered:
        first, reason = next(iter(made.unanswered.items()))
        raise ConnectionError(
            f"{len(made.unanswered)} of {len(examples)} utterances got no answer ({first}: {reason}); "
            f"run the same command again, only these will be asked ({made.report})"
        )
    if not made.targets:
        first, reason = next(iter(made.rejected.items()))
        raise ValueError(f"{manifest}: every line was rejected, such as {first}: {reason}")
    notes = out.with_name(f"{out.name}.rejected.jsonl")
    lines = [{"id": e.id, "where": e.where, "reason": made.rejected[e.id]} for e in examples if e.id in made.rejected]
    out.parent.mkdir(parents=True, exist_ok=True)
    notes.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    write_manifest(out, [replace(e, targets=made.targets[e.id]) for e in examples if e.id in made.targets])
    return made
