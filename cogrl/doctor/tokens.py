"""The chat template, the special tokens and the formats as the policy's tokenizer reads them; no model runs."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain, product

from cogrl.doctor.case import Case
from cogrl.doctor.finding import Finding
from cogrl.formats import format_named
from cogrl.models.audio_lm import AudioLM
from cogrl.models.chat_prompts import chat_text
from cogrl.models.end_tokens import shown, turn_end
from cogrl.types import Conversation, Example

_TAG = re.compile(r"</?[A-Za-z_]\w*>")
_MANY = 3
"""A tag of more tokens than this is long for what it says: `<`, a word and `>` are three."""


def audio_in_template(case: Case) -> Iterable[Finding]:
    """A prompt with one clip has one placeholder, and the instruction stands in it."""
    name, policy, instruction = "audio in the template", case.policy, "Which emotion?"
    placeholder = policy.processor.audio_token
    text = chat_text(policy.processor, instruction, Conversation((policy_clip(),)))
    count = text.count(placeholder)
    if count != 1:
        yield Finding(
            name,
            "fault",
            f"the chat template writes {count} placeholders {placeholder!r} for one clip, so the policy would not hear "
            f"it; it makes {text!r}",
            "take the chat template of the model's own publisher (chat_template.jinja, or chat_template in "
            "processor_config.json); it must write the placeholder for a part of type 'audio'",
        )
    elif instruction not in text:
        yield Finding(name, "fault", f"the chat template leaves out the instruction; it makes {text!r}")
    else:
        yield Finding(name, "ok", f"one {placeholder!r} for a clip, then the instruction")


def policy_clip():
    """A clip of no samples: templates look at its type alone."""
    import numpy as np

    return np.zeros(0, dtype=np.float32)


def special_tokens(case: Case) -> Iterable[Finding]:
    """Placeholder, markers, end tokens and padding are read as the one token that each is, alone and side by side."""
    name, tokenizer, texts = "special tokens", case.policy.tokenizer, special_texts(case.policy)
    faults = []
    for text, id in texts.items():
        found = tokenizer(text, add_special_tokens=False).input_ids
        if found != [id]:
            faults.append(f"{text!r} is id {id}, but is read as {found}")
    owners = Counter(id for text, id in texts.items() if text != tokenizer.pad_token)
    faults += [
        f"id {id} is {' and '.join(repr(text) for text in texts if texts[text] == id)}"
        for id, count in owners.items()
        if count > 1
    ]
    if not faults:
        faults = list(merged_pairs(tokenizer, texts))
    for fault in faults:
        yield Finding(
            name,
            "fault",
            fault,
            "the folder's config.json, tokenizer.json and tokenizer_config.json do not belong together: copy all of "
            "them from the model that the weights are of, and add no token that joins two of these",
        )
    if not faults:
        yield Finding(name, "ok", f"{', '.join(texts)}: one token each, alone and side by side")


def special_texts(policy: AudioLM) -> dict[str, int]:
    """The tokens that prompts and answers are built with, by their texts."""
    tokenizer = policy.tokenizer
    texts = {policy.processor.audio_token: policy.audio_token_id}
    ids = [*chain(*policy.audio_markers), *policy.end_ids]
    texts |= {tokenizer.convert_ids_to_tokens(id): id for id in ids}
    return texts | {tokenizer.pad_token: tokenizer.pad_token_id}


def merged_pairs(tokenizer, texts: dict[str, int]) -> Iterable[str]:
    """Two of `texts` written side by side that are not read as those two."""
    for left, right in product(texts, texts):
        found = tokenizer(left + right, add_special_tokens=False).input_ids
        if found != [texts[left], texts[right]]:
            names = ", ".join(shown(tokenizer, id) for id in found)
            yield f"{left!r} and {right!r} side by side are merged: they are read as {names}"


def end_tokens(case: Case) -> Iterable[Finding]:
    """No token that ends an answer stands inside one, and the turn end of the chat template is among them."""
    name, policy = "end tokens", case.policy
    tokenizer, turn = policy.tokenizer, turn_end(policy.processor)
    texts = [*targets_of(case), *filter(None, (example.text for example in case.lines))]
    inside = Counter(id for text in texts for id in set(tokenizer(text, add_special_tokens=False).input_ids))
    early = [id for id in policy.end_ids if inside[id]]
    for id in early:
        yield Finding(
            name,
            "fault",
            f"{shown(tokenizer, id)} ends an answer, but it stands inside {inside[id]} of {len(texts)} targets and "
            "transcripts: answers would stop there",
            "correct eos_token in tokenizer_config.json and eos_token_id in generation_config.json, or the targets",
        )
    if turn is None:
        yield Finding(
            name,
            "warning",
            f"the chat template ends an assistant's turn with no special token; answers end with {policy.ends.turn!r}",
            "use the template of the model's own publisher, where it has one",
        )
    if not early:
        each = ", ".join(shown(tokenizer, id) for id in policy.end_ids)
        yield Finding(name, "ok", f"answers stop at {each}; a turn, and a target, ends with {policy.ends.turn!r}")


def targets_of(case: Case) -> list[str]:
    """What is written in the stage's formats for the lines looked at."""
    return [text for example in case.lines for format in case.stage.formats for text in written(example, format)]


