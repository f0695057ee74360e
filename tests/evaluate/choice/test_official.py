"""`cogrl evaluate --benchmark`: the official score beside the strict one, and files that official scripts can read."""

import json

import pytest
from test_choice_evaluate import figures, says_b  # noqa: F401

from cogrl.cli.main import main
from cogrl.data.corpora.corpus import write_corpus
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.choice.answers import ChoiceAnswers
from cogrl.evaluate.choice.official import read_official
from cogrl.evaluate.choice.official_scores import official_figures, official_section
from cogrl.evaluate.choice.submitted import predictions, write_predictions
from cogrl.evaluate.report import write
from cogrl.formats.chosen import chosen

CHOICES = ["calm", "tense", "merry"]
LISTS = {"mmau": "mmau-test-mini.json", "mmar": "MMAR-meta.jsonl", "mmsu": "mmsu.jsonl"}


def row(benchmark, place, answer="tense"):
    """A row of the official list; two groups in turn."""
    clip, half = f"clips/{place}.wav", "easy" if place % 2 else "hard"
    asked = {"id": f"q{place}", "question": "How does the voice sound?"}
    if benchmark == "mmau":
        asked |= {"audio_id": clip, "choices": CHOICES, "answer": answer, "dataset": "own", "task": "speech"}
        return asked | {"split": "test-mini", "category": "Reasoning", "sub-category": "Tone?", "difficulty": half}
    if benchmark == "mmar":
        asked |= {"audio_path": clip, "choices": CHOICES, "answer": answer, "modality": "speech", "language": "en"}
        return asked | {"category": half, "sub-category": "x", "cue": ["a voice"]}
    asked |= {"audio_path": clip, "answer_gt": answer, "task_name": half, "category": "Perception"}
    asked |= {"choice_a": CHOICES[0], "choice_b": CHOICES[1], "choice_c": CHOICES[2], "choice_d": None}
    return asked | {"sub-category": "Paralinguistics", "sub-sub-category": "x", "linguistics_sub_discipline": "y"}


@pytest.fixture
def layout(tmp_path, smoke_corpus):
    """`layout(benchmark, n)`: the official list and its manifest, over n clips of the corpus."""

    def make(benchmark, n=4, answer="tense"):
        from importlib import import_module

        raw = tmp_path / "raw"
        (raw / "clips").mkdir(parents=True)
        spoken = [json.loads(line) for line in (smoke_corpus / "sft.jsonl").read_text().splitlines()[:n]]
        for place, line in enumerate(spoken):
            (raw / "clips" / f"{place}.wav").write_bytes((smoke_corpus / line["audio"]).read_bytes())
        rows = [row(benchmark, place, answer) for place in range(n)]
        path = raw / LISTS[benchmark]
        lines = "".join(json.dumps(r) + "\n" for r in rows)
        path.write_text(json.dumps(rows) if path.suffix == ".json" else lines)
        write_corpus(import_module(f"cogrl.data.corpora.{benchmark}").read(raw), tmp_path / "data")
        (manifest,) = (tmp_path / "data").glob("*.jsonl")
        return path, manifest

    return make


def answered(manifest, texts, name="one") -> ChoiceAnswers:
    examples = read_manifest(manifest)
    named = [chosen(text, e.choices) for text, e in zip(texts, examples, strict=True)]
    return ChoiceAnswers(name, examples, texts, named)


def submitted(path) -> list[dict]:
    text = path.read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("benchmark", "file", "keys", "prediction"),
    [
        ("mmau", "predictions_one.json", ("model_output", "model_prediction"), "tense"),
        ("mmar", "predictions_one.jsonl", ("answer_prediction", "model_prediction"), "tense"),
        ("mmsu", "predictions_one.jsonl", ("response",), "B"),
    ],
)
def test_a_policy_is_scored_by_both_rules_and_its_file_keeps_every_official_field(
    says_b,  # noqa: F811
    layout,
    workdir,
    benchmark,
    file,
    keys,
    prediction,
):
    path, manifest = layout(benchmark)
    args = ["--policy", f"one={says_b}", "--data", str(manifest), "--out", "report", "--max-new-tokens", "4"]
    assert main(["evaluate", *args, "--draws", "0", "--benchmark", f"{benchmark}={path}"]) == 0
    report, m = (workdir / "report" / "report.md").read_text(), figures(workdir / "report")
    assert m["official_accuracy"]["mean"] == m["strict_accuracy"]["mean"] == m["choice_accuracy"]["mean"] == 1
    assert "| one | all | 4 | 4 | 100.0 [100.0, 100.0] | 100.0 [100.0, 100.0] |" in report
    found = submitted(workdir / "report" / file)
    assert [{key: r[key] for key in o} for r, o in zip(found, submitted(path), strict=True)] == submitted(path)
    assert {r[key] for r in found for key in keys} == {prediction}
    assert all(set(r) - set(o) <= {*keys, "thinking_prediction"} for r, o in zip(found, submitted(path), strict=True))


