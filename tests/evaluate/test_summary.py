import json

import pytest
from handmade_evaluations import clips, fixed

from cogrl.evaluate.report import write
from cogrl.evaluate.summary import COLUMNS, LINES, shortened, summary

PLACES = {"full report": "runs/demo/report/report.md", "about the corpus": "data/lime-mini/CARD.md", "runs": "cogrl ui"}


@pytest.fixture
def report(tmp_path):
    """`report("a", "b")`: what report.json holds of policies of which the first is always wrong, the others right."""

    def of(*names: str) -> dict:
        wrong, right = (lambda clip: None), (lambda clip: clip.example.emotion)
        listed = clips(speakers=2, sentences=2)
        write([fixed(listed, right if i else wrong, name, control=wrong) for i, name in enumerate(names)], tmp_path)
        return json.loads((tmp_path / "report.json").read_text())

    return of


def with_questions(report: dict) -> dict:
    """The same policies, also asked 40 questions."""
    half, tenth = ({"mean": mean, "low": mean / 2, "high": 2 * mean, "n": 40} for mean in (0.5, 0.1))
    for figures in report["policies"].values():
        for format in ("choice", "think_choice"):
            figures |= {f"{format}_accuracy": half, f"{format}_unparsed": tenth, f"{format}_accuracy_silence": tenth}
    for figures in report["differences"].values():
        figures |= {"choice_accuracy": tenth, "think_choice_accuracy": half}
    return report | {"n": report["n"] | {"questions_scored": 40}}


def test_each_policy_has_a_line_and_each_step_its_change(report):
    lines = summary(report("untrained", "sft"), PLACES).splitlines()
    assert "chance 14.3" in lines[0] and "28 clips" in lines[0]
    head, untrained, sft, change = (line.split("  ") for line in lines[2:6])
    assert [cell.strip() for cell in head if cell] == [
        *("policy", "accuracy", "reward eips", "reward direct", "text only", "silence")
    ]
    assert untrained[0] == "untrained" and "0.0 [0.0, 0.0]" in lines[3]
    assert "100.0 [100.0, 100.0]" in lines[4] and lines[4].endswith("0.0        0.0")
    assert lines[5].startswith("  change") and "100.0 [100.0, 100.0]" in lines[5]
    assert change and sft
    assert lines[-3:] == [
        "full report       runs/demo/report/report.md",
        "about the corpus  data/lime-mini/CARD.md",
        "runs              cogrl ui",
    ]


@pytest.mark.parametrize("count", [1, 2, 9, 12])
@pytest.mark.parametrize("questions", [False, True])
def test_however_many_policies_with_whatever_names_it_fits_a_terminal(report, count, questions):
    found = report(*(f"an_exceedingly_long_name_of_a_method_with_{'many_' * 20}parts_{i}" for i in range(count)))
    text = summary(with_questions(found) if questions else found, PLACES)
    lines = text.splitlines()
    assert len(lines) <= LINES == 25 and max(map(len, lines)) <= COLUMNS == 100
    assert f"parts_{count - 1}" in text  # the last policy, and the end of its name
    assert ("earlier policies" in text) == (count > (3 if questions else 9))


def test_questions_have_a_table_of_their_own_with_a_column_for_each_way_of_asking(report):
    found = with_questions(report("before", "after"))
    found["n"] = {"questions": 41, "questions_scored": 40}
    lines = summary(found, {}).splitlines()
    assert lines[0] == "Accuracy, %, on 40 questions by how they are asked, with 95 % intervals"
    assert lines[1].split() == ["policy", "choice", "think_choice", "silence"]
    assert lines[3] == "after     50.0 [25.0, 100.0]  50.0 [25.0, 100.0]  10.0"
    assert lines[4].split("  ")[1:] == ["change", "10.0 [5.0, 20.0]", "", "50.0 [25.0, 100.0]"]


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shortened("distill_then_rl", 9) == "dist…n_rl"
    assert shortened("sft", 9) == "sft"


@pytest.mark.parametrize("formats", [3, 5, 12])
def test_however_questions_are_asked_it_fits_a_terminal(report, formats):
    found = with_questions(report("untrained", "sft"))
    names = [f"my_module_of_formats.Format{n}" for n in range(formats)]
    for figures in found["policies"].values():
        for name in names:
            figures |= {f"{name}_accuracy": figures["choice_accuracy"], f"{name}_unparsed": figures["choice_unparsed"]}
    lines = summary(found, PLACES).splitlines()
    assert max(map(len, lines)) <= COLUMNS
    start = next(i for i, line in enumerate(lines) if "40 questions" in line)
    assert lines[start + 1].startswith("policy     choice") and "  my_module_…s.Format0" in lines[start + 1]
    assert lines[start + 2].startswith("untrained  50.0 [") and lines[start + 4].startswith("  change   10.0 [")


def test_a_benchmark_has_a_column_by_its_official_rule(report):
    found = with_questions(report("one"))
    found["policies"]["one"]["official_accuracy"] = {"mean": 0.625, "low": 0.5, "high": 0.75, "n": 40}
    lines = summary(found, {}).splitlines()
    start = next(i for i, line in enumerate(lines) if "40 questions" in line)
    assert lines[start + 1].split() == ["policy", "choice", "think_choice", "official", "rule", "silence"]
    assert "62.5 [50.0, 75.0]" in lines[start + 2]
