"""External programs: a text-to-speech command, and a speech-to-text command that checks it.

No shell: a command is a list of arguments with placeholders, and what a text holds can not become anything but text.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cogrl.data.synthesis.expressive import FIELDS, Line, Speech, Synthesiser, check_places, decoded, filled, values_of


class CommandSynthesiser(Synthesiser):
    """Runs a program for each line, such as `[python, tts.py, --text, "{text}", …, --out, "{out}"]`.

    Args:
        argv: the program and its arguments; `{out}` is the file it has to write (WAV or any format libsndfile reads),
            the others are `{text}`, `{emotion}`, `{intensity}`, `{speaker}`, `{language}`, `{seed}`.
        speakers: the names that `{speaker}` may get, such as files of reference voices.
        licence: the terms of the program's audio; written into every line of the corpus.
        timeout_s: a program that takes longer is killed with all it started.
        concurrency: how many programs run at once.
        revision: changes when the program or its weights do: clips of an earlier revision are made again.
    """

    def __init__(
        self,
        argv: Sequence[str],
        speakers: Sequence[str],
        licence: str,
        timeout_s: float = 120.0,
        concurrency: int = 1,
        revision: str = "",
    ) -> None:
        check_places(list(argv), (*FIELDS, "out"), ("text", "emotion", "speaker", "out"), "synthesiser.argv")
        if timeout_s <= 0 or concurrency < 1:
            raise ValueError(f"timeout_s={timeout_s} and concurrency={concurrency} must be above 0")
        self.argv, self.speakers, self.licence = list(argv), list(speakers), licence
        self.timeout_s, self.concurrency = timeout_s, concurrency
        self.origin = f"the command {Path(argv[0]).name}" + (f", revision {revision}" if revision else "")
        self.version = f"command {self.argv} {revision}"

    def check(self, language: str) -> None:
        """Raises FileNotFoundError when there is no such program."""
        find_program(self.argv[0], "synthesiser.argv")

    def pool(self, workers: int | None) -> Executor:
        return ThreadPoolExecutor(workers or self.concurrency)

    def say(self, line: Line) -> Speech:
        """Raises ValueError for a program that fails, takes too long, or leaves no usable audio."""
        with tempfile.TemporaryDirectory(prefix="cogrl-speech-") as folder:
            out = Path(folder) / "speech.wav"
            run(filled(self.argv, values_of(line) | {"out": str(out)}), self.timeout_s)
            if not out.is_file():
                raise ValueError(f"{self.argv[0]} ended well but wrote no {{out}}")
            return decoded(out.read_bytes(), self.argv[0])


@runtime_checkable
class Transcriber(Protocol):
    """Transcribes a clip. `version` names all that decides the transcript."""

    version: str

    def check(self) -> None: ...

    def transcript(self, audio: Path, language: str) -> str: ...


class CommandTranscriber(Transcriber):
    """Runs a program for each clip; its standard output is the transcript.

    A program that loads a model for each clip is slow: better call a server that keeps the model loaded.

    Args:
        argv: the program and its arguments; `{audio}` is the clip (16 kHz mono FLAC), `{language}` its language.
        timeout_s: a program that takes longer is killed with all it started.
    """

    def __init__(self, argv: Sequence[str], timeout_s: float = 120.0) -> None:
        check_places(list(argv), ("audio", "language"), ("audio",), "transcriber.argv")
        self.argv, self.timeout_s = list(argv), timeout_s
        self.version = f"command {self.argv}"

    def check(self) -> None:
        """Raises FileNotFoundError when there is no such program."""
        find_program(self.argv[0], "transcriber.argv")

    def transcript(self, audio: Path, language: str) -> str:
        """Raises ValueError for a program that fails or takes too long."""
        said = run(filled(self.argv, {"audio": str(audio), "language": language}), self.timeout_s)
        return said.decode("utf-8", errors="replace").strip()


def find_program(name: str, setting: str) -> None:
    if shutil.which(name) is None:
        raise FileNotFoundError(f"{setting}: there is no program {name!r}; install it or give its full path")


def run(argv: Sequence[Any], timeout_s: float) -> bytes:
    """The standard output of a program that ended with status 0.

    Raises ValueError with its status and the end of its messages for any other, and for one that took too long, which
    is killed with all it started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        # files, not pipes: what the program leaves running could hold a pipe open for ever
        process = subprocess.Popen(
            list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=out, stderr=errors, start_new_session=True
        )
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{argv[0]} took longer than {timeout_s:g} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if status != 0:
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - 300))
            said = errors.read().decode("utf-8", errors="replace").strip() or "no message"
            raise ValueError(f"{argv[0]} failed with status {status}: {said}")
        out.seek(0)
        return out.read()
