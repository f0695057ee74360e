"""`cogrl build ieat`: dialogues with injected thinking, rendered here or from a manifest of recorded dialogues."""

import argparse
from pathlib import Path

from cogrl.cli.build.rendered import add_rendering
from cogrl.cli.described import described


def add_ieat(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("ieat", help="dialogues whose answers think of the emotion and its cause first")
    parser.add_argument("--out", type=Path, default=Path("data/ieat-mini"), help="folder; with --manifest the new file")
    add_rendering(parser)
    parser.add_argument("--manifest", type=Path, help="write thoughts into these dialogues; nothing is rendered")
    parser.add_argument(
        "--thinker", type=Path, help="YAML such as configs/annotator/ieat_chat.yaml; default: English templates"
    )
    parser.set_defaults(build=ieat)


def ieat(options: argparse.Namespace) -> None:
    """Prints what was written, what was rejected and why, and what it took."""
    from cogrl.data.recipes.ieat import build_ieat, think_manifest
    from cogrl.data.recipes.ieat_dialogue import Thinker
    from cogrl.data.recipes.ieat_template import TemplateThinker

    thinker = (
        TemplateThinker()
        if options.thinker is None
        else described(options.thinker, "thinker", Thinker, "configs/annotator/ieat_chat.yaml")
    )
    if options.manifest is not None:
        made = think_manifest(options.manifest, options.out, thinker)
    else:
        made = build_ieat(options.out, options.tier, options.seed, options.workers, thinker=thinker)
    if made.cached:
        return
    counts = ", ".join(f"{count} {split}" for split, count in made.dialogues.items())
    print(f"{made.out}: {counts} dialogues, {made.rejected.total()} rejected ({made.report})")
    for reason, count in made.rejected.most_common():
        print(f"- {count} rejected: {reason}")
