"""`cogrl build eaqa`: clips of several voices and sounds, with questions whose answers lie in a short part of them."""

import argparse
from pathlib import Path

from cogrl.cli.described import described


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
    recorded = parser.add_argument_group("of recordings, instead of a tier")
    recorded.add_argument("--speech", type=Path, metavar="FOLDER", help="speech.jsonl with id, audio, speaker, text")
    recorded.add_argument("--sounds", type=Path, metavar="FOLDER", help="one folder of recordings a label")
    recorded.add_argument("--max-s", type=float, default=30.0, help="the encoder's window; default: %(default)s")
    recorded.add_argument(
        "--writer", type=Path, help="YAML such as configs/annotator/eaqa_chat.yaml; default: English templates"
    )
    parser.set_defaults(build=eaqa)


def shares(text: str) -> dict[str, float]:
    """`say=0.8,two=0.2` as numbers by name."""
    return {name: float(number) for name, number in _pairs(text)}


def numbers(text: str) -> dict[str, int]:
    """`short=8000,warm=0` as whole numbers by name."""
    return {name: int(number) for name, number in _pairs(text)}


def _pairs(text: str) -> list[tuple[str, str]]:
    found = [part.partition("=") for part in text.split(",")]
    return [(name.strip(), number) for name, _, number in found]


def eaqa(options: argparse.Namespace) -> None:
    """Prints how many questions were made, and how many were left out."""
    from cogrl.data.recipes.eaqa.mini import build_eaqa_mini
    from cogrl.data.recipes.eaqa.recorded import build_eaqa
    from cogrl.data.recipes.eaqa.thoughts import ThoughtWriter

    low, high = options.snr_db
    common = (options.seed, options.workers, (low, high), options.clips, options.tasks)
    if options.speech is None and options.sounds is None:
        if options.writer is not None:
            raise ValueError("--writer writes thoughts for recordings; add --speech and --sounds")
        made = build_eaqa_mini(options.out, options.tier, *common)
    elif options.speech is None or options.sounds is None:
        raise ValueError("--speech and --sounds belong together: name both folders, or none for a tier")
    else:
        writer = None
        if options.writer is not None:
            writer = described(options.writer, "writer", ThoughtWriter, "configs/annotator/eaqa_chat.yaml")
        made = build_eaqa(options.speech, options.sounds, options.out, *common, options.max_s, writer)
    questions = ", ".join(f"{count} {name}" for name, count in made.questions.items())
    print(
        f"{made.out}: {questions} questions, {made.rejected} left out, {made.audio_s / 60:.1f} min of audio "
        f"({made.seconds:.1f} s)"
    )
