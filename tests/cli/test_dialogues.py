"""Through `cogrl fit`: the earlier turns of a dialogue are heard, left out on purpose, or the run is refused."""

import json
import shutil

import pytest

from cogrl.cli.main import main


@pytest.fixture
def dialogues(smoke_corpus, tmp_path):
    corpus = shutil.copytree(smoke_corpus, tmp_path / "corpus")
    records = [json.loads(line) for line in (corpus / "sft.jsonl").read_text().splitlines()]
    for record in records:
        record["turns"] = [{"text": "Well.", "audio": records[0]["audio"], "reply": "Go on."}]
    (corpus / "sft.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(corpus / "sft.jsonl")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], "has 1 earlier turns, as 28 of 28 lines do; set data.history"),
        (["--data.history=heard"], "Qwen2Audio hears the last turn of a dialogue only; set data.history to left_out"),
    ],
)
def test_turns_a_policy_would_not_hear_are_refused_before_training(command, dialogues, workdir, capsys, flags, reason):
    assert main(command("fit", f"--data.train={dialogues}", *flags)) == 2
    assert reason in capsys.readouterr().err and not (workdir / "run" / "checkpoints").exists()


def test_turns_left_out_on_purpose_train_the_last_one(command, dialogues, workdir):
    assert main(command("fit", f"--data.train={dialogues}", "--data.history=left_out")) == 0
