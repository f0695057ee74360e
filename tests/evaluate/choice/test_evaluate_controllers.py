"""`--controllers` of `cogrl evaluate` and `cogrl generate`: PAUSE, its control and no controller side by side."""

import json
import shutil

import pytest
import soundfile
from test_choice_evaluate import questions

from cogrl.audio import load_audio
from cogrl.cli.main import main

CONTROLLER = """
model:
  init_args:
    controllers:
      - class_path: cogrl.rollout.controllers.{name}
        init_args:
          latent: {{class_path: cogrl.rollout.controllers.Filler, init_args: {{token: <thought>, length: 3}}}}
          {settings}
"""
PAUSE = CONTROLLER.format(name="Pause", settings="window: 1\n          gap: 2\n          thresholds: policy")
FILLER = CONTROLLER.format(name="FixedFiller", settings="places: [1]")


@pytest.fixture
def evaluated(workdir, smoke_corpus, tiny_policy_dir, capsys):
    """`evaluated(*flags)`: the status, what was printed, and the report of a policy whose thresholds let it pause."""
    shutil.copytree(tiny_policy_dir, "policy")
    (workdir / "policy/pause.json").write_text('{"pause": 0.9, "abort": null, "window": 1, "min_position": 0}')
    (workdir / "pause.yaml").write_text(PAUSE)
    (workdir / "filler.yaml").write_text(FILLER)
    records = questions(smoke_corpus, 6)
    (workdir / "questions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    def run(*flags, names=("off", "on", "filler")):
        policies = [word for name in names for word in ("--policy", f"{name}=policy")]
        args = ["--data", "questions.jsonl", "--out", "report", "--max-new-tokens", "6", "--draws", "0"]
        status = main(["evaluate", *policies, *args, "--no-controls", *flags])
        printed = capsys.readouterr()
        report = workdir / "report/report.json"
        return status, printed.out + printed.err, json.loads(report.read_text()) if report.exists() else None

    return run


def test_policies_are_compared_under_controllers_of_their_own(evaluated, workdir):
    status, _, report = evaluated("--controllers", "on=pause.yaml", "--controllers", "filler=filler.yaml")
    assert status == 0
    off, on, filler = (report["policies"][name] for name in ("off", "on", "filler"))
    assert not any("rollout" in name for name in off)
    assert on["choice_rollout_paused"]["mean"] == 1.0 and on["choice_rollout_pauses"]["mean"] > 1
    assert on["choice_rollout_pause_threshold"]["mean"] == pytest.approx(0.9)
    assert filler["choice_rollout_pauses"]["mean"] == 1.0 and filler["choice_rollout_latent_tokens"]["mean"] == 3.0
    assert on["choice_rollout_aborted"]["mean"] == 0.0 and on["choice_accuracy_aborted"]["n"] == 0
    assert set(report["differences"]) == {"on - off", "filler - on"}
    text = (workdir / "report/report.md").read_text()
    assert "- on, asked in choice, under controllers: aborted 0.000" in text
    records = [json.loads(line) for line in (workdir / "report/answers_choice.jsonl").read_text().splitlines()]
    by_policy = {name: [r for r in records if r["policy"] == name] for name in ("off", "on", "filler")}
    assert all(r["rollout"] == {} for r in by_policy["off"])
    assert all(r["rollout"]["pauses"] == 1.0 for r in by_policy["filler"])
    assert not any("<thought>" in r["text"] for r in by_policy["filler"] + by_policy["on"])


def test_a_name_without_a_policy_and_a_policy_without_thresholds_are_refused(evaluated, workdir):
    status, message, _ = evaluated("--controllers", "none=pause.yaml")
    assert status and "no policy is called 'none'; there are off, on, filler" in message
    (workdir / "policy/pause.json").unlink()
    status, message, _ = evaluated("--controllers", "pause.yaml", names=("on",))
    assert status and "pause.json is missing" in message
    status, message, _ = evaluated("--controllers", "on=nothing.yaml")
    assert status and "nothing.yaml is missing; start from configs/controllers/pause.yaml" in message


def test_spoken_lines_are_answered_under_controllers_too(evaluated, smoke_corpus, workdir):
    status, message, _ = evaluated("--controllers", "on=pause.yaml", "--data", str(smoke_corpus / "test.jsonl"))
    assert status == 0, message
    (workdir / "policy/pause.json").unlink()
    status, message, _ = evaluated("--controllers", "on=pause.yaml", "--data", str(smoke_corpus / "test.jsonl"))
    assert status and "pause.json is missing" in message


def test_generate_answers_under_controllers(evaluated, smoke_corpus, workdir, capsys):
    clip = json.loads((smoke_corpus / "test.jsonl").read_text().splitlines()[0])["audio"]
    soundfile.write("clip.wav", load_audio(smoke_corpus / clip), 16_000)
    args = ["generate", "clip.wav", "--policy", "policy", "--max-new-tokens", "6", "--controllers", "pause.yaml"]
    assert main(args) == 0 and "<thought>" not in capsys.readouterr().out
    (workdir / "policy/pause.json").unlink()
    assert main(args) and "pause.json is missing" in capsys.readouterr().err
