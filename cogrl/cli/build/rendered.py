"""The flags of the corpora that are rendered on this machine."""

import argparse


def add_rendering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tier", default="mini", help="mini (espeak-ng voices) or smoke (a numpy voice, for tests)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, help="processes; default: all cores")
