"""A Whisper encoder out of a CTranslate2 `model.bin`, under the names of the Hugging Face classes.

The file: version, name of the model's kind, its revision, the number of variables, then each variable as name, shape,
type, bytes; all little-endian. (https://github.com/OpenNMT/CTranslate2, `Model::load`)
"""

import io
import struct

import numpy as np
import torch
from torch import Tensor

_VERSION = 6
_TYPES = {0: np.float32, 4: np.float16}
_LEAVES = {"gamma": "weight", "beta": "bias"}
_BLOCK = {
    "self_attention/layer_norm": ["self_attn_layer_norm"],
    "self_attention/linear_0": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],  # one stacked matrix
    "self_attention/linear_1": ["self_attn.out_proj"],
    "ffn/layer_norm": ["final_layer_norm"],
    "ffn/linear_0": ["fc1"],
    "ffn/linear_1": ["fc2"],
}


def read_variables(content: bytes) -> dict[str, np.ndarray]:
    """Every weight of a Whisper model, as stored; tied weights once.

    Raises ValueError for another kind of file, another version of the format, or quantised weights.
    """
    source = io.BytesIO(content)

    def number(form: str) -> int:
        return struct.unpack(f"<{form}", source.read(struct.calcsize(f"<{form}")))[0]

    def text() -> str:
        return source.read(number("H"))[:-1].decode()  # ends with a zero byte

    version = number("I")
    kind = text() if version == _VERSION else "unread"
    if kind != "WhisperSpec":
        raise ValueError(f"no Whisper model of CTranslate2's format {_VERSION}: format {version}, kind {kind}")
    number("I")  # revision of the kind
    weights = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        stored, values = number("B"), source.read(number("I"))
        if not shape:
            continue  # a switch of CTranslate2's runtime
        if stored not in _TYPES:
            raise ValueError(f"{name} is stored as type {stored}; only float32 (0) and float16 (4) are read")
        weights[name] = np.frombuffer(values, _TYPES[stored]).reshape(shape)
    return weights


def encoder_state(variables: dict[str, np.ndarray], positions: int) -> dict[str, Tensor]:
    """The float32 state dict of `WhisperEncoder` and `Qwen2AudioEncoder`, for a window of `positions` frames of 20 ms.

    Whisper's window has 1500. The table of positions is cut, never stretched: what is left is what was trained.
    """
    state = {}
    for stored, values in variables.items():
        room, _, name = stored.partition("/")
        if room != "encoder":
            continue
        value = torch.from_numpy(values.astype(np.float32))
        place, _, leaf = name.rpartition("/")
        layer, _, part = place.partition("/")
        leaf = _LEAVES.get(leaf, leaf)
        if place == "position_encodings":
            state["embed_positions.weight"] = value[:positions]
        elif not part:  # conv1, conv2 and the last norm
            state[f"{place}.{leaf}"] = value
        else:
            targets = _BLOCK[part]
            block = f"layers.{layer.removeprefix('layer_')}"
            chunks = zip(targets, value.chunk(len(targets)), strict=True)
            state |= {f"{block}.{target}.{leaf}": chunk for target, chunk in chunks}
    # CTranslate2 stores a bias for the keys too; Whisper has none, and what is stored is zero
    return {name: value for name, value in state.items() if not name.endswith("k_proj.bias")}
