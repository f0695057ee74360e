"""Reading a YAML file that a command line names; what is wrong with it is said with its name."""

from pathlib import Path
from typing import Any

import yaml

from cogrl.data.text_file import utf8_text


def read_yaml(file: Path, may_be_empty: bool = False) -> dict[str, Any]:
    """The keys and values of a file. Raises ValueError, naming it, for one that is empty, no YAML or no mapping."""
    try:
        values = yaml.safe_load(utf8_text(file))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not YAML: {error}") from error
    if values is None and may_be_empty:
        return {}
    if values is None:
        raise ValueError(f"{file}: holds no keys, only comments or nothing; write some, or leave the file out")
    if not isinstance(values, dict):
        raise ValueError(f"{file}: must hold keys and values, got {type(values).__name__}")
    return values
