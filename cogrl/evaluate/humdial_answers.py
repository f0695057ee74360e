"""A policy's own replies to the dialogues of HumDial's test, turn by turn, as `humdial.read_dialogues` reads them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from cogrl.data.clips import Clips
from cogrl.data.corpora.dialogues import TARGETS
from cogrl.data.corpora.humdial import ChallengeDialogue
from cogrl.data.errors import raise_all
from cogrl.data.text_file import unsuspicious
from cogrl.evaluate.humdial import Task, last_turn
from cogrl.formats import format_named
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import overflows
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Example


def answered(
    policy: AudioLM,
    task: Task,
    dialogues: Sequence[ChallengeDialogue],
    format: str = "direct",
    target: str = "second",
    max_new_tokens: int = 256,
    batch_size: int = 8,
    convert: bool = False,
) -> list[list[str]]:
    """Greedy replies to the turns of each dialogue up to the one that is judged, oldest first.

    A turn is answered with all earlier ones heard, and with the policy's own replies to them; what is published there
    is not read. A dialogue of task 3 without the turn that `target` names gets no replies. Raises ValueError for
    prompts that do not fit.
    """
    find = TARGETS[target] if task.number == 3 else last_turn
    judged = [find([turn.emotion for turn in dialogue.published]) for dialogue in dialogues]
    replies: list[list[str]] = [[] for _ in dialogues]
    for place in range(1 + max((at for at in judged if at is not None), default=-1)):
        rows = [i for i, at in enumerate(judged) if at is not None and at >= place]
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            examples = [_asked(dialogues[i], place, replies[i]) for i in batch]
            said = _sampled(policy, examples, format, max_new_tokens, convert)
            for i, example, text in zip(batch, examples, said, strict=True):
                replies[i].append(format_named(format).answer(text, example))
    return replies


def _asked(dialogue: ChallengeDialogue, place: int, replies: Sequence[str]) -> Example:
    """The turn at `place` of a dialogue, after the policy's own `replies` to those before it."""
    earlier = (replace(turn, reply=said) for turn, said in zip(dialogue.turns, replies, strict=False))
    turn = dialogue.turns[place]
    return Example(id=f"{dialogue.id}_{place + 1}", audio=turn.audio, text=turn.text, turns=tuple(earlier))


def _sampled(
    policy: AudioLM, examples: Sequence[Example], format: str, max_new_tokens: int, convert: bool
) -> Sequence[str]:
    asked = [(example, [format_named(format).instruction(example)]) for example in examples]
    raise_all(list(overflows(policy, asked, max_new_tokens)))
    clips = list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False, convert))
    sampling = Sampling(max_new_tokens=max_new_tokens, greedy=True)
    return HFEngine().sample(policy, clips, [format] * len(clips), sampling).texts


def write_answers(path: Path, dialogues: Iterable[ChallengeDialogue], replies: Iterable[Sequence[str]]) -> None:
    """The file to be judged: every turn with its published text and label, the answered ones with `response_text`.

    What no manifest may hold, such as a control character that a policy has drawn, is written as U+FFFD.
    """
    lines = []
    for dialogue, said in zip(dialogues, replies, strict=True):
        turns = [{"turn_id": turn.id, "emotion": turn.emotion, "text": turn.text} for turn in dialogue.published]
        answers = [{"response_text": unsuspicious(reply)} for reply in said] + [{}] * (len(turns) - len(said))
        record = {"dialogue_id": dialogue.id, "turns": [a | b for a, b in zip(turns, answers, strict=True)]}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
