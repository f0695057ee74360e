"""HumDial track 1: dialogues, target turns, scales and the final score of the challenge.

Source: https://github.com/ASLP-lab/Hum-Dial (Emotional_Intelligence/) and the published results,
https://aslp-lab.github.io/HumDial-Challenge/track1/results. A line of a file to be judged is one dialogue with the
responses filled in, in either of the published spellings:

    {"dialogue_id": "task2_3_en_0001", "turns": [{"turn_id": 1, "emotion": "sad", "text": "…", "response_text": "…",
     "response_audio": "a.wav"}, …]}                          (or `input_emotion` and `input_text`)

Tasks 1 and 2 are judged at the last turn, where the user asks. Task 3 has two published target turns: the README says
the *last* non-neutral one, `eval_task3.py`, which made the published scores, takes the *second*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cogrl.data.corpora import dialogues
from cogrl.data.corpora.dialogues import DialogueTurn
from cogrl.words import CJK, units

Language = Literal["zh", "en"]


@dataclass(frozen=True)
class Task:
    """A ranked task. `scale` maps the whole points 1 to 5 of a judge to the scores of the task."""

    number: int
    dimensions: tuple[str, str, str]
    scale: tuple[int, int, int, int, int]

    @property
    def of_text(self) -> tuple[str, ...]:
        """The dimensions that a response has which is text: in task 3 the first one."""
        return self.dimensions[:1] if self.number == 3 else self.dimensions

    @property
    def of_voice(self) -> tuple[str, ...]:
        """Those that it has besides where it is spoken."""
        return self.dimensions[len(self.of_text) :]

    def snapped(self, score: float) -> int:
        """A judge's score on the task's scale. Raises ValueError outside 1 to 5 (the challenge would call 9 a 5)."""
        if not 1 <= score <= 5:
            raise ValueError(f"task {self.number} is scored from 1 to 5, got {score!r}")
        return self.scale[int(score) - 1]

    def judged_turn(self, emotions: Sequence[str], target: str) -> int | None:
        """The place of the turn whose response is judged. In task 3 `target` says which one, and there may be none."""
        return (dialogues.TARGETS[target] if self.number == 3 else last_turn)(emotions)


ODD = (1, 1, 3, 3, 5)
"""Scale of tasks 1 and 2: <= 2 is 1, <= 4 is 3, else 5."""
TASKS = {
    1: Task(1, ("Accuracy_Completeness", "Depth_Granularity", "Added_Value"), ODD),
    2: Task(2, ("Information_Integration", "Insight_RootCause", "Clarity_Logic"), ODD),
    3: Task(3, ("textual_empathy_insight", "vocal_empathy_congruence", "audio_quality_naturalness"), (1, 2, 3, 4, 5)),
}


@dataclass(frozen=True)
class Turn:
    """What the user said, with which emotion, and the response to be judged. No audio: the response is text."""

    emotion: str
    text: str
    response: str
    audio: Path | None = None

    def answers_in(self, language: Language | None) -> bool:
        """Whether the response is in `language` (None: in the user's own); an empty one is in none."""
        return language_of(self.response) == (language or language_of(self.text))


@dataclass(frozen=True)
class Dialogue:
    id: str
    turns: tuple[Turn, ...]

    @property
    def emotions(self) -> list[str]:
        """Of each turn, to find the one to be judged by."""
        return [turn.emotion for turn in self.turns]


def last_turn(emotions: Sequence[str]) -> int:
    """Where the user asks (tasks 1 and 2)."""
    return len(emotions) - 1


def language_of(text: str) -> Language | None:
    """zh where at least half of the units (Chinese characters, Latin words) are Chinese, else en; None without any."""
    found = units(text)
    chinese, latin = sum(bool(CJK.match(unit)) for unit in found), sum("a" <= unit[0] <= "z" for unit in found)
    if not chinese + latin:
        return None
    return "zh" if chinese >= latin else "en"


def final_language(task_1: float, task_2: float, d1: float, d2: float, d3: float) -> float:
    """0.2 T1 + 0.2 T2 + 0.1 D1 + 0.25 D2 + 0.25 D3: task averages and the dimensions of task 3, of one language.

    Officially D1 is a judge model's, D2 and D3 are those of 20 people (10 a language).
    """
    return 0.2 * task_1 + 0.2 * task_2 + 0.1 * d1 + 0.25 * d2 + 0.25 * d3


def final(zh: float, en: float) -> float:
    """The score that ranks: both languages count alike."""
    return (zh + en) / 2


def read_dialogues(path: Path) -> list[Dialogue]:
    """The dialogues of a JSONL file; audio paths are relative to it. Raises ValueError naming line and dialogue."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; it holds one dialogue a line, with `response_text` in each turn")
    read = dialogues.read_dialogues(path, dialogues.refuse_record)
    found = [_dialogue(where, record, turns, path.parent) for where, record, turns in read]
    if not found:
        raise ValueError(f"{path}: holds no dialogues")
    return found


def _dialogue(where: str, record: dict, turns: Sequence[DialogueTurn], folder: Path) -> Dialogue:
    lacking = next((turn.id for turn in turns if not turn.emotion), None)
    if lacking is not None:
        raise ValueError(f"{where} ({record['dialogue_id']}), turn {lacking}: needs `emotion` (or `input_emotion`)")
    audio = [folder / turn.reply_audio if turn.reply_audio else None for turn in turns]
    return Dialogue(
        str(record["dialogue_id"]),
        tuple(Turn(turn.emotion, turn.text, turn.reply, file) for turn, file in zip(turns, audio, strict=True)),
    )
