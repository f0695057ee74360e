"""Reports as `cogrl evaluate` leaves them, with answers made by hand: what the scripts over seeds read."""

import json
from collections.abc import Mapping
from pathlib import Path

from cogrl.types import EMOTIONS


def record(policy: str, n: int, right: Mapping[str, bool], **changes) -> dict:
    """Clip `n` in emotion `n % 7`, all seven of a cell; right: label, eips, direct.

    Text only is always heard as the first emotion, silence as none, shuffled audio as a wrong one.
    """
    spoken, other = EMOTIONS[n % 7], EMOTIONS[(n + 1) % 7]
    named = {key: spoken if yes else other for key, yes in right.items()}
    without = {"transcript": EMOTIONS[0], "silence": None, "shuffled": other}
    return {
        "policy": policy,
        "id": f"c{n}",
        "cell": f"s{n // 7}/t0",
        "emotion": spoken,
        "part": "conflict",
        **given(
            named["label"],
            {"eips": named["eips"], "direct": named["direct"]},
            {"eips": right["eips"], "direct": right["direct"]},
        ),
        "in_control": {
            name: given(label, {"eips": label, "direct": label}, {"eips": 0, "direct": 0})
            for name, label in without.items()
        },
    } | changes


def given(perceived: str | None, replied: Mapping[str, str | None], good: Mapping[str, bool]) -> dict:
    """What was made of a clip: good replies earn half the reward and all of the empathy."""
    return {
        "perceived": perceived,
        "replied": dict(replied),
        "tokens": {"eips": 72, "direct": 18},
        "reward": {format: 0.5 * value for format, value in good.items()},
        "empathy": {format: float(value) for format, value in good.items()},
    }


def write_report(folder: Path, policies: Mapping[str, Mapping[str, int]], cells: int = 4) -> None:
    """`policies[name]`: of the seven clips of each cell, how many have the right label, reply of eips and of direct."""
    lines = [
        json.dumps(record(name, n, {key: n % 7 < count for key, count in counts.items()})) + "\n"
        for name, counts in policies.items()
        for n in range(7 * cells)
    ]
    folder.mkdir(parents=True)
    for file in ("answers.jsonl", "answers_conflict.jsonl"):
        (folder / file).write_text("".join(lines))
