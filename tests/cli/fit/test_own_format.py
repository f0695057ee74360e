"""The format of one's own in docs/formats.md: from file to trained policy; and questions asked in a choice format."""

import json
import re
from pathlib import Path

import pytest
import yaml
from command_output import complaint, printed
from mlflow import MlflowClient

from cogrl.cli.main import main

PAGE = (Path(__file__).parents[3] / "docs/formats.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.S)[1]


def lines(smoke_corpus: Path, split: str, **change) -> str:
    """The first eight of a split, changed; audio by its whole path."""
    records = map(json.loads, (smoke_corpus / f"{split}.jsonl").read_text().splitlines()[:8])
    changed = ({**record, "audio": str(smoke_corpus / record["audio"]), **change} for record in records)
    return "".join(f"{json.dumps(record)}\n" for record in changed)


def tracked(workdir: Path) -> dict[str, float]:
    (run,) = MlflowClient(f"sqlite:///{workdir}/mlflow.db").search_runs(["1"])
    assert run.info.status == "FINISHED"
    return run.data.metrics


def test_the_format_of_the_page_trains_and_is_validated_under_its_import_path(
    command, workdir, smoke_corpus, monkeypatch
):
    (workdir / "my_formats.py").write_text(block("python"))
    monkeypatch.syspath_prepend(workdir)
    (workdir / "mine.yaml").write_text(block("yaml"))
    targets = json.loads(re.search(r"`targets: (\{.*?\})`", PAGE)[1])
    for split in ("sft", "val"):
        (workdir / f"{split}.jsonl").write_text(lines(smoke_corpus, split, targets=targets))
    own = ["--config", "mine.yaml", "--data.train=sft.jsonl", "--data.val=val.jsonl", "--trainer.max_steps=2"]
    assert main(command("fit", *own)) == 0
    assert {"train/loss", "val/loss_my_formats.Described"} <= set(tracked(workdir))


def test_sft_learns_to_answer_questions_and_is_validated_in_that_format(command, workdir, smoke_corpus):
    asked = {"question": "Which sound?", "choices": ["a", "b"], "answer": "b", "targets": {"choice": "B"}}
    for split in ("sft", "val"):
        (workdir / f"{split}.jsonl").write_text(lines(smoke_corpus, split, **asked))
    own = ["--data.train=sft.jsonl", "--data.val=val.jsonl", "--model.formats={choice: 1.0}", "--trainer.max_steps=2"]
    assert main(command("fit", *own)) == 0
    assert "val/loss_choice" in tracked(workdir)


@pytest.mark.parametrize(
    ("formats", "change", "expected"),
    [
        ("{choice: 1.0}", {}, r"sft.jsonl:1 \(\w+\): has no question, which format choice asks; add question"),
        ("{eips: 1.0}", {"question": "Which?"}, r"sft.jsonl:1 \(\w+\): has a question, which format eips does not ask"),
        ("{ieat: 1.0}", {}, r"sft.jsonl:1 \(\w+\): no target for format ieat; add targets.ieat to this line"),
        ("{thinkchoice: 1.0}", {}, "no format is called 'thinkchoice'; did you mean think_choice"),
        ("{absent.Format: 1.0}", {}, "format 'absent.Format' can not be imported: No module named 'absent'"),
    ],
)
def test_a_line_that_a_format_can_not_ask_and_a_format_that_is_not_there_are_refused(
    command, workdir, smoke_corpus, capsys, formats, change, expected
):
    targets = {"choice": "B"} if "choice" in formats else {"eips": "x"}
    (workdir / "sft.jsonl").write_text(lines(smoke_corpus, "sft", targets=targets, **change))
    text = complaint(command("fit", "--data.train=sft.jsonl", f"--model.formats={formats}"), capsys)
    assert re.search(expected, text), text


def test_a_mix_on_the_command_line_replaces_the_mix_of_the_file(command):
    found = printed(command("fit", "--model.formats={eips: 1.0}"))["model"]["init_args"]["formats"]
    assert found == {"eips": 1.0}


def test_the_yaml_of_the_page_is_yaml():
    assert yaml.safe_load(block("yaml"))["model"]["init_args"]["formats"] == {"my_formats.Described": 1.0}
