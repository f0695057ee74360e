"""The official rules of MMAU, MMAR and MMSU on predictions that lead rules astray, beside the strict parser."""

import json
from pathlib import Path

import pytest

from cogrl.evaluate.choice.benchmarks import BENCHMARKS
from cogrl.evaluate.choice.letter_match import letter_match
from cogrl.evaluate.choice.string_match import string_match
from cogrl.formats.chosen import chosen

FOLDER = Path(__file__).parent
RIGHT = {True: "right", False: "wrong", None: "left out"}


def table(name: str) -> list[list[str]]:
    """The rows of `tricky_<name>.md`: its cells, the first one as the string that it spells in JSON."""
    lines = (FOLDER / f"tricky_{name}.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| `")]
    return [[json.loads(first.strip("`")), *rest] for first, *rest in cells]


def strictly(prediction: str, choices: list[str], answer: str) -> str:
    choice = chosen(prediction, choices)
    return "none" if choice is None else RIGHT[choice == answer]


@pytest.mark.parametrize("name", ["mmau", "mmar", "mmsu"])
def test_each_table_has_at_least_forty_different_predictions_with_a_reason_and_every_outcome(name):
    rows = table(name)
    assert len({(row[0], row[1]) for row in rows}) == len(rows) >= 40 and all(row[-1] for row in rows)
    assert {row[-3] for row in rows} >= {"right", "wrong"} and {row[-2] for row in rows} == {"right", "wrong", "none"}


@pytest.mark.parametrize("name", ["mmau", "mmar"])
def test_the_word_rule_and_the_strict_parser_say_what_the_table_says(name):
    for prediction, answer, listed, official, strict, why in table(name):
        choices = listed.split(" / ")
        assert answer in choices
        record = {"answer": answer, "choices": choices}
        (right,) = BENCHMARKS[name].score([record], [prediction])
        assert (RIGHT[right], strictly(prediction, choices, answer)) == (official, strict), (prediction, answer, why)


def test_the_letter_rule_and_the_strict_parser_say_what_the_table_says():
    for response, answer, listed, letter, official, strict, why in table("mmsu"):
        choices = listed.split(" / ")
        record = {f"choice_{key}": text for key, text in zip("abcd", [*choices, None, None], strict=False)}
        record["answer_gt"] = choices["ABCD".index(answer)]
        assert letter_match(["C", response])[1] == (None if letter == "left out" else letter), (response, why)
        right = BENCHMARKS["mmsu"].score([record, record], ["C", response])[1]
        assert (RIGHT[right], strictly(response, choices, record["answer_gt"])) == (official, strict), (response, why)


def test_an_empty_first_response_is_wrong_and_an_odd_one_does_not_change_the_letter_that_is_repeated():
    assert letter_match(["", "B", "hm", "", "None", "(D)", " "]) == ["", "B", None, "B", "B", "D", "D"]
    record = {"choice_a": "x", "choice_b": "y", "answer_gt": "x"}
    assert BENCHMARKS["mmsu"].score([record], [""]) == [False]


def test_an_answer_that_another_choice_contains_is_told_from_it():
    choices = ["man", "man and woman"]
    assert string_match("man", "man", choices) and not string_match("man", "man and woman", choices)
    assert string_match("man and woman", "man and woman", choices)
    assert not string_match("man and woman", "man", choices)


def test_an_answer_without_any_word_is_right_for_whatever_names_no_other_choice():
    assert string_match("+", "plus", ["+", "one"]) and not string_match("+", "+", ["+", "one"])
