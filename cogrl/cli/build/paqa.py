"""`cogrl build paqa`: questions about voices in turns over an environment, with a trace of what is heard."""

import argparse
from pathlib import Path

from cogrl.cli.build.rendered import add_rendering


def add_paqa(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("paqa", help="voices over an environment, questions and traces: manifests and audio")
    parser.add_argument("--out", type=Path, default=Path("data/paqa-mini"))
    add_rendering(parser)
    parser.add_argument(
        "--snr-db",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(0.0, 20.0),
        help="by how much the speech is louder than the environment; default: 0 20, drawn uniformly",
    )
    parser.add_argument(
        "--reflections",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="reflection triples as a share of the lines of sft; default: %(default)s, 0 leaves them out",
    )
    parser.set_defaults(build=paqa)


def paqa(options: argparse.Namespace) -> None:
    """Prints how many questions were made."""
    from cogrl.data.recipes.paqa.mini import build_paqa_mini

    low, high = options.snr_db
    made = build_paqa_mini(options.out, options.tier, options.seed, options.workers, (low, high), options.reflections)
    questions = ", ".join(f"{count} {name}" for name, count in made.questions.items())
    print(
        f"{made.out}: {questions} questions, {made.rejected} left out, {made.audio_s / 60:.1f} min of audio "
        f"({made.seconds:.1f} s)"
    )
