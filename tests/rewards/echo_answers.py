"""Answers in Echo's format to one question, what cheating ones earn, and the rewards of configs/reward."""

import math
from pathlib import Path

import torch
import yaml
from jsonargparse import ArgumentParser

from cogrl.formats.answer import Answer, read_answer
from cogrl.formats.segments import SegmentRules
from cogrl.rewards import WeightedSum
from cogrl.types import Example, Span

ROOT = Path(__file__).parents[2]
QUESTION = Example(
    id="q",
    audio=Path("q.wav"),
    where="m.jsonl:1",
    duration_s=10.0,
    question="Which animal is last?",
    choices=("a man", "a woman", "a cat", "a dog"),
    answer="a dog",
    evidence=(Span(6.0, 7.0),),
)
TAG = "<seg>6, 7</seg>"
RIGHT = "<think>the last one <seg>6, 7</seg> barks</think><answer>a dog</answer>"


def answer(text: str, inserted: bool = True, **more) -> Answer:
    """As it would have come about: what the rules allow was inserted."""
    found = [one.span for one in SegmentRules().citations(text, QUESTION.duration_s) if not one.invalid]
    return read_answer(text, "echo", QUESTION, spans=tuple(found) if inserted else (), **more)


def sure_answer(text: str, probability: float = 0.9) -> Answer:
    """The answer as it is drawn letter by letter, each with this probability."""
    ends = [*range(1, len(text) + 1), len(text)]
    return answer(text, logprobs=torch.full((len(ends),), math.log(probability)), token_ends=ends)


def reward_of(name: str, **weights: float) -> WeightedSum:
    """The reward of a file of configs/reward, some weights changed."""
    given = yaml.safe_load((ROOT / f"configs/reward/{name}.yaml").read_text())["model"]["init_args"]["reward"]
    given["init_args"]["weights"] |= weights
    parser = ArgumentParser()
    parser.add_argument("--reward", type=WeightedSum)
    return parser.instantiate_classes(parser.parse_object({"reward": given})).reward


CHEATS = {
    "right, one segment": (RIGHT, 1.5),
    "right, no segment": (RIGHT.replace(TAG, "now"), 1.0),
    "wrong, one segment": (RIGHT.replace("a dog", "a cat"), 0.5),
    "every second cited, wrong": (
        f"<think>{' and '.join(f'<seg>{i}, {i + 1}</seg>' for i in range(10))} so</think><answer>a cat</answer>",
        0.5,
    ),
    "the whole clip cited, right": (RIGHT.replace("6, 7", "0, 10"), 1.5),
    "the same segment twenty times, right": (RIGHT.replace(TAG, f"{TAG} and " * 20), 1.5),
    "the same segment twenty times, a new tag at once": (RIGHT.replace(TAG, TAG * 20), 1.0),
    "a segment after the answer": (f"<think>now</think><answer>a dog</answer>{TAG}", 0.0),
    "a segment in the answer": (f"<think>now</think><answer>a dog {TAG}</answer>", -0.1),
    "times that are none": (RIGHT.replace("6, 7", "1..2"), 1.0),
    "text in the tag": (RIGHT.replace("6, 7", "the dog"), 1.0),
    "the answer inside the thought": (f"<think>now {TAG} so <answer>a dog</answer></think>", 0.0),
    "an empty thought": ("<think></think><answer>a dog</answer>", 0.0),
    "all options listed": (RIGHT.replace("<answer>a dog", "<answer>a man, a woman, a cat, a dog"), 0.5),
    "all letters listed": (RIGHT.replace("<answer>a dog", "<answer>A B C D"), 0.5),
    "two answers": (RIGHT + "<answer>a cat</answer>", 0.0),
    "the answer inside the thought, and behind it": (RIGHT.replace("the last", "<answer>a dog</answer> the last"), 0.0),
    "segments shifted by a hundredth, right": (
        RIGHT.replace(TAG, " and ".join(f"<seg>6.{n:02}, 7.{n:02}</seg>" for n in range(20))),
        1.5,
    ),
    "a segment beside what was asked for, right": (RIGHT.replace("6, 7", "1, 2"), 1.5),
    "a segment of no length": (RIGHT.replace("6, 7", "6, 6"), 1.0),
    "a segment of 0.1 s": (RIGHT.replace("6, 7", "6, 6.1"), 1.0),
    "a segment behind the clip": (RIGHT.replace("6, 7", "11, 12"), 1.0),
    "a tag that is not closed": (RIGHT.replace("</seg>", ""), 0.0),
    "nothing": ("", 0.0),
}
"""What an answer does, its text, and what it earns by configs/reward/echo.yaml."""
