"""What a Hugging Face folder says it holds."""

from collections.abc import Collection
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedTokenizerBase


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


def refuse_another_tokenizer(path: str | Path, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
    """ValueError for a tokenizer with ids that a model of so many entries does not know, or with nothing to pad by."""
    last = max(tokenizer.get_vocab().values())
    if last >= vocabulary:
        raise ValueError(
            f"policy.path={str(path)!r}: the tokenizer has ids up to {last}, the model has {vocabulary}; the folder "
            "was put together from two models: copy the tokenizer of this one into it"
        )
    if tokenizer.pad_token_id is None:
        raise ValueError(f"policy.path={str(path)!r}: the tokenizer has no pad_token; set it in tokenizer_config.json")
