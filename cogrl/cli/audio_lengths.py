"""Checks that every clip fits into every policy's audio window, before any weights are read."""

from collections.abc import Sequence

from cogrl.audio import SilentClips, audio_info
from cogrl.data.manifest import FileStamps, check_audio_files, raise_all
from cogrl.models.saved import saved_window
from cogrl.types import Example


def check_audio_lengths(
    examples: Sequence[Example], policies: Sequence[str], convert: bool, silent_clips: SilentClips
) -> FileStamps:
    """Checks every clip, earlier turns included, for every policy folder; returns what `check_audio_files` does.

    Raises one ValueError with every reason: those of `check_audio_files`, or the clips that are longer or shorter than
    a policy's window.
    """
    stamps: FileStamps = {}
    for policy in policies:
        window = saved_window(policy)
        stamps = check_audio_files(examples, window.sampling_rate, convert=convert, silent_clips=silent_clips)
        errors = []
        for example in examples:
            clips = [(f", turn {n}", turn.audio) for n, turn in enumerate(example.turns, start=1) if turn.audio]
            for turn, audio in [*clips, ("", example.audio)]:
                reason = window.length_error(audio_info(audio).duration_s)
                if reason is not None:
                    errors.append(f"{example.where} ({example.id}{turn}): {audio}: {reason} ({policy})")
        raise_all(errors)
    return stamps
