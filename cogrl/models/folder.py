"""What a Hugging Face folder says it holds."""

from collections.abc import Collection
from pathlib import Path

from transformers import PreTrainedConfig


def model_type_of(path: str | Path) -> str | None:
    """The `model_type` in the `config.json` of a folder."""
    return PreTrainedConfig.get_config_dict(path)[0].get("model_type")


def refuse_another_family(path: str | Path, known: Collection[str]) -> None:
    """ValueError for a model of another type, which transformers would fill with random weights after a warning."""
    kind = model_type_of(path)
    if kind not in known:
        raise ValueError(
            f"policy.path={str(path)!r} holds a model of type {kind!r}, this policy reads {' or '.join(known)}; give "
            "another folder, or the policy file of that family (configs/policy)"
        )
