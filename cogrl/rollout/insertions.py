"""What controllers do to running completions, as token ids, roles and audio tensors side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cogrl.models.audio_lm import AudioLM
from cogrl.rollout.controller import Abort, Controller, Excerpt, Insertion
from cogrl.rollout.excerpts import EncodedExcerpts
from cogrl.types import ClipTensors, Role


@dataclass(frozen=True)
class Inserted:
    """What is put behind the last token of `k` completions, padded at the end to the longest.

    `rows` are their numbers. `audio` holds the tensors of all clips, row by row; `excerpts` are those of each row.
    """

    rows: list[int]
    ids: Int[Tensor, "k w"]
    roles: Int[Tensor, "k w"]
    audio: ClipTensors
    excerpts: list[list[Excerpt]]

    def embeds(self, policy: AudioLM, encoded: EncodedExcerpts) -> Float[Tensor, "k w d"]:
        """The embeddings of the inserted tokens and audio, whose frames are those of `encoded`."""
        embeds = policy.embed(self.ids)
        frames = encoded.frames([excerpt for row in self.excerpts for excerpt in row])
        if frames is None:
            return embeds
        return embeds.masked_scatter((self.roles == Role.AUDIO)[..., None], frames.to(embeds.dtype))


@dataclass(frozen=True)
class Interruption:
    """What controllers do between two draws: insertions (None: none), and completions that end without an end token.

    `aborted` were ended by a controller; `full` have no position left for what would follow.
    """

    inserted: Inserted | None
    aborted: list[int]
    full: list[int]

    @property
    def rows(self) -> list[int]:
        """The completions to which something is done."""
        return self.aborted + self.full + (self.inserted.rows if self.inserted else [])


def interruption(
    policy: AudioLM,
    controllers: Sequence[Controller],
    tokens: Int[Tensor, " r"],
    logprobs: Float[Tensor, " r"],
    rows: Int[Tensor, " r"],
    positions_left: Int[Tensor, " r"],
    encoded: EncodedExcerpts,
) -> Interruption | None:
    """What the controllers do after each of the completions `rows` has drawn a token.

    `positions_left` are how many tokens may be put behind it so that one more can be drawn, and `encoded` the clips
    that this call has inserted so far. None where they do nothing, for which the device is not waited for. Several
    controllers' insertions into one row stand in the order of the controllers. Raises ValueError when a controller
    inserts into another row, or a clip that does not fit into the policy's audio window.
    """
    hidden = [controller.hidden(rows) for controller in controllers]
    asked = []
    for number, controller in enumerate(controllers):
        seen = not_hidden(hidden[:number] + hidden[number + 1 :])
        what = (tokens, logprobs, rows, positions_left)
        *drawn, controller.positions_left = what if seen is None else (values[seen] for values in what)
        asked.append((controller, controller.after(*drawn)))
    if not any(by_row for _, by_row in asked):
        return None
    free = dict(zip(rows.tolist(), positions_left.tolist(), strict=True))
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
    spelled = {row: spelled_out(policy, items, encoded) for row, items in found.items() if items and row not in aborted}
    full = [row for row, tokens_of_row in spelled.items() if len(tokens_of_row) > free[row]]
    kept = [row for row, tokens_of_row in spelled.items() if tokens_of_row and row not in full]
    inserted = side_by_side(policy, {row: found[row] for row in kept}, spelled, encoded) if kept else None
    return Interruption(inserted, aborted, full)


def not_hidden(masks: Sequence[Bool[Tensor, " r"] | None]) -> Bool[Tensor, " r"] | None:
    """Which rows have drawn a token that none of these controllers hides; None: all, and nothing was computed."""
    masks = [mask for mask in masks if mask is not None]
    return ~torch.stack(masks).any(0) if masks else None


def spelled_out(policy: AudioLM, insertions: Sequence[Insertion], encoded: EncodedExcerpts) -> list[tuple[int, Role]]:
    """The tokens of one row's insertions; a clip stands between the markers of its family."""
    tokens: list[tuple[int, Role]] = []
    for item in insertions:
        if isinstance(item, Excerpt):
            tokens += clip_tokens(policy, encoded.token_count(item))
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
    policy: AudioLM,
    insertions: dict[int, list[Insertion]],
    spelled: dict[int, list[tuple[int, Role]]],
    encoded: EncodedExcerpts,
) -> Inserted:
    """Insertions of several rows as tensors on the policy's device."""
    width, filler = max(len(spelled[row]) for row in insertions), (policy.tokenizer.pad_token_id, Role.PAD)
    tokens = torch.tensor([[*spelled[row], *[filler] * (width - len(spelled[row]))] for row in insertions])
    excerpts = [[item for item in items if isinstance(item, Excerpt)] for items in insertions.values()]
    clips = [excerpt for row in excerpts for excerpt in row]
    placed = tokens.to(policy.device).unbind(2)
    return Inserted(list(insertions), *placed, encoded.tensors(clips), excerpts)
