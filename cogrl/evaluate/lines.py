"""Which lines of a manifest are asked their question, and which are answered and graded by emotion."""

from collections.abc import Sequence

from cogrl.data.errors import raise_all
from cogrl.formats import instructions
from cogrl.rewards.accuracy import Accuracy
from cogrl.rewards.composite import Reward
from cogrl.rewards.term import Validates
from cogrl.types import Example


def sorted_lines(
    examples: Sequence[Example], formats: Sequence[str], reward: Reward, accuracy: Accuracy
) -> tuple[list[Example], list[Example], list[str]]:
    """(lines with a question, lines with an emotion that the reward can grade, notes for the report).

    `formats` are how questions are asked. A line with both is in both. One with a question and an emotion whose replies
    can not be graded is asked its question only, which the notes say. Raises ValueError, `file:line (id)`, for lines
    that would be neither, and for an answer that `accuracy` can not compare anything with.
    """
    questions = [example for example in examples if example.question]
    for example in questions:
        instructions(formats, example)  # raises for one that can not be put
    reasons = [(example, accuracy.validate(example)) for example in questions if example.answer is not None]
    raise_all([f"{example.where} ({example.id}): {reason}" for example, reason in reasons if reason])
    check_gradable([example for example in examples if not example.question], reward)
    errors = {example.id: grading_error(example, reward) for example in questions}
    left_out = [example for example in questions if errors[example.id] and example.emotion]
    notes = []
    if left_out:
        first = left_out[0]
        notes.append(
            f"{len(left_out)} of {len(questions)} questions are asked and stand in no table of "
            f"emotions, such as {first.id}: {errors[first.id]}.\n"
        )
    return questions, [example for example in examples if not errors.get(example.id)], notes


def check_gradable(examples: Sequence[Example], reward: Reward) -> None:
    """Raises ValueError, `file:line (id)`, for lines without an emotion and for those that the reward can not grade."""
    unlabelled = sum(example.emotion is None for example in examples)
    advice = f", as {unlabelled} of {len(examples)} lines have none; answers are compared with it: leave such lines out"
    reasons = [(example, grading_error(example, reward)) for example in examples]
    raise_all([f"{e.where} ({e.id}): {why}{'' if e.emotion else advice}" for e, why in reasons if why])


def grading_error(example: Example, reward: Reward) -> str | None:
    """Why a reply to this line stands in no table of emotions; None where it does."""
    if example.emotion is None:
        return "no emotion"
    if not example.text:
        return "no text, which the text-only control reads; add it to this line or leave the line out"
    return reward.validate(example) if isinstance(reward, Validates) else None
