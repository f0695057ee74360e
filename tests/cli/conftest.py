"""Command lines for a one-step run of any stage."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
DEFAULTS = {"stage": "sft", "policy": "tiny", "data": "lime_mini_sft", "trainer": "cpu"}
SIZES = {"mel-bins": 16, "tower-width": 16, "tower-layers": 1, "width": 32, "layers": 1, "vocab-size": 400}
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


@pytest.fixture
def command(
    smoke_corpus: Path, questions: Path, tiny_policy_dir: Path, tiny_omni_dir: Path, emotion_dir: Path, workdir: Path
) -> Callable[..., list[str]]:
    """`command("fit", "--x=1", stage="grpo")`: the arguments of `main` for one step on the small corpus and policy."""

    def build(name: str, *flags: str, **parts: str) -> list[str]:
        chosen = DEFAULTS | parts
        corpus = questions if chosen["stage"] == "grpo_qa" else smoke_corpus
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
            *(RL_FLAGS if chosen["stage"] in ("grpo", "grpo_qa", "dr_sapo") else []),
            *flags,
        ]

    return build
