"""The embedded emotion encoder: three convolutions on log-mels, small enough to learn on a laptop in a minute.

It is trained on synthetic speech by `cogrl build emotion-encoder` and is no emotion recogniser for people.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperFeatureExtractor

from cogrl.models.emotion_encoder import EmotionEncoder, real_frames
from cogrl.models.signals import float32_signals
from cogrl.types import EMOTIONS, Waveform

MODEL_TYPE = "cogrl_mel_emotion"


class MelEmotion(EmotionEncoder):
    """Mean and standard deviation of the last frames -> a tanh layer, which is the embedding -> linear heads.

    Args:
        mel_bins: bands of the log-mel spectrogram, one frame in 10 ms.
        channels: of the convolutions.
        width: of the embedding.
    """

    def __init__(self, mel_bins: int = 64, channels: int = 64, width: int = 64, sampling_rate: int = 16_000) -> None:
        super().__init__()
        self.sizes = {"mel_bins": mel_bins, "channels": channels, "width": width, "sampling_rate": sampling_rate}
        self.width, self.sampling_rate = width, sampling_rate
        self.extractor = WhisperFeatureExtractor(feature_size=mel_bins, sampling_rate=sampling_rate)
        inputs = (mel_bins, channels, channels)
        self.convolutions = nn.ModuleList(nn.Conv1d(n, channels, 5, stride=2, padding=2) for n in inputs)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in inputs)
        self.dense = nn.Linear(2 * channels, width)
        self.emotion_head, self.dimension_head = nn.Linear(width, len(EMOTIONS)), nn.Linear(width, 3)

    def forward(self, waveforms: Sequence[Waveform]) -> tuple[Float[Tensor, "c e"], Float[Tensor, "c 3"]]:
        mels, lengths = padded([self.mels(waveform) for waveform in waveforms])
        embedding = self.embed(mels.to(self.dense.weight), lengths.to(self.dense.weight.device))
        return embedding, self.dimensions(embedding)

    def emotions(self, waveforms: Sequence[Waveform]) -> Float[Tensor, "c 7"]:
        """The probability of each of `EMOTIONS`, clip by clip."""
        return self.emotion_head(self(waveforms)[0]).softmax(-1)

    def mels(self, waveform: Waveform) -> Float[Tensor, "f bins"]:
        """Log-mels of one clip, made one clip at a time: a spectrogram of padded clips depends on the padding."""
        with float32_signals():
            features = self.extractor(
                waveform,
                sampling_rate=self.sampling_rate,
                padding="longest",
                truncation=False,
                return_tensors="pt",
            )
        return features.input_features[0].T

    def embed(self, mels: Float[Tensor, "c f bins"], lengths: Int[Tensor, " c"]) -> Float[Tensor, "c e"]:
        """What comes after a clip's last frame is silence to it, before every layer: padding changes nothing."""
        frames = mels
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            frames = frames * real_frames(frames.shape[1], lengths)[..., None]
            frames = gelu(norm(convolution(frames.mT).mT))
            lengths = (lengths + 1) // 2
        own = real_frames(frames.shape[1], lengths)[..., None]
        mean = (frames * own).sum(1) / lengths[:, None]
        variance = ((frames - mean[:, None]).square() * own).sum(1) / lengths[:, None]
        return torch.tanh(self.dense(torch.cat([mean, (variance + 1e-5).sqrt()], 1)))

    def dimensions(self, embedding: Float[Tensor, "c e"]) -> Float[Tensor, "c 3"]:
        """Valence, arousal, dominance, as the manifests write them."""
        return torch.tanh(self.dimension_head(embedding))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps({"model_type": MODEL_TYPE} | self.sizes, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "MelEmotion":
        sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes.pop("model_type")
        encoder = cls(**sizes).float()
        encoder.load_state_dict(load_file(folder / "model.safetensors"))
        return encoder


def padded(mels: Sequence[Float[Tensor, "_ bins"]]) -> tuple[Float[Tensor, "c f bins"], Int[Tensor, " c"]]:
    """Clips side by side, right-padded, and the length of each."""
    return pad_sequence(list(mels), batch_first=True), torch.tensor([len(frames) for frames in mels])
