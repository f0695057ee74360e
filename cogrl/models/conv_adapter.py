"""A convolutional adapter between audio encoder and language model, as BLSP's: few tokens of a long clip.

Source: RE-LLM's released script (arXiv:2602.10716) on BLSP-Emo (arXiv:2406.03872): convolutions of kernel 5 and stride
2, each with a gated linear unit, into the width of the language model; then a bottleneck, GELU, residual and layer
norm; Xavier weights. The embedding of an emotion encoder, where there is one, is concatenated to every frame before it.

It takes the place of the policy's own projector and lies beside the policy's folder in `adapter/`.
"""

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import gelu, glu

from cogrl.models.emotion_encoder import real_frames

FOLDER = "adapter"
KERNEL, STRIDE = 5, 2


@dataclass(frozen=True)
class AdapterSettings:
    """The size of an adapter.

    Args:
        layers: convolutions, each of which halves the number of frames. Three make a token of 160 ms out of Whisper's
            frames of 20 ms; Qwen2-Audio's encoder has frames of 40 ms: there it takes two.
        bottleneck: width of the layer behind them.

    Raises ValueError for sizes below 1.
    """

    layers: int = 3
    bottleneck: int = 512

    def __post_init__(self) -> None:
        if min(self.layers, self.bottleneck) < 1:
            raise ValueError(f"adapter: layers={self.layers}, bottleneck={self.bottleneck}; both must be at least 1")


class ConvAdapter(nn.Module):
    """Frames of `inputs` values in, tokens of `width` values out; a clip's tokens do not depend on its company."""

    def __init__(self, settings: AdapterSettings, inputs: int, width: int) -> None:
        super().__init__()
        self.settings = settings
        sizes = [inputs] + [width] * settings.layers
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, 2 * after, KERNEL, stride=STRIDE, padding=KERNEL // 2)
            for before, after in pairwise(sizes)
        )
        self.down, self.up = nn.Linear(width, settings.bottleneck), nn.Linear(settings.bottleneck, width)
        self.norm = nn.LayerNorm(width)
        for layer in (*self.convolutions, self.down, self.up):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def counts(self, frames: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        """How many tokens clips of so many frames become: half of them a layer, rounded up."""
        for _ in self.convolutions:
            frames = -(-frames // STRIDE)
        return frames

    def forward(
        self, frames: Float[Tensor, "c f e"], lengths: Int[Tensor, " c"]
    ) -> tuple[Float[Tensor, "c t d"], Int[Tensor, " c"]]:
        """Tokens, right-padded, and how many of each clip are real; what stands behind a clip is silence to it."""
        for convolution in self.convolutions:
            frames = frames * real_frames(frames.shape[1], lengths)[..., None]
            frames = glu(convolution(frames.mT).mT, -1)
            lengths = -(-lengths // STRIDE)
        return self.norm(frames + self.up(gelu(self.down(frames)))), lengths

    def save(self, policy_folder: str | Path) -> None:
        """Into `adapter/` of the policy's folder: `config.json` and `model.safetensors`."""
        folder = Path(policy_folder) / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(asdict(self.settings), indent=1) + "\n", encoding="utf-8")


def holds_adapter(policy_folder: str | Path) -> bool:
    return (Path(policy_folder) / FOLDER / "config.json").is_file()


def adapter_of(
    policy_folder: str, asked: AdapterSettings | None, inputs: int, width: int, dtype: torch.dtype
) -> ConvAdapter | None:
    """The adapter that a policy's folder holds, or a new one of the size asked for; None where there is neither.

    Raises ValueError where both are there and differ, or the held one was made for other frames.
    """
    folder, held = Path(policy_folder) / FOLDER, None
    if holds_adapter(policy_folder):
        held = AdapterSettings(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    if held is None and asked is None:
        return None
    if held is not None and asked not in (None, held):
        raise ValueError(f"policy.adapter={asked} is not that of {folder}, {held}; remove policy.adapter to take that")
    adapter = ConvAdapter(asked or held, inputs, width).to(dtype)
    if held is not None:
        weights = load_file(folder / "model.safetensors")
        takes = weights["convolutions.0.weight"].shape[1]
        if takes != inputs:
            raise ValueError(
                f"{folder} takes frames of {takes} values, encoder and emotion module make {inputs}; read the folder "
                "with the emotion module that it was trained with, or remove it to begin a new one"
            )
        adapter.load_state_dict(weights)
    return adapter
