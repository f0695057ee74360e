"""Units to sound while they are still being spoken: chunk by chunk, with a cross-fade between chunks."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from cogrl.codecs.codec import Codec
from cogrl.types import Waveform


class StreamingDecoder:
    """Takes frames as they come and gives samples of whole chunks.

    Each chunk is decoded with `context` frames before it, whose sound is thrown away but for one frame, in which it
    fades over from the chunk before: phases need not fit (Griffin-Lim's do not). All that is given together lasts as
    long as the frames that were fed.

    Args:
        codec: decodes.
        chunk: frames of a chunk: the delay before the first sound.
        context: frames before a chunk that are decoded again.

    Raises ValueError for fewer than one frame of either.
    """

    def __init__(self, codec: Codec, chunk: int = 12, context: int = 6) -> None:
        if min(chunk, context) < 1:
            raise ValueError(f"chunk={chunk} and context={context} are frames; give 1 or more of each")
        self.codec, self.fingerprint, self.chunk, self.context = codec, codec.fingerprint, chunk, context
        self.frames: list[Int[Tensor, " k"]] = []
        self.given = 0
        self.tail = np.zeros(0, np.float32)

    def feed(self, frames: Int[Tensor, "f k"], last: bool = False) -> Waveform:
        """The samples that are ready now, none while a chunk is not full; with `last` all that are left."""
        self.frames += list(frames)
        parts = []
        while len(self.frames) - self.given >= self.chunk + 1:  # one more frame, to fade over in
            parts.append(self._part(self.given + self.chunk, False))
        if last and self.given < len(self.frames):
            parts.append(self._part(len(self.frames), True))
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _part(self, end: int, last: bool) -> Waveform:
        """The frames up to `end`; the frame behind it is kept to fade over from."""
        begin, hop = max(0, self.given - self.context), self.codec.samples_a_frame
        seen = end if last else end + 1
        (sound,) = self.codec.decode([torch.stack(self.frames[begin:seen])], self.fingerprint)
        sound = sound[(self.given - begin) * hop :]
        if len(self.tail):
            fade = np.linspace(0, 1, hop, dtype=np.float32)
            sound = np.concatenate([self.tail * (1 - fade) + sound[:hop] * fade, sound[hop:]])
        ready, self.tail = sound[: (end - self.given) * hop], sound[(end - self.given) * hop :]
        self.given = end
        return ready
