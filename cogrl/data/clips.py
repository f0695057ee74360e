"""Examples -> clips and batches of clips, decoded when they are asked for."""

from collections.abc import Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from cogrl.audio import SilentClips, file_stamp, load_audio
from cogrl.audio_facts import AudioFacts
from cogrl.data.choice_order import choices_of_epoch
from cogrl.data.shuffled_batches import EpochPlaces
from cogrl.types import Clip, ClipBatch, Example, Turn, Waveform

_MOST_IN_A_ROW = 100
"""So many clips one after another are no broken files: a folder is gone."""


class Clips(Dataset):
    """Examples with their audio and that of their earlier turns, decoded on access.

    Raises ValueError or OSError, `file:line (id)`, on access, for what `load_audio` refuses and for a file that is no
    longer what it was when it was checked, by its size and time of change in `facts`.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        sampling_rate: int,
        max_s: float,
        keep_in_memory: bool,
        convert: bool = False,
        silent_clips: SilentClips = "refuse",
        facts: AudioFacts | None = None,
    ) -> None:
        self.examples, self.sampling_rate, self.max_s, self.convert = examples, sampling_rate, max_s, convert
        self.silent_clips, self.facts = silent_clips, facts
        self.kept: dict[int, Clip] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Clip:
        if self.kept is not None and index in self.kept:
            return self.kept[index]
        e = self.examples[index]
        name = f"{e.where} ({e.id}" if e.where else f"({e.id}"
        history = (self._load(turn, f"{name}, turn {n})") for n, turn in enumerate(e.turns, start=1))
        clip = Clip(e, self._load(e, f"{name})"), tuple(history))
        if self.kept is not None:
            self.kept[index] = clip
        return clip

    def _load(self, spoken: Example | Turn, name: str) -> Waveform | None:
        if spoken.audio is None:
            return None
        now = file_stamp(spoken.audio)
        checked = self.facts and self.facts.stamp(spoken.audio)
        if checked and now and now != checked:
            raise ValueError(
                f"{name}: {spoken.audio}: has changed since it was checked (bytes, time of change in ns: "
                f"{checked}, now {now}); start again with files that stay as they are"
            )
        return load_audio(
            spoken.audio, self.sampling_rate, self.max_s, spoken.duration_s, name, self.convert, self.silent_clips
        )


class Batches(Dataset):
    """Clips by the list of their places; an empty list gives padding: one clip, to be run and not counted.

    Of an `EpochPlaces`, with a `choice_seed`, the questions have their choices in the order of that epoch. A batch in
    which a clip can not be read says so in `broken`: it holds no clips or, with `replace_broken`, the next clips of the
    manifest that can be read in place of the broken ones. It has as many clips as it was asked for, so that ranks stay
    in step.
    """

    def __init__(self, clips: Clips, choice_seed: int | None = None, replace_broken: bool = False) -> None:
        self.clips, self.choice_seed, self.replace_broken = clips, choice_seed, replace_broken

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, places: list[int]) -> ClipBatch:
        broken: list[str] = []
        found = [self._readable(place, broken) for place in places or [0]]
        if None in found:
            return ClipBatch([], padding=not places, broken=broken)
        if self.choice_seed is not None and isinstance(places, EpochPlaces):
            found = [
                replace(clip, example=choices_of_epoch(clip.example, self.choice_seed, places.epoch)) for clip in found
            ]
        return ClipBatch(found, padding=not places, broken=broken)

    def _readable(self, place: int, broken: list[str]) -> Clip | None:
        """The clip at `place`, or the next that can be read where it is to be replaced; None where there is none."""
        for step in range(_MOST_IN_A_ROW if self.replace_broken else 1):
            try:
                return self.clips[(place + step) % len(self.clips)]
            except (ValueError, OSError) as error:
                broken.append(str(error))
        return None
