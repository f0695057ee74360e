"""Which tokens end an answer: those of the folder's `generation_config`, of its tokenizer and of its chat template.

A chat model ends a turn with one token and a text with another; published folders name the two in different files.
"""

import warnings
from dataclasses import dataclass
from typing import Any

from transformers import GenerationConfig

_REPLY = "reply"


@dataclass(frozen=True)
class EndTokens:
    """Sampling stops at each of `ids`; a target ends with `turn`, the text of the token that ends a turn of a chat."""

    ids: tuple[int, ...]
    turn: str


def end_tokens(processor: Any, generation: GenerationConfig, path: str) -> EndTokens:
    """The end tokens of the policy in `path`.

    Warns where `generation` does not stop at the end of a turn: the chat template decides, and `generation` is
    corrected, so that other programs stop there in an export too. Raises ValueError when nothing names an end token.
    """
    tokenizer, listed = processor.tokenizer, generation.eos_token_id
    listed = [] if listed is None else [listed] if isinstance(listed, int) else list(listed)
    named = [id for id in (turn_end(processor), tokenizer.eos_token_id, *listed) if id is not None]
    if not named:
        raise ValueError(
            f"policy.path={path!r} names no end token: set eos_token in tokenizer_config.json, or eos_token_id in "
            "generation_config.json"
        )
    turn, ids = named[0], tuple(sorted(set(named)))
    if turn not in listed:
        if listed:
            warnings.warn(
                f"policy.path={path!r}: a turn ends with {shown(tokenizer, turn)} (by the chat template, or eos_token "
                "where that names none), but generation_config.json stops only at "
                f"{', '.join(shown(tokenizer, id) for id in listed)}; here answers stop at every one of them, targets "
                "end with the first, and an export lists them all",
                stacklevel=2,
            )
        generation.eos_token_id = list(ids)
    return EndTokens(ids, tokenizer.convert_ids_to_tokens(turn))


def turn_end(processor: Any) -> int | None:
    """The special token that follows an assistant's text in the chat template; None when it is followed by none."""
    tokenizer = processor.tokenizer
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "question"}]},
        {"role": "assistant", "content": _REPLY},
    ]
    text = tokenizer.apply_chat_template(messages, chat_template=processor.chat_template, tokenize=False)
    behind = tokenizer(text.rpartition(_REPLY)[2].lstrip(), add_special_tokens=False).input_ids
    return behind[0] if behind and is_special(tokenizer, behind[0]) else None


def is_special(tokenizer: Any, id: int) -> bool:
    known = tokenizer.added_tokens_decoder.get(id)
    return known is not None and known.special


def shown(tokenizer: Any, id: int) -> str:
    return f"{tokenizer.convert_ids_to_tokens(id)!r} ({id})"
