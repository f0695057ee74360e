"""What a check has found."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "fault", "not run"]
"""`fault`: the run would fail, or learn something else than was meant. `warning`: it may be intended."""


@dataclass(frozen=True)
class Finding:
    """What the check `name` has `seen`, and what to do about it: `advice`, "" where `seen` says it."""

    name: str
    state: State
    seen: str
    advice: str = ""
