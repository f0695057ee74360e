"""IEAT's chains fit together: on the embedded model, and at the paper's scale."""

from pathlib import Path

import pytest

from cogrl.cli.main import main
from cogrl.data.synthesis.expressive import Synthesiser

ROOT = Path(__file__).parents[3]


@pytest.fixture
def configured(workdir):
    """The working directory with the files of configs/."""
    (workdir / "configs").symlink_to(ROOT / "configs")
    return workdir


def test_the_papers_chain_fits_together(configured, smoke_corpus, tiny_omni_dir, speech_codec_dir, emotion_dir, capsys):
    (configured / "corpus").mkdir()
    for split, source in (("train", "sft"), ("val", "val"), ("test", "test")):
        (configured / "corpus" / f"{split}.jsonl").symlink_to(smoke_corpus / f"{source}.jsonl")
    given = {"corpus": "corpus", "model": tiny_omni_dir, "codec": speech_codec_dir, "listener": emotion_dir}
    changes = [word for name, value in given.items() for word in ("--set", f"vars.{name}={value}")]
    assert main(["run", "configs/pipelines/ieat.yaml", "--dry-run", *changes]) == 0
    shown = capsys.readouterr().out
    assert "ieat: all 5 steps fit together; nothing was run" in shown
    assert f"model.policy.speech.codec {speech_codec_dir}" in shown and "policy runs/ieat/speak/export" in shown
    assert main(["run", "configs/pipelines/ieat.yaml", "--dry-run", *changes, "--set", "vars.codec=models/mimi"]) == 2
    assert "units: --codec: models/mimi does not exist, and no earlier step makes it" in capsys.readouterr().err


def test_the_chain_of_the_embedded_model_fits_together(configured, capsys):
    assert main(["run", "configs/pipelines/ieat_mini.yaml", "--dry-run"]) == 0
    assert "ieat_mini: all 11 steps fit together; nothing was run" in capsys.readouterr().out


def test_a_synthesiser_of_replies_is_described_by_a_file(monkeypatch):
    from cogrl.cli.described import described

    monkeypatch.chdir(ROOT)
    found = described(Path("configs/synthesiser/command.yaml"), "synthesiser", Synthesiser, "")
    assert list(found.speakers) == ["anna"]
