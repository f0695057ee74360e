"""`cogrl evaluate` on lines with choices: their question is put, and the choice that the answer names is scored."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from cogrl.audio import write_flac
from cogrl.cli.main import main
from cogrl.data.clips import Clips
from cogrl.data.manifest import read_manifest
from cogrl.evaluate.choice.answers import ChoiceAnswers, ask, choice_figures
from cogrl.evaluate.choice.controls import CHOICE_CONTROLS, other_clip
from cogrl.evaluate.choice.tables import choice_differences, choice_table
from cogrl.evaluate.report import write
from cogrl.evaluate.tracking import log_report
from cogrl.formats import format_named
from cogrl.formats.choice import CHOICE
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling

CHOICES = ["calm", "tense", "merry"]
TASKS = ("trajectory", "reasoning")
KEPT = ("id", "audio", "split", "text", "text_group", "speaker")


def questions(corpus, n: int = 8, **changes) -> list[dict]:
    """Lines with choices; the right one is `tense` (B) for three in four, two tasks in turn, no emotion."""
    lines = [json.loads(line) for line in (corpus / "sft.jsonl").read_text().splitlines()[:n]]
    asked = {"question": "How does the voice sound?", "choices": CHOICES, "language": "en"}
    found = []
    for i, line in enumerate(lines):
        kept = {key: line[key] for key in KEPT} | {"audio": str(corpus / line["audio"]), "text_group": f"t{i}"}
        found.append(kept | asked | {"task": TASKS[i % 2], "answer": CHOICES[0 if i % 4 == 3 else 1]} | changes)
    return found


def manifest(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def says_b(tiny_policy_dir, smoke_corpus, tmp_path_factory) -> str:
    """The tiny policy, trained to answer these questions with B."""
    folder = tmp_path_factory.mktemp("choice")
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    examples = read_manifest(manifest(folder / "m.jsonl", questions(smoke_corpus)))
    clips = list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False))
    waveforms, names = [clip.waveform for clip in clips], [clip.example.id for clip in clips]
    optimizer = torch.optim.Adam(policy.parameters(), 3e-2)
    prompts = policy.encode_prompts([CHOICE.instruction(example) for example in examples], waveforms, names)
    targets = policy.encode_targets(["B"] * len(clips))
    for _ in range(60):
        loss = -(policy.token_logprobs(prompts, targets).logprobs * targets.mask).sum() / targets.mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    policy.save(folder / "policy")
    return str(folder / "policy")


@pytest.fixture
def evaluate(workdir, capsys):
    """`evaluate(policy, records, *flags)`: status, what was printed and reported, and the folder of the report."""

    def run(policy, records, *flags):
        data = manifest(workdir / "questions.jsonl", records)
        args = ["--data", str(data), "--out", "report", "--max-new-tokens", "4", "--draws", "0", *flags]
        status = main(["evaluate", "--policy", f"one={policy}", *args])
        printed, report = capsys.readouterr(), workdir / "report" / "report.md"
        message = printed.out + printed.err + (report.read_text() if report.exists() else "")
        return status, message, workdir / "report"

    return run


def figures(folder, name: str = "one") -> dict:
    return json.loads((folder / "report.json").read_text())["policies"][name]


def answers(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "answers_choice.jsonl").read_text().splitlines()]


def test_the_question_and_every_choice_reach_the_model_with_the_clip(policy, smoke_corpus, tmp_path):
    examples = read_manifest(manifest(tmp_path / "m.jsonl", questions(smoke_corpus, 2)))
    clips = list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False))
    prompts = [CHOICE.instruction(example) for example in examples]
    rollouts = HFEngine().sample(policy, clips, ["choice"] * 2, Sampling(max_new_tokens=2))
    text = policy.tokenizer.decode(rollouts.prompts.input_ids[0])
    assert prompts[0] == (
        "How does the voice sound?\nA. calm\nB. tense\nC. merry\n"
        "Answer with one choice, by its letter or its text, and nothing else."
    )
    assert prompts[0] in text and rollouts.prompts.clip_counts == (1, 1)


def test_accuracy_by_task_with_its_interval_and_no_figure_of_an_emotion(says_b, smoke_corpus, evaluate):
    status, printed, folder = evaluate(says_b, questions(smoke_corpus))
    assert status == 0, printed
    m = figures(folder)
    names = {"choice_accuracy", *(f"choice_accuracy_{task}" for task in TASKS)}
    controlled = {f"{name}_{control}" for name in names for control in ("question", "silence", "shuffled")}
    assert set(m) == {"choice_unparsed", *names, *controlled}
    assert m["choice_accuracy"]["mean"] == 0.75 and m["choice_accuracy"]["n"] == 8
    assert m["choice_accuracy"]["low"] < 0.75 < m["choice_accuracy"]["high"]
    assert m["choice_accuracy_trajectory"]["mean"] == 1 and m["choice_accuracy_reasoning"]["mean"] == 0.5
    assert m["choice_unparsed"]["mean"] == 0
    assert (
        "| one | choice | all | 8 | 75.0 [" in printed
        and "| one | choice | reasoning | 4 | 50.0 [" in printed
        and "| 33.3 |" in printed
    )
    assert "Perception" not in printed and "WA" not in printed and "table of emotions" not in printed
    assert [a["chosen"] for a in answers(folder)] == ["tense"] * 8 and answers(folder)[3]["right"] == 0
    assert {path.name for path in folder.iterdir()} == {
        "report.md",
        "report.json",
        "summary.txt",
        "answers_choice.jsonl",
    }


def test_an_answer_that_names_no_choice_is_wrong_and_counted(tiny_policy_dir, smoke_corpus, evaluate):
    status, _, folder = evaluate(tiny_policy_dir, questions(smoke_corpus))
    assert status == 0
    assert figures(folder)["choice_unparsed"]["mean"] == 1 and figures(folder)["choice_accuracy"]["mean"] == 0
    assert {a["chosen"] for a in answers(folder)} == {None}


def test_hidden_answers_are_asked_and_written_but_not_scored_and_it_is_said(says_b, smoke_corpus, evaluate):
    records = questions(smoke_corpus)
    for record in records[:3]:
        del record["answer"]
    status, printed, folder = evaluate(says_b, records)
    assert status == 0 and figures(folder)["choice_accuracy"]["n"] == 5
    assert "3 questions have no published answer: they are asked and written, and not scored" in printed
    assert [a["right"] for a in answers(folder)[:3]] == [None] * 3 and answers(folder)[0]["chosen"] == "tense"


def test_lines_with_an_emotion_keep_their_tables_beside_the_questions(says_b, smoke_corpus, evaluate):
    records = questions(smoke_corpus, 6)
    spoken = [json.loads(line) for line in (smoke_corpus / "sft.jsonl").read_text().splitlines()]
    for record, line in zip(records[:2], spoken, strict=False):
        record["emotion"] = line["emotion"]
    plain = [line | {"audio": str(smoke_corpus / line["audio"])} for line in spoken[6:10]]
    status, printed, folder = evaluate(says_b, [*records, *plain])
    assert status == 0, printed
    m = figures(folder)
    assert m["emotion_accuracy"]["n"] == 6 and m["choice_accuracy"]["n"] == 6
    assert "table of emotions" not in printed  # the others have no emotion that could stand there
    assert len((folder / "answers.jsonl").read_text().splitlines()) == 6
    status, _, folder = evaluate(says_b, questions(smoke_corpus))
    assert not (folder / "answers.jsonl").exists() and not (folder / "confusion.png").exists()


def test_chinese_questions_are_asked_whatever_grades_replies(says_b, smoke_corpus, evaluate):
    records = questions(smoke_corpus, 4, language="zh", question="语气怎样？", emotion="sad")
    status, printed, folder = evaluate(says_b, records)
    assert status == 0 and figures(folder)["choice_accuracy"]["n"] == 4
    assert "4 of 4 questions are asked" in printed and "language is 'zh': the offline rubric reads English" in printed
    assert "emotion_accuracy" not in figures(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"choices": None, "answer": "..."}, "answer '...' holds no word; choose rule exact"),
        ({"choices": [f"c{n}" for n in range(27)], "answer": "c1"}, "27 choices, but only 26 letters"),
        ({"question": "Why? " * 10_000}, "this model has"),
    ],
)
def test_a_question_that_can_not_be_put_or_scored_is_refused_by_line(says_b, smoke_corpus, evaluate, change, reason):
    records = questions(smoke_corpus, 3)
    records[1] = {key: value for key, value in (records[1] | change).items() if value is not None}
    status, printed, folder = evaluate(says_b, records)
    assert status == 2 and f"questions.jsonl:2 ({records[1]['id']}): " in printed and reason in printed
    assert not (folder / "report.md").exists()


def test_policies_are_compared_on_the_same_questions(smoke_corpus, tmp_path):
    examples = read_manifest(manifest(tmp_path / "m.jsonl", questions(smoke_corpus)))
    good = ChoiceAnswers("good", examples, ["B"] * 8, ["tense"] * 8)
    bad = ChoiceAnswers("bad", examples, ["C", *["?"] * 7], ["merry", *[None] * 7])
    assert choice_differences([bad, good])["good - bad"]["choice_accuracy"]["mean"] == 0.75
    assert choice_figures(bad)["choice_unparsed"]["mean"] == 7 / 8
    table = choice_table([bad, good], {answers.name: choice_figures(answers) for answers in (bad, good)})
    assert "- good minus bad, asked in choice: 75.0 [" in table


def test_the_interval_resamples_dialogues_and_not_questions(smoke_corpus, tmp_path):
    examples = read_manifest(manifest(tmp_path / "m.jsonl", questions(smoke_corpus, text_group="one", speaker="s")))
    one = choice_figures(ChoiceAnswers("x", examples, ["B"] * 8, ["tense"] * 8))["choice_accuracy"]
    assert one["mean"] == 0.75 and one["low"] is None


def test_eibench_goes_from_its_folder_to_a_table_by_task(tiny_policy_dir, workdir):
    turns = [{"emotion": emotion, "text": f"Now {emotion}.", "response_text": "I see."} for emotion in ("sad", "happy")]
    asked = {"question": "How did it change?", "options": ["sad to happy", "not at all"], "answer": "A"}
    for task in (1, 2):
        folder = workdir / "raw" / "en" / f"task{task}"
        folder.mkdir(parents=True)
        for n in (1, 2):
            tone = np.sin(np.arange(8_000) / (10 * task + n)).astype(np.float32) / 4
            write_flac(folder / f"d_{n}.flac", tone, 16_000)
        record = {"dialogue_id": "d", "turns": turns} | asked
        folder.with_suffix(".jsonl").write_text(json.dumps(record) + "\n")
    assert main(["build", "eibench", "--raw", "raw", "--out", "bench", "--partial"]) == 0
    args = ["--policy", str(tiny_policy_dir), "--data", "bench/test.jsonl", "--out", "report", "--max-new-tokens", "4"]
    assert main(["evaluate", *args, "--history", "heard", "--draws", "0"]) == 0
    report = (workdir / "report" / "report.md").read_text()
    assert "| trajectory | 1 | 0.0 | 50.0 |" in report and "| reasoning | 1 | 0.0 | 50.0 |" in report
    records = answers(workdir / "report")
    assert [record["task"] for record in records] == ["trajectory", "reasoning"]
    assert {record["answer"] for record in records} == {"sad to happy"}


def clips_of(policy, corpus, folder, n: int = 8, **changes):
    examples = read_manifest(manifest(folder / "m.jsonl", questions(corpus, n, **changes)))
    return list(Clips(examples, policy.sampling_rate, policy.max_audio_s, False))


def test_controls_take_the_clip_away_and_keep_the_question(policy, smoke_corpus, tmp_path):
    clips = clips_of(policy, smoke_corpus, tmp_path)
    given = {name: control(clips, policy.sampling_rate) for name, control in CHOICE_CONTROLS.items()}
    assert given["question"] == [""] * 8
    assert all(not np.any(silent) and len(silent) == 2 * policy.sampling_rate for silent in given["silence"])
    own = [clip.waveform for clip in clips]
    for i, other in enumerate(given["shuffled"]):
        source = next(j for j, waveform in enumerate(own) if waveform is other)
        assert source != i and clips[source].example.task == clips[i].example.task
    prompts = policy.encode_prompts(
        [CHOICE.instruction(clip.example) for clip in clips], given["question"], [clip.example.id for clip in clips]
    )
    assert not prompts.audio and "How does the voice sound?" in policy.tokenizer.decode(prompts.input_ids[0])


def test_the_right_answers_are_spread_over_the_other_clips_of_each_task(policy, smoke_corpus, tmp_path):
    clips = clips_of(policy, smoke_corpus, tmp_path, 8, task="one")
    for i, clip in enumerate(clips):
        object.__setattr__(clip.example, "answer", CHOICES[i % 2])
    own = [clip.waveform for clip in clips]
    others = other_clip(clips, policy.sampling_rate)
    answers = [next(c.example.answer for c in clips if c.waveform is w) for w in others]
    kept = sum(answer == clip.example.answer for answer, clip in zip(answers, clips, strict=True))
    assert kept == 4 and sorted(map(id, others)) == sorted(map(id, own))


def test_a_task_with_one_question_keeps_its_clip(policy, smoke_corpus, tmp_path):
    (clip,) = clips_of(policy, smoke_corpus, tmp_path, 1)
    assert other_clip([clip], policy.sampling_rate)[0] is clip.waveform


def test_a_policy_that_listens_is_right_on_its_clips_and_at_chance_on_silence(tiny_policy_dir, smoke_corpus, tmp_path):
    """Which of two sounds is heard: trained to know, so that only the clip can tell."""
    policy = Qwen2Audio(str(tiny_policy_dir)).load()
    rate, rng = policy.sampling_rate, np.random.default_rng(0)
    time = np.arange(rate) / rate
    lines = []
    for i in range(16):
        wave = np.sin(2 * np.pi * 300 * time) if i % 2 else rng.standard_normal(rate)
        write_flac(tmp_path / f"{i}.flac", (wave / 8).astype(np.float32), rate)
        choices = ["tone", "noise"] if i % 4 < 2 else ["noise", "tone"]
        answer = ("noise", "tone")[i % 2]
        asked = {"question": "What is heard?", "choices": choices, "answer": answer, "task": "sound"}
        targets = {"choice": answer, "think_choice": f"<think>{answer}</think><answer>{answer}</answer>"}
        lines.append({"id": f"q{i}", "audio": f"{i}.flac", "targets": targets} | asked)
    examples = read_manifest(manifest(tmp_path / "m.jsonl", lines))
    clips = list(Clips(examples, rate, policy.max_audio_s, False))
    optimizer = torch.optim.Adam(policy.parameters(), 3e-3)
    for _ in range(40):
        for format in ("choice", "think_choice"):
            asked = [format_named(format).instruction(example) for example in examples]
            prompts = policy.encode_prompts(asked, [c.waveform for c in clips], [e.id for e in examples])

            targets = policy.encode_targets([e.target(format) for e in examples])
            loss = -(policy.token_logprobs(prompts, targets).logprobs * targets.mask).sum() / targets.mask.sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    asked = [ask("p", policy, clips, format, CHOICE_CONTROLS, 40) for format in ("choice", "think_choice")]
    found = {answers.format: choice_figures(answers) for answers in asked}
    for format in found:
        m = {name.removeprefix(f"{format}_"): figure["mean"] for name, figure in found[format].items()}
        assert m["accuracy"] == 1 and m["unparsed"] == 0, (format, m)
        assert m["accuracy_shuffled"] == 0.5, (format, m)
        assert max(m["accuracy_question"], m["accuracy_silence"]) <= 0.5, (format, m)  # less where none is named
    figures = {"p": found["choice"] | found["think_choice"]}
    table = choice_table(asked, figures)
    assert "| p | choice | all | 16 | 100.0" in table and "| p | think_choice | sound | 16 | 100.0" in table
    assert "- p, asked in think_choice minus in choice: 0.0 " in table and "another clip, %" in table


def test_an_answer_in_a_format_without_choices_names_none(says_b, smoke_corpus, evaluate):
    status, _, folder = evaluate(says_b, questions(smoke_corpus, 4), "--formats", "direct", "--no-controls")
    assert status == 0 and figures(folder)["direct_unparsed"]["mean"] == 1
    assert {a["chosen"] for a in answers(folder)} == {None} and answers(folder)[0]["chosen_in_control"] == {}


def test_a_prediction_file_is_of_one_format(says_b, smoke_corpus, evaluate):
    status, printed, _ = evaluate(
        says_b, questions(smoke_corpus, 4), "--formats", "choice", "think_choice", "--benchmark", "mmau=x.json"
    )
    assert status == 2 and "--formats choice think_choice: a prediction file is of one format; name one" in printed


def test_another_clip_is_another_file_where_questions_share_one(policy, smoke_corpus, tmp_path):
    clips = clips_of(policy, smoke_corpus, tmp_path, 16, task="one")
    for i, clip in enumerate(clips):
        object.__setattr__(clip.example, "audio", Path(f"{i // 4}.wav"))  # four questions about each file
        object.__setattr__(clip.example, "answer", CHOICES[i % 2])
    waveforms = {id(clip.waveform): clip.example for clip in clips}
    others = [waveforms[id(given)] for given in other_clip(clips, policy.sampling_rate)]
    assert all(other.audio != clip.example.audio for other, clip in zip(others, clips, strict=True))
    assert abs(sum(other.answer == clip.example.answer for other, clip in zip(others, clips, strict=True)) - 8) <= 1
    for clip in clips:
        object.__setattr__(clip.example, "audio", Path("one.wav"))
    assert len(other_clip(clips, policy.sampling_rate)) == 16  # there is no other file


def test_a_task_that_is_called_like_a_control_is_refused_by_line(policy, smoke_corpus, tmp_path):
    clips = clips_of(policy, smoke_corpus, tmp_path, 2, task="silence")
    with pytest.raises(ValueError, match=r"m.jsonl:1 \(.*\): task 'silence' is the name of a control"):
        ask("p", policy, clips, "choice", CHOICE_CONTROLS, 2)
    assert ask("p", policy, clips, "choice", max_new_tokens=2).tasks == ["silence"]


def test_policies_and_formats_have_a_name_each(tiny_policy_dir, smoke_corpus, evaluate, workdir):
    for folder in ("sft", "rl"):
        (workdir / folder).mkdir()
        (workdir / folder / "export").symlink_to(tiny_policy_dir)
    records = questions(smoke_corpus, 2)
    status, printed, folder = evaluate("sft/export", records, "--policy", "sft/export", "--policy", "rl/export")
    assert status == 2 and "--policy names 'export' 2 times; tell them apart with --policy NAME=DIR" in printed
    status, printed, folder = evaluate(tiny_policy_dir, records, "--formats", "choice", "choice")
    assert status == 2 and "--formats names 'choice' 2 times" in printed and not (folder / "report.md").exists()


def test_a_task_with_signs_that_mlflow_does_not_take_is_logged(smoke_corpus, workdir):
    examples = read_manifest(manifest(workdir / "m.jsonl", questions(smoke_corpus, task="who/why?/")))
    write([], workdir / "report", [ChoiceAnswers("one", examples, ["B"] * 8, ["tense"] * 8)])
    store = f"sqlite:///{workdir / 'mlflow.db'}"
    run = MlflowClient(store).get_run(log_report(store, workdir / "report"))
    assert run.data.metrics["one/choice_accuracy_who-why--"] == run.data.metrics["one/choice_accuracy"] == 0.75


def test_open_answers_are_compared_by_the_rule_of_the_reward(says_b, smoke_corpus, evaluate):
    """The policy says B whatever it is asked."""
    records = [record | {"choices": None, "answer": "b."} for record in questions(smoke_corpus, 4)]
    records[3]["answer"] = "A dog."
    del records[2]["answer"]
    records = [{key: value for key, value in record.items() if value is not None} for record in records]
    status, printed, folder = evaluate(says_b, records, "--no-controls")
    assert status == 0, printed
    m, found = figures(folder), answers(folder)
    assert m["choice_accuracy"]["mean"] == pytest.approx(2 / 3) and m["choice_accuracy"]["n"] == 3
    assert [answer["right"] for answer in found] == [1, 1, None, 0] and found[2]["chosen"] == "B"
    text = (folder / "report.md").read_text()
    assert "| one | choice | all | 3 | 66.7 [" in text and "| - |" in text
    assert "Open answers are compared with the line's answer by rule normalised." in text
    status, _, folder = evaluate(says_b, records, "--no-controls", "--open-rule", "exact")
    assert status == 0 and figures(folder)["choice_accuracy"]["mean"] == 0
    status, printed, _ = evaluate(says_b, records, "--open-rule", "numeric")
    assert status == 2 and "holds no single number in digits" in printed
