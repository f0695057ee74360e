"""Text by others inside a prompt: quoted as JSON, so that a language model does not take it for instructions."""

import json
from collections.abc import Mapping
from typing import Any

_ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>[]{}|"}


def quoted(material: Mapping[str, Any] | str) -> str:
    r"""JSON whose strings can neither end early nor spell a control token of the model's own chat template.

    Brackets and bars inside strings are written as \u escapes, which every JSON reader undoes: words that contain
    `<|im_end|>` or `[/INST]` arrive as text. Other scripts stay readable.
    """
    if isinstance(material, Mapping):
        return "{" + ", ".join(f"{quoted(name)}: {quoted(value)}" for name, value in material.items()) + "}"
    return json.dumps(material, ensure_ascii=False).translate(_ESCAPED)
