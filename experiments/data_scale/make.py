"""Makes a corpus of the size of LIME-440K: full lines, and for each a file name of its own, linked to a few real waves.

    python experiments/data_scale/make.py --out /tmp/data_scale --train 440000 --val 4400

Lines have what a line of the LIME recipe has, two targets among it, about 1,100 bytes each. Files are hard links to
`--clips` waves of noise, 0.25 to 0.5 s at 16 kHz: a link costs no space and is opened and read like any other file.
"""

import argparse
import json
import os
import random
from pathlib import Path

import numpy as np
import soundfile

EMOTIONS = ("anger", "happy", "sad", "surprise", "fear", "disgust", "neutral")
INTENSITIES = ("low", "mid", "high")
WORDS = "the exam is next week and nobody has opened a book since the train left without us in the rain".split()
A_FOLDER = 1000


def sentence(rng: random.Random, words: int) -> str:
    """Words drawn at random, with a full stop."""
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def line(split: str, number: int, audio: str, duration_s: float, rng: random.Random) -> dict:
    """One line of a manifest."""
    emotion, intensity = rng.choice(EMOTIONS), rng.choice(INTENSITIES)
    direct = sentence(rng, 30)
    thought = f"[Perception] The speaker sounds {emotion}. [Inference] {sentence(rng, 40)} [Plan] {sentence(rng, 20)}"
    return {
        "id": f"{split}-{number:07d}",
        "audio": audio,
        "split": split,
        "text": sentence(rng, 12),
        "text_group": f"{split}-t{number // 21:06d}",
        "speaker": f"{split}-spk{number % 1000:04d}",
        "emotion": emotion,
        "intensity": intensity,
        "scenario": "school",
        "valence": round(rng.uniform(-1, 1), 3),
        "arousal": round(rng.uniform(-1, 1), 3),
        "dominance": round(rng.uniform(-1, 1), 3),
        "duration_s": duration_s,
        "targets": {"eips": f"<thought>{thought}</thought><response>{direct}</response>", "direct": direct},
        "source": "data_scale",
        "licence": "CC0-1.0",
    }


def waves(folder: Path, count: int) -> list[tuple[Path, float]]:
    """Real files of noise and how long they last."""
    folder.mkdir(parents=True, exist_ok=True)
    made, rng = [], np.random.default_rng(0)
    for number in range(count):
        samples = rng.normal(0, 0.1, size=int(rng.integers(4000, 8000)))
        made.append((folder / f"{number}.wav", len(samples) / 16_000))
        soundfile.write(made[-1][0], samples, 16_000, subtype="PCM_16")
    return made


def make(out: Path, split: str, count: int, clips: list[tuple[Path, float]]) -> None:
    """The manifest of a split and its files."""
    rng = random.Random(split)
    with (out / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            clip, duration_s = clips[number % len(clips)]
            audio = f"audio/{split}/{number // A_FOLDER:04d}/{number:07d}.wav"
            if number % A_FOLDER == 0:
                (out / audio).parent.mkdir(parents=True, exist_ok=True)
            if not os.path.exists(out / audio):
                os.link(clip, out / audio)
            file.write(json.dumps(line(split, number, audio, duration_s, rng), ensure_ascii=False) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=440_000)
    parser.add_argument("--val", type=int, default=4_400)
    parser.add_argument("--clips", type=int, default=500)
    options = parser.parse_args()
    clips = waves(options.out / "waves", options.clips)
    for split, count in (("train", options.train), ("val", options.val)):
        make(options.out, split, count, clips)


if __name__ == "__main__":
    main()
