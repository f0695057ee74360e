"""The controls of questions: what is given in place of the clip, so that only a policy without need of it stays right.

The question and its choices stay as they are in each.
"""

from collections.abc import Mapping, Sequence

from cogrl.evaluate.controls import Condition, derangement, silence
from cogrl.model_input import audio_input
from cogrl.types import Clip, ModelInput


def question_alone(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The question and its choices without any audio: what can be guessed from their words."""
    return [""] * len(clips)


def other_clip(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The audio of another question of the same task; within a task the right answers are spread over all of them.

    A task with a single question keeps its clip.
    """
    own: list[ModelInput] = [audio_input(clip) for clip in clips]
    by_task: dict[str | None, list[int]] = {}
    for i, clip in enumerate(clips):
        by_task.setdefault(clip.example.task, []).append(i)
    found = list(own)
    for rows in by_task.values():
        if len(rows) > 1:
            others = derangement([str(clips[i].example.answer) for i in rows])
            for i, other in zip(rows, others, strict=True):
                found[i] = own[rows[other]]
    return found


CHOICE_CONTROLS: Mapping[str, Condition] = {"question": question_alone, "silence": silence, "shuffled": other_clip}
CONTROL_TITLES = {"question": "question alone, %", "silence": "silence, %", "shuffled": "another clip, %"}
