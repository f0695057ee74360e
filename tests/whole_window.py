"""A family's audio tensors as transformers itself wants them."""

from torch.nn.functional import pad


def whole_window(policy, audio):
    """Qwen2-Audio's class takes log-mels of its whole window and nothing shorter; what is behind a clip is masked."""
    positions = getattr(policy.audio_tower.config, "max_source_positions", 0)
    if policy.model.config.model_type != "qwen2_audio" or not audio:
        return audio
    return {name: pad(value, (0, 2 * positions - value.shape[-1])) for name, value in audio.items()}
