"""Clips whose lines have a spoken reply, with units of any codec."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from cogrl.formats.ieat import IEAT
from cogrl.types import Clip, SpokenReply, UnitSpace

FRAMES = (5, 2, 9, 4)
"""How many frames the replies last: streams of different lengths in one batch."""


def spoken_clips(clips: Sequence[Clip], space: UnitSpace) -> list[Clip]:
    """The clips with an `ieat` target, whose reply is spoken in units drawn at random."""
    generator, found = torch.Generator().manual_seed(0), []
    for i, clip in enumerate(clips):
        example, reply = clip.example, f"You sound like number {i}."
        thinking = f"I hear a voice. The user feels {example.emotion}."
        units = torch.randint(space.size, (FRAMES[i % len(FRAMES)], space.codebooks), generator=generator).tolist()
        spoken = SpokenReply(example.audio, reply, "happy", space.codec, tuple(map(tuple, units)))
        targets = {"ieat": IEAT.render({"thinking": thinking, "reply": reply}), "direct": reply}
        found.append(
            replace(clip, example=replace(example, targets=targets, spoken_reply=spoken, cause="they said so"))
        )
    return found
