"""`cogrl build annotate`: targets for the lines of a manifest, by an annotator that a YAML file describes."""

import argparse
from pathlib import Path

from cogrl.cli.described import described


def add_annotate(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser(
        "annotate", help="targets of both formats for a manifest, by template or language model"
    )
    parser.add_argument("--manifest", type=Path, required=True, help="lines with text and emotion")
    parser.add_argument("--out", type=Path, required=True, help="the same lines with targets, as a new manifest")
    parser.add_argument(
        "--annotator", type=Path, help="YAML such as configs/annotator/chat.yaml; default: the templates of LIME-mini"
    )
    parser.set_defaults(build=annotate)


def annotate(options: argparse.Namespace) -> None:
    """Prints what was written, what was rejected, and what it took."""
    from cogrl.data.recipes.annotate import Annotator, TemplateAnnotator, annotate_manifest

    annotator = (
        TemplateAnnotator()
        if options.annotator is None
        else described(options.annotator, "annotator", Annotator, "configs/annotator/chat.yaml")
    )
    made = annotate_manifest(options.manifest, options.out, annotator)
    print(f"{options.out}: {len(made.targets)} lines, {len(made.rejected)} rejected ({made.report})")
