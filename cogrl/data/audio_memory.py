"""What the check of audio files has found, kept beside the manifest: the next start opens only files that changed."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import cogrl.audio
import cogrl.containers
from cogrl.audio_facts import AudioFacts
from cogrl.data.in_parallel import MANY

SUFFIX = ".audio.npz"


@contextmanager
def remembered(manifest: Path, known: AudioFacts | None = None) -> Iterator[AudioFacts]:
    """The facts of the audio files of a manifest, read from `<manifest>.audio.npz` and written back at the end.

    They are written also where the block raises, so that nothing is checked twice after an interruption. Those of fewer
    than 2,000 files are not kept: they are found in seconds. A folder that can not be written is warned of. `known` are
    facts of another node, of use where the disk is the same or the files are copies with their times.
    """
    path, rules = manifest.with_name(manifest.name + SUFFIX), _rules()
    facts = AudioFacts.load(path, manifest.parent, rules)
    before = facts.rows.copy()
    if known is not None:
        facts.add(known.rows[~np.isin(known.keys, facts.keys)])
    try:
        yield facts
    finally:
        if len(facts) >= MANY and not (len(before) == len(facts) and (before == facts.rows).all()):
            try:
                facts.save(path, rules)
            except OSError as error:
                warnings.warn(
                    f"{path} can not be written ({error}): what was found of {len(facts)} audio files is lost with "
                    "this process, and the next start checks them once more; make the folder writable to keep it",
                    stacklevel=2,
                )


def _rules() -> str:
    """Changes with the code that looks at audio files: what another version of it has passed is looked at anew."""
    folder = Path(cogrl.containers.__file__).parent
    sources = [Path(cogrl.audio.__file__), *sorted(folder.glob("*.py"))]
    return hashlib.blake2b(b"\0".join(source.read_bytes() for source in sources), digest_size=8).hexdigest()
