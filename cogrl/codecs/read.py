"""A codec from a folder, of the class that its `config.json` names."""

import json
from pathlib import Path

from cogrl.codecs.codec import Codec
from cogrl.codecs.mel_rvq import KIND, MelRvq
from cogrl.codecs.transformers_codecs import FAMILIES


def read_codec(folder: str | Path, codebooks: int | None = None) -> Codec:
    """The codec in `folder`, frozen and in float32; `codebooks` says how many it is to use, None all of them.

    Raises FileNotFoundError for a folder without one, ValueError for a model of another kind or more codebooks than it
    has.
    """
    file = Path(folder) / "config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} holds no codec (no config.json); train the embedded one with: "
            f"cogrl build speech-codec --out {folder}, or give a folder of {', '.join(FAMILIES)}"
        )
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
    known = {KIND: MelRvq.read} | {name: family.read for name, family in FAMILIES.items()}
    if kind not in known:
        raise ValueError(f"{folder}: model_type {kind!r} is no codec; known: {', '.join(known)}")
    return known[kind](Path(folder), codebooks).eval().requires_grad_(False)
