"""The folder that `--out`, or another option, names."""

from pathlib import Path


def make_out_folder(folder: Path, option: str = "--out") -> Path:
    """Makes it before anything is computed. Raises OSError that says why it is of no use, and what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(f"{option} {folder} can not be made a folder ({error}); choose another") from error
    return folder
