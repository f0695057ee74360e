"""Command lines for a one-step run of any stage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
DEFAULTS = {"stage": "sft", "policy": "tiny", "data": "lime_mini_sft", "trainer": "cpu"}
SIZES = {"mel-bins": 16, "tower-width": 16, "tower-layers": 1, "width": 32, "layers": 1, "vocab-size": 400}
SPEECH_FLAGS = [f"--model.policy.speech.sizes.{name}={n}" for name, n in (("width", 16), ("layers", 1), ("heads", 2))]
RL_FLAGS = ["--model.group_size=2", "--model.sampling.max_new_tokens=6"]


@pytest.fixture(scope="session")
def small_model() -> list[str]:
    """Sizes for `cogrl build tiny-model`."""
    return [word for name, size in SIZES.items() for word in (f"--{name}", str(size))]


@pytest.fixture(scope="session")
def questions(smoke_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with a question in each line, and no more."""
    folder = tmp_path_factory.mktemp("questions")
    choices = ["anger", "happy", "sad", "surprise", "fear", "disgust", "neutral"]
    for split in ("sft", "val", "test"):
        records = map(json.loads, (smoke_corpus / f"{split}.jsonl").read_text().splitlines())
        lines = [
            {"id": r["id"], "audio": str(smoke_corpus / r["audio"]), "question": "Which emotion?", "choices": choices}
            | {"answer": r["emotion"]}
            for r in records
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="session")
def spoken(smoke_corpus: Path, speech_codec_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with thoughts, and replies in units of the codec."""
    from cogrl.codecs import read_codec
    from cogrl.formats.ieat import IEAT

    folder, codec = tmp_path_factory.mktemp("spoken"), read_codec(speech_codec_dir).fingerprint
    thought = IEAT.render({"thinking": "I hear a voice.", "reply": "Yes."})
    for split in ("sft", "val", "test"):
        records = map(json.loads, (smoke_corpus / f"{split}.jsonl").read_text().splitlines())
        reply = {"text": "Yes.", "codec": codec, "units": [[1, 2], [3, 4], [0, 0]]}
        lines = [
            r
            | {"audio": (audio := str(smoke_corpus / r["audio"])), "targets": {"ieat": thought, "direct": "Yes."}}
            | {"spoken_reply": {"audio": audio, **reply}}
            for r in records
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def command(
    smoke_corpus: Path,
    questions: Path,
    spoken: Path,
    speech_codec_dir: Path,
    tiny_policy_dir: Path,
    tiny_omni_dir: Path,
    emotion_dir: Path,
    workdir: Path,
) -> Callable[..., list[str]]:
    """`command("fit", "--x=1", stage="grpo")`: the arguments of `main` for one step on the small corpus and policy."""

    def build(name: str, *flags: str, **parts: str) -> list[str]:
        chosen = DEFAULTS | parts
        corpus = {"grpo_qa": questions, "speak": spoken}.get(chosen["stage"], smoke_corpus)
        files = [str(CONFIGS / kind / f"{choice}.yaml") for kind, choice in chosen.items()]
        return [
            name,
            *(word for file in files for word in ("--config", file)),
            f"--model.policy.path={tiny_omni_dir if chosen['policy'] == 'qwen25_omni' else tiny_policy_dir}",
            f"--data.train={corpus / 'sft.jsonl'}",
            f"--data.val={corpus / 'val.jsonl'}",
            f"--data.test={corpus / 'test.jsonl'}",
            *("--data.batch_size=4", "--data.workers=0", "--trainer.max_steps=1", "--trainer.limit_val_batches=1"),
            *("--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1", "--run_dir=run"),
            *([f"--model.policy.emotion.encoder={emotion_dir}"] if "emotion" in chosen["policy"] else []),
            *([*SPEECH_FLAGS, f"--model.policy.speech.codec={speech_codec_dir}"] if chosen["stage"] == "speak" else []),
            *(RL_FLAGS if chosen["stage"] in ("grpo", "grpo_qa", "dr_sapo") else []),
            *flags,
        ]

    return build
