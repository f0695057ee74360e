"""`cogrl generate --relisten`: what an answer cites, what was inserted of it, and its sound as files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def relistening(controllers: Sequence[Any], relisten: bool, save: Path | None) -> Any | None:
    """The controller that inserts what is cited: that of the file, else, with `--relisten`, one with the default rules.

    Raises ValueError for several ones, and for segments to save where nothing is inserted.
    """
    from cogrl.rollout.controllers import Relisten

    named = [one for one in controllers if isinstance(one, Relisten)]
    if len(named) > 1:
        raise ValueError(f"--controllers names {len(named)} of Relisten; each would insert what is cited: name one")
    if named or relisten:
        return named[0] if named else Relisten()
    if save:
        raise ValueError("--save-segments saves what is inserted; give --relisten, or a Relisten in --controllers")
    return None


def check_file_names(folder: Path, audio: Sequence[Path], option: str = "--save-segments") -> None:
    """Makes the folder of an option that writes files for each clip.

    Raises ValueError when it is not empty, or two clips have one name.
    """
    from cogrl.cli.out_folder import make_out_folder

    twice = [name for name, count in Counter(file.stem for file in audio).items() if count > 1]
    if twice:
        raise ValueError(f"{option} {folder}: several files are called {twice[0]}; ask about one at a time")
    if any(make_out_folder(folder, option).iterdir()):
        raise ValueError(f"{option} {folder} is not empty; name a new folder")


def segments_of(controller: Any, said: Any, row: int) -> dict[str, Any]:
    """What became of the tags of one answer: the seconds that were inserted, and each refused tag with its reason."""
    citations = controller.outcomes(said)[row]
    refused = [one for one in citations if one.invalid]
    text = said.texts[row]
    return {
        "segments": [[span.start_s, span.end_s] for span in said.spans[row]],
        "refused_segments": [{"tag": text[one.start : one.end], "reason": one.invalid} for one in refused],
    }


def save_segments(
    folder: Path, audio: Path, format: str, clip: Any, segments: Sequence[Sequence[float]], rate: int
) -> None:
    """The inserted parts of a clip as the policy heard them, mono at its rate: `<clip>_<format>_<number>.wav`."""
    from cogrl.atomic import atomic_write
    from cogrl.audio import wav_bytes
    from cogrl.rollout.excerpts import excerpt_of
    from cogrl.types import Span

    for number, (start_s, end_s) in enumerate(segments, start=1):
        part = excerpt_of(clip.waveform, Span(start_s, end_s), rate).waveform
        with atomic_write(folder / f"{audio.stem}_{format}_{number}.wav") as unfinished:
            unfinished.write_bytes(wav_bytes(part, rate))


def segment_lines(answer: dict[str, Any]) -> list[str]:
    """What `segments_of` found, for a reader."""
    if "segments" not in answer:
        return []
    found = ", ".join(f"{start:g} to {end:g} s" for start, end in answer["segments"])
    refused = [f"refused segment: {one['tag']} ({one['reason']})" for one in answer["refused_segments"]]
    return [f"heard once more: {found or 'nothing'}", *refused]
