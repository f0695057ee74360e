"""`cogrl build spoken-replies`: the replies of manifests, said aloud by a synthesiser."""

import argparse
from pathlib import Path

from cogrl.cli.described import described


def add_spoken_replies(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("spoken-replies", help="says the replies of manifests aloud, for the stage Speak")
    parser.add_argument("--manifest", type=Path, nargs="+", required=True, help="lines with targets ieat or direct")
    parser.add_argument("--out", type=Path, required=True, help="folder for manifests of the same names, and clips")
    parser.add_argument(
        "--synthesiser", type=Path, help="YAML such as configs/synthesiser/command.yaml; default: the embedded one"
    )
    parser.add_argument(
        "--tier", default="mini", choices=("mini", "smoke"), help="of the embedded one: espeak or numpy"
    )
    parser.add_argument("--speaker", help="the assistant's voice; default: the first one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: all cores")
    parser.set_defaults(build=spoken_replies)


def spoken_replies(options: argparse.Namespace) -> None:
    """Prints how many lines have a spoken reply, and why others were left out."""
    from cogrl.cli.out_folder import make_out_folder
    from cogrl.data.recipes.spoken_replies import speak_manifests
    from cogrl.data.synthesis.embedded import EmbeddedSynthesiser
    from cogrl.data.synthesis.expressive import Synthesiser

    synthesiser = (
        EmbeddedSynthesiser({"mini": "espeak", "smoke": "numpy"}[options.tier])
        if options.synthesiser is None
        else described(options.synthesiser, "synthesiser", Synthesiser, "configs/synthesiser/command.yaml")
    )
    out = make_out_folder(options.out)
    made = speak_manifests(options.manifest, out, synthesiser, options.speaker, options.seed, options.workers)
    print(f"{out}: " + ", ".join(f"{count} lines in {name}" for name, count in made.lines.items()))
    for reason, count in made.rejected.most_common():
        print(f"- {count} left out: {reason}")
