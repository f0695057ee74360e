"""`--controllers`: the controllers of a stage's YAML, in the commands that answer with a policy."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXAMPLE = "configs/controllers/pause.yaml"


def add_controllers(parser: argparse.ArgumentParser, name: str = "", repeat: str = "") -> None:
    """Adds the option; with `name` it can be given once for each policy, and `repeat` says so."""
    parser.add_argument(
        "--controllers",
        action="append",
        default=[],
        metavar=f"{name}FILE",
        help=f"YAML that names controllers as for a stage, such as {EXAMPLE}; they take part in every answer"
        + (f"; {repeat}" if repeat else ""),
    )


def read_controllers(file: Path) -> list[Any]:
    """The controllers of a YAML file. Raises FileNotFoundError, and ValueError that says what in it is wrong."""
    from cogrl.cli.described import described
    from cogrl.rollout import Controller

    return described(file, "model.init_args.controllers", list[Controller], EXAMPLE)


def controllers_by_policy(items: Sequence[str], policies: Sequence[str]) -> dict[str, list[Any]]:
    """Those of each policy; a FILE without a NAME is of all. Each has its own, so that none remembers another's.

    Raises ValueError for a name that no policy has.
    """
    found: dict[str, list[Any]] = {policy: [] for policy in policies}
    for item in items:
        name, _, file = item.rpartition("=")
        if name and name not in found:
            raise ValueError(f"--controllers {item}: no policy is called {name!r}; there are {', '.join(policies)}")
        for policy in [name] if name else policies:
            found[policy] += read_controllers(Path(file))
    return found
