"""Audio models of transformers that have no file of their own here: by the parts and calls that most of them share.

All that differs is left to the model's own processor, one clip at a time, and to its `get_audio_features`.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoProcessor

from cogrl.models.audio_lm import AudioLM
from cogrl.models.emotion import refuse_silent_loss
from cogrl.models.folder import read_config, refuse_adapters, refuse_another_family, refuse_missing_files
from cogrl.models.own_code import own_class, refuse_code, refuse_code_from_elsewhere
from cogrl.models.same_logprobs import refuse_other_logprobs
from cogrl.models.signals import float32_signals
from cogrl.types import Waveform, join_clips

_NEEDED = ("audio_tower", "multi_modal_projector", "language_model", "get_audio_features")
_NOT_OURS = {
    "final_logit_softcapping": "caps its logits",
    "logits_scaling": "scales its logits",
    "hidden_size_per_layer_input": "reads token ids in every layer, which packed embeddings do not have",
}
"""Settings of a language model by which its log-probs are not those of its hidden states under its output layer."""


class AnyAudioLM(AudioLM):
    """A model of the transformers class that its `config.json` names under `architectures`.

    Args:
        untested: read a `model_type` that the contract suite does not hold to its promises; see docs/policies.md.
        trust_remote_code: run the Python code of the folder, which its files name under `auto_map`: of the model, its
            config and its processor. Nothing is looked up elsewhere.

    Raises ValueError, from `load`, for a model that does not have the parts, or whose log-probs would be others.
    """

    model_types = ("qwen3_asr",)

    def __init__(self, path: str, untested: bool = False, trust_remote_code: bool = False, **shared: Any) -> None:
        super().__init__(path, **shared)
        self.trust_remote_code = trust_remote_code
        self.tokens_of: dict[int, int] = {}  # by the number of samples
        if untested:
            self.model_types = ()

    def read_folder(self, path: str, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        if self.model_types:
            refuse_another_family(path, self.model_types, trusted=self.trust_remote_code)
        refuse_adapters(path)
        refuse_missing_files(path)
        (refuse_code_from_elsewhere if self.trust_remote_code else refuse_code)(path)
        refuse_silent_loss(path)
        model = self.read_weights(class_of(path, self.trust_remote_code), dtype)
        refuse_unlike(path, model)
        return model, AutoProcessor.from_pretrained(path, trust_remote_code=self.trust_remote_code)

    def load(self) -> AudioLM:
        """Besides, the log-probs of a class of the folder's own are compared with those that are computed here."""
        unread = self.model is None
        super().load()
        if unread and self.trust_remote_code and not is_of_transformers(type(self.model)):
            refuse_other_logprobs(self)
        return self

    def audio_tensors(self, waveforms: Sequence[Waveform]) -> Mapping[str, Tensor]:
        """Those of the processor, clip by clip, and how many tokens each clip is."""
        return join_clips([self._processed(waveform) for waveform in waveforms])

    def audio_token_counts(self, samples: Int[Tensor, " c"]) -> Int[Tensor, " c"]:
        return torch.tensor([self._tokens(n) for n in samples.tolist()], dtype=torch.long)

    def audio_embeds(self, audio: Mapping[str, Tensor]) -> tuple[Float[Tensor, "c f d"], Int[Tensor, " c"]]:
        dtype = next(self.audio_tower.parameters()).dtype
        given = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in audio.items()
            if name != "tokens"
        }
        frames, counts = self.model.model.get_audio_features(**given).pooler_output, audio["tokens"]
        if frames.ndim == 3:
            return frames, counts
        return pad_sequence(frames.split(counts.tolist()), batch_first=True), counts

    def _tokens(self, samples: int) -> int:
        if samples not in self.tokens_of:
            self.tokens_of[samples] = int(self._processed(np.zeros(samples, np.float32))["tokens"])
        return self.tokens_of[samples]

    def _processed(self, waveform: Waveform) -> dict[str, Tensor]:
        with float32_signals():
            given = self.processor(text=[self.processor.audio_token], audio=[waveform], return_tensors="pt")
        tokens = (given["input_ids"] == self.audio_token_id).sum(1)
        names = set(given) - {"input_ids", "attention_mask"}
        if any(len(given[name]) != 1 for name in names):
            raise ValueError(
                f"policy.path={self.path!r}: its processor makes several windows of a clip of {len(waveform)} samples; "
                "a family that does needs a class of its own"
            )
        return {name: given[name] for name in sorted(names)} | {"tokens": tokens}


def is_of_transformers(kind: type[nn.Module]) -> bool:
    return kind.__module__.startswith("transformers.")


def class_of(path: str, trusted: bool = False) -> type[nn.Module]:
    """The class that a folder's `config.json` names, of transformers or, when `trusted`, of the folder's own code.

    Raises ValueError where there is none.
    """
    named = read_config(path).get("architectures") or ["nothing"]
    kind = (own_class(path, named[0]) if trusted else None) or getattr(transformers, named[0], None)
    if kind is None:
        raise ValueError(
            f"policy.path={path!r}: config.json names {named[0]} under architectures, which transformers "
            f"{transformers.__version__} does not have"
        )
    return kind


def refuse_unlike(path: str, model: nn.Module) -> None:
    """ValueError for a model without the parts that are asked for by name, or with log-probs of another making."""
    kind, inner = type(model).__name__, getattr(model, "model", None)
    absent = [name for name in _NEEDED if not hasattr(inner, name)]
    if absent or not hasattr(model, "lm_head"):
        raise ValueError(
            f"policy.path={path!r}: {kind} has no model.{(absent or ['lm_head'])[0]}; a class of its own has to say "
            "where its parts are (cogrl/models/audio_lm.py)"
        )
    if "input_ids" in inspect.signature(inner.get_audio_features).parameters:
        raise ValueError(
            f"policy.path={path!r}: {kind} reads a clip together with the prompt it stands in, and here a clip is read "
            "once for all its prompts and insertions; a class of its own has to say how"
        )
    text = model.config.get_text_config()
    for name, what in _NOT_OURS.items():
        if getattr(text, name, None) not in (None, 0, 1.0):
            raise ValueError(
                f"policy.path={path!r}: {kind} {what} ({name}={getattr(text, name)}); its log-probs would be wrong here"
            )
