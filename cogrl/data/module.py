"""Manifests -> batches of clips, checked before training starts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.utilities.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader, Dataset

from cogrl.audio import SilentClips, know
from cogrl.audio_facts import AudioFacts
from cogrl.data.audio_check import check_audio_files
from cogrl.data.audio_memory import remembered
from cogrl.data.broken_clips import BrokenClips
from cogrl.data.checked import Checked, on_every_node
from cogrl.data.choice_order import refuse_lettered_targets
from cogrl.data.clips import Batches, Clips
from cogrl.data.curriculum import Curriculum, CurriculumBatches
from cogrl.data.dealt_batches import DealtBatches
from cogrl.data.lazy_examples import LazyExamples
from cogrl.data.line_check import LineKeys, check_lines, lines_in_two
from cogrl.data.manifest import check_splits, with_history
from cogrl.data.manifest_file import ManifestFile
from cogrl.data.passed import Passed, keep_passed, passed_before
from cogrl.data.rank_batches import RankBatches
from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import ShuffledBatches
from cogrl.types import ClipBatch, Example


class AudioData(pl.LightningDataModule):
    """Clips for `fit` (train and val), `test` and `predict`. `setup` reads every manifest and every audio file once.

    The first process does, for all of them; the first of each further node looks at its own copy of the audio files,
    which on a disk that nodes share is to see that they are the same. What one process refuses, all of them raise.

    Args:
        train, val, test: JSONL manifests; only those a subcommand needs are read. `predict` uses `test`.
        batch_size: clips a batch (for RL: prompts a rollout).
        workers: loader processes; 0 loads in the main process.
        sampling_rate: in Hz; a file with another rate, or with more than one channel, is refused unless `convert`.
        convert: mix channels down (mean) and resample (soxr) such files when they are read.
        silent_clips: whether a clip of nothing but silence, or whose channels cancel each other out when they are
            mixed down, is refused or kept.
        max_s: the longest clip the policy hears, in seconds; a longer one is refused, never cut.
        disjoint: what no two splits may share, of `text_group` and `speaker`; recorded corpora promise less than the
            embedded one (`cogrl build <corpus>` prints what).
        history: the earlier turns of dialogues: with `heard` the policy hears them, with `left_out` the last turn
            alone. When it is not set, lines with turns are refused: they are never dropped silently.
        seed: shuffles the training clips; the order depends on seed and epoch only.
        keep_in_memory: decode each file once and keep it (small corpora).
        shuffle_choices: training questions come with their choices in another order each epoch, fixed by seed, epoch
            and id. Lines whose targets answer with a letter are refused: it would name another choice.
        curriculum: which clips the first batches are drawn from; None: all of them from the start.
        decode_first: decode every clip before training, which is remembered beside the manifest; without it only
            headers are read, and damaged or silent sound is found when training reaches it.
        broken_clips: what follows when a training clip can not be read in the middle of a run. `stop` ends the run with
            its line; `skip` puts the next clip of the manifest in its place, warns, and counts `data/broken_clips`.
            Evaluation always stops.
    """

    def __init__(
        self,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        batch_size: int = 16,
        workers: int = 0,
        sampling_rate: int = 16_000,
        max_s: float = 30.0,
        convert: bool = False,
        disjoint: Sequence[str] = ("text_group", "speaker"),
        history: Literal["heard", "left_out"] | None = None,
        seed: int = 0,
        keep_in_memory: bool = False,
        silent_clips: SilentClips = "refuse",
        shuffle_choices: bool = False,
        curriculum: Curriculum | None = None,
        decode_first: bool = True,
        broken_clips: Literal["stop", "skip"] = "stop",
    ) -> None:
        super().__init__()
        self.prepare_data_per_node = False
        if batch_size < 1:
            raise ValueError(f"data.batch_size={batch_size} must be at least 1")
        unknown = [field for field in disjoint if field not in ("text_group", "speaker")]
        if unknown:
            raise ValueError(f"data.disjoint names {unknown[0]!r}; allowed: text_group, speaker")
        self.convert, self.silent_clips, self.shuffle_choices = convert, silent_clips, shuffle_choices
        self.curriculum = curriculum
        self.disjoint, self.history = tuple(disjoint), history
        self.manifests = {"train": train, "val": val, "test": test}
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.sampling_rate, self.max_s, self.keep_in_memory = sampling_rate, max_s, keep_in_memory
        self.decode_first, self.broken_clips = decode_first, broken_clips
        self.examples: dict[str, Sequence[Example]] = {}
        self.checked: dict[str, Checked] = {}
        self.checked_error: ValueError | OSError | None = None
        self.broken = BrokenClips()

    def prepare_data(self) -> None:
        """The checks, on the first process alone; the others wait for it, however long it takes."""
        try:
            self.checked |= self._check(self.trainer.state.fn)
        except (ValueError, OSError) as error:
            self.checked_error = error

    def setup(self, stage: str) -> None:
        if self.trainer is None:
            self.checked |= self._check(stage)
        else:  # what the first process has found, or why it refuses, is known to all of them
            self.checked, error = self.trainer.strategy.broadcast((self.checked, self.checked_error))
            if error is not None:
                raise error
        paths = {name: self.manifests[name] for name in self._needed(stage) if name not in self.examples}
        node, further = 0, False
        if self.trainer is not None:
            node, further = self.trainer.node_rank, self.trainer.local_rank == 0 and not self.trainer.is_global_zero
        files, own = on_every_node(paths, self.checked, node, self._facts_here if further else None)
        self.checked |= own
        for name, file in files.items():
            self.examples[name] = with_history(LazyExamples(file), self.history, self.checked[name].dialogues)
            know(file.path, self.checked[name].facts)

    def state_dict(self) -> dict[str, str]:
        """Of a checkpoint: the digest of the training manifest."""
        return {"train": self.checked["train"].digest} if "train" in self.checked else {}

    def load_state_dict(self, state: Mapping[str, str]) -> None:
        """Warns where the training manifest is not the one that the run was begun with."""
        now = self.state_dict()
        if now and state.get("train", now["train"]) != now["train"]:
            rank_zero_warn(
                f"{self.manifests['train']} has changed since the checkpoint was written: other clips follow than "
                "would have followed; put the manifest back to come to the same numbers"
            )

    def _needed(self, stage: str) -> list[str]:
        """The splits of a subcommand. Raises ValueError where the first of them is not given."""
        splits = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}[stage]
        if self.manifests[splits[0]] is None:
            raise ValueError(f"`cogrl {stage}` needs data.{splits[0]}: the path of a JSONL manifest")
        return [name for name in splits if self.manifests[name] is not None]

    def _check(self, stage: str) -> dict[str, Checked]:
        """Checks the lines of the splits of a subcommand, what they share and every audio file; what it found."""
        needed = [name for name in self._needed(stage) if name not in self.checked]
        given = needed if "train" not in needed else [name for name, path in self.manifests.items() if path is not None]
        files = {name: ManifestFile(Path(self.manifests[name])) for name in given}
        passed = {name: self._passed_before(file) for name, file in files.items()}
        keys = {name: before.keys if (before := passed[name]) else check_lines(file) for name, file in files.items()}
        order: np.ndarray | None = None
        if "train" in needed:
            check_splits(lines_in_two(files, keys, self.disjoint), self.disjoint)
            if self.shuffle_choices:
                refuse_lettered_targets(LazyExamples(files["train"]))
            order = self.curriculum and self.curriculum.easiest_first(LazyExamples(files["train"]))
        found = {}
        for name in needed:
            before = passed[name]
            facts = before.facts if before else self._check_audio(files[name], keys[name])
            found[name] = Checked(files[name].digest, keys[name].dialogues, facts, order if name == "train" else None)
        return found

    def _facts_here(self, file: ManifestFile, checked: Checked) -> AudioFacts:
        before = self._passed_before(file)
        if before:
            return before.facts
        with remembered(file.path, checked.facts) as facts:
            self._check_files(file, checked.dialogues, facts)
        return facts

    def _passed_before(self, file: ManifestFile) -> Passed | None:
        with remembered(file.path) as facts:
            return passed_before(file, self._settings, facts)

    def _check_audio(self, file: ManifestFile, keys: LineKeys) -> AudioFacts:
        with remembered(file.path) as facts:
            paths = self._check_files(file, keys.dialogues, facts)
        keep_passed(file, self._settings, keys, paths, facts)
        return facts

    def _check_files(self, file: ManifestFile, dialogues: list[int], facts: AudioFacts) -> list[Path]:
        examples = with_history(LazyExamples(file), self.history, dialogues)
        form = self.sampling_rate, self.max_s, self.convert, self.silent_clips
        return check_audio_files(examples, *form, facts, self.decode_first)

    @property
    def _settings(self) -> str:
        """What decides whether a clip passes."""
        settings = self.sampling_rate, self.max_s, self.convert, self.silent_clips, self.history, self.decode_first
        return repr(settings)

    def on_before_batch_transfer(self, batch: ClipBatch, dataloader_idx: int) -> ClipBatch:
        """Raises ValueError, on every rank, for a clip of any batch that can not be read and has no stand-in."""
        self.broken.look(self.trainer, batch)
        return batch

    def train_dataloader(self) -> DataLoader:
        clips = self.clips("train")
        if len(clips) < self.batch_size * self.trainer.world_size:
            raise ValueError(
                f"{self.manifests['train']} has {len(clips)} clips, fewer than data.batch_size={self.batch_size} for "
                f"each of {self.trainer.world_size} processes"
            )
        stage = self.trainer.lightning_module
        how = getattr(stage, "steps_per_batch", 1), getattr(stage, "one_step_off", False)
        ranks = (self.trainer.global_rank, self.trainer.world_size)
        batches = ShuffledBatches(len(clips), self.batch_size, self.seed, *ranks)
        if self.curriculum:
            batches = CurriculumBatches(batches, self.curriculum, self.checked["train"].easiest_first)
        skip = self.broken_clips == "skip"
        return self._loader(Batches(clips, self.seed if self.shuffle_choices else None, skip), batches, *how)

    def val_dataloader(self) -> DataLoader | list:
        if "val" not in self.examples:
            return []
        return self._dealt("val")

    def test_dataloader(self) -> DataLoader:
        return self._dealt("test")

    predict_dataloader = test_dataloader

    def clips(self, name: str) -> Clips:
        """The clips of a split that `setup` has read, in the order of its manifest."""
        form = self.convert, self.silent_clips
        facts = self.checked[name].facts
        return Clips(self.examples[name], self.sampling_rate, self.max_s, self.keep_in_memory, *form, facts)

    def _dealt(self, name: str) -> DataLoader:
        clips, ranks = self.clips(name), (self.trainer.global_rank, self.trainer.world_size)
        return self._loader(Batches(clips), DealtBatches(len(clips), self.batch_size, *ranks))

    def _loader(
        self, dataset: Dataset, sampler: RankBatches, repeats: int = 1, looks_ahead: bool = False
    ) -> DataLoader:
        how = {"num_workers": self.workers, "persistent_workers": self.workers > 0, "looks_ahead": looks_ahead}
        return RepeatingLoader(dataset, sampler=sampler, batch_size=None, repeats=repeats, **how)
