"""Echo's reward, term by term against the paper's table, and what cheating answers earn."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from cogrl.formats.answer import read_answer
from cogrl.formats.segments import SegmentRules
from cogrl.rewards import Accuracy, WeightedSum
from cogrl.rewards.echo.cited import CountedSegments
from cogrl.rewards.echo.confidence import ConfidentAccuracy, deciding_token
from cogrl.rewards.echo.consistency import segment_consistency
from cogrl.rewards.echo.evidence import SegmentOverlap, SegmentPrice
from cogrl.rewards.echo.right_segments import RightSegments
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
RIGHT = "<think>the last one <seg>6, 7</seg> barks</think><answer>a dog</answer>"
CITED = CountedSegments("cited")


def answer(text, inserted=True, **more):
    """As it would have come about: what the rules allow was inserted."""
    found = [one.span for one in SegmentRules().citations(text, QUESTION.duration_s) if not one.invalid]
    return read_answer(text, "echo", QUESTION, spans=tuple(found) if inserted else (), **more)


@pytest.mark.parametrize(
    ("thought", "value"),
    [
        ("a <seg>1, 2</seg> barks", 0.0),
        ("a <seg>1, 2</seg> The dog", -0.1),
        ("a <seg>1, 2</seg>The dog", -0.1),
        ("a <seg>1, 2</seg>\n <seg>3, 4</seg> b", -0.1),
        ("a <seg>1, 2</seg>", 0.0),  # the end of the thought is no new beginning
        ("a <seg>1, 2</seg> " + "É <seg>2, 3</seg> " * 8, -0.5),
        ("nothing", 0.0),
    ],
)
def test_e9_what_begins_anew_behind_a_segment_costs_a_tenth_down_to_a_half(thought, value):
    text = f"<think>{thought}</think><answer>a dog</answer>"
    assert segment_consistency(answer(text)) == pytest.approx(value)
    assert segment_consistency(answer("</seg><answer>")) == -0.1


@pytest.mark.parametrize(
    ("said", "right"), [("a dog", 1.0), ("A Dog.", 1.0), ("D", 1.0), ("(d) a dog", 1.0), ("a woman", 0.0), ("man", 0.0)]
)
def test_e10_e13_answers_are_normalised_letters_count_and_nothing_is_guessed(said, right):
    one = answer(f"<think>so <seg>6, 7</seg> it is</think><answer>{said}</answer>")
    assert Accuracy().values([one]) == [right] == RightSegments().values([one])


def test_r_seg_is_for_right_answers_that_listened():
    right, unheard = answer(RIGHT), answer(RIGHT, inserted=False)
    wrong = answer(RIGHT.replace("a dog", "a cat"))
    assert RightSegments().values([right, unheard, wrong]) == [1.0, 0.0, 0.0]
    assert RightSegments(CITED).values([right, unheard, wrong]) == [1.0, 1.0, 0.0]
    without = Example(id="q", audio=Path("q.wav"), question="?", answer="a")
    assert "no duration_s" in RightSegments(CITED).validate(without) and RightSegments().validate(without) is None


@pytest.mark.parametrize("tag", ["9, 11", "7, 6", "6, 6", "1..2", "6, 6.1", "-1, 2"])
def test_e8_a_segment_that_can_not_be_heard_earns_nothing(tag):
    one = answer(RIGHT.replace("6, 7", tag))
    assert RightSegments().values([one]) == [0.0] == RightSegments(CITED).values([one])


def sampled(text, probabilities):
    """The answer, cut into a token for each word, and how likely some of them were."""
    ends = [place for place, letter in enumerate(text) if letter in " >"] + [len(text)]
    ends = sorted({end + 1 for end in ends if end + 1 <= len(text)} | {len(text)})
    logprobs = torch.full((len(ends) + 1,), math.log(0.5))
    for place, probability in probabilities.items():
        logprobs[next(i for i, end in enumerate(ends) if end > place)] = math.log(probability)
    return answer(text, logprobs=logprobs, token_ends=[*ends, len(text)])


def test_e11_confidence_is_that_of_the_first_token_of_the_answer_or_of_the_first_wrong_one():
    start = RIGHT.index("a dog")
    right = sampled(RIGHT, {start: 0.9})
    assert ConfidentAccuracy().values([right]) == pytest.approx([1 - 0.1**2])
    wrong = sampled(RIGHT.replace("a dog", "a cat"), {start: 0.9, start + 2: 0.2})  # both begin with "a "
    assert ConfidentAccuracy().values([wrong]) == pytest.approx([-(0.2**2)])
    shorter = sampled(RIGHT.replace("a dog", "a"), {})
    assert 0 <= deciding_token(shorter, False) < len(shorter.token_ends)
    assert ConfidentAccuracy().values([sampled("<think>cut", {}), answer(RIGHT), answer("")]) == [0.0, 1.0, 0.0]
    (lost,) = ConfidentAccuracy().accuracy.values([right])
    assert lost == 1.0
    with pytest.raises(ValueError, match="gave no token_ends"):
        ConfidentAccuracy().values([answer(RIGHT, logprobs=torch.zeros(3))])


def drawn_as(said, **probabilities):
    """The answer whose tokens are these pieces behind the thought; `_1=0.3` is the probability of the second."""
    pieces = ["<think>so", "</think>", "<answer>", *said]
    ends = [sum(map(len, pieces[: count + 1])) for count in range(len(pieces))]
    likely = [0.9] * 3 + [probabilities.get(f"_{place}", 0.9) for place in range(len(said))]
    return answer("".join(pieces), logprobs=torch.tensor(likely).log(), token_ends=ends)


@pytest.mark.parametrize(
    ("said", "decides"),
    [
        (["a", " cat", "</answer>"], 1),
        (["A", "</answer>"], 0),  # the letter of another choice, not the "a" of "a dog"
        (["(", "A", ")", "</answer>"], 1),
        (["C", ".", " a", " cat", "</answer>"], 0),
        (["D", ".", " a", " cat", "</answer>"], 3),  # gold's letter before another text
        ([" ", "a", " woman", "</answer>"], 2),
        (["A", " ", "c", "at", "</answer>"], 2),
        (["a", " d", "</answer>"], 2),  # too short: where the rest of gold was due
        (["none", "</answer>"], 0),
    ],
)
def test_e11_a_wrong_answer_is_decided_where_it_leaves_the_text_or_the_letter_of_gold(said, decides):
    one = drawn_as(said, **{f"_{decides}": 0.3})
    assert deciding_token(one, False) == 3 + decides
    found = {True: -(0.3**2), False: 0.0}[bool(one.said)]
    assert ConfidentAccuracy().values([one]) == pytest.approx([found])


def test_e8_what_is_inserted_counts_if_it_was_cited_and_before_the_answer():
    def counted(text, *parts):
        one = read_answer(text, "echo", QUESTION, spans=parts)
        return [term.values([one])[0] for term in (RightSegments(), SegmentOverlap(), SegmentPrice(lowest=-9.0))]

    assert counted(RIGHT, Span(6.0, 7.0)) == [1.0, 1.0, -1.0]
    assert counted(RIGHT, Span(6.0, 7.1)) == pytest.approx([1.0, 1 / 1.1, -1.1]), "the same segment, by the rules"
    assert counted(RIGHT, Span(2.0, 3.0)) == [0.0, 0.0, 0.0], "a control has inserted another part"
    assert counted(RIGHT.replace("<seg>6, 7</seg>", "now"), Span(6.0, 7.0)) == [0.0, 0.0, 0.0], "nothing is cited"
    behind = RIGHT.replace("<seg>6, 7</seg>", "now") + "<seg>6, 7</seg>"
    assert counted(behind, Span(6.0, 7.0)) == [0.0, 0.0, 0.0]


def test_confidence_reaches_the_segments():
    right = sampled(RIGHT, {RIGHT.index("a dog"): 0.9})
    wrong = sampled(RIGHT.replace("a dog", "a cat"), {})
    assert RightSegments(accuracy=ConfidentAccuracy()).values([right, wrong]) == pytest.approx([0.99, 0.0])


def test_overlap_and_price_are_of_what_the_segments_cover():
    twice = answer(RIGHT.replace("6, 7</seg>", "6, 7</seg> and <seg>6.5, 8</seg>"))
    assert SegmentOverlap().values([twice, answer(RIGHT), answer("no")]) == pytest.approx([0.5, 1.0, 0.0])
    assert SegmentPrice(0.5, -3.0).values([twice, answer(RIGHT), answer("no")]) == pytest.approx([-1.5, -0.5, 0.0])
    assert SegmentPrice(lowest=-1.0).values([twice]) == [-1.0]
    without = Example(id="q", audio=Path("q.wav"), question="?", answer="a", duration_s=3.0)
    assert "no evidence" in SegmentOverlap().validate(without)
    with pytest.raises(ValueError, match="must be below 0"):
        SegmentPrice(lowest=0.0)


TAG = "<seg>6, 7</seg>"
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
"""What an answer does, and what it earns by configs/reward/echo.yaml. docs/echo.md has the same table."""


REPEATED = "the same segment twenty times, right"


@pytest.fixture(scope="module")
def graded():
    """`graded(name, **weights)`: the reward of a file of configs/reward, some weights changed."""

    def read(name, **weights):
        given = yaml.safe_load((ROOT / f"configs/reward/{name}.yaml").read_text())["model"]["init_args"]["reward"]
        given["init_args"]["weights"] |= weights
        parser = ArgumentParser()
        parser.add_argument("--reward", type=WeightedSum)
        return parser.instantiate_classes(parser.parse_object({"reward": given})).reward

    return read


@pytest.fixture(scope="module")
def reward(graded):
    return graded("echo")


@pytest.mark.parametrize("name", CHEATS)
def test_what_cheating_earns_stands_in_the_table(reward, name):
    text, value = CHEATS[name]
    scores = reward.score([answer(text)])
    assert float(scores.total[0]) == pytest.approx(value)
    line = f"| {name} | {value:g} |"
    assert line in (ROOT / "docs/echo.md").read_text()


def test_the_options_pay_most_for_one_right_segment(graded):
    """With weight 0.5 for the overlap and 1 for the price, beside `echo.yaml`."""
    reward = graded("echo_mini", overlap=0.5, price=1.0)
    totals = dict(zip(CHEATS, reward.score([answer(text) for text, _ in CHEATS.values()]).total.tolist(), strict=True))
    assert totals["right, one segment"] == pytest.approx(2.0)
    assert all(total < 1.95 for name, total in totals.items() if name not in ("right, one segment", REPEATED))
    assert totals[REPEATED] == pytest.approx(2.0), "inserted once, paid once"
    assert graded("echo_mini").score([answer(RIGHT)]).total.item() == pytest.approx(1.5), "off by default"


@pytest.mark.parametrize("name", ["echo", "echo_confidence", "echo_mini"])
def test_penalties_are_values_and_what_can_not_be_graded_is_refused_before_training(graded, name):
    lowest = f"<think>it{'</seg> It' * 9}</think>"
    assert graded(name).score([answer(lowest)]).total.item() == -0.5
    assert graded(name).validate(QUESTION) is None
    assert "no answer" in graded(name).validate(replace(QUESTION, answer=None))
    bare = graded(name).validate(replace(QUESTION, evidence=()))
    assert "no evidence" in bare if name == "echo_mini" else bare is None


def test_no_cheat_earns_more_than_the_honest_answer(reward):
    totals = reward.score([answer(text) for text, _ in CHEATS.values()]).total
    assert float(totals.max()) == pytest.approx(1.5) and float(totals.min()) >= -0.5
    wrong = [name for name in CHEATS if name.endswith("wrong")]
    assert all(CHEATS[name][1] <= CHEATS["wrong, one segment"][1] for name in wrong)


def test_confidence_has_no_place_in_a_format_without_answer_tags():
    plain = read_answer("a dog", "choice", QUESTION, logprobs=torch.zeros(3), token_ends=[2, 5, 5])
    with pytest.raises(ValueError, match="format choice has no <answer>"):
        ConfidentAccuracy().values([plain])