def formats_in_tokens(case: Case) -> Iterable[Finding]:
    """Targets come back from their tokens as they were, and tags keep their tokens whatever stands beside them."""
    name, policy, stage = "formats", case.policy, case.stage
    texts = [(format, text) for e in case.lines for format in stage.formats for text in written(e, format)]
    lost = [(format, text) for format, text in texts if not survives(policy.tokenizer, text)]
    for format, text in lost[:1]:
        yield Finding(
            name,
            "fault",
            f"{len(lost)} of {len(texts)} targets do not come back from their tokens, such as this one of {format}: "
            f"{text!r} becomes {round_trip(policy.tokenizer, text)!r}",
            "rewards and formats read decoded text: take a tokenizer that keeps it, or normalise the targets",
        )
    tags = Counter(tag for _, text in texts for tag in _TAG.findall(text))
    sizes = {tag: len(policy.tokenizer(tag, add_special_tokens=False).input_ids) for tag in tags}
    long = [f"{tag} takes {size} tokens" for tag, size in sizes.items() if size > _MANY]
    unsteady = {tag for _, text in texts for tag in joined_tags(policy.tokenizer, text)}
    if long or unsteady:
        seen = [*long, *(f"{tag} is joined with the text beside it" for tag in sorted(unsteady))]
        yield Finding(
            name,
            "warning",
            "; ".join(seen),
            "it can be learnt, and costs tokens; tags as tokens of their own are steadier",
        )
    if not lost:
        each = ", ".join(f"{tag} {size}" for tag, size in sizes.items()) or "no tags"
        yield Finding(name, "ok", f"{len(texts)} targets of {', '.join(stage.formats)} read back; tokens a tag: {each}")


def written(example: Example, format: str) -> list[str]:
    """The target of an example in a format; the right answer of a question where there is none."""
    if format in example.targets:
        return [example.targets[format]]
    if example.answer is None or format_named(format).validate(example):
        return []
    for fields in ({"answer": example.answer}, {"thinking": "It is heard.", "answer": example.answer}):
        try:
            return [format_named(format).render(fields)]
        except (ValueError, KeyError):  # a format of other fields
            continue
    return []


def round_trip(tokenizer, text: str) -> str:
    return tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids)


def survives(tokenizer, text: str) -> bool:
    return round_trip(tokenizer, text) == text


def joined_tags(tokenizer, text: str) -> list[str]:
    """The tags of a text with an edge that lies inside a token."""
    if not tokenizer.is_fast:
        return []
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True).offset_mapping
    edges = {edge for span in offsets for edge in span}
    return [found[0] for found in _TAG.finditer(text) if not set(found.span()) <= edges]
