"""Writes a Hugging Face Whisper encoder as CTranslate2 stores it: the inverse of what is tested, by hand."""

import struct

import torch


def ct2_variables(encoder):
    """Its weights under CTranslate2's names, float16, with a zero bias for the keys."""
    state = {name: value.detach() for name, value in encoder.state_dict().items()}
    stored = {"position_encodings/encodings": state["embed_positions.weight"]}
    for conv in ("conv1", "conv2"):
        stored |= {f"{conv}/{leaf}": state[f"{conv}.{leaf}"] for leaf in ("weight", "bias")}
    norms = {"layer_norm": "layer_norm"}
    for i in range(len(encoder.layers)):
        ours, theirs = f"layers.{i}", f"layer_{i}"
        norms |= {f"{theirs}/self_attention/layer_norm": f"{ours}.self_attn_layer_norm"}
        norms |= {f"{theirs}/ffn/layer_norm": f"{ours}.final_layer_norm"}
        q, k, v = (f"{ours}.self_attn.{which}_proj" for which in "qkv")
        no_bias = torch.zeros_like(state[f"{q}.bias"])
        stored[f"{theirs}/self_attention/linear_0/weight"] = torch.cat([state[f"{name}.weight"] for name in (q, k, v)])
        stored[f"{theirs}/self_attention/linear_0/bias"] = torch.cat([state[f"{q}.bias"], no_bias, state[f"{v}.bias"]])
        for there, here in (
            ("self_attention/linear_1", "self_attn.out_proj"),
            ("ffn/linear_0", "fc1"),
            ("ffn/linear_1", "fc2"),
        ):
            stored |= {f"{theirs}/{there}/{leaf}": state[f"{ours}.{here}.{leaf}"] for leaf in ("weight", "bias")}
    for there, here in norms.items():
        stored |= {f"{there}/gamma": state[f"{here}.weight"], f"{there}/beta": state[f"{here}.bias"]}
    return {f"encoder/{name}": value.half().numpy() for name, value in stored.items()}


def ct2_file(variables, version=6, kind="WhisperSpec", dtype=4):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    content = struct.pack("<I", version) + text(kind) + struct.pack("<II", 3, len(variables) + 1)
    content += text("encoder/num_heads") + struct.pack("<BBI", 0, 2, 2) + b"\x02\x00"
    for name, value in variables.items():
        data = value.tobytes()
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        content += text(name) + shape + struct.pack("<BI", dtype, len(data)) + data
    return content + struct.pack("<I", 1) + text("decoder/projection/weight") + text("decoder/embeddings/weight")
