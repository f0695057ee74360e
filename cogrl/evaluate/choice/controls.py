"""The controls of questions: what is given in place of the clip, so that only a policy without need of it stays right.

The question and its choices stay as they are in each.
"""

from collections.abc import Mapping, Sequence

from cogrl.evaluate.controls import Condition, derangement, silence
from cogrl.model_input import audio_input
from cogrl.types import Clip, Example, ModelInput


def question_alone(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The question and its choices without any audio: what can be guessed from their words."""
    return [""] * len(clips)


def other_clip(clips: Sequence[Clip], sampling_rate: int) -> list[ModelInput]:
    """The audio of another question of the same task; within a task the right answers are spread over all of them.

    Another question about the same file is none, as long as the task has other files to swap with. A task with a single
    question keeps its clip.
    """
    own: list[ModelInput] = [audio_input(clip) for clip in clips]
    by_task: dict[str | None, list[int]] = {}
    for i, clip in enumerate(clips):
        by_task.setdefault(clip.example.task, []).append(i)
    found = list(own)
    for rows in by_task.values():
        if len(rows) > 1:
            for i, other in zip(rows, _others([clips[i].example for i in rows]), strict=True):
                found[i] = own[rows[other]]
    return found


def _others(examples: Sequence[Example]) -> list[int]:
    """A `derangement` by answer; who got its own file swaps with the first that leaves both another one.

    Those with the same answer, or with a clip of the same answer, come first: that leaves the spread as it is.
    """
    answers, files = [str(example.answer) for example in examples], [example.audio for example in examples]
    others = derangement(answers)
    for i, file in enumerate(files):
        if files[others[i]] == file:
            alike = [answers[j] == answers[i] or answers[others[j]] == answers[others[i]] for j in range(len(files))]
            places = sorted(range(len(files)), key=lambda j: not alike[j])
            j = next((j for j in places if files[others[j]] != file and files[others[i]] != files[j]), i)
            others[i], others[j] = others[j], others[i]
    return others


CHOICE_CONTROLS: Mapping[str, Condition] = {"question": question_alone, "silence": silence, "shuffled": other_clip}
CONTROL_TITLES = {"question": "question alone, %", "silence": "silence, %", "shuffled": "another clip, %"}
