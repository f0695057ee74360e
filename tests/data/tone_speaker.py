"""A very small text-to-speech program that can be made to fail: tones for words, standard library only; for tests.

python tone_speaker.py --text T --emotion E --intensity I --speaker S --seed N --out FILE [--fault F] [--log FILE]
"""

import argparse
import array
import io
import math
import os
import subprocess
import sys
import time
import wave
import zlib

RATE = 8000


def spoken(text: str, emotion: str, intensity: str, speaker: str, seed: int = 0, level: float = 0.2) -> bytes:
    """A WAV file: harmonics whose pitch and tempo depend on all that is asked for."""
    draw = zlib.crc32(f"{emotion}/{intensity}/{speaker}/{seed}".encode())
    size, pace = 35 + draw % 40, 0.034 + draw % 7 / 500
    steps = (2 * math.pi * n / size for n in range(size))
    period = [round(32767 * level * (math.sin(x) + 0.5 * math.sin(2 * x) + 0.2 * math.sin(3 * x))) for x in steps]
    return wav(period * round(RATE / size * pace * sum(letter.isalnum() for letter in text)))


def wav(samples: list[int], channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(array.array("h", [max(-32768, min(32767, sample)) for sample in samples]).tobytes())
    return file.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser()
    for name in ("text", "emotion", "intensity", "speaker", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fault", default="")
    parser.add_argument("--log")
    options = parser.parse_args()
    if options.log:
        with open(options.log, "a") as log:
            log.write(f"{options.text}\t{options.emotion}\t{options.intensity}\t{options.speaker}\t{options.seed}\n")
    if options.fault == "status":
        print("the model has no voice\nof that name", file=sys.stderr)
        return 3
    if options.fault == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        with open(options.log, "a") as log:
            log.write(f"{os.getpid()} {child.pid}\n")
        time.sleep(60)
    if options.fault == "nothing":
        return 0
    content = spoken(options.text, options.emotion, options.intensity, options.speaker, options.seed)
    faults = {"garbage": b"<html>no audio</html>", "cut": content[: len(content) // 2], "empty": wav([])}
    with open(options.out, "wb") as file:
        file.write(faults.get(options.fault, content))
    return 0


if __name__ == "__main__":
    sys.exit(main())
