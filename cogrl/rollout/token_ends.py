"""Which characters of a text each of its tokens stands for."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from cogrl.types import Completions, Role


def token_ends(
    tokenizer: PreTrainedTokenizerBase, completions: Completions, texts: Sequence[str]
) -> list[tuple[int, ...]] | None:
    """Of each sampled token, how many characters of its completion's text there are up to its end; the end token's too.

    A token with a part of a character ends before it. None for a tokenizer that is not of the `tokenizers` library.
    """
    if not tokenizer.is_fast:
        return None
    rows = zip(completions.ids.tolist(), completions.roles_on_host.tolist(), texts, strict=True)
    return [_row(tokenizer, ids, roles, len(text)) for ids, roles, text in rows]


def _row(tokenizer: PreTrainedTokenizerBase, ids: list[int], roles: list[int], length: int) -> tuple[int, ...]:
    stream, found, end = DecodeStream(skip_special_tokens=False), [], 0
    for id, role in zip(ids, roles, strict=True):
        if role in (Role.SAMPLED, Role.BENT):
            end += len(stream.step(tokenizer.backend_tokenizer, id) or "")
            if role == Role.SAMPLED:
                found.append(min(end, length))
    return tuple(found)
