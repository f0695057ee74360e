"""What controllers do to running completions, as token ids, roles and audio tensors side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cogrl.audio import to_seconds
from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Abort, Controller, Excerpt, Insertion
from cogrl.types import ClipTensors, Role


@dataclass(frozen=True)
class Inserted:
    """What is put behind the last token of `k` completions, padded at the end to the longest.

    `rows` are their numbers. `audio` holds the tensors of all clips, row by row, and `excerpts` those of each row.
    """

    rows: list[int]
    ids: Int[Tensor, "k w"]
    roles: Int[Tensor, "k w"]
    audio: ClipTensors
    excerpts: list[list[Excerpt]]

    def embeds(self, policy: AudioLM) -> Float[Tensor, "k w d"]:
        """The embeddings of the inserted tokens and audio."""
        return policy.embeds_with_audio(self.ids, self.roles == Role.AUDIO, self.audio, list(map(len, self.excerpts)))


@dataclass(frozen=True)
class Interruption:
    """What controllers do between two draws: insertions (None: none), and completions that end without an end token.

    `aborted` were ended by a controller; `full` have no position left for what would follow.
    """

    inserted: Inserted | None
    aborted: list[int]
    full: list[int]


def interruption(
    policy: AudioLM,
    controllers: Sequence[Controller],
    tokens: Int[Tensor, " r"],
    logprobs: Float[Tensor, " r"],
    rows: Int[Tensor, " r"],
    lengths: Int[Tensor, " r"],
) -> Interruption | None:
    """What the controllers do after each of the completions `rows` has drawn a token and has `lengths` in all.

    None where they do nothing, for which the device is not waited for. Several controllers' insertions into one row
    stand in the order of the controllers. Raises ValueError when one inserts into another row, or a clip that does not
    fit into the policy's audio window.
    """
    asked = [(controller, controller.after(tokens, logprobs, rows)) for controller in controllers]
    if not any(by_row for _, by_row in asked):
        return None
    free = dict(zip(rows.tolist(), (policy.max_positions - 1 - lengths).tolist(), strict=True))  # one is drawn after it
    found: dict[int, list[Insertion]] = {}
    for controller, by_row in asked:
        for row, insertions in by_row.items():
            if row not in free:
                raise ValueError(
                    f"{type(controller).__name__}.after inserts into completion {row}, which has ended or does not "
                    f"exist; those that go on are {sorted(free)}"
                )
            found.setdefault(row, []).extend(insertions)
    aborted = [row for row, items in found.items() if any(isinstance(item, Abort) for item in items)]
    spelled = {row: spelled_out(policy, items) for row, items in found.items() if items and row not in aborted}
    full = [row for row, tokens_of_row in spelled.items() if len(tokens_of_row) > free[row]]
    kept = [row for row, tokens_of_row in spelled.items() if tokens_of_row and row not in full]
    inserted = side_by_side(policy, {row: found[row] for row in kept}, spelled) if kept else None
    return Interruption(inserted, aborted, full)


def spelled_out(policy: AudioLM, insertions: Sequence[Insertion]) -> list[tuple[int, Role]]:
    """The tokens of one row's insertions; a clip stands between the markers of its family."""
    tokens: list[tuple[int, Role]] = []
    for item in insertions:
        if isinstance(item, Excerpt):
            reason = policy.audio_length_error(to_seconds(len(item.waveform), policy.sampling_rate))
            if reason:
                raise ValueError(f"a controller inserts a clip that does not fit: {reason}")
            frames = int(policy.excerpt_token_counts(torch.tensor([len(item.waveform)])))
            tokens += clip_tokens(policy, frames)
        else:
            tokens += [(id, item.role) for id in item.ids]
    return tokens


def clip_tokens(policy: AudioLM, placeholders: int) -> list[tuple[int, Role]]:
    """The ids and roles of an inserted clip: its placeholders between the markers of the family."""
    before, behind = policy.audio_markers
    return [
        *((id, Role.FORCED) for id in before),
        *[(policy.audio_token_id, Role.AUDIO)] * placeholders,
        *((id, Role.FORCED) for id in behind),
    ]


def side_by_side(
    policy: AudioLM, insertions: dict[int, list[Insertion]], spelled: dict[int, list[tuple[int, Role]]]
) -> Inserted:
    """Insertions of several rows as tensors on the policy's device."""
    width, filler = max(len(spelled[row]) for row in insertions), (policy.tokenizer.pad_token_id, Role.PAD)
    tokens = torch.tensor([[*spelled[row], *[filler] * (width - len(spelled[row]))] for row in insertions])
    excerpts = [[item for item in items if isinstance(item, Excerpt)] for items in insertions.values()]
    waveforms = [excerpt.waveform for row in excerpts for excerpt in row]
    audio = policy.excerpt_tensors(waveforms) if waveforms else {}
    audio = {name: value.to(policy.device) for name, value in audio.items()}
    return Inserted(list(insertions), *tokens.to(policy.device).unbind(2), audio, excerpts)
