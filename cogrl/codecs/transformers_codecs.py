"""Neural codecs of transformers behind the interface: Mimi, DAC and EnCodec, from a local Hugging Face folder.

Mimi: 12.5 frames a second, 24 kHz (arXiv:2410.00037). DAC: 16, 24 or 44.1 kHz (arXiv:2306.06546). EnCodec: 75 frames a
second, 24 kHz (arXiv:2210.13438). Their licences are those of the weights that are given.
"""

from abc import abstractmethod
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DacModel, EncodecModel, MimiModel, PreTrainedModel

from cogrl.codecs.codec import Codec, checked_codebooks
from cogrl.types import Waveform


class TransformersCodec(Codec):
    """What the three share; subclasses say how their class is called.

    Raises ValueError for a model of more than one channel.
    """

    model_class: type[PreTrainedModel]

    def __init__(self, model: PreTrainedModel, codebooks: int) -> None:
        super().__init__()
        self.model, self.codebooks = model, codebooks
        channels = getattr(model.config, "audio_channels", 1)
        if channels != 1:
            raise ValueError(f"codec {self.kind} with audio_channels={channels}: replies are mono; give a mono model")
        self.sampling_rate, self.size = model.config.sampling_rate, model.config.codebook_size
        self.samples_a_frame = self.frame_samples()

    @staticmethod
    def held(model: PreTrainedModel) -> int:
        """How many codebooks the model has."""
        return model.config.num_quantizers

    def frame_samples(self) -> int:
        """How many samples a frame of units lasts."""
        return round(self.sampling_rate / self.model.config.frame_rate)

    @abstractmethod
    def codes(self, samples: Float[Tensor, "1 1 n"]) -> Int[Tensor, "k f"]:
        """The units of one clip, as the model's own class gives them."""

    @abstractmethod
    def samples(self, codes: Int[Tensor, "k f"]) -> Float[Tensor, "1 1 n"]:
        """What these units sound like to the model's own class."""

    def encode_one(self, waveform: Waveform) -> Int[Tensor, "f k"]:
        samples = torch.as_tensor(waveform, dtype=torch.float32, device=self.device)
        return self.codes(samples[None, None])[: self.codebooks].T.contiguous()

    def decode_one(self, units: Int[Tensor, "f k"]) -> Waveform:
        """What the model makes of them, cut or continued by silence to whole frames."""
        found = self.samples(units.T.contiguous()).flatten().float().clamp(-1, 1).cpu()
        wanted = len(units) * self.samples_a_frame
        return torch.nn.functional.pad(found[:wanted], (0, max(0, wanted - len(found)))).numpy()

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path, codebooks: int | None = None) -> "TransformersCodec":
        """The codec of a folder, with its first `codebooks` (None: all)."""
        model = cls.model_class.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        return cls(model, checked_codebooks(codebooks, cls.held(model), folder))


class Mimi(TransformersCodec):
    """`MimiModel`: its first codebook is semantic, the others are acoustic."""

    kind, model_class = "mimi", MimiModel

    def codes(self, samples: Float[Tensor, "1 1 n"]) -> Int[Tensor, "k f"]:
        return self.model.encode(samples, num_quantizers=self.codebooks).audio_codes[0]

    def samples(self, codes: Int[Tensor, "k f"]) -> Float[Tensor, "1 1 n"]:
        return self.model.decode(codes[None]).audio_values


class Dac(TransformersCodec):
    """`DacModel`."""

    kind, model_class = "dac", DacModel

    @staticmethod
    def held(model: PreTrainedModel) -> int:
        return model.config.n_codebooks

    def frame_samples(self) -> int:
        return self.model.config.hop_length

    def codes(self, samples: Float[Tensor, "1 1 n"]) -> Int[Tensor, "k f"]:
        return self.model.encode(samples, n_quantizers=self.codebooks).audio_codes[0]

    def samples(self, codes: Int[Tensor, "k f"]) -> Float[Tensor, "1 1 n"]:
        return self.model.decode(audio_codes=codes[None]).audio_values[None]


class Encodec(TransformersCodec):
    """`EncodecModel` without chunks and without a scale of each clip: units alone say how it sounds."""

    kind, model_class = "encodec", EncodecModel

    def __init__(self, model: PreTrainedModel, codebooks: int) -> None:
        super().__init__(model, codebooks)
        if model.config.normalize or model.config.chunk_length_s is not None:
            raise ValueError(
                "codec encodec with normalize or chunk_length_s: its units need a scale beside them; give the 24 kHz "
                "model, which has neither"
            )

    def codes(self, samples: Float[Tensor, "1 1 n"]) -> Int[Tensor, "k f"]:
        return self.model.encode(samples, bandwidth=self.model.config.target_bandwidths[-1]).audio_codes[0, 0]

    def samples(self, codes: Int[Tensor, "k f"]) -> Float[Tensor, "1 1 n"]:
        return self.model.decode(codes[None, None], [None]).audio_values


FAMILIES: dict[str, type[TransformersCodec]] = {family.kind: family for family in (Mimi, Dac, Encodec)}
"""By the `model_type` in their `config.json`."""
