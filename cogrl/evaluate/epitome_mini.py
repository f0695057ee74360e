"""The embedded rated corpus for EPITOME's classifiers, and the small RoBERTa that they start from.

Source: clauses of this package (`cogrl.data.recipes.exploring`), rated by its rule and by no person. Licence:
generated, unencumbered. A seeker's post is the description of a spoken line, "The speaker says, with the voice of sad:
…", because the words alone say nothing of the feeling. Layout: that of the public corpus, see `epitome_data`.

It shows that the machinery works. Levels of these classifiers say nothing about those of classifiers trained on people.
"""

import csv
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

from cogrl.data.recipes.exploring import Reply, clauses, levels
from cogrl.evaluate.epitome_data import COLUMNS
from cogrl.evaluate.epitome_train import Recipe
from cogrl.model_input import describe
from cogrl.types import EMOTIONS, Emotion, Example

RATED = ("ER", "EX")
"""The mechanisms that RE-LLM reports."""
RECIPE = Recipe(lr=1e-3, epochs=16, dropout=0.0)
"""For a model as small as this one; with the published rate its weights would stay where they are."""
READING_STEPS = 120
"""In which the base learns to tell emotions, of 16 posts and 16 clauses each; its loss is below 0.01 then."""
BASE = "base"
"""The folder of the RoBERTa beside the CSV files."""
_SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def write_rated(out: Path, examples: Sequence[Example], replies: int = 24, seed: int = 0, max_len: int = 64) -> int:
    """Writes `ER.csv`, `EX.csv` and `base/` into `out`; returns how many rated replies each file has.

    Every distinct text of `examples` is said in every emotion, and `replies` are put together for each: clauses for
    that emotion and for others, some left out.
    """
    rng = random.Random(seed)
    texts = list(dict.fromkeys(example.text for example in examples if example.text))
    rows, posts = [], []
    for (number, text), emotion in product(enumerate(texts), EMOTIONS):
        post = describe(replace(examples[0], text=text, emotion=emotion, cause=None))
        posts.append((post, emotion))
        for i in range(replies):
            reply = drawn(emotion, rng)
            name = f"{number}-{emotion}"
            rows.append((name, f"{name}-{i}", post, reply.said(rng), levels(reply, emotion)))
    for mechanism in RATED:
        with (out / f"{mechanism}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([*row, rated[mechanism], ""] for *row, rated in rows)
    write_base(out / BASE, [text for _, _, post, said, _ in rows for text in (post, said)], posts, max_len, seed)
    return len(rows)


def drawn(emotion: Emotion, rng: random.Random) -> Reply:
    """A reply with one or more clauses: four of five are for one emotion, half of these for the speaker's."""
    while True:
        one = emotion if rng.random() < 0.5 else rng.choice(EMOTIONS)
        meant = [one] * 3 if rng.random() < 0.8 else [rng.choice([emotion, rng.choice(EMOTIONS)]) for _ in range(3)]
        kept = [each if rng.random() < 0.75 else None for each in meant]
        if any(kept):
            return Reply(*kept)


def write_base(
    folder: Path, texts: Sequence[str], posts: Sequence[tuple[str, Emotion]], max_len: int, seed: int
) -> None:
    """A RoBERTa that tells emotions, with a byte-level tokenizer of these texts, as a Hugging Face folder."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1024, special_tokens=list(_SPECIAL.values()), initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    bos, end = (bpe.token_to_id(_SPECIAL[name]) for name in ("bos_token", "eos_token"))
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", bos), ("</s>", end)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, **_SPECIAL)
    config = RobertaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=max_len + 2,  # positions begin behind that of the padding
        hidden_dropout_prob=0.0,  # it keeps a model as small as this from learning which feeling meets which
        attention_probs_dropout_prob=0.0,
        pad_token_id=bpe.token_to_id("<pad>"),
        bos_token_id=bos,
        eos_token_id=end,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = RobertaModel(config, add_pooling_layer=False)
        tell_emotions(model, tokenizer, posts, random.Random(seed))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def tell_emotions(
    model: RobertaModel, tokenizer: PreTrainedTokenizerFast, posts: Sequence[tuple[str, Emotion]], rng: random.Random
) -> None:
    """The first token's state learns the emotion that a post is said in, or that a clause of a reply is meant for.

    It stands in for pretraining, from which a RoBERTa knows that "unfair" goes with anger. From random weights, of
    which those of the seeker's encoder stay as they are, EX was right on 70 % after twice the steps.
    """
    meant = [(clause, emotion) for emotion in EMOTIONS for clause in clauses(emotion)]
    head = torch.nn.Linear(model.config.hidden_size, len(EMOTIONS))
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], lr=2e-3, weight_decay=0.0)
    for _ in range(READING_STEPS):
        texts, emotions = zip(*rng.choices(posts, k=16), *rng.choices(meant, k=16), strict=True)
        first = model(**tokenizer(list(texts), padding=True, return_tensors="pt")).last_hidden_state[:, 0]
        loss = cross_entropy(head(first), torch.tensor([EMOTIONS.index(emotion) for emotion in emotions]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
