"""Training targets: what is heard, the right option alone, and the trace of what is heard that leads to it."""

from collections.abc import Callable, Mapping

from cogrl.data.recipes.paqa.questions import Question
from cogrl.formats.caption import CAPTION
from cogrl.formats.choice import CHOICE
from cogrl.formats.paqa import PAQA

_PLANNING: Mapping[str, Callable[[Question], str]] = {
    "say": lambda question: f"what does the {question.asked} voice say",
    "count": lambda question: "how many people take a turn",
    "environment": lambda question: "what is in the background",
    "first": lambda question: "which voice speaks first",
}
_REASONING: Mapping[str, Callable[[Question], str]] = {
    "say": lambda question: f"{question.asked} says {question.answer}",
    "count": lambda question: f"{question.answer} take a turn",
    "environment": lambda question: f"{question.answer} is in the background",
    "first": lambda question: f"{question.answer} speaks first",
}


def targets(question: Question) -> dict[str, str]:
    """By format: `caption` is what is heard, `choice` the text of the right option, `paqa` the trace that ends with it.

    They hold in any order of the options.
    """
    fields = trace(question)
    return {
        "caption": CAPTION.render({"caption": f"{fields['environment']}. {fields['asr']}"}),
        "choice": CHOICE.render({"answer": question.answer}),
        "paqa": PAQA.render(fields),
    }


def trace(question: Question) -> dict[str, str]:
    """The fields of the right trace. The voice that is asked for is named at the start and before the answer."""
    voices = [turn.voice for turn in question.turns]
    return {
        "planning": _PLANNING[question.task](question),
        "environment": question.environment,
        "speaker": f"{len(voices)}: {', '.join(voices)}",
        "asr": "; ".join(f"{turn.voice}: {turn.text}" for turn in question.turns),
        "description": f"{voices[0]} is first",
        "reasoning": _REASONING[question.task](question),
        "summary": question.answer,
        "response": question.answer,
        "final_answer": question.answer,
    }
