"""RE-LLM's emotion module: what a frozen encoder makes of the whole clip, beside every audio frame. (arXiv:2602.10716)

The clip's hidden embedding, repeated over time, is concatenated to the audio frames before the projector. Where the
projector is one linear layer, as Qwen2-Audio's is, that is

    W [frame; embedding] + b  =  W_frame frame + b  +  W_emotion embedding,

a second, bias-free linear layer whose output is added to each projected frame; so it is in Qwen2.5-Omni, whose encoder
ends in that layer. So it is done: the policy's own folder stays an ordinary one, and the module lies beside it in
`emotion/`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cogrl.models.emotion_encoder import EmotionEncoder
from cogrl.models.emotion_mel import MODEL_TYPE, MelEmotion
from cogrl.models.emotion_wav2vec2 import Wav2Vec2Emotion
from cogrl.models.folder import model_type_of
from cogrl.models.signals import float32_signals
from cogrl.types import Waveform

FOLDER = "emotion"
ENCODERS: dict[str, type[EmotionEncoder]] = {"wav2vec2": Wav2Vec2Emotion, MODEL_TYPE: MelEmotion}
"""By the `model_type` in their `config.json`."""


@dataclass(frozen=True)
class EmotionSettings:
    """Which emotion encoder a policy uses, and whether its projection trains.

    Args:
        encoder: folder of `cogrl build emotion-encoder` or of a wav2vec2 dimensional model; empty takes the one that
            the policy's folder holds.
        train: False freezes the projection; the encoder is always frozen.
    """

    encoder: str = ""
    train: bool = True


class EmotionModule(nn.Module):
    """A frozen encoder and the projection of its embedding, which starts at zero: a new module changes nothing yet.

    (RE-LLM draws its whole adapter anew, Xavier; here the policy it is added to may be a trained one.)
    """

    def __init__(self, settings: EmotionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder: EmotionEncoder | None = None
        self.projection: nn.Linear | None = None

    def load(self, policy_folder: str, width: int, sampling_rate: int, dtype: torch.dtype) -> None:
        """The module that `policy_folder` holds, or a new one around the encoder of the settings.

        Raises:
            FileNotFoundError: there is no encoder where the settings say.
            ValueError: neither the settings nor the folder name one, or they disagree, or it does not fit the policy.
        """
        folder = Path(policy_folder) / FOLDER
        held = read_encoder(folder / "encoder") if holds_module(policy_folder) else None
        asked = read_encoder(Path(self.settings.encoder)) if self.settings.encoder else None
        if held is None and asked is None:
            raise ValueError(
                f"policy.emotion.encoder is not set and {policy_folder} holds no emotion module; make an encoder with "
                "cogrl build emotion-encoder and set policy.emotion.encoder to its folder"
            )
        if held is not None and asked is not None:
            refuse_another(held, folder, asked, self.settings.encoder)
        encoder = asked if held is None else held
        if encoder.sampling_rate != sampling_rate:
            raise ValueError(
                f"the emotion encoder hears {encoder.sampling_rate} Hz, the policy {sampling_rate} Hz; use an encoder "
                "of the policy's rate"
            )
        self.encoder = encoder.requires_grad_(False).eval()
        self.projection = nn.Linear(encoder.width, width, bias=False, dtype=dtype)
        nn.init.zeros_(self.projection.weight)
        if held is not None:
            weight = load_file(folder / "projection.safetensors")["weight"]
            if weight.shape != self.projection.weight.shape:
                raise ValueError(
                    f"{folder}: projection of shape {tuple(weight.shape)}, this policy and encoder need "
                    f"{(width, encoder.width)}; the folder was put together from two models"
                )
            self.projection.weight.data.copy_(weight)
        self.projection.requires_grad_(self.settings.train)

    @torch.no_grad()
    def embedding(self, waveforms: Sequence[Waveform]) -> Float[Tensor, "c e"]:
        """Of each clip, in their order. The encoder is frozen, so it is computed once, with the prompt."""
        with float32_signals(self.projection.weight.device.type):
            return self.encoder(waveforms)[0]

    def forward(self, embedding: Float[Tensor, "c e"]) -> Float[Tensor, "c 1 d"]:
        """What is added to every projected frame of each clip."""
        return self.projection(embedding.to(self.projection.weight.dtype))[:, None]

    def train(self, mode: bool = True) -> "EmotionModule":
        """The encoder stays in evaluation mode: no dropout and no masking of its input."""
        super().train(mode)
        if self.encoder is not None:
            self.encoder.eval()
        return self

    def save(self, policy_folder: str | Path) -> None:
        """Into `emotion/` of the policy's folder: `projection.safetensors` and, in `encoder/`, the whole encoder."""
        folder = Path(policy_folder) / FOLDER
        self.encoder.save(folder / "encoder")
        save_file({"weight": self.projection.weight.detach().contiguous()}, folder / "projection.safetensors")


def read_encoder(folder: Path) -> EmotionEncoder:
    """The encoder of a folder, of the class its `config.json` names. Raises what `encoder_class` does."""
    return encoder_class(folder).read(folder)


def encoder_class(folder: Path) -> type[EmotionEncoder]:
    """The class that reads a folder; its weights are not looked at.

    Raises FileNotFoundError for a folder without an encoder, ValueError for a model of another kind.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no emotion encoder (no config.json); make the embedded one with: "
            f"cogrl build emotion-encoder --out {folder}"
        )
    kind = model_type_of(folder, "policy.emotion.encoder")
    if kind not in ENCODERS:
        raise ValueError(f"{folder}: model_type {kind!r} is no emotion encoder; known: {', '.join(ENCODERS)}")
    return ENCODERS[kind]


def holds_module(policy_folder: str | Path) -> bool:
    return (Path(policy_folder) / FOLDER).is_dir()


def refuse_silent_loss(policy_folder: str) -> None:
    """ValueError when a policy without an emotion module is read from a folder that has one."""
    if holds_module(policy_folder):
        raise ValueError(
            f"{policy_folder} holds an emotion module, which this configuration would drop; add "
            "`emotion: {}` to the policy (as in configs/policy/tiny_emotion.yaml), or, to go on without it, remove "
            f"{Path(policy_folder) / FOLDER}"
        )


def refuse_another(held: EmotionEncoder, folder: Path, asked: EmotionEncoder, path: str) -> None:
    """ValueError unless both encoders are the same: the projection in `folder` was trained with that one."""
    advice = f"remove policy.emotion.encoder to use the one in {folder}, or remove {folder} to start a new module"
    if held.width != asked.width:
        raise ValueError(
            f"policy.emotion.encoder={path!r} makes embeddings of width {asked.width}, the module in {folder} takes "
            f"{held.width}; {advice}"
        )
    if not same_encoder(held, asked):
        raise ValueError(
            f"policy.emotion.encoder={path!r} is another encoder than the one {folder} was trained with; {advice}"
        )


def same_encoder(one: EmotionEncoder, other: EmotionEncoder) -> bool:
    """Whether both make the same embedding of a clip: weight for weight."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name].to(mine[name])) for name in mine)
