"""`cogrl build qa-mini`: audio questions whose answers are known by construction."""

import argparse
from pathlib import Path

from cogrl.cli.build.rendered import add_rendering


def add_qa_mini(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("qa-mini", help="audio questions with known answers: manifests, audio and a card")
    parser.add_argument("--out", type=Path, default=Path("data/qa-mini"))
    add_rendering(parser)
    parser.set_defaults(build=qa_mini)


def qa_mini(options: argparse.Namespace) -> None:
    """Prints how many questions were made."""
    from cogrl.data.recipes.qa_mini.build import build_qa_mini

    made = build_qa_mini(options.out, options.tier, options.seed, options.workers)
    questions = ", ".join(f"{count} {split}" for split, count in made.questions.items())
    print(f"{made.out}: {questions} questions, {made.audio_s / 60:.1f} min of audio ({made.seconds:.1f} s)")
