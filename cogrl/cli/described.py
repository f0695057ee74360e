"""The part of a build that a YAML file describes: a class and its arguments under one key."""

from argparse import ArgumentError
from pathlib import Path
from typing import Any

from cogrl.data.text_file import utf8_text


def described(file: Path, key: str, kind: type, example: str) -> Any:
    """The `kind` under `key` of a YAML file; `example` is a file to start from.

    Raises FileNotFoundError, and ValueError that says what in it is wrong.
    """
    from jsonargparse import ArgumentParser

    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; start from {example}")
    utf8_text(file)  # the parser would say less of other encodings
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument(f"--{key}", type=kind, required=True)
    try:
        return parser.instantiate(parser.parse_path(file))[key]
    except ArgumentError as error:
        raise ValueError(f"{file}: {error}") from error
