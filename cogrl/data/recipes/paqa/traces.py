"""Who writes the traces that are trained on, and the checks that each has to pass."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from cogrl.data.recipes.paqa.quotes import LEAST_OVERLAP, missing_quotes, overlap
from cogrl.data.recipes.paqa.template import trace
from cogrl.data.recipes.traces import Traces
from cogrl.formats.caption import CAPTION
from cogrl.formats.choice import CHOICE
from cogrl.formats.paqa import PAQA, SECTIONS
from cogrl.types import Example


@runtime_checkable
class TraceWriter(Protocol):
    """Writes what a good listener would have written down. `version` names all that decides what it writes."""

    version: str

    def write(self, examples: Sequence[Example]) -> Traces: ...


class TemplateWriter(TraceWriter):
    """English templates for the four tasks, see `template.trace`; a line they do not fit is rejected."""

    version = "templates 1"

    def write(self, examples: Sequence[Example]) -> Traces:
        fields, rejected = {}, {}
        for example in examples:
            try:
                fields[example.id] = trace(example)
            except ValueError as error:
                rejected[example.id] = str(error)
        return Traces(fields, rejected)


def with_targets(examples: Sequence[Example], writer: TraceWriter) -> tuple[list[Example], dict[str, str], str]:
    """(examples with targets, reasons of the others by id, what it took).

    By format: `caption` is what is heard, `choice` the text of the right option, `paqa` the trace that ends with it;
    they hold in any order of the options.

    Every trace passes `validate_trace`. Raises ConnectionError when answers did not come: a corpus must not shrink
    because a server was down.
    """
    made = writer.write(examples)
    made.check_answered()
    kept, rejected = [], dict(made.rejected)
    for example in examples:
        fields = made.fields.get(example.id)
        reason = None if fields is None else validate_trace(example, fields)
        if reason is not None:
            rejected[example.id] = reason
        elif fields is not None:
            kept.append(replace(example, targets=_targets(str(example.answer), fields)))
    return kept, rejected, made.report


def _targets(answer: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {
        "caption": CAPTION.render({"caption": f"{fields['environment']}. {fields['asr']}"}),
        "choice": CHOICE.render({"answer": answer}),
        "paqa": PAQA.render(fields),
    }


def validate_trace(example: Example, fields: Mapping[str, str], quoting: Sequence[str] = tuple(SECTIONS)) -> str | None:
    """Why a trace must not be trained on: it can not be read, its answer is wrong, what it quotes is said nowhere.

    `quoting` are the fields whose quotes have to exist, with an overlap of 0.85 at least, as every turn has to be in
    the `asr` field.
    """
    try:
        said = PAQA.answer(PAQA.render(fields), example)
    except ValueError as error:
        return str(error)
    if said != example.answer:
        return f"its answer is {fields.get('final_answer')!r}, not {example.answer!r}"
    missing = missing_quotes(fields, example.speech, quoting)
    missing += [
        f"asr leaves out {turn.speaker}: {turn.text!r}"
        for turn in example.speech
        if overlap(turn.text, fields["asr"]) < LEAST_OVERLAP
    ]
    return "; ".join(missing) or None
