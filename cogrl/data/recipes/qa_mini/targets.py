"""Training targets: the right option alone, and the right option after a thought about what is heard."""

from collections.abc import Callable, Mapping, Sequence

from cogrl.data.recipes.qa_mini.tasks import Question

_CUES = {
    "anger": "The voice is loud, fast and rough",
    "happy": "The voice is high and lively",
    "neutral": "The voice is even and calm",
    "sad": "The voice is slow, soft and flat",
}


def targets(question: Question, f0_hz: Sequence[float]) -> dict[str, str]:
    """By format: `choice` is the text of the right option, which stays right in any order of the options.

    `think_choice` states first what is heard. `f0_hz` are the mean F0 of the spoken pieces.
    """
    thought = _THOUGHTS[question.task](question, f0_hz)
    return {
        "choice": question.answer,
        "think_choice": f"<think>{thought}</think><answer>{question.answer}</answer>",
    }


def _lower_voice(question: Question, f0_hz: Sequence[float]) -> str:
    first, second = (round(hertz, -1) for hertz in f0_hz)
    return (
        f"The first voice is at about {first:.0f} Hz, the second at about {second:.0f} Hz: lower is {question.answer}."
    )


_THOUGHTS: Mapping[str, Callable[[Question, Sequence[float]], str]] = {
    "emotion": lambda question, f0_hz: f"{_CUES[question.answer]}: this is {question.answer}.",
    "lower_voice": _lower_voice,
    "word_count": lambda question, f0_hz: f"I hear {', '.join(question.text.split())}: {question.answer} words.",
    "first_sound": lambda question, f0_hz: f"First there is a {question.pieces[0]}, then a {question.pieces[1]}.",
    "said": lambda question, f0_hz: f"I hear {', '.join(question.text.split())}: first is {question.answer}.",
}
