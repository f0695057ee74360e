"""EPITOME's classifiers: how strongly a reply shows emotional reactions (ER), interpretations (IP), explorations (EX).

Sharma et al. 2020 (arXiv:2009.08441, section 5). There are no published weights: every group trains its own (`cogrl
epitome train`), so levels of different groups must not be compared. They read 64 tokens and pay for questions: report
the length of the replies beside them, and a measure of content.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, RobertaConfig, RobertaModel

from cogrl.evaluate.epitome_data import MECHANISMS
from cogrl.model_input import describe
from cogrl.models.folder import TOKENIZER, refuse_missing_files
from cogrl.types import Example

LEVELS = 3
Reads = Literal["words", "description"]


class BiEncoder(nn.Module):
    """Two RoBERTa encoders; the response attends to the seeker's post (one head, residual); two heads on the result.

    `levels` reads the response's first token, `rationales` every token. As published but for one thing: padding of the
    seeker's post is not attended to, so that a pair's level does not depend on the batch it is in.
    """

    def __init__(self, config: RobertaConfig, dropout: float = 0.1) -> None:
        super().__init__()
        width = config.hidden_size
        self.seeker = RobertaModel(config, add_pooling_layer=False)
        self.response = RobertaModel(config, add_pooling_layer=False)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.levels = nn.Sequential(
            nn.Dropout(0.1), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, LEVELS)
        )
        self.rationales = nn.Linear(width, 2)
        for layer in [self.query, self.key, self.value, self.out, self.rationales, self.levels[1], self.levels[4]]:
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        seeker_ids: Int[Tensor, "b s"],
        seeker_mask: Int[Tensor, "b s"],
        response_ids: Int[Tensor, "b t"],
        response_mask: Int[Tensor, "b t"],
    ) -> tuple[Float[Tensor, "b 3"], Float[Tensor, "b t 2"]]:
        """Logits of the level, and of every response token being (1) part of the rationale."""
        post = self.seeker(seeker_ids, attention_mask=seeker_mask).last_hidden_state
        hidden = self.response(response_ids, attention_mask=response_mask).last_hidden_state
        scores = self.query(hidden) @ self.key(post).transpose(1, 2) / math.sqrt(post.shape[-1])
        scores = scores.masked_fill(seeker_mask[:, None, :] == 0, torch.finfo(scores.dtype).min)
        context = self.out(self.dropout(scores.softmax(-1)) @ self.value(post))
        hidden = hidden + self.dropout(context)
        return self.levels(hidden[:, 0]), self.rationales(self.dropout(hidden))


@dataclass(frozen=True)
class Epitome:
    """A trained classifier of one mechanism, with its tokenizer. `report` is what it scored on held-out posts.

    `reads` says what the seekers' posts were that it was trained on: "words", what they wrote or said, or
    "description", which tells how it was said, too (`cogrl.model_input.describe`). `rate` gives it spoken lines in
    that form.
    """

    mechanism: str
    model: BiEncoder
    tokenizer: PreTrainedTokenizerBase
    max_len: int
    report: Mapping[str, float | int]
    reads: Reads = "words"

    def rate(self, examples: Sequence[Example], responses: Sequence[str]) -> np.ndarray:
        """The level of the response to each spoken line; a line without emotion has no voice in its description."""
        post = {"words": lambda example: example.text, "description": describe}[self.reads]
        return self.levels([post(example) for example in examples], responses)

    @torch.no_grad()
    def levels(self, seekers: Sequence[str], responses: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """The level (0, 1 or 2) of each response; an empty one has level 0."""
        self.model.eval()
        found = np.zeros(len(responses))
        rows = [i for i, response in enumerate(responses) if response.strip()]
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            logits, _ = self.model(*self.encode([seekers[i] for i in part], [responses[i] for i in part]))
            found[part] = logits.argmax(-1).cpu().numpy()
        return found

    def encode(self, seekers: Sequence[str], responses: Sequence[str]) -> tuple[Int[Tensor, "b l"], ...]:
        """The arguments of the model for a batch of pairs, cut at `max_len` tokens, on its device."""
        device = next(self.model.parameters()).device
        found = []
        for texts in (seekers, responses):
            tokens = self.tokenizer(
                list(texts), padding=True, truncation=True, max_length=self.max_len, return_tensors="pt"
            )
            found += [tokens.input_ids.to(device), tokens.attention_mask.to(device)]
        return tuple(found)

    def save(self, folder: Path) -> None:
        """Writes a folder that `load` reads: `epitome.json`, `config.json`, `model.safetensors`, the tokenizer."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.seeker.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        save_file(
            {name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / "model.safetensors"
        )
        note = {"mechanism": self.mechanism, "reads": self.reads, "max_len": self.max_len, "report": dict(self.report)}
        (folder / "epitome.json").write_text(json.dumps(note, indent=1) + "\n")


def load(folder: Path) -> Epitome:
    """The classifier that `Epitome.save` left in `folder`, on the GPU where there is one."""
    refuse_missing_files(folder, "epitome", needed=(("config.json",), ("model.safetensors",), TOKENIZER))
    note = json.loads((folder / "epitome.json").read_text())
    model = BiEncoder(RobertaConfig.from_pretrained(folder))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer, reads = AutoTokenizer.from_pretrained(folder), note.get("reads", "words")
    return Epitome(note["mechanism"], model, tokenizer, note["max_len"], note["report"], reads)


def load_all(folder: Path) -> dict[str, Epitome]:
    """The classifiers in `folder/ER`, `folder/IP` and `folder/EX`, those that are there.

    Raises FileNotFoundError when there is none, ValueError when a folder holds another mechanism than its name says.
    """
    found = {name: load(folder / name) for name in MECHANISMS if (folder / name / "epitome.json").is_file()}
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no classifier ({', '.join(f'{name}/epitome.json' for name in MECHANISMS)}); "
            "train one with: cogrl epitome train"
        )
    for name, classifier in found.items():
        if classifier.mechanism != name:
            raise ValueError(f"{folder / name} holds the classifier of {classifier.mechanism}; rename the folder")
    return found
