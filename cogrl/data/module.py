"""Manifests -> batches of clips, checked before training starts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from cogrl.audio import SilentClips, file_stamp, load_audio
from cogrl.data.choice_order import choices_of_epoch, refuse_lettered_targets
from cogrl.data.curriculum import Curriculum, CurriculumBatches
from cogrl.data.dealt_batches import DealtBatches
from cogrl.data.manifest import FileStamps, check_audio_files, check_splits, read_manifest, with_history
from cogrl.data.repeating_loader import RepeatingLoader
from cogrl.data.shuffled_batches import EpochPlaces, ShuffledBatches
from cogrl.types import Clip, ClipBatch, Example, Turn, Waveform


class AudioData(pl.LightningDataModule):
    """Clips for `fit` (train and val), `test` and `predict`. `setup` reads every manifest and every audio file once.

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
    ) -> None:
        super().__init__()
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
        self.examples: dict[str, list[Example]] = {}
        self.stamps: dict[str, FileStamps] = {}

    def setup(self, stage: str) -> None:
        needed = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}[stage]
        first = needed[0]
        if self.manifests[first] is None:
            raise ValueError(f"`cogrl {stage}` needs data.{first}: the path of a JSONL manifest")
        for name in needed:
            path = self.manifests[name]
            if path is not None and name not in self.examples:
                self.examples[name] = with_history(read_manifest(Path(path)), self.history)
                self.stamps[name] = check_audio_files(
                    self.examples[name], self.sampling_rate, self.max_s, self.convert, self.silent_clips
                )
        if "train" in self.examples:
            if self.shuffle_choices:
                refuse_lettered_targets(self.examples["train"])
            if self.curriculum:
                self.curriculum.easiest_first(self.examples["train"])  # refuses lines without its key
            given = {name: Path(path) for name, path in self.manifests.items() if path is not None}
            splits = {name: self.examples.get(name) or read_manifest(path) for name, path in given.items()}
            check_splits(splits, self.disjoint)

    def train_dataloader(self) -> DataLoader:
        clips = self._clips("train")
        if len(clips) < self.batch_size * self.trainer.world_size:
            raise ValueError(
                f"{self.manifests['train']} has {len(clips)} clips, fewer than data.batch_size={self.batch_size} for "
                f"each of {self.trainer.world_size} processes"
            )
        repeats = getattr(self.trainer.lightning_module, "steps_per_batch", 1)
        ranks = (self.trainer.global_rank, self.trainer.world_size)
        batches = ShuffledBatches(len(clips), self.batch_size, self.seed, *ranks)
        if self.curriculum:
            batches = CurriculumBatches(batches, self.curriculum, self.curriculum.easiest_first(clips.examples))
        return self._loader(Batches(clips, self.seed if self.shuffle_choices else None), batches, repeats)

    def val_dataloader(self) -> DataLoader | list:
        if "val" not in self.examples:
            return []
        return self._dealt("val")

    def test_dataloader(self) -> DataLoader:
        return self._dealt("test")

    predict_dataloader = test_dataloader

    def _clips(self, name: str) -> "Clips":
        return Clips(
            self.examples[name],
            self.sampling_rate,
            self.max_s,
            self.keep_in_memory,
            self.convert,
            self.silent_clips,
            self.stamps.get(name),
        )

    def _dealt(self, name: str) -> DataLoader:
        clips, ranks = self._clips(name), (self.trainer.global_rank, self.trainer.world_size)
        return self._loader(Batches(clips), DealtBatches(len(clips), self.batch_size, *ranks))

    def _loader(self, dataset: Dataset, sampler: DistributedSampler, repeats: int = 1) -> DataLoader:
        workers = {"num_workers": self.workers, "persistent_workers": self.workers > 0}
        return RepeatingLoader(dataset, sampler=sampler, batch_size=None, repeats=repeats, **workers)


class Clips(Dataset):
    """Examples with their audio and that of their earlier turns, decoded on access.

    Raises ValueError, on access, for a file that is no longer what it was when it was checked, by its size and time of
    change in `stamps`.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sampling_rate: int,
        max_s: float,
        keep_in_memory: bool,
        convert: bool = False,
        silent_clips: SilentClips = "refuse",
        stamps: FileStamps | None = None,
    ) -> None:
        self.examples, self.sampling_rate, self.max_s, self.convert = examples, sampling_rate, max_s, convert
        self.silent_clips, self.stamps = silent_clips, stamps or {}
        self.kept: dict[int, Clip] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Clip:
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        e = self.examples[index]
        history = (self._load(turn, f"{e.id}, turn {n}") for n, turn in enumerate(e.turns, start=1))
        clip = Clip(e, self._load(e, e.id), tuple(history))
        if self.kept is not None:
            self.kept[index] = clip
        return clip

    def _load(self, spoken: Example | Turn, name: str) -> Waveform | None:
        if spoken.audio is None:
            return None
        now = file_stamp(spoken.audio)
        checked = self.stamps.get(spoken.audio, now)
        if now != checked:
            raise ValueError(
                f"{name}: {spoken.audio}: has changed since it was checked (bytes, time of change in ns: "
                f"{checked}, now {now}); start again with files that stay as they are"
            )
        return load_audio(
            spoken.audio, self.sampling_rate, self.max_s, spoken.duration_s, name, self.convert, self.silent_clips
        )


class Batches(Dataset):
    """Clips by the list of their places; an empty list gives padding: one clip, to be run and not counted.

    Of an `EpochPlaces`, with a `choice_seed`, the questions have their choices in the order of that epoch.
    """

    def __init__(self, clips: Clips, choice_seed: int | None = None) -> None:
        self.clips, self.choice_seed = clips, choice_seed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, places: list[int]) -> ClipBatch:
        found = [self.clips[i] for i in places or [0]]
        if self.choice_seed is not None and isinstance(places, EpochPlaces):
            found = [
                replace(clip, example=choices_of_epoch(clip.example, self.choice_seed, places.epoch)) for clip in found
            ]
        return ClipBatch(found, padding=not places)
