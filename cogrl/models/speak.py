"""The Speak branch of a policy: a second, light decoder that speaks the reply that the text branch has written.

(arXiv:2507.18119, GOAT-SLM: listen, think, write, speak; arXiv:2601.04960, stage 2)

It reads the hidden states of the reply's tokens, which have attended to the audio and to the thinking, beside the
embeddings of those tokens, and makes units of a codec. The thinking's own tokens are not among what it reads: a thought
is never spoken. Nothing of the text branch runs through it, so that text is the same with it and without. It lies
beside the policy in `speak/`, with the codec whose units it speaks.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from cogrl.codecs import Codec, read_codec
from cogrl.lm_head import TokenStates
from cogrl.models.speak_decoder import SpeakDecoder, SpeakSizes
from cogrl.types import Completions, UnitSpace

if TYPE_CHECKING:
    from cogrl.models.audio_lm import AudioLM

FOLDER = "speak"


@dataclass(frozen=True)
class SpeakSettings:
    """With which codec a policy speaks, and of what size a new branch is.

    Args:
        codec: folder of `cogrl build speech-codec`, or of a Mimi, DAC or EnCodec model; empty takes the one that the
            policy's folder holds.
        codebooks: how many of its codebooks a new branch speaks; None: all.
        sizes: of a new branch; one that the policy's folder holds keeps its own.
    """

    codec: str = ""
    codebooks: int | None = None
    sizes: SpeakSizes = field(default_factory=SpeakSizes)


class SpeakBranch(nn.Module):
    """The decoder and its codec. Frozen until a stage that speaks trains it: other stages leave it alone.

    The codec is no part of it as a module: its weights are never trained, sharded or written to a checkpoint.
    """

    def __init__(self, settings: SpeakSettings) -> None:
        super().__init__()
        self.settings = settings
        self.decoder: SpeakDecoder | None = None
        self.space: UnitSpace | None = None
        self.codecs: tuple[Codec, ...] = ()

    def load(self, policy_folder: str, width: int, dtype: torch.dtype) -> None:
        """The branch that `policy_folder` holds, or a new one for the codec of the settings.

        Raises FileNotFoundError where there is no codec, ValueError when neither says which, or they disagree.
        """
        folder, held = Path(policy_folder) / FOLDER, holds_branch(policy_folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")) if held else {}
        if not held and not self.settings.codec:
            raise ValueError(
                f"policy.speech.codec is not set and {policy_folder} holds no Speak branch; make a codec with "
                "cogrl build speech-codec and set policy.speech.codec to its folder"
            )
        codebooks = config.get("codebooks", self.settings.codebooks)
        codec = read_codec(folder / "codec" if held else self.settings.codec, codebooks)
        self.codecs, self.space = (codec,), codec.space
        if config.get("codec", self.space.codec) != self.space.codec:
            raise ValueError(
                f"{folder} is a Speak branch for units of {config['codec']}, and the codec beside it is "
                f"{self.space.codec}; copy the whole folder again"
            )
        if held and self.settings.codec:
            refuse_another_codec(self.space, folder, read_codec(self.settings.codec, codebooks).space)
        sizes = SpeakSizes(**config["sizes"]) if held else self.settings.sizes
        self.decoder = SpeakDecoder(2 * width, self.space.codebooks, self.space.size, sizes).to(dtype)
        if held:
            weights = load_file(folder / "model.safetensors")
            if weights["take_in.weight"].shape[1] != 2 * width:
                raise ValueError(
                    f"{folder} is a Speak branch for hidden states of width {weights['take_in.weight'].shape[1] // 2}, "
                    f"the policy's have {width}; the folder was put together from two models"
                )
            self.decoder.load_state_dict(weights)
        self.requires_grad_(False)

    @property
    def codec(self) -> Codec:
        """The codec, where the branch is."""
        return self.codecs[0].to(self.decoder.start.device)

    def save(self, policy_folder: str | Path) -> None:
        """Into `speak/` of the policy's folder: `config.json`, `model.safetensors` and, in `codec/`, the codec."""
        folder = Path(policy_folder) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.contiguous() for name, value in self.decoder.state_dict().items()},
            folder / "model.safetensors",
        )
        config = {"codec": self.space.codec, "codebooks": self.space.codebooks, "sizes": asdict(self.decoder.sizes)}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        self.codecs[0].save(folder / "codec")


@dataclass(frozen=True)
class ReplyStates:
    """What the Speak branch reads of `b` written replies, right-padded: state and embedding of each of their tokens."""

    states: Float[Tensor, "b m c"]
    mask: Bool[Tensor, "b m"]


def reply_states(
    policy: "AudioLM", hidden: TokenStates, completions: Completions, firsts: Sequence[int], rows: Sequence[int]
) -> ReplyStates:
    """The states of the replies in the completions at `rows`.

    `hidden` are those that predict each masked-in token of all completions; the reply of row `rows[i]` begins at its
    `firsts[i]`th masked-in token and includes the end token. Without rows it is one reply of one token of zeros.

    Raises ValueError for a completion with nothing behind the beginning of its reply.
    """
    counts = completions.mask_on_host.sum(1).tolist()
    states = hidden.hidden[hidden.rows]
    embeds = policy.embed(completions.ids)[completions.mask]  # one call, so that ranks with other replies stay in step
    both = torch.cat([states, embeds.to(states.dtype)], -1).split(counts)
    if not rows:
        return ReplyStates(
            both[0].new_zeros(1, 1, both[0].shape[1]), torch.ones(1, 1, dtype=torch.bool).to(states.device)
        )
    found = []
    for row, first in zip(rows, firsts, strict=True):
        if first >= counts[row]:
            raise ValueError(f"completion {row} has {counts[row]} tokens and its reply begins at {first}: it is empty")
        found.append(both[row][first:])
    lengths: Int[Tensor, " b"] = torch.tensor([len(one) for one in found])
    own = torch.arange(int(lengths.max())) < lengths[:, None]
    return ReplyStates(pad_sequence(found, batch_first=True), own.to(found[0].device))


def holds_branch(policy_folder: str | Path) -> bool:
    return (Path(policy_folder) / FOLDER).is_dir()


def refuse_silent_branch(policy_folder: str) -> None:
    """ValueError when a policy is read without the Speak branch that its folder has."""
    if holds_branch(policy_folder):
        raise ValueError(
            f"{policy_folder} holds a Speak branch, which this configuration would drop; add `speech: {{}}` to the "
            f"policy, or, to go on without it, remove {Path(policy_folder) / FOLDER}"
        )


def refuse_another_codec(held: UnitSpace, folder: Path, asked: UnitSpace) -> None:
    """ValueError unless both are the same codec: the branch in `folder` speaks in units of that one."""
    if held != asked:
        raise ValueError(
            f"policy.speech.codec is {asked.codec}, the branch in {folder} speaks in units of {held.codec}; leave "
            f"policy.speech.codec out to use that one, or remove {folder} to start a new branch"
        )
