"""Controllers: what may bend, force, interrupt or end a completion while it is sampled. (docs/controllers.md)"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.types import ModelInput, Role, Span, Waveform


@dataclass(frozen=True)
class Tokens:
    """Token ids to put behind the token just drawn. They are read like any others and do not train.

    `role` is `Role.FORCED`, or `Role.LATENT` for tokens that only give the policy time to compute.
    """

    ids: Sequence[int]
    role: Literal[Role.FORCED, Role.LATENT] = Role.FORCED


@dataclass(frozen=True)
class Excerpt:
    """A clip inserted behind the token just drawn, between the audio markers of the model family.

    `waveform` has the sampling rate of the policy. `span` says which part of the prompt's clip it is, where it is one.
    """

    waveform: Waveform
    span: Span | None = None


@dataclass(frozen=True)
class Abort:
    """Ends the completion here, without an end token; its finish reason is `abort`."""


Insertion = Tokens | Excerpt | Abort


class Controller:
    """Called during the sampling of completions. Subclasses override what they need; this one does nothing.

    State lives in tensors with one entry for each of the `b` completions of the call. Completions that have ended leave
    the batch, so every method gets `rows`: which of the `b` completions its `r` rows are.
    """

    def begin(self, policy: AudioLM, inputs: Sequence[ModelInput], group_size: int) -> None:
        """Called once before the first token: `b = len(inputs) * group_size`, groups adjacent.

        `inputs` is the policy's input of each prompt; in a control run that of the control and not the clip.
        """

    def adjust(
        self, logits: Float[Tensor, "r v"], rows: Int[Tensor, " r"]
    ) -> tuple[Float[Tensor, "r v"], Bool[Tensor, " r"] | None]:
        """The logits to draw from, and which rows were bent (None: none).

        What a bent row draws has the role `BENT`: it is part of the text but does not train, since it was not drawn
        from the policy. Its log-probability is that under the bent logits. A controller that merely forbids tokens may
        leave its rows unreported: then they train, at the log-probability they were drawn at, and the ratio of the
        objective is the importance weight. Rows that have ended may be among `rows`; what they draw is not used.
        """
        return logits, None

    def after(
        self, tokens: Int[Tensor, " r"], logprobs: Float[Tensor, " r"], rows: Int[Tensor, " r"]
    ) -> Mapping[int, Sequence[Insertion]]:
        """What to put behind the token just drawn, by completion (a number out of `rows`), in order.

        Only running completions are in `rows`: none that drew an end token or reached its last token.
        """
        return {}
