"""`cogrl build lime-mini`: the spoken corpus that is embedded in the library."""

import argparse
from pathlib import Path

from cogrl.cli.build.rendered import add_rendering


def add_lime_mini(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("lime-mini", help="the spoken corpus: manifests, audio and a card")
    parser.add_argument("--out", type=Path, default=Path("data/lime-mini"))
    add_rendering(parser)
    parser.set_defaults(build=lime_mini)


def lime_mini(options: argparse.Namespace) -> None:
    """Prints how many clips were made."""
    from cogrl.data.recipes.lime_mini import build_lime_mini

    summary = build_lime_mini(options.out, options.tier, options.seed, options.workers)
    clips = ", ".join(f"{count} {split}" for split, count in summary.clips.items())
    print(f"{summary.out}: {clips} clips, {summary.audio_s / 60:.1f} min of speech ({summary.seconds:.1f} s)")
