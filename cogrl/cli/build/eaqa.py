"""`cogrl build eaqa`: clips of several voices and sounds, with questions whose answers lie in a short part of them."""

import argparse
from pathlib import Path


def add_eaqa(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("eaqa", help="voices among sounds, questions about short parts: manifests and audio")
    parser.add_argument("--out", type=Path, default=Path("data/eaqa-mini"))
    parser.add_argument("--tier", default="mini", help="mini or smoke (a few clips, for tests); default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: all cores")
    parser.add_argument(
        "--snr-db",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(5.0, 15.0),
        help="by how much voices and sounds are louder than the noise; default: 5 15, drawn uniformly",
    )
    parser.add_argument(
        "--clips",
        type=numbers,
        default={},
        metavar="MANIFEST=N,…",
        help="such as short=8000,warm=0; default: the tier's",
    )
    parser.add_argument(
        "--tasks",
        type=shares,
        default={},
        metavar="TASK=SHARE,…",
        help="of sft, rl, val, test, such as say=0.8,two=0.2",
    )
    parser.set_defaults(build=eaqa)


def shares(text: str) -> dict[str, float]:
    """`say=0.8,two=0.2` as numbers by name."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): float(number) for name, _, number in pairs}


def numbers(text: str) -> dict[str, int]:
    """`short=8000,warm=0` as whole numbers by name."""
    pairs = [part.partition("=") for part in text.split(",")]
    return {name.strip(): int(number) for name, _, number in pairs}


def eaqa(options: argparse.Namespace) -> None:
    """Prints how many questions were made, and how many were left out."""
    from cogrl.data.recipes.eaqa.mini import build_eaqa_mini

    low, high = options.snr_db
    made = build_eaqa_mini(
        options.out, options.tier, options.seed, options.workers, (low, high), options.clips, options.tasks
    )
    questions = ", ".join(f"{count} {name}" for name, count in made.questions.items())
    print(
        f"{made.out}: {questions} questions, {made.rejected} left out, {made.audio_s / 60:.1f} min of audio "
        f"({made.seconds:.1f} s)"
    )
