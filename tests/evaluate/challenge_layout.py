"""A test of HumDial in the official layout, small, and which task a judge is asked about."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

from cogrl.evaluate.humdial import TASKS, Task

TEXTS = {"zh": "我今天很难过。", "en": "I lost my keys again."}


def write_challenge(root: Path, labels: Mapping[int, Sequence[Sequence[str]]]) -> Path:
    """Three lists a language; `labels[task]` are those of each dialogue's turns. Task 1 has one that was withdrawn."""
    for language, text in TEXTS.items():
        folder = root / "HD-Track1-Test" / language
        folder.mkdir(parents=True)
        for task, dialogues in labels.items():
            named = [(f"task{task + 1}_3_{language}_{n:04}", own) for n, own in enumerate(dialogues, 1)]
            named += [("task2_4_en_0002_0014", dialogues[0])] if task == 1 else []
            lines = [
                {
                    "dialogue_id": name,
                    "turns": [{"turn_id": n, "text": text, "emotion": e} for n, e in enumerate(own, 1)],
                }
                for name, own in named
            ]
            (folder / f"HD-Track1-T{task}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            for number, (name, own) in enumerate(named):
                for n in range(1, len(own) + 1):
                    file = folder / f"HD-Track1-T{task}" / f"{name}_{n}.wav"
                    file.parent.mkdir(exist_ok=True)
                    noise = np.random.default_rng([number, n]).normal(0, 0.1, int(16_000 * (0.2 + 0.1 * n)))
                    soundfile.write(file, noise, 16_000)
    return root


def task_of(prompt: str) -> Task:
    """By the dimensions that are named in it."""
    return next(task for task in TASKS.values() if task.dimensions[0] in prompt)
