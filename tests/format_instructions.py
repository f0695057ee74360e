"""The instructions of the two formats of CogAudio-LLM, which are the same for every example."""

from pathlib import Path

from cogrl.formats import FORMATS
from cogrl.types import Example

_ANY = Example("any", Path("any.wav"), "test", "x", "x", "x", "neutral")
INSTRUCTIONS = {name: FORMATS[name].instruction(_ANY) for name in ("eips", "direct")}
