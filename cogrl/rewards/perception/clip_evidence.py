"""Evidence that is found in the sound itself: each clip of a batch is looked at once, whoever answers about it."""

from abc import abstractmethod
from collections.abc import Hashable, Sequence

from cogrl.audio import load_audio
from cogrl.formats.answer import Answer
from cogrl.rewards.perception.evidence import Evidence
from cogrl.rewards.perception.facts import Facts
from cogrl.types import Waveform


class ClipEvidence(Evidence):
    """Facts out of waveforms at `sampling_rate`. An answer without one, as in an evaluation, has its file read.

    A file that can not be read is an error in the place of the facts. Two of one class are equal when their settings
    are: a YAML file writes evidence out for every term, and `checked_claims` asks equal evidence once.
    """

    def __init__(self, sampling_rate: int, *settings: object) -> None:
        self.sampling_rate, self._settings = sampling_rate, (sampling_rate, *settings)
        self.sampling_rates = frozenset({sampling_rate})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._settings == other._settings

    def __hash__(self) -> int:
        return hash(type(self))

    @abstractmethod
    def facts_of_clips(self, waveforms: Sequence[Waveform]) -> Sequence[Facts | Exception]:
        """What is known about each clip, in order, or why nothing could be found out."""

    def facts(self, answers: Sequence[Answer]) -> list[Facts | Exception]:
        clips = {_clip_of(answer): answer for answer in answers}
        found: dict[Hashable, Waveform | Facts | Exception] = {clip: self._waveform(a) for clip, a in clips.items()}
        read = {clip: waveform for clip, waveform in found.items() if not isinstance(waveform, Exception)}
        found |= zip(read, self.facts_of_clips(list(read.values())), strict=True)
        return [found[_clip_of(answer)] for answer in answers]

    def _waveform(self, answer: Answer) -> Waveform | Exception:
        if answer.clip is not None:
            return answer.clip.waveform
        try:
            return load_audio(answer.example.audio, self.sampling_rate, convert=True, silent_clips="keep")
        except (OSError, ValueError) as error:
            return error


def _clip_of(answer: Answer) -> Hashable:
    """The completions of one prompt share their waveform."""
    return answer.example.audio if answer.clip is None else id(answer.clip.waveform)
