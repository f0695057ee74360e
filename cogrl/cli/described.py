"""The part of a build that a YAML file describes: a class and its arguments under one key."""

from argparse import ArgumentError
from pathlib import Path
from types import GenericAlias
from typing import Any


def described(file: Path, key: str, kind: type | GenericAlias, example: str) -> Any:
    """The `kind` under `key` of a YAML file, its `${…}` filled in; `example` is a file to start from.

    Raises FileNotFoundError, and ValueError that says what in it is wrong.
    """
    from jsonargparse import ArgumentParser

    from cogrl.cli.fit.explain import options, problems
    from cogrl.cli.fit.explain_class import left_open
    from cogrl.cli.fit.interpolation import filled_in
    from cogrl.cli.yaml_file import read_yaml

    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; start from {example}")
    raw = read_yaml(file)
    values = filled_in(raw, [(str(file), raw)])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument(f"--{key}", type=kind, required=True)
    try:
        parsed = parser.parse_object(values)
        problem = next(left_open(parsed.as_dict()), None)
        if problem is None:
            return parser.instantiate(parsed)[key]
    except ArgumentError as error:
        problem = next(problems(values, options(parser), values), None) or str(error)
    raise ValueError(f"{file}: {problem}")
