"""Fixtures: for each stage, the small corpus with the lines that the stage reads, and the flags it needs besides."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SPLITS = ("sft", "val", "test")
CHOICES = ["anger", "happy", "sad", "surprise", "fear", "disgust", "neutral"]
BRANCH = [f"--model.policy.speech.sizes.{name}={n}" for name, n in (("width", 16), ("layers", 1), ("heads", 2))]


@pytest.fixture(scope="session")
def questions(smoke_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with a question in each line, and no more."""

    def asked(line: dict) -> dict:
        question = {"question": "Which emotion?", "choices": CHOICES, "answer": line["emotion"]}
        return {"id": line["id"], "audio": line["audio"]} | question

    return rewritten(smoke_corpus, tmp_path_factory.mktemp("questions"), asked)


@pytest.fixture(scope="session")
def spoken(smoke_corpus: Path, speech_codec_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with thoughts, and replies in units of the codec."""
    from cogrl.codecs import read_codec
    from cogrl.formats.ieat import IEAT

    thought = IEAT.render({"thinking": "I hear a voice.", "reply": "Yes."})
    reply = {"text": "Yes.", "codec": read_codec(speech_codec_dir).fingerprint, "units": [[1, 2], [3, 4], [0, 0]]}

    def replied(line: dict) -> dict:
        targets = {"ieat": thought, "direct": "Yes."}
        return line | {"targets": targets, "spoken_reply": {"audio": line["audio"], **reply}}

    return rewritten(smoke_corpus, tmp_path_factory.mktemp("spoken"), replied)


def rewritten(corpus: Path, folder: Path, change: Callable[[dict], dict]) -> Path:
    """`folder` with the changed lines of each split; their audio is the corpus's."""
    for split in SPLITS:
        records = map(json.loads, (corpus / f"{split}.jsonl").read_text().splitlines())
        lines = [change(record | {"audio": str(corpus / record["audio"])}) for record in records]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def lines_of(smoke_corpus: Path, questions: Path, spoken: Path) -> Callable[[str], Path]:
    """`lines_of("speak")`: the folder of `sft|val|test.jsonl` that a stage file reads."""
    return lambda stage: {"grpo_qa": questions, "speak": spoken}.get(stage, smoke_corpus)


@pytest.fixture
def flags_of(speech_codec_dir: Path) -> Callable[[str], list[str]]:
    """`flags_of("speak")`: what a stage file does not have, because it depends on the corpus."""
    return lambda stage: [*BRANCH, f"--model.policy.speech.codec={speech_codec_dir}"] if stage == "speak" else []
