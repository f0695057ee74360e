"""`cogrl build paqa`: questions about voices in turns over an environment, with a trace of what is heard."""

import argparse
from pathlib import Path

from cogrl.cli.build.rendered import add_rendering
from cogrl.cli.described import described


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
    recorded = parser.add_argument_group("of recordings, instead of a tier")
    recorded.add_argument("--speech", type=Path, metavar="FOLDER", help="speech.jsonl with id, audio, speaker, text")
    recorded.add_argument("--environments", type=Path, metavar="FOLDER", help="one folder of recordings a label")
    recorded.add_argument("--questions", type=int, default=450, help="of each task in sft; default: %(default)s")
    recorded.add_argument("--max-s", type=float, default=30.0, help="the encoder's window; default: %(default)s")
    recorded.add_argument(
        "--writer", type=Path, help="YAML such as configs/annotator/paqa_chat.yaml; default: English templates"
    )
    parser.set_defaults(build=paqa)


def paqa(options: argparse.Namespace) -> None:
    """Prints how many questions were made, and how many clips or traces were left out."""
    from cogrl.data.recipes.paqa.mini import build_paqa_mini
    from cogrl.data.recipes.paqa.recorded import build_paqa
    from cogrl.data.recipes.paqa.traces import TraceWriter

    low, high = options.snr_db
    common = (options.seed, options.workers, (low, high), options.reflections)
    if options.speech is None and options.environments is None:
        if options.writer is not None:
            raise ValueError("--writer writes traces for recordings; add --speech and --environments")
        made = build_paqa_mini(options.out, options.tier, *common)
    elif options.speech is None or options.environments is None:
        raise ValueError("--speech and --environments belong together: name both folders, or none for a tier")
    else:
        writer = None
        if options.writer is not None:
            writer = described(options.writer, "writer", TraceWriter, "configs/annotator/paqa_chat.yaml")
        folders = (options.speech, options.environments, options.out)
        made = build_paqa(*folders, options.questions, *common, options.max_s, writer)
    questions = ", ".join(f"{count} {name}" for name, count in made.questions.items())
    print(
        f"{made.out}: {questions} questions, {made.rejected} left out, {made.audio_s / 60:.1f} min of audio "
        f"({made.seconds:.1f} s)"
    )
