"""The trace of what is heard that leads to the right answer, by template."""

from collections.abc import Callable, Mapping

from cogrl.types import Example

NO_ENVIRONMENT = "none"


def trace(example: Example) -> dict[str, str]:
    """The fields of the right trace. Who is asked for is named at the start and before the answer.

    Raises ValueError for a task without a template, and for a line without speech or with an answer that its speech
    does not give.
    """
    answer, voices = str(example.answer), [turn.speaker for turn in example.speech]
    if example.task not in _REASONING:
        raise ValueError(f"task {example.task!r} has no template; there are templates for {', '.join(_REASONING)}")
    if not voices:
        raise ValueError("has no speech to write about; add speech, the turns with speaker, start_s, end_s and text")
    question = str(example.question)
    return {
        "planning": question[:1].lower() + question[1:].rstrip("? "),
        "environment": example.environment or NO_ENVIRONMENT,
        "speaker": f"{len(set(voices))}: {', '.join(dict.fromkeys(voices))}",
        "asr": "; ".join(f"{turn.speaker}: {turn.text}" for turn in example.speech),
        "description": f"{voices[0]} is first",
        "reasoning": reasoning(example, answer),
        "summary": answer,
        "response": answer,
        "final_answer": answer,
    }


def reasoning(example: Example, answer: str) -> str:
    """What leads to an answer, right or not."""
    return _REASONING[str(example.task)](example, answer)


def asked_speaker(example: Example) -> str:
    """Whose words the right answer is. Raises ValueError where nobody says it."""
    found = next((turn.speaker for turn in example.speech if turn.text == example.answer), None)
    if found is None:
        raise ValueError(f"answer {example.answer!r} is the text of no turn of its speech")
    return found


def _first(example: Example, answer: str) -> str:
    speakers = {turn.speaker for turn in example.speech}
    return f"{answer} speaks first" if answer in speakers else f"{example.speech[0].speaker} says {answer}"


_REASONING: Mapping[str, Callable[[Example, str], str]] = {
    "say": lambda example, answer: f"{asked_speaker(example)} says {answer}",
    "count": lambda example, answer: f"{answer} take a turn",
    "environment": lambda example, answer: f"{answer} is in the background",
    "first": _first,
}
"""By task."""
