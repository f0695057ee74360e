"""`cogrl generate --speak` and `cogrl speak`: text and wav of each reply; thinking is written and never spoken."""

import json
import wave
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from cogrl.cli.main import main
from cogrl.data.manifest import read_manifest, write_manifest

TONE = (np.sin(np.arange(16_000) / 10) / 4).astype(np.float32)


@pytest.fixture
def speaks(speaking_policy, workdir) -> str:
    """The tiny policy with a branch that goes on speaking for a while; `clip.wav` is there."""
    decoder = speaking_policy.speech.decoder
    decoder.bias.data[:, decoder.end] = -3.0
    speaking_policy.save("policy")
    soundfile.write(workdir / "clip.wav", TONE, 16_000)
    return "policy"


def test_text_and_wav_are_written_and_the_reply_is_cut_at_the_limit(speaks, workdir, capsys):
    asked = ["generate", "clip.wav", "--policy", speaks, "--format", "direct", "--max-new-tokens", "5"]
    assert main([*asked, "--speak", "said", "--max-speech-s", "1.0", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["direct"]
    speech = answer["speech"]
    with wave.open(speech["file"]) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getsampwidth()) == (1, 16_000, 2)
        assert sound.getnframes() == round(16_000 * speech["seconds"]) and 0 < speech["seconds"] <= 1.0
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    assert samples.any() and answer["reply"]
    assert main([*asked, "--speak", "said"]) == 2 and "--speak said is not empty" in capsys.readouterr().err
    assert main([*asked, "--speak", "more", "--speech-temperature", "0"]) == 0
    assert "speech: more/clip.direct.wav (" in capsys.readouterr().out


def test_a_thought_that_never_ends_is_not_spoken(speaks, workdir, capsys, monkeypatch):
    from cogrl.rollout.hf import HFEngine

    sample = HFEngine.sample
    monkeypatch.setattr(HFEngine, "sample", lambda *a, **k: thinking(sample(*a, **k)))
    assert main(["generate", "clip.wav", "--policy", speaks, "--speak", "said", "--max-new-tokens", "5"]) == 0
    shown = capsys.readouterr().out
    assert "ieat:" in shown and "speech: none (nothing of this answer is said aloud)" in shown
    assert list((workdir / "said").iterdir()) == []


def thinking(rollouts):

    return replace(rollouts, texts=["<think>\nI hear"])


def test_a_policy_that_can_not_speak_is_refused(tiny_policy_dir, speaks, capsys):
    asked = ["generate", "clip.wav", "--policy", str(tiny_policy_dir), "--max-new-tokens", "2"]
    assert main([*asked, "--speak", "said"]) == 2
    assert "has no Speak branch, so that --speak has nothing to speak with" in capsys.readouterr().err


def test_a_manifest_is_answered_aloud_with_figures_and_a_page(speaks, smoke_corpus, emotion_dir, workdir, capsys):
    write_manifest(workdir / "test.jsonl", read_manifest(smoke_corpus / "test.jsonl")[:3])
    asked = ["speak", "--data", "test.jsonl", "--emotion-encoder", str(emotion_dir), "--format", "direct"]
    limits = ["--max-new-tokens", "4", "--max-speech-s", "0.5", "--out", "said"]
    assert main([*asked, *limits, "--policy", f"tiny={speaks}"]) == 0
    figures = json.loads((workdir / "said" / "figures.json").read_text())["tiny"]
    assert set(figures) == {"voice", "transcript", "peak_memory_mb"}
    assert figures["voice"]["replies"] == 3 and 0 <= figures["voice"]["agreement"] <= 1
    assert figures["voice"]["consistency"] is None  # no reply of a random policy answers an emotion
    records = [json.loads(line) for line in (workdir / "said" / "answers.jsonl").read_text().splitlines()]
    assert [record["given"] for record in records] == ["voice"] * 3 + ["transcript"] * 3
    assert sum(r["sounds"] is not None for r in records[:3]) == round(3 * figures["voice"]["spoken"])
    page = (workdir / "said" / "tiny" / "page.html").read_text()
    spoken = len(list((workdir / "said" / "tiny").glob("*.wav")))
    assert page.count("<audio") == 3 + spoken and spoken == round(3 * figures["voice"]["spoken"]) > 0
    for wrong, message in (
        (["--policy", f"tiny={workdir}"], "holds no Speak branch"),
        (["--policy", str(speaks), "--policy", str(speaks)], "2 times; tell them apart"),
    ):
        assert main([*asked, *limits, *wrong]) == 2 and message in capsys.readouterr().err
    write_manifest(workdir / "test.jsonl", [replace(read_manifest(smoke_corpus / "test.jsonl")[0], emotion=None)])
    assert main([*asked, *limits, "--policy", str(speaks)]) == 2
    assert "no emotion, so that it is unknown how a reply should sound" in capsys.readouterr().err


def test_agreement_is_the_mean_recall_of_the_intended_emotions():
    """Three of four sad replies and one of two happy ones: 0.625, and not four of six; its interval draws clips."""
    from pathlib import Path

    from cogrl.evaluate.spoken import SpokenReplies, spoken_figures
    from cogrl.formats.answer import read_answer
    from cogrl.types import Example, Speech

    drawn = torch.zeros(1, 4, dtype=torch.long)
    speech = Speech(drawn.view(2, 2), torch.zeros(1, 4), drawn, True, np.zeros(8000, np.float32), 16_000)
    felt = ["sad", "fear", "sad", "fear", "happy", "happy"]
    answers = [
        read_answer("Yes.", "direct", Example(str(i), Path(f"{i}.wav"), text="So.", emotion=e), speech=speech)
        for i, e in enumerate(felt)
    ]
    found = spoken_figures(SpokenReplies(answers, ["sad", "sad", "sad", "happy", "happy", None], took_s=1.5))
    assert found["agreement"] == pytest.approx(0.625) and found["chance"] == 0.5
    assert 0.0 <= found["agreement_low"] < 0.6 and 0.65 < found["agreement_high"] <= 1.0
    assert found["agreement_all"] == pytest.approx(4 / 6) and found["seconds"] == 0.5
    assert found["real_time_factor"] == pytest.approx(0.5) and found["worded_right"] == 0.0
