"""The small commands: help without heavy imports, building twice, asking a policy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import AutoTokenizer

from cogrl.cli.main import COMMANDS, STAGE_COMMANDS, main

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("torch", "pytorch_lightning", "transformers", "mlflow", "jsonargparse", "scipy", "matplotlib")


@pytest.mark.parametrize(
    "args", [["--help"], ["build", "--help"], ["run", "--help"], ["generate", "--help"], ["ui", "--help"]]
)
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys\n"
        "from cogrl.cli.main import main\n"
        f"try: main({args!r})\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True
    )
    assert "usage: cogrl" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stdout + done.stderr


def test_the_overview_names_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in (*STAGE_COMMANDS, *COMMANDS))


def test_building_a_model_twice_does_the_work_once(workdir, smoke_corpus, small_model, capsys):
    args = ["build", "tiny-model", "--out", "tiny", "--manifest", str(smoke_corpus / "sft.jsonl"), *small_model]
    assert main(args) == 0
    weights = workdir / "tiny" / "model.safetensors"
    written, content = weights.stat().st_mtime_ns, weights.read_bytes()
    assert main(args) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert weights.stat().st_mtime_ns == written
    assert main([*args, "--seed", "1"]) == 0
    assert weights.read_bytes() != content
    assert main(args) == 0
    assert weights.read_bytes() == content
    assert [path.name for path in workdir.glob("tiny*")] == ["tiny"]


def test_the_tokenizer_knows_the_texts_of_every_manifest(workdir, smoke_corpus, small_model):
    line = {"id": "x", "audio": "x.wav", "text": "words", "question": "Which?", "answer": "zyzzyva"}
    line["targets"] = {"choice": " ".join(["zyzzyva"] * 99)}
    Path("more.jsonl").write_text(json.dumps(line) + "\n")
    args = ["build", "tiny-model", *small_model, "--manifest", str(smoke_corpus / "sft.jsonl")]
    assert main([*args, "--out", "one"]) == 0 and main([*args, "more.jsonl", "--out", "both"]) == 0
    words = {name: AutoTokenizer.from_pretrained(name).tokenize(" zyzzyva") for name in ("one", "both")}
    assert len(words["both"]) == 1 < len(words["one"])


def test_models_of_two_families_do_not_replace_each_other(workdir, smoke_corpus, small_model):
    args = ["build", "tiny-model", "--manifest", str(smoke_corpus / "sft.jsonl"), *small_model]
    assert main(args) == 0 and main([*args, "--family", "qwen25_omni"]) == 0
    kinds = {
        path.name: json.loads((path / "config.json").read_text())["model_type"] for path in Path("models").iterdir()
    }
    assert kinds == {"tiny": "qwen2_audio", "tiny-omni": "qwen2_5_omni_thinker"}


def test_a_model_is_not_written_over_something_else(workdir, smoke_corpus, small_model, capsys):
    (workdir / "tiny").mkdir()
    (workdir / "tiny" / "thesis.txt").write_text("do not lose me")
    args = ["build", "tiny-model", "--out", "tiny", "--manifest", str(smoke_corpus / "sft.jsonl"), *small_model]
    assert main(args) == 2
    assert "tiny holds other files (thesis.txt) that a build would delete" in capsys.readouterr().err
    assert (workdir / "tiny" / "thesis.txt").read_text() == "do not lose me"


def test_the_corpus_command_reports_what_it_made(workdir, smoke_corpus, capsys):
    assert main(["build", "lime-mini", "--out", "lime", "--tier", "nothing"]) == 2
    assert "unknown tier 'nothing'" in capsys.readouterr().err
    assert main(["build", "lime-mini", "--out", "lime", "--tier", "smoke", "--workers", "1"]) == 0
    assert "min of speech" in capsys.readouterr().out
    assert (workdir / "lime" / "sft.jsonl").is_file()


def test_a_policy_answers_in_both_formats_whatever_the_format_of_the_clip(workdir, tiny_policy_dir, capsys):
    noise = np.random.default_rng(0).normal(scale=0.1, size=(44100, 2)).astype(np.float32)
    soundfile.write(workdir / "stereo.wav", noise, 44100)
    args = ["generate", "stereo.wav", "--policy", str(tiny_policy_dir), "--max-new-tokens", "5"]
    assert main([*args, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(answer) == {"audio", "policy", "eips", "direct"}
    assert set(answer["eips"]) == {"text", "emotion", "reply", "finished"}
    assert main(args) == 0
    shown = capsys.readouterr().out
    assert "eips (thinking aloud):" in shown
    assert answer["direct"]["text"] in shown


def test_a_clip_that_is_too_long_is_refused_not_cut(workdir, tiny_policy_dir, capsys):
    soundfile.write(workdir / "long.wav", np.full(16000 * 5, 0.1, dtype=np.float32), 16000)
    assert main(["generate", "long.wav", "--policy", str(tiny_policy_dir)]) == 2
    assert "5.00 s of audio; this model hears 0.1 to 4 s" in capsys.readouterr().err


def test_the_pages_need_a_store(workdir, capsys):
    (workdir / "mlflow.db").unlink()
    assert main(["ui"]) == 2
    assert "mlflow.db does not exist" in capsys.readouterr().err
    shutil.rmtree(workdir / "mlruns", ignore_errors=True)
