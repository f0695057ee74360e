"""What a Hugging Face folder holds, and which files are missing: checked before anything else is read."""

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from cogrl.models.own_code import refuse_code

TOKENIZER = ("tokenizer.json", "vocab.json", "tokenizer.model", "tekken.json")
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
_OUR_FOLDERS = ("models", "runs", "data")


def read_config(path: str | Path, option: str = "policy.path") -> dict[str, Any]:
    """The `config.json` of a local folder; a name of the Hugging Face hub is refused, nothing is looked up.

    Raises FileNotFoundError, NotADirectoryError for a file, ValueError for a `config.json` that can not be read; the
    message begins with `option`, says what to give instead and, for a hub name, how to download it.
    """
    folder, given = Path(path), f"{option}={str(path)!r}"
    if folder.is_file():
        raise NotADirectoryError(f"{given} is a file; give the folder it lies in, {str(folder.parent)!r}")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"{given} holds no config.json; {advice(folder)}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{given}: its config.json is no JSON ({error}); copy the folder again") from error
    if not isinstance(config, dict):
        raise ValueError(f"{given}: its config.json holds no keys and values; copy the folder again")
    return config


def advice(folder: Path) -> str:
    """What to give in place of a folder without a model."""
    for inside in (folder / "export", *sorted(folder.glob("*"))):
        if (inside / "config.json").is_file():
            return f"did you mean {str(inside)!r}?"
    if (folder / "adapter_config.json").is_file():
        return "it holds adapters alone; merge them into their base model and give that folder"
    organisation, slash, name = str(folder).partition("/")
    of_the_hub = slash and re.fullmatch(r"[\w.-]+", name) and re.fullmatch(r"[\w-]+", organisation)
    if of_the_hub and organisation not in _OUR_FOLDERS and not Path(organisation).exists():
        return (
            f"cogrl reads local folders; download that model with: hf download {folder} --local-dir models/{name}, "
            f"and give models/{name}"
        )
    return "give a Hugging Face folder, or make the embedded model with: cogrl build tiny-model"


def refuse_missing_files(
    path: str | Path, option: str = "policy.path", needed: Sequence[Collection[str]] = (WEIGHTS, TOKENIZER, PROCESSOR)
) -> None:
    """FileNotFoundError when of one of the `needed` kinds no file is there, or a part of the weights is not."""
    folder = Path(path)
    for names in needed:
        if not any((folder / name).is_file() for name in names):
            raise FileNotFoundError(
                f"{option}={str(path)!r} holds none of {', '.join(names)}; copy the whole folder, or that file of the "
                "model it was made from"
            )
    for index in folder.glob("*.index.json"):
        parts = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        absent = [part for part in parts if not (folder / part).is_file()]
        if absent:
            raise FileNotFoundError(
                f"{option}={str(path)!r} lacks {absent[0]}, {len(absent)} of {len(parts)} parts of the weights that "
                f"{index.name} names; copy or download them again"
            )


def model_type_of(path: str | Path, option: str = "policy.path") -> str | None:
    """The `model_type` in the `config.json` of a folder."""
    return read_config(path, option).get("model_type")


def refuse_another_family(
    path: str | Path, known: Collection[str], option: str = "policy.path", trusted: bool = False
) -> None:
    """ValueError for a model of another type, which transformers would fill with random weights after a warning.

    So for one with Python code of its own, unless that is `trusted`.
    """
    kind = model_type_of(path, option)
    if kind not in known:
        raise ValueError(
            f"{option}={str(path)!r} holds a model of type {kind!r}, this policy reads {' or '.join(known)}; give "
            "another folder, or the policy file of that family (configs/policy)"
        )
    refuse_adapters(path, option)
    refuse_missing_files(path, option)
    if not trusted:
        refuse_code(path, option)


def refuse_adapters(path: str | Path, option: str = "policy.path") -> None:
    """ValueError for adapters beside a model: transformers would read the base that they name, not this model."""
    file = Path(path, "adapter_config.json")
    if file.is_file():
        base = json.loads(file.read_text(encoding="utf-8")).get("base_model_name_or_path")
        raise ValueError(
            f"{option}={str(path)!r} holds adapters (adapter_config.json) of the base model {base!r} beside a model; "
            "merge them into that base and give the merged folder, or remove adapter_config.json to go on without them"
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


def refuse_tokenizer_without_audio(
    path: str | Path, tokenizer: PreTrainedTokenizerBase, placeholder: str, audio_token_id: int
) -> None:
    """ValueError unless `placeholder` is the token that the model takes for a frame of audio."""
    found = tokenizer.get_vocab().get(placeholder)
    if found != audio_token_id:
        has = "no such token" if found is None else f"it as {found}"
        raise ValueError(
            f"policy.path={str(path)!r}: the model's audio_token_id is {audio_token_id}, which should be "
            f"{placeholder!r}, and its tokenizer has {has}; copy the tokenizer of the audio model into the folder"
        )
