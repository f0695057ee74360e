"""Facts measured from the waveform: how many voices there are, by their pitch who they are, who is loudest."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import pairwise

from cogrl.rewards.perception.claims import Claim, Kind, Section, name_claims, plain_name
from cogrl.rewards.perception.clip_evidence import ClipEvidence
from cogrl.rewards.perception.facts import Facts
from cogrl.rewards.perception.measure import Measurements, measure
from cogrl.rewards.perception.measure.turns import OTHER_VOICE_ST, MeasuredTurn
from cogrl.types import Example, Waveform

_CAN_NOT: Mapping[Section, str] = {
    "environment": "an environment's label can not be measured; ask a tagger (HttpEvidence)",
    "asr": "words can not be measured; ask a recogniser (HttpEvidence)",
    "answer": "an answer can not be measured; use Reference",
}
_LOUDER_DB = 3.0


class Measured(ClipEvidence):
    """Measurements of the clip as facts, kept by the content of the waveform.

    Known is the number of voices, where the turns are clear enough to tell them by their pitch (a count that is off by
    one is then neither right nor wrong), and nothing where they are not: in loud or intermittent noise, or in voices
    less than four semitones apart. Words and labels can not be measured.

    Args:
        voices: the F0 in Hz that a name stands for, such as {low: 98, high: 247}: with it the names and who is first,
            last, highest, lowest and loudest are known, too. They have to lie four semitones apart.
        sampling_rate: in Hz, of the clips' waveforms.
        least_snr_db: in louder noise nothing is known.
        kept: of how many clips the measurements are kept.
    """

    def __init__(
        self,
        voices: dict[str, float] | None = None,
        sampling_rate: int = 16000,
        least_snr_db: float = 5.0,
        kept: int = 100_000,
    ) -> None:
        super().__init__(sampling_rate, voices, least_snr_db)
        self.voices = {plain_name(name): hertz for name, hertz in (voices or {}).items()}
        pitches = sorted(self.voices.values())
        if min(pitches, default=1.0) <= 0 or any(_semitones(*pair) < OTHER_VOICE_ST for pair in pairwise(pitches)):
            raise ValueError(f"voices={voices}: F0 in Hz, no two less than {OTHER_VOICE_ST:g} semitones apart")
        self.least_snr_db, self.kept = least_snr_db, kept
        self._measured: OrderedDict[bytes, Measurements] = OrderedDict()

    def facts_of_clips(self, waveforms: Sequence[Waveform]) -> list[Facts]:
        return [self.facts_of(self.measurements(waveform)) for waveform in waveforms]

    def validate(self, example: Example, section: Section) -> str | None:
        if section == "description" and not self.voices:
            return "who is first can not be measured without the names of voices; give Measured its voices"
        return _CAN_NOT.get(section)

    def measurements(self, waveform: Waveform) -> Measurements:
        """What is measured of a waveform, once for equal ones."""
        key = sha256(waveform.tobytes()).digest()
        if key not in self._measured:
            self._measured[key] = measure(waveform, self.sampling_rate)
            if len(self._measured) > self.kept:
                self._measured.popitem(last=False)
        self._measured.move_to_end(key)
        return self._measured[key]

    def facts_of(self, measured: Measurements) -> Facts:
        """What measurements say, as far as they are clear."""
        if measured.voices_hz is None or not measured.snr_db >= self.least_snr_db:
            return Facts()
        known: dict[Kind, tuple[Claim, ...]] = {"count": (Claim("speaker", "count", str(len(measured.voices_hz))),)}
        names = [self._name(turn.f0_hz) for turn in measured.turns]
        if names and None not in names:
            known["name"] = tuple(name_claims(list(dict.fromkeys(names))))
            known["rank"] = tuple(Claim("description", "rank", *rank) for rank in _ranks(names, measured.turns))
        return Facts(known, count_slack=1)

    def _name(self, f0_hz: float) -> str | None:
        """The voice of this pitch, no further away than half of what separates two."""
        near = [name for name, hertz in self.voices.items() if abs(_semitones(hertz, f0_hz)) <= OTHER_VOICE_ST / 2]
        return near[0] if len(near) == 1 else None


def _ranks(names: Sequence[str], turns: Sequence[MeasuredTurn]) -> list[tuple[str, str]]:
    """(rank, name) of what is clear: who is loudest only where it is by 3 dB over every turn of another."""
    pitch = {name: turn.f0_hz for name, turn in zip(names, turns, strict=True)}
    level = {name: max(t.level_db for n, t in zip(names, turns, strict=True) if n == name) for name in pitch}
    ranks = [("first", names[0]), ("last", names[-1])]
    if len(pitch) > 1:
        ranks += [("highest", max(pitch, key=pitch.__getitem__)), ("lowest", min(pitch, key=pitch.__getitem__))]
        *_, second, loudest = sorted(level, key=level.__getitem__)
        if level[loudest] - level[second] >= _LOUDER_DB:
            ranks.append(("loudest", loudest))
    return ranks


def _semitones(lower_hz: float, higher_hz: float) -> float:
    return 12 * math.log2(higher_hz / lower_hz)
