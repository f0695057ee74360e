"""wav2vec 2.0 with a dimensional regression head, in the layout of audeering's public model.

https://github.com/audeering/w2v2-how-to (arXiv:2203.07378), weights `wav2vec2-large-robust-12-ft-emotion-msp-dim`.
They are licensed CC BY-NC-SA 4.0: not for commercial use, and what is made of them stays under the same licence; cogrl
ships none of them. They were trained on MSP-Podcast 1.7: results on that corpus are contaminated.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model, Wav2Vec2PreTrainedModel

from cogrl.models.emotion_encoder import AUDEERING, DimensionLayout, EmotionEncoder, real_frames
from cogrl.models.signals import float32_signals
from cogrl.types import DIMENSIONS, Waveform


class RegressionHead(nn.Module):
    """A tanh layer and one linear output a dimension. Its dropout is of no use in a frozen encoder and left out."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, pooled: Float[Tensor, "c e"]) -> Float[Tensor, "c 3"]:
        return self.out_proj(torch.tanh(self.dense(pooled)))


class SpeechRegressor(Wav2Vec2PreTrainedModel):
    """The names of the published state dict: `wav2vec2.*`, `classifier.dense.*`, `classifier.out_proj.*`."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__(config)
        self.wav2vec2 = Wav2Vec2Model(config)
        self.classifier = RegressionHead(config)
        self.post_init()


class Wav2Vec2Emotion(EmotionEncoder):
    """The mean of the last hidden states over a clip is the embedding; the head gives the dimensions.

    Raises:
        ValueError: the outputs are not the three dimensions, or the model's convolutions normalise over time, so that a
        clip's embedding would depend on the length of the others in its batch.
    """

    def __init__(self, model: SpeechRegressor, extractor: Wav2Vec2FeatureExtractor) -> None:
        super().__init__()
        if model.config.feat_extract_norm != "layer":
            raise ValueError(
                f"feat_extract_norm={model.config.feat_extract_norm!r}: padding would change the embedding; use a "
                "wav2vec2 model with 'layer', such as wav2vec2-large-robust"
            )
        self.model, self.extractor = model, extractor
        self.layout = layout_of(model.config)
        self.width, self.sampling_rate = model.config.hidden_size, extractor.sampling_rate

    def forward(self, waveforms: Sequence[Waveform]) -> tuple[Float[Tensor, "c e"], Float[Tensor, "c 3"]]:
        weight = self.model.classifier.dense.weight
        with float32_signals():
            features = self.extractor(
                list(waveforms),
                sampling_rate=self.sampling_rate,
                padding="longest",
                return_attention_mask=True,
                return_tensors="pt",
            )
        mask = features.attention_mask.to(weight.device)
        frames = self.model.wav2vec2(features.input_values.to(weight), attention_mask=mask).last_hidden_state
        lengths = self.model.wav2vec2._get_feat_extract_output_lengths(mask.sum(1))
        own = real_frames(frames.shape[1], lengths)[..., None]
        pooled = (frames * own).sum(1) / lengths[:, None]
        return pooled, self.layout.to_ours(self.model.classifier(pooled)).clamp(-1, 1)

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.extractor.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path) -> "Wav2Vec2Emotion":
        """From `config.json`, `preprocessor_config.json` and weights as safetensors or the published `.bin`.

        Raises ValueError for weights of another layout: none is ever left random.
        """
        model, report = SpeechRegressor.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        wrong = {kind: sorted(map(str, report[kind])) for kind in ("missing_keys", "mismatched_keys") if report[kind]}
        if wrong:
            kind, keys = next(iter(wrong.items()))
            raise ValueError(
                f"{folder}: {kind.replace('_', ' ')} {', '.join(keys[:4])}; expected the layout of "
                "wav2vec2-large-robust-12-ft-emotion-msp-dim: wav2vec2.*, classifier.dense.*, classifier.out_proj.*"
            )
        return cls(model, Wav2Vec2FeatureExtractor.from_pretrained(folder))


def layout_of(config: Wav2Vec2Config) -> DimensionLayout:
    """The order of the outputs by the names in the config; audeering's where it names none."""
    names = tuple(config.id2label[i] for i in range(config.num_labels))
    if names == tuple(f"LABEL_{i}" for i in range(len(DIMENSIONS))):
        return AUDEERING
    return DimensionLayout(names, AUDEERING.low, AUDEERING.high)