def test_the_two_scores_differ_where_the_rules_do_and_no_option_is_put_in_the_place_of_an_answer(layout, tmp_path):
    path, manifest = layout("mmau")
    official = read_official(f"mmau={path}")
    answers = answered(manifest, ["It is tense.", "calm or tense", "<think>merry?</think>B", ""])
    assert predictions(official, answers) == ["It is tense.", "calm or tense", "tense", ""]
    m = official_figures(official, answers)
    assert (m["official_accuracy"]["mean"], m["strict_accuracy"]["mean"]) == (0.5, 0.25)
    assert m["official_accuracy_difficulty_hard"]["mean"] == 1 and m["strict_accuracy_difficulty_hard"]["mean"] == 0.5
    assert m["official_accuracy_difficulty_easy"]["n"] == 2 and "official_accuracy_sub-category_Tone?" in m
    text = official_section(official, [answers], {"one": m}, tmp_path)
    assert "| one | difficulty: hard | 2 | 2 | 100.0 [" in text and "| one | task: speech | 4 |" in text


def test_rows_that_the_script_of_mmsu_leaves_out_are_counted_and_empty_responses_told(layout, tmp_path):
    path, manifest = layout("mmsu")
    official = read_official(f"mmsu={path}")
    answers = answered(manifest, ["(B)", "", "hm", "Answer: A"])
    assert predictions(official, answers) == ["B", "", "hm", "A"]
    m = official_figures(official, answers)
    assert m["official_accuracy"]["n"] == 3 and m["official_accuracy"]["mean"] == pytest.approx(2 / 3)
    assert m["official_left_out"]["mean"] == 0.25 and m["strict_accuracy"]["mean"] == 0.25
    text = official_section(official, [answers], {"one": m}, tmp_path)
    assert "| one | all | 4 | 3 | 66.7 [" in text and "one: 1 empty responses, which get the letter of an" in text


def test_mmar_files_keep_the_thought_apart_from_the_answer(layout, tmp_path):
    path, manifest = layout("mmar", 3)
    official = read_official(f"mmar={path}")
    answers = answered(manifest, ["<think>calm?</think>B", "tense", "<think>it is"])
    found = submitted(write_predictions(official, answers, tmp_path))
    assert [(r["thinking_prediction"], r["answer_prediction"]) for r in found] == [
        ("<think>calm?</think>", "tense"),
        ("", "tense"),
        ("<think>it is", ""),
    ]


def test_questions_that_no_right_choice_wins_by_the_official_rule_are_told(layout, tmp_path):
    path, manifest = layout("mmau", answer="(B) tense")
    official = read_official(f"mmau={path}")
    answers = answered(manifest, ["B"] * 4)
    m = official_figures(official, answers)
    assert (m["official_accuracy"]["mean"], m["strict_accuracy"]["mean"]) == (0, 1)
    text = official_section(official, [answers], {"one": m}, tmp_path)
    assert "4 questions are wrong by the official rule even with the text of their right choice, such as q0" in text


def test_a_list_without_answers_gives_a_file_and_no_score(layout, tmp_path):
    path, manifest = layout("mmau", answer="")
    official = read_official(f"mmau={path}")
    answers = answered(manifest, ["B", "tense", "A", "hm"])
    text = write([], tmp_path / "report", [answers], official=official)
    assert "4 questions have no published answer" in text and "| one | all" not in text
    found = submitted(tmp_path / "report" / "predictions_one.json")
    assert [r["model_output"] for r in found] == ["tense", "tense", "calm", "hm"]


def test_rows_that_were_not_asked_are_counted_and_files_of_an_earlier_report_go(layout, tmp_path):
    path, manifest = layout("mmau")
    official = read_official(f"mmau={path}")
    answers = answered(manifest, ["B"] * 4)
    rest = ChoiceAnswers("another", *(part[:3] for part in (answers.examples, answers.texts, answers.chosen)))
    write([], tmp_path / "report", [answers], official=official)
    assert "were not asked" not in (tmp_path / "report" / "report.md").read_text()
    text = write([], tmp_path / "report", [rest], official=official)
    assert "1 rows of mmau-test-mini.json were not asked: this is no result on the whole list" in text
    assert [p.name for p in (tmp_path / "report").glob("predictions_*")] == ["predictions_another.json"]


def test_what_can_not_be_joined_is_refused_before_anything_is_answered(layout, tiny_policy_dir, workdir, capsys):
    path, manifest = layout("mmau")
    rows = submitted(path)

    def complaint(benchmark, *policies):
        given = [part for p in policies or [str(tiny_policy_dir)] for part in ("--policy", p)]
        assert main(["evaluate", *given, "--data", str(manifest), "--out", "report", "--benchmark", benchmark]) == 2
        return capsys.readouterr().err

    assert "the name one of mmau, mmar, mmsu" in complaint(f"mmlu={path}")
    assert "is no file; give the official list of MMAU" in complaint("mmau=nothing.json")
    assert "holds no row of MMSU; the first: " in complaint(f"mmsu={path}")
    same = [f"a/b={tiny_policy_dir}", f"a-b={tiny_policy_dir}"]
    assert "two policies would write report/predictions_a-b.json" in complaint(f"mmau={path}", *same)
    path.write_text(json.dumps([*rows[:2], rows[2] | {"choices": CHOICES[::-1]}, rows[3] | {"id": "other"}]))
    message = complaint(f"mmau={path}")
    assert "test-mini.jsonl:3 (q2): is another question in" in message and "cogrl build mmau" in message
    assert "test-mini.jsonl:4 (q3): no row of" in message and "(q0)" not in message
    assert not (workdir / "report" / "report.md").exists()
