"""The weights that a server takes over: the policy's export in a folder that trainer and server can both read."""

import fcntl
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from cogrl.models.audio_lm import AudioLM

_PREFIX, _ALIVE = "cogrl-weights-", "alive"


@dataclass(frozen=True)
class Weights:
    """One version of a policy's weights: its name, the folder it lies in, and how many tensors that holds."""

    version: str
    folder: str
    tensors: int


class WeightFolder:
    """Versions of a policy's weights below `root`, of which only the newest is kept.

    It is kept until the next one is there, for a server that has been started anew. A version's name is used once, by
    whichever run: `<16 hex digits of this object>-<count>`.

    Args:
        root: None is a folder of its own in memory (/dev/shm), or where there is none in the folder for temporary
            files; it is removed with this object, and those that killed processes have left are too. One that is given
            stays.
    """

    def __init__(self, root: str | None = None) -> None:
        self.run, self.count = uuid.uuid4().hex[:16], 0
        self.temporary: tempfile.TemporaryDirectory | None = None
        if root is None:
            place = _memory()
            remove_abandoned(place)
            self.temporary = tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place)
            alive = os.open(Path(self.temporary.name, _ALIVE), os.O_CREAT | os.O_WRONLY)
            fcntl.flock(alive, fcntl.LOCK_EX)
            weakref.finalize(self, os.close, alive)
        self.root = Path(root or self.temporary.name)

    def write(self, policy: AudioLM) -> Weights:
        """The weights as they are now, under a new version; adapters are merged. Older versions are removed."""
        self.count += 1
        folder = self.root / f"{self.run}-{self.count}"
        unfinished = folder.with_name(f"{folder.name}.part")
        unfinished.mkdir(parents=True)
        policy.save(unfinished)
        unfinished.rename(folder)
        for other in self.root.glob(f"{self.run}-*"):
            if other != folder:
                shutil.rmtree(other)
        return Weights(folder.name, str(folder), count_tensors(folder))


def _memory() -> Path:
    return Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())


def remove_abandoned(place: Path) -> None:
    """Removes the folders below `place` that a process has left which did not live to remove them."""
    for alive in place.glob(f"{_PREFIX}*/{_ALIVE}"):
        with suppress(OSError), open(alive) as file:  # another user's, one that is removed meanwhile, or in use
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(alive.parent)


def count_tensors(folder: Path) -> int:
    """How many tensors the safetensors files of a folder hold."""
    count = 0
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as opened:
            count += len(opened.keys())
    return count


@contextmanager
def one_process_at_a_time(folder: str) -> Iterator[None]:
    """Blocks until no other process is in here with a version of the same root as `folder`."""
    with open(Path(folder).parent / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
