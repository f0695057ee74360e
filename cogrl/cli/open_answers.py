"""The flags that say how answers to questions without choices are compared, of `cogrl evaluate` and `cogrl filter`."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogrl.rewards.accuracy import Accuracy


def add_open_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--open-rule",
        choices=("exact", "normalised", "wer", "numeric"),
        default="normalised",
        help="how answers to questions without choices are compared, as by the reward `Accuracy` (default: normalised)",
    )
    parser.add_argument("--tolerance", type=float, default=0.0, help="of --open-rule numeric (default: %(default)s)")


def accuracy_of(args: argparse.Namespace) -> "Accuracy":
    """The term that the flags name. Raises ValueError for a tolerance that the rule has no use for."""
    from cogrl.rewards.accuracy import Accuracy

    return Accuracy(args.open_rule, args.tolerance)
