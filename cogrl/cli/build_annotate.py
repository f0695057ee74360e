"""`cogrl build annotate`: targets for the lines of a manifest, by an annotator that a YAML file describes."""

import argparse
from pathlib import Path
from typing import Any


def add_annotate(targets: argparse._SubParsersAction) -> None:
    parser = targets.add_parser("annotate", help="targets of both routes for a manifest, by template or language model")
    parser.add_argument("--manifest", type=Path, required=True, help="lines with text and emotion")
    parser.add_argument("--out", type=Path, required=True, help="the same lines with targets, as a new manifest")
    parser.add_argument(
        "--annotator", type=Path, help="YAML such as configs/annotator/chat.yaml; default: the templates of LIME-mini"
    )
    parser.set_defaults(build=annotate)


def annotate(options: argparse.Namespace) -> None:
    """Prints what was written, what was rejected, and what it took."""
    from cogrl.data.recipes.annotate import TemplateAnnotator, annotate_manifest

    annotator = TemplateAnnotator() if options.annotator is None else described(options.annotator)
    made = annotate_manifest(options.manifest, options.out, annotator)
    print(f"{options.out}: {len(made.targets)} lines, {len(made.rejected)} rejected ({made.report})")


def described(file: Path) -> Any:
    """The annotator of a YAML file. Raises FileNotFoundError, and ValueError that says what in it is wrong."""
    from jsonargparse import ArgumentParser

    from cogrl.data.recipes.annotate import Annotator

    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; start from configs/annotator/chat.yaml")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--annotator", type=Annotator, required=True)
    try:
        return parser.instantiate(parser.parse_path(file)).annotator
    except argparse.ArgumentError as error:
        raise ValueError(f"{file}: {error}") from error
