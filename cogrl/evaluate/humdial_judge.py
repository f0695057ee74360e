"""Judging HumDial dialogues: the official settings, lenient reading, another try where an answer can not be read."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cogrl.chat.client import ChatClient
from cogrl.chat.endpoint import Endpoint
from cogrl.chat.json_answer import parse_object
from cogrl.chat.question import Answer, Question
from cogrl.chat.retry import RetryPolicy
from cogrl.data.corpora.dialogues import TARGETS
from cogrl.evaluate.humdial import Dialogue, Language, Task, Turn, language_of, last_turn
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
    """The scores of one dialogue by dimension; none where `reason` is not `judged` or `wrong language`."""

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
    turn that `target` names ("second" or "last" non-neutral one); a dialogue without it is skipped. Where the response
    has no audio, only its text is scored.
    """
    settings = settings or JudgeSettings()
    find = TARGETS[target] if task.number == 3 else last_turn
    judged: dict[int, DialogueScores] = {}
    waiting: dict[int, Messages] = {}
    for i, dialogue in enumerate(dialogues):
        at = find(dialogue.emotions)
        if at is None:
            judged[i] = DialogueScores(dialogue.id, {}, f"no {target} non-neutral turn")
        elif language_of(dialogue.turns[at].response) != (language or language_of(dialogue.turns[at].text)):
            judged[i] = DialogueScores(dialogue.id, dict.fromkeys(task.dimensions, 1), "wrong language")
        else:
            waiting[i] = _messages(task, dialogue, at, template)
    for attempt in range(attempts):
        answers = ask(list(waiting.values()), replace(settings, seed=settings.seed + attempt)) if waiting else []
        for i, answer in zip(list(waiting), answers, strict=True):
            at = find(dialogues[i].emotions)
            try:
                scores = _scores(task, dialogues[i].turns[at], answer)
                judged[i] = DialogueScores(dialogues[i].id, scores)
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


def _messages(task: Task, dialogue: Dialogue, at: int, template: str | None) -> Messages:
    text, audio = prompt(task, dialogue, at, template), dialogue.turns[at].audio
    if task.number != 3 or audio is None:
        return [{"role": "user", "content": text}]
    data = base64.b64encode(audio.read_bytes()).decode()
    sound = {"type": "input_audio", "input_audio": {"data": data, "format": audio.suffix.lstrip(".")}}
    return [{"role": "user", "content": [sound, {"type": "text", "text": text}]}]


def _scores(task: Task, turn: Turn, answer: str | Exception) -> dict[str, int]:
    if isinstance(answer, Exception):
        raise answer
    given = parse_object(answer).get("scores")
    if not isinstance(given, dict):
        raise ValueError(f"no `scores` in the answer {answer[:120]!r}")
    wanted = task.dimensions if task.number != 3 or turn.audio is not None else task.dimensions[:1]
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(f"no score for {', '.join(missing)} in the answer {answer[:120]!r}")
    return {name: task.snapped(_points(given[name])) for name in wanted}


def _points(value: object) -> float:
    """A score that may come as text. Raises ValueError for what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is no score")
    return float(value)
