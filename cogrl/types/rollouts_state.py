"""`Rollouts` as plain data and tensors, for a checkpoint that is read without running any code, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from cogrl.types.completions import Completions
from cogrl.types.inputs import Clip, Prompts, Span
from cogrl.types.rollouts import Rollouts
from cogrl.types.speech import Speech

_ON_CPU = ("rewards", "advantages")
"""Of the tensors of `Rollouts`; the others lie on the policy's device."""


def state_of(rollouts: Rollouts) -> dict[str, Any]:
    """Everything but the clips: their samples lie in files already. The tensors are the same ones, not copies."""
    state = {part.name: getattr(rollouts, part.name) for part in fields(rollouts) if part.name != "clips"}
    for name in ("prompts", "completions"):
        whole = state[name]
        state[name] = {part.name: getattr(whole, part.name) for part in fields(whole)}
        state[name]["audio"] = dict(state[name]["audio"])
    spans = [[(span.start_s, span.end_s) for span in row] for row in rollouts.spans]
    return state | {"spans": spans, "speech": [said and _plain(said) for said in rollouts.speech]}


def rollouts_of(state: Mapping[str, Any], clips: Sequence[Clip], device: torch.device) -> Rollouts:
    """The rollouts of a state, with their clips, on the device of the policy."""
    found = {
        name: value.to(device) if isinstance(value, Tensor) and name not in _ON_CPU else value
        for name, value in state.items()
    }
    prompts, completions = (
        {name: value.to(device) if isinstance(value, Tensor) else value for name, value in state[part].items()}
        | {"audio": {name: value.to(device) for name, value in state[part]["audio"].items()}}
        for part in ("prompts", "completions")
    )
    spans = [tuple(Span(*times) for times in row) for row in state["spans"]]
    own = {"clips": clips, "prompts": Prompts(**prompts), "completions": Completions(**completions), "spans": spans}
    own["speech"] = [said and _speech(said) for said in state["speech"]]
    return Rollouts(**(found | own))


def _plain(said: Speech) -> dict[str, Any]:
    """Samples as a tensor: an array would not be read without running code."""
    state = {part.name: getattr(said, part.name) for part in fields(said)}
    return state | {"waveform": None if said.waveform is None else torch.from_numpy(said.waveform)}


def _speech(state: Mapping[str, Any]) -> Speech:
    waveform = state["waveform"]
    return Speech(**(state | {"waveform": None if waveform is None else waveform.numpy()}))
