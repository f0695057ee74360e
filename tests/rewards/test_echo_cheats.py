"""What cheating answers earn by the rewards of configs/reward/echo*.yaml; docs/echo.md has the same table."""

import random
from dataclasses import replace

import pytest
from echo_answers import CHEATS, QUESTION, RIGHT, ROOT, TAG, answer, reward_of, sure_answer

from cogrl.rewards import Accuracy

REPEATED = "the same segment twenty times, right"
WRONG = "wrong, one segment"
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<seg>", "</seg>")
PIECES = (
    *(TAG, "<seg>1, 2.5</seg>", "<seg>4..5</seg>", "the last", " So it ", " ", "\n", "straße", "声"),
    *("a dog", "a cat", "D", "B.", "D. a cat", "a man, a woman"),
)


@pytest.fixture(scope="module")
def graded():
    """The reward of a file of configs/reward, read once."""
    return {name: reward_of(name) for name in ("echo", "echo_confidence", "echo_mini")}


@pytest.mark.parametrize("name", CHEATS)
def test_what_cheating_earns_stands_in_the_table(graded, name):
    text, value = CHEATS[name]
    sure = graded["echo_confidence"].score([sure_answer(text)]).total.item()
    assert graded["echo"].score([answer(text)]).total.item() == pytest.approx(value)
    assert f"| {name} | {value:g} | {sure:.3g} |" in (ROOT / "docs/echo.md").read_text()


@pytest.mark.parametrize(
    ("name", "probability", "honest"),
    [
        ("echo", 0.9, {"right": 1.5, "wrong": 0.5}),
        ("echo_confidence", 0.9, {"right": 1.49, "wrong": 0.095}),
        ("echo_confidence", 0.2, {"right": 0.86, "wrong": 0.48}),
        ("echo_confidence", 1.0, {"right": 1.5, "wrong": 0.0}),
    ],
)
def test_no_cheat_earns_more_than_the_honest_answer_that_is_as_right_and_as_sure(graded, name, probability, honest):
    answers = {cheat: sure_answer(text, probability) for cheat, (text, _) in CHEATS.items()}
    totals = dict(zip(answers, graded[name].score([*answers.values()]).total.tolist(), strict=True))
    assert totals["right, one segment"] == pytest.approx(honest["right"], abs=1e-6)
    assert totals[WRONG] == pytest.approx(honest["wrong"], abs=1e-6)
    assert max(totals.values()) <= honest["right"] + 1e-6 and min(totals.values()) >= -0.5
    wrong = {cheat for cheat, one in answers.items() if Accuracy().values([one]) == [0.0]}
    assert all(totals[cheat] <= honest["wrong"] + 1e-6 for cheat in wrong)


def test_of_wrong_answers_the_page_names_those_that_earn_as_much_as_an_honest_one():
    wrong = [cheat for cheat, (text, _) in CHEATS.items() if Accuracy().values([answer(text)]) == [0.0]]
    level = [cheat for cheat in wrong if CHEATS[cheat][1] == 0.5 and cheat != WRONG]
    assert level == ["every second cited, wrong", "all options listed", "all letters listed"]
    named = (
        "As much as an honest wrong one earn *every second cited, wrong*, *all options listed* and *all letters listed*"
    )
    assert named in " ".join((ROOT / "docs/echo.md").read_text().split())
    more = [cheat for cheat, (_, value) in CHEATS.items() if value > 0.5]
    assert not set(more) & set(wrong), "more than that earns only what names the right choice in the right form"


@pytest.mark.parametrize("name", ["echo", "echo_confidence", "echo_mini"])
def test_whatever_is_written_is_graded_within_bounds_and_pays_only_for_the_right_answer(graded, name):
    rng = random.Random(0)
    texts = ["".join(rng.choices(TAGS + PIECES, k=rng.randint(1, 12))) for _ in range(400)]
    thoughts = ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(400)]
    texts += [f"<think>{thought}</think><answer>{rng.choice(PIECES)}</answer>" for thought in thoughts]
    answers = [sure_answer(text) for text in texts]
    scores, rights = graded[name].score(answers), Accuracy().values(answers)
    assert 20 < sum(rights) < len(rights) / 2 and scores.total.isfinite().all()
    assert scores.total.min() >= -0.5 and scores.total.max() <= 1.5
    highest = graded[name].score([sure_answer(CHEATS[WRONG][0])]).total.item()
    assert all(total <= highest for total, right in zip(scores.total.tolist(), rights, strict=True) if not right)
    unheard = graded[name].score([replace(one, spans=()) for one in answers])
    assert not unheard.terms["segments"].any() and (unheard.total <= scores.total).all()


def test_the_options_pay_most_for_one_right_segment():
    """With weight 0.5 for the overlap and 1 for the price, beside `echo.yaml`."""
    reward = reward_of("echo_mini", overlap=0.5, price=1.0)
    totals = dict(zip(CHEATS, reward.score([answer(text) for text, _ in CHEATS.values()]).total.tolist(), strict=True))
    assert totals["right, one segment"] == pytest.approx(2.0)
    assert all(total < 1.95 for name, total in totals.items() if name not in ("right, one segment", REPEATED))
    assert totals[REPEATED] == pytest.approx(2.0), "inserted once, paid once"
    assert reward_of("echo_mini").score([answer(RIGHT)]).total.item() == pytest.approx(1.5), "off by default"


@pytest.mark.parametrize("name", ["echo", "echo_confidence", "echo_mini"])
def test_penalties_are_values_and_what_can_not_be_graded_is_refused_before_training(graded, name):
    lowest = f"<think>it{'</seg> It' * 9}</think>"
    assert graded[name].score([answer(lowest)]).total.item() == -0.5
    assert graded[name].validate(QUESTION) is None
    assert "no answer" in graded[name].validate(replace(QUESTION, answer=None))
    bare = graded[name].validate(replace(QUESTION, evidence=()))
    assert "no evidence" in bare if name == "echo_mini" else bare is None
