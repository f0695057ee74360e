"""Clips outside a policy's audio window are refused before its weights are read, with the window."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from cogrl.audio import write_flac
from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest, write_manifest
from cogrl.types import Turn

TONE = np.sin(np.arange(5 * 16_000) / 20).astype(np.float32) / 4


@pytest.fixture
def policy(tiny_policy_dir, tmp_path) -> Path:
    """A folder whose weights can not be read: an error about them shows that reading was tried."""
    folder = shutil.copytree(tiny_policy_dir, tmp_path / "policy")
    for weights in folder.glob("*.safetensors"):
        weights.write_bytes(b"no weights")
    return folder


@pytest.fixture
def manifest(smoke_corpus, workdir) -> Path:
    examples = read_manifest(smoke_corpus / "test.jsonl")[:4]
    write_manifest(Path("test.jsonl"), examples)
    return Path("test.jsonl")


def with_audio(manifest: Path, line: int, samples: np.ndarray, rate: int = 16_000) -> str:
    """Gives a line another clip; returns its id."""
    soundfile.write("other.wav", samples, rate)
    records = [json.loads(text) for text in manifest.read_text().splitlines()]
    records[line - 1] |= {"audio": "other.wav", "duration_s": len(samples) / rate}
    manifest.write_text("".join(json.dumps(record) + "\n" for record in records))
    return records[line - 1]["id"]


def evaluate(manifest: Path, *policies: Path, flags: tuple[str, ...] = ()) -> list[str]:
    given = [part for policy in policies for part in ("--policy", str(policy))]
    small = ("--max-new-tokens", "4", "--draws", "0")
    return ["evaluate", *given, "--data", str(manifest), "--out", "report", *small, *flags]


@pytest.mark.parametrize("seconds", [5.0, 0.05])
def test_generate_names_the_window_before_it_reads_weights(workdir, policy, capsys, seconds):
    soundfile.write("clip.wav", TONE[: int(16_000 * seconds)], 16_000)
    assert main(["generate", "clip.wav", "--policy", str(policy)]) == 2
    message = capsys.readouterr().err
    assert f"clip.wav: {seconds:.2f} s of audio; this model hears 0.1 to 4 s" in message
    assert "split it, or use a model with a longer window" in message and "raise" not in message


def test_generate_refuses_a_silent_clip_unless_it_is_asked_to(workdir, policy, tiny_policy_dir, capsys):
    soundfile.write("clip.wav", np.zeros(16_000), 16_000)
    assert main(["generate", "clip.wav", "--policy", str(policy)]) == 2
    assert "clip.wav: is silent" in capsys.readouterr().err
    args = ["generate", "clip.wav", "--policy", str(tiny_policy_dir), "--max-new-tokens", "3"]
    assert main([*args, "--silent-clips", "keep"]) == 0


@pytest.mark.parametrize("seconds", [5.0, 0.05])
def test_evaluate_names_line_and_window_before_it_reads_weights(manifest, policy, capsys, seconds):
    name = with_audio(manifest, 3, TONE[: int(16_000 * seconds)])
    assert main(evaluate(manifest, policy)) == 2
    message = capsys.readouterr().err
    assert f"test.jsonl:3 ({name}): " in message and "this model hears 0.1 to 4 s" in message
    assert str(policy) in message and "raise" not in message


def test_evaluate_asks_the_window_of_every_policy_first(manifest, policy, tiny_policy_dir, tmp_path, capsys):
    """The second policy hears 2 s only: said before the first has answered anything."""
    short = shutil.copytree(tiny_policy_dir, tmp_path / "short")
    settings = next(path for path in short.glob("*processor_config.json") if '"chunk_length": 4' in path.read_text())
    settings.write_text(settings.read_text().replace('"chunk_length": 4', '"chunk_length": 2'))
    with_audio(manifest, 2, TONE[:48_000])
    assert main(evaluate(manifest, policy, short)) == 2
    message = capsys.readouterr().err
    assert "3.00 s of audio; this model hears 0.1 to 2 s" in message and str(short) in message


def test_evaluate_looks_at_the_earlier_turns_too(manifest, policy, capsys):
    write_flac(Path("turn.flac"), TONE, 16_000)
    first, *others = read_manifest(manifest)
    turns = (Turn("Well.", Path("turn.flac").absolute(), "sad", "Go on."),)
    write_manifest(manifest, [replace(first, turns=turns), *others])
    assert main(evaluate(manifest, policy, flags=("--history", "heard"))) == 2
    assert f"test.jsonl:1 ({first.id}, turn 1): " in capsys.readouterr().err


def test_evaluate_names_its_own_option_for_another_rate_and_converts_with_it(manifest, tiny_policy_dir, capsys):
    name = with_audio(manifest, 2, np.repeat(TONE[:16_000], 2)[:, None].repeat(2, 1), 32_000)
    assert main(evaluate(manifest, tiny_policy_dir)) == 2
    message = capsys.readouterr().err
    assert f"test.jsonl:2 ({name}): " in message and "cogrl evaluate: --convert" in message
    assert main(evaluate(manifest, tiny_policy_dir, flags=("--convert",))) == 0


def test_evaluation_makes_its_own_silence_but_hears_no_silent_clip_unless_it_may(manifest, tiny_policy_dir, capsys):
    name = with_audio(manifest, 4, np.zeros(16_000))
    assert main(evaluate(manifest, tiny_policy_dir)) == 2
    assert f"test.jsonl:4 ({name}): " in (message := capsys.readouterr().err) and "is silent" in message
    assert main(evaluate(manifest, tiny_policy_dir, flags=("--silent-clips", "keep"))) == 0
    assert "silen" in Path("report/report.md").read_text()
