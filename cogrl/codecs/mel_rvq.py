"""The embedded codec: residual vector quantisation of log-mel frames, and Griffin-Lim back. No download, no network.

Four frames of 10 ms are one vector; its principal components are quantised by a cascade of codebooks, each of which
takes what the ones before it left. It is trained on the corpus at hand in seconds (`cogrl build speech-codec`), which
also says how good it is. It keeps pitch, level, tempo and spectrum of a voice; it buzzes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from cogrl.codecs import spectra
from cogrl.codecs.codec import Codec, checked_codebooks
from cogrl.types import Waveform

KIND = "cogrl_mel_rvq"


@dataclass(frozen=True)
class MelRvqSizes:
    """Sizes of the embedded codec.

    Args:
        mel_bins: bands of the log-mels.
        stack: spectral frames, of 10 ms each, in one frame of units.
        components: principal components that are quantised.
        codebooks, size: how many codebooks, and entries of each.
    """

    mel_bins: int = 80
    stack: int = 4
    components: int = 64
    codebooks: int = 4
    size: int = 256
    sampling_rate: int = 16_000


class MelRvq(Codec):
    """Weights are zero until `fit` or `read` fills them."""

    kind = KIND

    def __init__(self, sizes: MelRvqSizes = MelRvqSizes(), used: int | None = None) -> None:
        super().__init__()
        self.sizes, self.codebooks, self.size = sizes, used or sizes.codebooks, sizes.size
        self.sampling_rate, self.samples_a_frame = sizes.sampling_rate, sizes.stack * spectra.HOP
        wide = sizes.mel_bins * sizes.stack
        self.register_buffer("mean", torch.zeros(wide))
        self.register_buffer("basis", torch.zeros(wide, sizes.components))
        self.register_buffer("entries", torch.zeros(self.codebooks, sizes.size, sizes.components))
        self.register_buffer("bank", spectra.filters(sizes.mel_bins, sizes.sampling_rate), persistent=False)

    def vectors(self, waveform: Waveform) -> Float[Tensor, "f w"]:
        """The stacked log-mels of one clip; what is missing of the last frame is silence."""
        frames = -(-len(waveform) // self.samples_a_frame)
        samples = torch.zeros(frames * self.samples_a_frame, device=self.mean.device)
        samples[: len(waveform)] = torch.as_tensor(waveform, dtype=torch.float32)
        mels = spectra.log_mels(samples, self.bank)[: frames * self.sizes.stack]
        return mels.reshape(frames, -1)

    def encode_one(self, waveform: Waveform) -> Int[Tensor, "f k"]:
        left = (self.vectors(waveform) - self.mean) @ self.basis
        found = []
        for entries in self.entries:
            nearest = torch.cdist(left, entries).argmin(1)
            left = left - entries[nearest]
            found.append(nearest)
        return torch.stack(found, 1)

    def decode_one(self, units: Int[Tensor, "f k"]) -> Waveform:
        found = sum(entries[units[:, k]] for k, entries in enumerate(self.entries))
        mels = (found @ self.basis.T + self.mean).reshape(-1, self.sizes.mel_bins)
        mels = torch.cat([mels, mels[-1:]])  # a centred transform of n hops has n + 1 frames
        samples = len(units) * self.samples_a_frame
        return spectra.from_log_mels(mels, self.bank, samples).clamp(-1, 1).cpu().numpy()

    def fit(self, waveforms: Sequence[Waveform], seed: int = 0, most: int = 40_000, rounds: int = 15) -> "MelRvq":
        """Learn the components and the codebooks from these clips; the same clips and seed give the same weights.

        At most `most` frames are looked at, drawn by `seed`. Raises ValueError for fewer frames than entries.
        """
        generator = torch.Generator().manual_seed(seed)
        rows = torch.cat([self.vectors(waveform) for waveform in waveforms])
        if len(rows) < self.size:
            raise ValueError(
                f"{len(rows)} frames can not fill codebooks of {self.size} entries; give more speech, or a smaller size"
            )
        rows = rows[torch.randperm(len(rows), generator=generator)[:most]]
        self.mean.copy_(rows.mean(0))
        centred = (rows - self.mean).double()
        _, basis = torch.linalg.eigh(centred.T @ centred)
        self.basis.copy_(basis.flip(1)[:, : self.sizes.components].float())
        left = (rows - self.mean) @ self.basis
        for entries in self.entries:
            entries.copy_(means(left, self.size, rounds, generator))
            left = left - entries[torch.cdist(left, entries).argmin(1)]
        self.__dict__.pop("fingerprint", None)  # of the weights before
        return self

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        sizes = asdict(self.sizes) | {"codebooks": self.codebooks}
        (folder / "config.json").write_text(json.dumps({"model_type": KIND} | sizes, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path, codebooks: int | None = None) -> "MelRvq":
        """The codec of a folder, with its first `codebooks` (None: all)."""
        sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        sizes.pop("model_type")
        codec = cls(MelRvqSizes(**sizes), checked_codebooks(codebooks, sizes["codebooks"], folder))
        weights = load_file(folder / "model.safetensors")
        weights["entries"] = weights["entries"][: codec.codebooks]
        codec.load_state_dict(weights)
        return codec


def means(rows: Float[Tensor, "n c"], count: int, rounds: int, generator: torch.Generator) -> Float[Tensor, "count c"]:
    """`count` centres by k-means, begun at rows drawn at random; a centre that no row is nearest to is drawn anew."""
    centres = rows[torch.randperm(len(rows), generator=generator)[:count]].clone()
    for _ in range(rounds):
        nearest = torch.cdist(rows, centres).argmin(1)
        counts = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        centres = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero().squeeze(1)
        centres[empty] = rows[torch.randperm(len(rows), generator=generator)[: len(empty)]]
    return centres
