"""Command lines for a one-step run of any stage."""

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


@pytest.fixture
def command(
    lines_of: Callable[[str], Path],
    flags_of: Callable[[str], list[str]],
    tiny_policy_dir: Path,
    tiny_omni_dir: Path,
    emotion_dir: Path,
    workdir: Path,
) -> Callable[..., list[str]]:
    """`command("fit", "--x=1", stage="grpo")`: the arguments of `main` for one step on the small corpus and policy."""

    def build(name: str, *flags: str, **parts: str) -> list[str]:
        chosen = DEFAULTS | parts
        corpus = lines_of(chosen["stage"])
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
            *flags_of(chosen["stage"]),
            *(RL_FLAGS if chosen["stage"] in ("grpo", "grpo_qa", "dr_sapo") else []),
            *flags,
        ]

    return build
