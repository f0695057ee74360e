"""Conversations as chat prompts: the family's template filled in, each clip's placeholder repeated for its frames."""

from collections.abc import Sequence
from typing import Any

from transformers import BatchEncoding

from cogrl.models.end_tokens import is_special
from cogrl.types import Conversation, ModelInput


def as_conversation(item: ModelInput) -> Conversation:
    """A bare waveform or text as the conversation of one turn that it is."""
    return item if isinstance(item, Conversation) else Conversation((item,))


def chat_prompts(
    processor: Any,
    audio_token_id: int,
    instructions: Sequence[str],
    conversations: Sequence[Conversation],
    clip_tokens: Sequence[Sequence[int]],
    names: Sequence[str],
) -> BatchEncoding:
    """Left-padded token ids and their mask, on the CPU.

    `clip_tokens` says how many audio tokens each clip of a conversation takes. Raises ValueError, with the sample's
    name, when a prompt does not have exactly those.
    """
    tokenizer = processor.tokenizer
    texts = [
        spelled_out(chat_text(processor, instruction, conversation), processor.audio_token, clips, name)
        for instruction, conversation, clips, name in zip(instructions, conversations, clip_tokens, names, strict=True)
    ]
    tokens = tokenizer(texts, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
    found = (tokens.input_ids == audio_token_id).sum(1).tolist()
    for name, have, need in zip(names, found, map(sum, clip_tokens), strict=True):
        if have != need:
            raise ValueError(
                f"{name}: {have} audio placeholders for {need} encoder frames; the model's audio_token_id must be the "
                f"id of {processor.audio_token!r} in its tokenizer"
            )
    return tokens


def chat_text(processor: Any, instruction: str, conversation: Conversation) -> str:
    """The prompt in the family's chat template, one placeholder a clip; `instruction` follows the turn to answer."""
    *earlier, last = conversation.turns
    messages: list[dict[str, Any]] = []
    for turn, reply in zip(earlier, conversation.replies, strict=True):
        messages.append({"role": "user", "content": [part(turn)]})
        if reply is not None:
            messages.append({"role": "assistant", "content": reply})
    spoken = {"type": "text", "text": last + "\n"} if isinstance(last, str) else part(last)
    messages.append({"role": "user", "content": [spoken, {"type": "text", "text": instruction}]})
    return processor.tokenizer.apply_chat_template(
        messages, chat_template=processor.chat_template, tokenize=False, add_generation_prompt=True
    )


def part(turn: Any) -> dict[str, str]:
    """A turn as the templates take it."""
    return {"type": "text", "text": turn} if isinstance(turn, str) else {"type": "audio", "audio_url": ""}


def spelled_out(text: str, placeholder: str, clip_tokens: Sequence[int], name: str) -> str:
    """`text` with each clip's one placeholder repeated as often as the clip has tokens.

    Raises ValueError when there are other placeholders than those of the clips: a text must not stand for audio.
    """
    between = text.split(placeholder)
    if len(between) != len(clip_tokens) + 1:
        raise ValueError(
            f"{name}: {len(between) - 1} audio placeholders for {len(clip_tokens)} clips; the instruction, a "
            "transcript or a reply must not contain the audio token"
        )
    repeated = (placeholder * count + after for count, after in zip(clip_tokens, between[1:], strict=True))
    return between[0] + "".join(repeated)


AudioMarkers = tuple[tuple[int, ...], tuple[int, ...]]
"""Token ids right before and right behind a clip's placeholders."""


def audio_markers(processor: Any, audio_token_id: int) -> AudioMarkers:
    """The special tokens that the family's template puts around a clip; empty where it puts none.

    They are next to the placeholder in a prompt with audio, and absent from the same prompt without.
    """
    tokenizer = processor.tokenizer

    def ids(turn: dict[str, str]) -> list[int]:
        messages = [{"role": "user", "content": [turn]}]
        text = tokenizer.apply_chat_template(messages, chat_template=processor.chat_template, tokenize=False)
        return tokenizer(text, add_special_tokens=False).input_ids

    with_audio, without = ids(part(None)), ids(part(""))
    place = with_audio.index(audio_token_id)

    def marker(neighbours: list[int]) -> tuple[int, ...]:
        return tuple(id for id in neighbours if is_special(tokenizer, id) and id not in without)

    return marker(with_audio[place - 1 : place]), marker(with_audio[place + 1 : place + 2])
