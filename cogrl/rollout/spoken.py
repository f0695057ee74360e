"""Speaking what was written: the Speak branch of a policy on the replies of its rollouts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.formats.spoken import spoken_from
from cogrl.models.audio_lm import AudioLM
from cogrl.models.speak import ReplyStates, reply_states
from cogrl.rollout.sampling import Sampling
from cogrl.rollout.token_ends import token_ends
from cogrl.types import Completions, Example, Rollouts, Speech


@dataclass(frozen=True)
class Speaking:
    """How units are drawn.

    Args:
        temperature: divides the logits of units; training scores units at the same one.
        greedy: take the most likely units.
        max_frames: the unit budget: a longer reply is cut there.

    Raises ValueError for a temperature or a budget that is not above 0.
    """

    temperature: float = 1.0
    greedy: bool = False
    max_frames: int = 400

    def __post_init__(self) -> None:
        if self.max_frames < 1 or not self.temperature > 0:
            raise ValueError(
                f"speaking: temperature={self.temperature} and max_frames={self.max_frames} must be above 0"
            )

    def draw(
        self, logits: Float[Tensor, "b v"], generator: torch.Generator | None
    ) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
        """One unit a row and its log-probability."""
        return Sampling(self.temperature, greedy=self.greedy).draw(logits, generator)


def reply_firsts(
    policy: AudioLM,
    completions: Completions,
    texts: Sequence[str],
    formats: Sequence[str],
    examples: Sequence[Example],
) -> list[int | None]:
    """Of each completion, the number of its first masked-in token that is of the reply; None where nothing is said.

    Raises ValueError for a tokenizer that does not say which characters its tokens stand for.
    """
    ends = token_ends(policy.tokenizer, completions, texts)
    if ends is None:
        raise ValueError(
            "this policy's tokenizer is none of the `tokenizers` library: where its reply begins is unknown, so that "
            "it can not be spoken; give a policy with a tokenizer.json"
        )
    starts = (spoken_from(*row) for row in zip(texts, formats, examples, strict=True))
    return [None if start is None else first_behind(row, start) for start, row in zip(starts, ends, strict=True)]


def first_behind(ends: Sequence[int], start: int) -> int:
    """The number of the first token behind the character at `start`, where `ends` are those of `token_ends`.

    A token with a part of a character adds none: it belongs to the character that a later token completes.
    """
    before = [number for number, (old, new) in enumerate(zip((0, *ends), ends, strict=False)) if old < new <= start]
    return before[-1] + 1 if before else 0


def written_states(policy: AudioLM, rollouts: Rollouts) -> tuple[list[int], ReplyStates]:
    """The rows of rollouts in which something is said, and what the Speak branch reads of them, see `reply_states`."""
    firsts = reply_firsts(policy, rollouts.completions, rollouts.texts, rollouts.row_formats, rollouts.row_examples)
    rows = [row for row, first in enumerate(firsts) if first is not None]
    hidden = policy.token_states(rollouts.prompts, rollouts.completions, rollouts.group_size)
    return rows, reply_states(policy, hidden, rollouts.completions, [firsts[row] for row in rows], rows)


@torch.no_grad()
def with_speech(
    policy: AudioLM, rollouts: Rollouts, speaking: Speaking, generator: torch.Generator | None = None
) -> Rollouts:
    """The rollouts with what is said in each aloud; None for those in which nothing may be.

    The thinking is read, since the reply's states have attended to it, but none of it is spoken.
    """
    was_training = policy.training
    policy.eval()
    try:
        rows, read = written_states(policy, rollouts)
        speech: list[Speech | None] = [None] * len(rollouts)
        for row, said in zip(rows, spoken(policy, read, speaking, generator) if rows else [], strict=True):
            speech[row] = said
    finally:
        policy.train(was_training)
    return replace(rollouts, speech=speech)


@torch.no_grad()
def spoken(
    policy: AudioLM, read: ReplyStates, speaking: Speaking, generator: torch.Generator | None = None
) -> list[Speech]:
    """What the branch says of each reply, decoded."""
    steps = list(unit_steps(policy, read, speaking, generator))
    drawn, logprobs = (torch.stack(part, 1).cpu() for part in zip(*steps, strict=True))
    return [speech_of(policy, *row) for row in zip(drawn, logprobs, strict=True)]


def unit_steps(
    policy: AudioLM, read: ReplyStates, speaking: Speaking, generator: torch.Generator | None = None
) -> Iterator[tuple[Int[Tensor, "b h"], Float[Tensor, "b h"]]]:
    """Step after step the units of each row and their log-probabilities, while they are drawn."""
    decoder = policy.speech.decoder
    most = speaking.max_frames // decoder.sizes.group
    if not most:
        raise ValueError(
            f"speaking: max_frames={speaking.max_frames} is less than the {decoder.sizes.group} frames of one step; "
            "raise it"
        )
    return decoder.stream(read.states, read.mask, lambda logits: speaking.draw(logits, generator), most)


def frames_of(drawn: Int[Tensor, "g h"], codebooks: int, end: int) -> tuple[Int[Tensor, "f k"], bool]:
    """The frames before the end in the steps of one row, and whether there was an end."""
    frames = drawn.reshape(-1, codebooks)
    ends = (frames[:, 0] == end).nonzero().flatten().tolist()
    return frames[: ends[0]] if ends else frames, bool(ends)


def speech_of(policy: AudioLM, drawn: Int[Tensor, "g h"], logprobs: Float[Tensor, "g h"]) -> Speech:
    """The speech of one row's steps."""
    branch = policy.speech
    units, finished = frames_of(drawn, branch.space.codebooks, branch.decoder.end)
    steps = -(-(len(units) + finished) // branch.decoder.sizes.group)
    waveform = branch.codec.decode([units], branch.space.codec)[0] if len(units) else None
    return Speech(units, logprobs[:steps], drawn[:steps], finished, waveform, branch.codec.sampling_rate)
