"""The confidences below which a policy pauses or gives up, and the file beside its weights that keeps them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "pause.json"


@dataclass(frozen=True)
class Thresholds:
    """`pause` and `abort` (None: never) are probabilities: the mean over a window of so many tokens.

    `window` and `min_position` say of which windows they are quantiles.
    """

    pause: float
    abort: float | None
    window: int
    min_position: int

    def write(self, folder: Path) -> None:
        """Into `pause.json` of an exported policy."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def read_thresholds(file: Path, window: int, min_position: int) -> Thresholds:
    """Those that a run has learned.

    Raises FileNotFoundError, and ValueError for a file that is none, or that is of other windows.
    """
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing: the export of a policy has it that was trained with Pause, on completions long enough"
        )
    try:
        found = Thresholds(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} holds no thresholds of Pause: {error}") from error
    if (found.window, found.min_position) != (window, min_position):
        raise ValueError(
            f"{file} is of windows of {found.window} tokens from place {found.min_position} on, and Pause has "
            f"window={window}, min_position={min_position}; set the same"
        )
    return found
