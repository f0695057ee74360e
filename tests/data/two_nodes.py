"""Run by test_two_nodes.py in two processes, each the only rank of a node with a disk of its own (`corpora/<rank>`).

Each scenario is a fit of its own; what a rank saw of it goes to `out/<rank>.json`.
"""

import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch

from cogrl.audio_facts import AudioFacts
from cogrl.data import audio_check
from cogrl.data.lazy_examples import LazyExamples
from cogrl.data.manifest_file import ManifestFile
from cogrl.data.module import AudioData
from cogrl.models.prompt_length import PromptBudget
from cogrl.stages.agreement import cut_answers
from cogrl.stages.usable_lines import refuse_unusable

RANK = int(os.environ["RANK"])


class Notes(pl.LightningModule):
    """Trains one number and notes which clips it was given; on rank 1 `spoils` damages a clip of the next batch."""

    def __init__(self, spoils: bool = False) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.spoils, self.seen = spoils, []

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch, batch_idx):
        self.seen.append([clip.example.id for clip in batch.clips])
        if self.spoils and batch_idx == 0 and RANK == 1:
            sampler = self.trainer.train_dataloader.sampler
            audio = self.trainer.datamodule.examples["train"][sampler.batch(1)[0]].audio
            audio.write_bytes(audio.read_bytes()[:200])
        return self.weight.sum() * len(batch)


def fit(corpus: Path, spoils: bool = False, **data) -> dict:
    """What this rank saw of one fit over an epoch."""
    stage = Notes(spoils)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        num_nodes=2,
        strategy="ddp",
        logger=pl.loggers.CSVLogger(corpus.parent / f"log-{RANK}"),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = AudioData(train=str(corpus / "sft.jsonl"), batch_size=2, **data)
    opened, error = [], None
    info = audio_check.audio_info
    audio_check.audio_info = lambda path, name="": (opened.append(path), info(path, name))[1]
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            trainer.fit(stage, datamodule=module)
    except (ValueError, OSError) as raised:
        error = f"{type(raised).__name__}: {raised}"
    finally:
        audio_check.audio_info = info
    facts = module.checked["train"].facts if module.examples else AudioFacts(Path())
    return {
        "error": error,
        "seen": stage.seen,
        "opened": len(opened),
        "known": sum(facts.stamp(e.audio) is not None for e in module.examples.get("train", ())),
        "warned": [str(one.message) for one in warned if "stands in" in str(one.message)],
        "broken": module.broken.count,
    }


def check_of_the_stage(manifest: Path) -> dict:
    """Which lines this rank looks at, and what it raises; the stage can use no line of the last four."""
    examples, asked = LazyExamples(ManifestFile(manifest)), []
    useless = {example.id for example in examples[-4:]}

    def validate(example) -> str | None:
        asked.append(example.id)
        return "of no use" if example.id in useless else None

    try:
        refuse_unusable(examples, validate)
    except ValueError as raised:
        return {"asked": asked, "error": str(raised)}


class Bytes(PromptBudget):
    """Counts a byte as a token, and notes whose answers it counted."""

    def __init__(self) -> None:
        self.counted = []

    def answer(self, text: str) -> int:
        self.counted.append(text)
        return len(text.encode())


def longest_target(manifest: Path) -> dict:
    """Of whose targets this rank counts the tokens, and what is said of the longest of all."""
    budget = Bytes()
    said = cut_answers(budget, LazyExamples(ManifestFile(manifest)), 1)
    return {"counted": budget.counted, "said": said}


def main(corpora: Path, out: Path) -> None:
    torch.set_num_threads(1)
    own, shared = corpora / str(RANK), corpora / "0"
    found = {"own disks": fit(own), "a shared disk": fit(shared)}

    clip = json.loads((own / "sft.jsonl").read_text().splitlines()[2])["audio"]
    whole = (own / clip).read_bytes()
    if RANK == 1:
        (own / clip).write_bytes(whole[:200])
    found["damaged on the second node"] = fit(own)
    (own / clip).write_bytes(whole)

    text = (own / "sft.jsonl").read_text()
    if RANK == 1:
        (own / "sft.jsonl").write_text("".join(text.splitlines(keepends=True)[::-1]))
    found["another manifest on the second node"] = fit(own)
    (own / "sft.jsonl").write_text(text)

    if RANK == 1:
        (own / "sft.jsonl").rename(own / "away")
    found["no manifest on the second node"] = fit(own)
    if RANK == 1:
        (own / "away").rename(own / "sft.jsonl")

    for policy in ("stop", "skip"):
        corpus = shutil.copytree(own, corpora / f"{policy}-{RANK}")
        found[policy] = fit(corpus, spoils=True, broken_clips=policy)
    found["the stage's check"] = check_of_the_stage(own / "sft.jsonl")
    found["targets"] = longest_target(own / "sft.jsonl")
    (out / f"{RANK}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
