"""A policy's own replies to the dialogues of HumDial's test, turn by turn, as `humdial.read_dialogues` reads them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cogrl.audio import wav_bytes
from cogrl.data.clips import Clips
from cogrl.data.corpora.humdial import ChallengeDialogue
from cogrl.data.errors import raise_all
from cogrl.data.text_file import unsuspicious
from cogrl.evaluate.humdial import Task
from cogrl.formats import format_named
from cogrl.models.audio_lm import AudioLM
from cogrl.models.prompt_length import overflows
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.spoken import Speaking, with_speech
from cogrl.types import Example, Rollouts, Waveform


@dataclass(frozen=True, eq=False)
class Reply:
    """What the user gets: the text and, where it was to be spoken, how it sounds (no samples: nothing is said).

    `finished` is False where the unit budget has cut the speech.
    """

    text: str
    waveform: Waveform | None = None
    sampling_rate: int = 0
    finished: bool = True


def answered(
    policy: AudioLM,
    task: Task,
    dialogues: Sequence[ChallengeDialogue],
    format: str = "direct",
    target: str = "second",
    max_new_tokens: int = 256,
    batch_size: int = 8,
    convert: bool = False,
    speaking: Speaking | None = None,
    seed: int = 0,
) -> list[list[Reply]]:
    """Greedy replies to the turns of each dialogue up to the one that is judged, oldest first.

    A turn is answered with all earlier ones heard, and with the policy's own replies to them; what is published there
    is not read. A dialogue of task 3 without the turn that `target` names gets no replies. With `speaking` the judged
    reply of each dialogue is spoken, from the Speak branch of the policy; `seed` is that of its units. Raises
    ValueError for prompts that do not fit, and for a format whose reply can not be spoken.
    """
    judged = [task.judged_turn([turn.emotion for turn in dialogue.published], target) for dialogue in dialogues]
    replies: list[list[Reply]] = [[] for _ in dialogues]
    generator = torch.Generator(policy.device).manual_seed(seed)
    for place in range(1 + max((at for at in judged if at is not None), default=-1)):
        going_on = [i for i, at in enumerate(judged) if at is not None and at > place]
        due = [i for i, at in enumerate(judged) if at == place]
        for rows, aloud in ((going_on, None), (due, speaking)):
            for start in range(0, len(rows), batch_size):
                batch = rows[start : start + batch_size]
                examples = [_asked(dialogues[i], place, replies[i]) for i in batch]
                said = _sampled(policy, examples, format, max_new_tokens, convert)
                voices = _voices(policy, said, aloud, generator) if aloud else [{}] * len(batch)
                for i, example, text, voice in zip(batch, examples, said.texts, voices, strict=True):
                    replies[i].append(Reply(format_named(format).answer(text, example), **voice))
    return replies


def _asked(dialogue: ChallengeDialogue, place: int, replies: Sequence[Reply]) -> Example:
    """The turn at `place` of a dialogue, after the policy's own `replies` to those before it."""
    earlier = (replace(turn, reply=said.text) for turn, said in zip(dialogue.turns, replies, strict=False))
    turn = dialogue.turns[place]
    return Example(id=f"{dialogue.id}_{place + 1}", audio=turn.audio, text=turn.text, turns=tuple(earlier))


def _sampled(policy: AudioLM, examples: Sequence[Example], format: str, max_new_tokens: int, convert: bool) -> Rollouts:
    asked = [(example, [format_named(format).instruction(example)]) for example in examples]
    raise_all(list(overflows(policy, asked, max_new_tokens)))
    clips = list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False, convert))
    sampling = Sampling(max_new_tokens=max_new_tokens, greedy=True)
    return HFEngine().sample(policy, clips, [format] * len(clips), sampling)


def _voices(policy: AudioLM, said: Rollouts, speaking: Speaking, generator: torch.Generator) -> list[dict[str, Any]]:
    """Of each row, the fields of a `Reply` about its sound."""
    rate = policy.speech.codec.sampling_rate
    silence = np.zeros(0, np.float32)
    voices = []
    for speech in with_speech(policy, said, speaking, generator).speech:
        waveform = silence if speech is None or speech.waveform is None else speech.waveform
        voices.append({"waveform": waveform, "sampling_rate": rate, "finished": speech is None or speech.finished})
    return voices


def write_answers(path: Path, dialogues: Iterable[ChallengeDialogue], replies: Iterable[Sequence[Reply]]) -> None:
    """The file to be judged: every turn with its published text and label, the answered ones with `response_text`.

    Spoken ones have a wav file in the folder beside it, `en-T3/` for `en-T3.jsonl`, named in `response_audio` (without
    samples where nothing was said), and `response_audio_finished`. What no manifest may hold, such as a control
    character that a policy has drawn, is written as U+FFFD.
    """
    lines = []
    for number, (dialogue, said) in enumerate(zip(dialogues, replies, strict=True), start=1):
        turns = [{"turn_id": turn.id, "emotion": turn.emotion, "text": turn.text} for turn in dialogue.published]
        answers: list[dict[str, Any]] = [{} for _ in turns]
        for turn, answer, reply in zip(turns, answers, said, strict=False):
            answer["response_text"] = unsuspicious(reply.text)
            if reply.waveform is not None:
                # the number keeps two dialogues of one name apart
                file = path.with_suffix("") / f"{number:04}_{Path(dialogue.id).name}_{turn['turn_id']}.wav"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(wav_bytes(reply.waveform, reply.sampling_rate))
                answer["response_audio"] = str(file.relative_to(path.parent))
                answer["response_audio_finished"] = reply.finished
        record = {"dialogue_id": dialogue.id, "turns": [a | b for a, b in zip(turns, answers, strict=True)]}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
