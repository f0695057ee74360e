"""Checks that every clip fits into every policy's audio window, before any weights are read."""

from collections.abc import Sequence
from pathlib import Path

from cogrl.audio import SilentClips, audio_info
from cogrl.audio_facts import AudioFacts
from cogrl.data.audio_check import check_audio_files
from cogrl.data.errors import raise_all
from cogrl.models.saved import saved_window
from cogrl.types import Example


def check_audio_lengths(
    examples: Sequence[Example], policies: Sequence[str], convert: bool, silent_clips: SilentClips
) -> AudioFacts:
    """Checks every clip, earlier turns included, for every policy folder; returns what was found.

    Raises one ValueError with every reason: those of `check_audio_files`, or the clips that are longer or shorter than
    a policy's window.
    """
    facts = AudioFacts(Path())
    for policy in policies:
        window = saved_window(policy)
        check_audio_files(examples, window.sampling_rate, None, convert, silent_clips, facts)
        errors = []
        for example in examples:
            clips = [(f", turn {n}", turn.audio) for n, turn in enumerate(example.turns, start=1) if turn.audio]
            for turn, audio in [*clips, ("", example.audio)]:
                reason = window.length_error(audio_info(audio).duration_s)
                if reason is not None:
                    errors.append(f"{example.where} ({example.id}{turn}): {audio}: {reason} ({policy})")
        raise_all(errors)
    return facts
