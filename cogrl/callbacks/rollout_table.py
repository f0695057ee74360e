"""A table and an HTML page of completions, with their rewards and clips, written every few rollouts."""

import csv
import json
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from cogrl.callbacks.mlflow_logger import MLflowLogger
from cogrl.callbacks.report import rollout_page
from cogrl.callbacks.segments import segment_fields
from cogrl.formats.segments import SegmentRules
from cogrl.types import Rollouts, Scores, Speech


class RolloutTable(pl.Callback):
    """For stages that sample: `run_dir/rollouts/<step>.jsonl` (all completions), `<step>.csv` and `<step>.html` (some).

    The page plays the clips, and the parts of them that completions cite; MLflow shows the other one as a table, and
    keeps both under `rollouts/`. Every rollout has files of its own, so that keeping one costs the same at any step,
    and a step that is done again replaces its own: `<step>` is the optimiser step that begins to learn from a rollout.
    Other stages are left alone.

    Args:
        every_n_rollouts: how often; 0 = never. The first rollout is always kept.
        groups: prompts in the table and on the page, each with all its completions.
    """

    def __init__(self, every_n_rollouts: int = 10, groups: int = 4) -> None:
        if every_n_rollouts < 0 or groups < 1:
            raise ValueError(
                f"rollout_table: every_n_rollouts={every_n_rollouts} must be at least 0 and groups={groups} at least 1"
            )
        self.every_n_rollouts, self.groups = every_n_rollouts, groups
        self.seen = 0
        self.latest: int | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        rollouts = getattr(pl_module, "rollouts", None)
        known = rollouts is None or pl_module.rollouts_step == self.latest
        if known or self.every_n_rollouts == 0 or not trainer.is_global_zero:
            return
        self.latest = pl_module.rollouts_step
        if self.seen % self.every_n_rollouts == 0:
            rules = getattr(pl_module, "segment_rules", SegmentRules())
            self.write(trainer, self.latest, rollouts, pl_module.scores, pl_module.policy.sampling_rate, rules)
        self.seen += 1

    def write(
        self,
        trainer: pl.Trainer,
        step: int,
        rollouts: Rollouts,
        scores: Scores,
        sampling_rate: int,
        rules: SegmentRules,
    ) -> None:
        folder = Path(trainer.default_root_dir) / "rollouts"
        folder.mkdir(parents=True, exist_ok=True)
        segments = segment_fields(rollouts, rules, sampling_rate)
        records = [record | found for record, found in zip(rows(rollouts, scores), segments, strict=True)]
        (folder / f"{step:06d}.jsonl").write_text(
            "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
        )
        shown = records[: self.groups * rollouts.group_size]
        page = folder / f"{step:06d}.html"
        spoken = rollouts.speech[: len(shown)] if any(rollouts.speech) else ()
        content = rollout_page(step, shown, rollouts.clips[: self.groups], sampling_rate, spoken)
        page.write_text(content, encoding="utf-8")
        table = folder / f"{step:06d}.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(shown[0]))
            writer.writeheader()
            writer.writerows(shown)
        for logger in trainer.loggers:
            if isinstance(logger, MLflowLogger):
                logger.log_file(table, "rollouts")
                logger.log_file(page, "rollouts")

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen, self.latest = state_dict["seen"], state_dict.get("latest")


def rows(rollouts: Rollouts, scores: Scores) -> list[dict[str, Any]]:
    """One flat record a completion; a reward that does not apply (NaN) is None.

    Of advantages that differ from token to token it holds the mean over the tokens that train.
    """
    examples, formats, advantages = rollouts.row_examples, rollouts.row_formats, rollouts.advantages
    if advantages.ndim == 2:
        mask = rollouts.completions.mask_on_host
        advantages = (advantages * mask).sum(1) / mask.sum(1)
    return [
        {
            "step": rollouts.policy_version,
            "group": i // rollouts.group_size,
            "id": examples[i].id,
            "format": formats[i],
            "audio": str(examples[i].audio),
            "text_group": examples[i].text_group,
            "emotion": examples[i].emotion,
            "completion": rollouts.texts[i],
            "finished": bool(rollouts.finished[i]),
            **({"speech_s": seconds(rollouts.speech[i])} if any(rollouts.speech) else {}),
            **{f"reward/{name}": number(values[i]) for name, values in scores.terms.items()},
            **{f"note/{name}": texts[i] for name, texts in scores.notes.items()},
            "reward": number(scores.total[i]),
            "advantage": number(advantages[i]),
        }
        for i in range(len(rollouts))
    ]


def seconds(speech: Speech | None) -> float | None:
    """How long a reply is heard; None where nothing is said."""
    return None if speech is None or speech.waveform is None else len(speech.waveform) / speech.sampling_rate


def number(value: Any) -> float | None:
    """A float for JSON, which has no NaN."""
    return None if value != value else round(float(value), 6)
