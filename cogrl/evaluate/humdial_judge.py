"""Judging HumDial dialogues: the official settings, lenient reading, another try where an answer can not be read."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cogrl.audio import has_sound
from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.json_answer import parse_object
from cogrl.chat.question import Answer, Question
from cogrl.chat.retry import RetryPolicy
from cogrl.evaluate.humdial import Dialogue, Language, Task
from cogrl.evaluate.humdial_prompts import prompt
from cogrl.evaluate.stats import bootstrap_mean

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class JudgeSettings:
    """The challenge's: `eval_task*.py` of https://github.com/ASLP-lab/Hum-Dial. The server needs a window of 32,768."""

    model: str = "Qwen/Qwen3-Omni-30B-A3B-Instruct"
    temperature: float = 0.6
    top_p: float = 0.95
    top_k: int = 20
    max_tokens: int = 16_384
    seed: int = 1234


Ask = Callable[[Sequence[Messages], JudgeSettings], Sequence[str | Exception]]
"""Chats and settings -> the judge's answer to each, or why there is none."""


@dataclass(frozen=True)
class DialogueScores:
    """The scores of one dialogue by dimension; none where `reason` does not begin with `judged` or `wrong language`."""

    dialogue_id: str
    scores: dict[str, int]
    reason: str = "judged"


def judge_dialogues(
    task: Task,
    dialogues: Sequence[Dialogue],
    ask: Ask,
    settings: JudgeSettings | None = None,
    language: Language | None = None,
    target: str = "second",
    attempts: int = 3,
    template: str | None = None,
) -> list[DialogueScores]:
    """The judge's scores of each dialogue, in order.

    A response in another language than the user's (or than `language`) gets 1 point in every dimension, unasked. An
    answer that can not be parsed is asked for again with the next seed, `attempts` times in all (the official script
    reads the same answer ten times); then the dialogue has failed and its `reason` says why. Task 3 is judged at the
    turn that `target` names ("second" or "last" non-neutral one); a dialogue without it is skipped.

    Responses of task 3 with audio are heard by the judge, those without are scored by their text alone: where none has
    audio, there is no dimension but the first, not even for the wrong language. Audio without sound is not sent: the
    judge reads the text, and both dimensions of the voice get 1 point. Raises OSError or ValueError, naming dialogue
    and file and before anything is asked, for audio that can not be read.
    """
    settings = settings or JudgeSettings()
    places = [task.judged_turn(dialogue.emotions, target) for dialogue in dialogues]
    sounds = _sounds(task, dialogues, places)
    judged: dict[int, DialogueScores] = {}
    waiting: dict[int, Messages] = {}
    for i, (dialogue, at) in enumerate(zip(dialogues, places, strict=True)):
        if at is None:
            judged[i] = DialogueScores(dialogue.id, {}, f"no {target} non-neutral turn")
        elif not dialogue.turns[at].answers_in(language):
            every = task.dimensions if sounds else task.of_text
            judged[i] = DialogueScores(dialogue.id, dict.fromkeys(every, 1), "wrong language")
        else:
            waiting[i] = _messages(
                prompt(task, dialogue, at, template), dialogue.turns[at].audio if sounds.get(i) else None
            )
    for attempt in range(attempts):
        answers = ask(list(waiting.values()), replace(settings, seed=settings.seed + attempt)) if waiting else []
        for i, answer in zip(list(waiting), answers, strict=True):
            try:
                scores = _scores(task, task.dimensions if sounds.get(i) else task.of_text, answer)
                unsaid = dict.fromkeys(task.of_voice, 1) if sounds.get(i) is False else {}
                judged[i] = DialogueScores(dialogues[i].id, scores | unsaid, "judged: no sound" if unsaid else "judged")
                del waiting[i]
            except (ValueError, OSError) as error:
                judged[i] = DialogueScores(dialogues[i].id, {}, f"failed: {error}")
    return [judged[i] for i in range(len(dialogues))]


def summary(task: Task, judged: Sequence[DialogueScores]) -> dict[str, Any]:
    """Mean and interval of each dimension, the average of the task, and how many dialogues there are by `reason`."""
    means: dict[str, Any] = {}
    for name in task.dimensions:
        scores = [one.scores[name] for one in judged if name in one.scores]
        means[name] = vars(bootstrap_mean(scores)) | {"n": len(scores)} if scores else None
    found = [value["mean"] for value in means.values() if value]
    kinds = [one.reason.partition(":")[0] for one in judged]
    return {
        "task": task.number,
        "average": sum(found) / len(found) if len(found) == len(task.dimensions) else None,
        "dimensions": means,
        "dialogues": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
    }


def over_http(base_url: str, api_key_env: str | None = None, concurrency: int = 8, attempt_s: float = 600.0) -> Ask:
    """A judge behind an OpenAI-compatible server, such as vLLM with the official model."""

    def ask(chats: Sequence[Messages], settings: JudgeSettings) -> list[str | Exception]:
        extra = {"top_p": settings.top_p, "top_k": settings.top_k, "seed": settings.seed}
        endpoint = Endpoint(
            base_url, settings.model, api_key_env, settings.temperature, settings.max_tokens, "text", extra
        )
        client = ChatClient(endpoint, RetryPolicy(attempt_s=attempt_s, question_s=3 * attempt_s), concurrency)
        entries = client.ask([_Chat("", "", str, chat=chat) for chat in chats]).entries
        return [entry.value if isinstance(entry, Answer) else entry.error for entry in entries]

    return ask


@dataclass(frozen=True)
class _Chat(Question):
    """A whole chat: the challenge asks in one user message, with audio."""

    chat: Messages | None = None

    @property
    def messages(self) -> Messages:
        return self.chat or []


def _sounds(task: Task, dialogues: Sequence[Dialogue], places: Sequence[int | None]) -> dict[int, bool]:
    """Of each dialogue of task 3 whose judged response has audio, whether there is sound in it."""
    if not task.of_voice:
        return {}
    at = ((i, None if place is None else dialogues[i].turns[place].audio) for i, place in enumerate(places))
    return {i: has_sound(audio, dialogues[i].id) for i, audio in at if audio is not None}


def _messages(text: str, audio: Path | None) -> Messages:
    if audio is None:
        return [{"role": "user", "content": text}]
    data = base64.b64encode(audio.read_bytes()).decode()
    sound = {"type": "input_audio", "input_audio": {"data": data, "format": audio.suffix.lstrip(".").lower()}}
    return [{"role": "user", "content": [sound, {"type": "text", "text": text}]}]


def _scores(task: Task, wanted: Sequence[str], answer: str | Exception) -> dict[str, int]:
    if isinstance(answer, Exception):
        raise answer
    given = parse_object(answer).get("scores")
    if not isinstance(given, dict):
        raise ValueError(f"no `scores` in the answer {answer[:120]!r}")
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(f"no score for {', '.join(missing)} in the answer {answer[:120]!r}")
    return {name: task.snapped(_points(given[name])) for name in wanted}


def _points(value: object) -> float:
    """A score that may come as text. Raises ValueError for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no score")
    return float(value)
