"""Training an EPITOME classifier on posts, and what it scores on held-out ones. (arXiv:2009.08441, section 5)"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, RobertaConfig, RobertaModel

from cogrl.evaluate.epitome import BiEncoder, Epitome, Reads
from cogrl.evaluate.epitome_data import Post, split_by_seeker
from cogrl.evaluate.stats import accuracy, bootstrap_mean, macro_f1
from cogrl.models.folder import TOKENIZER, WEIGHTS, model_type_of, refuse_missing_files


@dataclass(frozen=True)
class Recipe:
    """The published settings: AdamW without decay, linear decay of the rate, gradient clipped at 1, seeker frozen."""

    lr: float = 2e-5
    batch_size: int = 32
    epochs: int = 4
    max_len: int = 64
    dropout: float = 0.1
    level_coef: float = 1.0
    rationale_coef: float = 0.5
    held_out: float = 0.2
    seed: int = 12


def train(
    mechanism: str,
    posts: Sequence[Post],
    base: str | Path,
    recipe: Recipe | None = None,
    note: Callable[[str], None] = print,
    reads: Reads = "words",
) -> Epitome:
    """A classifier trained from the RoBERTa in the folder `base`; its `report` is on posts of unseen seekers.

    `reads` says what the posts are, see `Epitome`.

    Raises what `refuse_no_roberta` does.
    """
    refuse_no_roberta(base, "base")
    recipe = recipe or Recipe()
    learn, held_out = split_by_seeker(posts, recipe.held_out, recipe.seed)
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = BiEncoder(RobertaConfig.from_pretrained(base), recipe.dropout)
        for encoder in (model.seeker, model.response):
            encoder.load_state_dict(RobertaModel.from_pretrained(base, add_pooling_layer=False).state_dict())
        model.seeker.requires_grad_(False)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        classifier = Epitome(mechanism, model, AutoTokenizer.from_pretrained(base), recipe.max_len, {}, reads)
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], recipe.lr, weight_decay=0.0)
        steps = recipe.epochs * -(-len(learn) // recipe.batch_size)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        for epoch in range(recipe.epochs):
            model.train()
            losses = []
            for rows in torch.randperm(len(learn)).split(recipe.batch_size):
                loss = loss_of(classifier, [learn[i] for i in rows.tolist()], recipe)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            note(f"{mechanism} epoch {epoch + 1}/{recipe.epochs}: loss {np.mean(losses):.3f}")
    return replace(classifier, report=report(classifier, learn, held_out))


def refuse_no_roberta(base: str | Path, option: str = "--base") -> None:
    """FileNotFoundError or ValueError, beginning with `option`, for a folder without a whole RoBERTa model."""
    download = "hf download FacebookAI/roberta-base --local-dir models/roberta-base"
    if not Path(base).exists() and Path(base).name == "roberta-base":
        raise FileNotFoundError(f"{option}={str(base)!r} does not exist; cogrl reads local folders: {download}")
    kind = model_type_of(base, option)
    if kind not in ("roberta", "xlm-roberta"):
        raise ValueError(
            f"{option}={str(base)!r} holds a model of type {kind!r}, not RoBERTa; get one with: {download}"
        )
    refuse_missing_files(base, option, needed=(WEIGHTS, TOKENIZER))


def loss_of(classifier: Epitome, posts: Sequence[Post], recipe: Recipe) -> Float[Tensor, ""]:
    """`level_coef` * CE(level) + `rationale_coef` * CE(every response token that is known to be rationale or not)."""
    batch = classifier.encode([post.seeker for post in posts], [post.response for post in posts])
    levels, rationales = classifier.model(*batch)
    gold = torch.tensor([post.level for post in posts], device=levels.device)
    marks = marked(classifier, posts).to(levels.device)
    tokens = cross_entropy(rationales.flatten(0, 1), marks.flatten(), ignore_index=-100, reduction="sum")
    tokens = tokens / (marks >= 0).sum().clamp(min=1)
    return recipe.level_coef * cross_entropy(levels, gold) + recipe.rationale_coef * tokens


def marked(classifier: Epitome, posts: Sequence[Post]) -> Int[Tensor, "b t"]:
    """1 for response tokens that overlap a rationale, 0 for the others, -100 for padding.

    -100 too for the others of a response with a rationale that was not found: they may be part of it.
    """
    tokens = classifier.tokenizer(
        [post.response for post in posts],
        padding=True,
        truncation=True,
        max_length=classifier.max_len,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    start, end = tokens.offset_mapping.unbind(-1)
    marks = torch.zeros_like(tokens.input_ids)
    for row, post in enumerate(posts):
        for first, last in post.spans:
            marks[row] |= ((start[row] < last) & (end[row] > first) & (end[row] > start[row])).long()
        if post.lost:
            marks[row] = marks[row].masked_fill(marks[row] == 0, -100)
    return marks.masked_fill(tokens.attention_mask == 0, -100)


@torch.no_grad()
def report(classifier: Epitome, learn: Sequence[Post], held_out: Sequence[Post]) -> dict[str, float | int]:
    """Accuracy (interval over seekers), macro-F1 and rationale F1 on `held_out`, beside always the commonest level.

    Also how many rationales there are on both sides, and how many of them were not found in their responses.
    """
    true = [str(post.level) for post in held_out]
    levels = classifier.levels([post.seeker for post in held_out], [post.response for post in held_out])
    guess = [str(int(level)) for level in levels]
    right = bootstrap_mean([t == g for t, g in zip(true, guess, strict=True)], [post.seeker_id for post in held_out])
    seen = [str(post.level) for post in learn]
    commonest = max(sorted(set(seen)), key=seen.count)
    hits = predicted = gold = 0
    for first in range(0, len(held_out), 64):
        posts = held_out[first : first + 64]
        batch = classifier.encode([post.seeker for post in posts], [post.response for post in posts])
        claimed = classifier.model(*batch)[1].argmax(-1).cpu()
        marks = marked(classifier, posts)
        hits += int(((claimed == 1) & (marks == 1)).sum())
        predicted += int(((claimed == 1) & (marks >= 0)).sum())
        gold += int((marks == 1).sum())
    return {
        "held_out": len(held_out),
        "accuracy": right.mean,
        "accuracy_low": right.low,
        "accuracy_high": right.high,
        "majority_accuracy": accuracy(true, [commonest] * len(true)),
        "macro_f1": macro_f1(true, guess, ("0", "1", "2")),
        "rationale_f1": 2 * hits / max(predicted + gold, 1),
        "rationales": sum(len(post.spans) + post.lost for post in (*learn, *held_out)),
        "rationales_not_found": sum(post.lost for post in (*learn, *held_out)),
    }
