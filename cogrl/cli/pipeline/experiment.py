"""What the scripts of experiments share: options for seeds and variants, and where their results are written."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def experiment_options(description: str, variants: Sequence[str] = ()) -> argparse.Namespace:
    """`seeds`, `no_run` and, where there are variants, `only`, from the command line; help shows the first line."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-run", action="store_true", help="only read the reports that are there")
    if variants:
        parser.add_argument("--only", nargs="*", choices=variants, default=variants, help="run only these variants")
    return parser.parse_args()


def write_results(folder: Path, result: Mapping[str, Any], markdown: str, name: str = "results") -> None:
    """`<name>.json` and `<name>.md` in `folder`; the latter is printed, too."""
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown)
    print(markdown)
