"""A key-value cache for decoding one token at a time."""

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

SPARE_TOKENS = 64


class RoomyLayer(DynamicLayer):
    """Keys and values in buffers with room to spare: a step writes its own column and copies nothing else.

    `DynamicLayer` concatenates, which copies the whole cache for every token: 69 % of the time of a rollout of the
    embedded model. (experiments/rl_step)
    """

    room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self.room is None or self.room[0].shape[-2] < end:
            old = (self.keys, self.values) if start else (key_states[..., :0, :], value_states[..., :0, :])
            self.room = tuple(_with_room(states, end + SPARE_TOKENS) for states in old)
        for buffer, states in zip(self.room, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = states
        self.keys, self.values = (buffer[..., :end, :] for buffer in self.room)
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self.room = None

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self.room = None


def decoding_cache() -> Cache:
    """An empty cache; layers appear as the model asks for them."""
    return Cache(layer_class_to_replicate=RoomyLayer)


def _with_room(states: Tensor, tokens: int) -> Tensor:
    buffer = torch.empty(*states.shape[:-2], tokens, states.shape[-1], dtype=states.dtype, device=states.device)
    buffer[..., : states.shape[-2], :] = states
    return buffer
