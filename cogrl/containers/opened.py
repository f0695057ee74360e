"""The one place that opens audio files: by their content, with the length that they have."""

import contextlib
import errno
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from cogrl.containers.contents import REMEDY, File, cut
from cogrl.containers.inspect import contents_of
from cogrl.containers.kinds import HEAD, textual

_MOST_FRAMES = 2**48
"""More is no length but a header's way to say that it does not know."""
_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


@contextlib.contextmanager
def opened(source: Path | bytes, label: str) -> Iterator[Any]:
    """A `soundfile.SoundFile` that says its true length, when its bytes are whole."""
    with _file(source, label) as file:
        contents, ffmpeg = contents_of(file), ffmpeg_line(source)
        if contents.problem:
            raise ValueError(f"{label}: {contents.problem}; {contents.remedy.format(ffmpeg=ffmpeg)}")
        content = source if contents.restored is None else contents.restored
        given = io.BytesIO(content) if isinstance(content, bytes) else file.fileno()
        try:
            sound = soundfile.SoundFile(given, closefd=False)
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{label}: {_undecodable(file, error, ffmpeg)}") from error
        with sound:
            if sound.frames > _MOST_FRAMES:
                raise ValueError(f"{label}: does not say how long it is; convert it: {ffmpeg}")
            yield sound


def _file(source: Path | bytes, label: str) -> File:
    """Open, without a buffer: libsndfile reads on where this file stands."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if os.path.exists(source) and not os.path.isfile(source):
        raise FileNotFoundError(f"{label}: no such audio file, it is a folder or a device; correct the manifest")
    try:
        return source.open("rb", buffering=0)
    except OSError as error:
        if error.errno not in _NOWHERE:
            reason = f"cannot be opened ({error.strerror}); correct the file or its rights"
            raise type(error)(f"{label}: {reason}") from error
        link = f", it is a link to {os.readlink(source)}" if os.path.islink(source) else ""
        reason = f"no such audio file{link}; rebuild the corpus or correct the manifest"
        raise FileNotFoundError(f"{label}: {reason}") from error
    except ValueError as error:  # a null character
        raise FileNotFoundError(f"{label}: no such audio file ({error}); correct the manifest") from error


def _undecodable(file: File, error: Exception, ffmpeg: str) -> str:
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD)
    if textual(head):
        return f"cannot be decoded ({size} bytes): seems to be a text, {head[:60].decode(errors='replace')!r}; {REMEDY}"
    return f"cannot be decoded ({size} bytes; {error}); {REMEDY}; what plays elsewhere is readable after: {ffmpeg}"


def decoded(sound: Any, label: str) -> np.ndarray:
    """All samples, (n, channels) in float32. ValueError where they are fewer than `sound` promises."""
    try:
        samples = sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{label}: damaged audio data ({error}); {REMEDY}") from error
    if len(samples) < sound.frames:
        problem = cut(len(samples) / sound.samplerate, sound.frames / sound.samplerate, "s").problem
        raise ValueError(f"{label}: {problem}; {REMEDY}")
    return samples


def check_last_sample(sound: Any, label: str) -> None:
    """ValueError where the last sample can not be decoded. Costs one frame of sound."""
    try:
        sound.seek(sound.frames - 1)
        sound.read(1)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{label}: is damaged or cut at its end ({error}); {REMEDY}") from error


def label_of(path: Path, name: str = "") -> str:
    """How errors name a file: `name` (a sample id or file:line), then its path."""
    shown = str(path) if str(path).isprintable() else repr(str(path))
    return f"{name}: {shown}" if name else shown


def ffmpeg_line(source: Path | bytes, sampling_rate: int = 16_000) -> str:
    """The command line that makes a mono FLAC beside a file; quoted for a shell."""
    if isinstance(source, bytes):
        return f"ffmpeg -i IN -ac 1 -ar {sampling_rate} OUT.flac"
    out = source.with_suffix(".flac")
    out = source.with_suffix(".mono.flac") if out == source else out
    # relative paths as ./NAME: ffmpeg takes a leading dash for an option and a colon for a protocol
    given, made = (shlex.quote(str(path) if path.is_absolute() else f"./{path}") for path in (source, out))
    return f"ffmpeg -i {given} -ac 1 -ar {sampling_rate} {made}"
