"""A family's audio tensors as transformers itself wants them."""

from torch.nn.functional import pad

from cogrl.models.windows import windows_of


def whole_window(policy, audio):
    """Most classes take log-mels of their whole window and nothing shorter, and longer clips window by window."""
    return KINDS[policy.model.config.model_type](policy, audio) if audio else audio


def padded(policy, audio):
    positions = policy.audio_tower.config.max_source_positions
    return {name: pad(value, (0, 2 * positions - value.shape[-1])) for name, value in audio.items()}


def masked_windows(policy, audio):
    audio = padded(policy, audio) if audio["input_features"].shape[-1] < window(policy) else audio
    windows = windows_of(audio, window(policy))
    return {"input_features": windows.features, "input_features_mask": windows.real.long()}


def bare_windows(policy, audio):
    return {"input_features": windows_of(audio, window(policy)).features}


def window(policy):
    return policy.processor.feature_extractor.nb_max_frames


KINDS = {
    "qwen2_audio": padded,
    "qwen2_5_omni_thinker": lambda policy, audio: audio,
    "qwen3_omni_moe_thinker": lambda policy, audio: audio,
    "audioflamingo3": masked_windows,
    "voxtral": bare_windows,
    "qwen3_asr": lambda policy, audio: {name: value for name, value in audio.items() if name != "tokens"},
}
