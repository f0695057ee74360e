"""Whether a model's own forward pass gives the log-probabilities that are computed here part by part."""

import numpy as np
import torch

from cogrl.models.audio_lm import AudioLM

TOLERANCE = {"float32": 1e-4, "float64": 1e-6, "float16": 0.03, "bfloat16": 0.1}
"""By how much, on average over tokens, two log-probabilities (in nats) of one token may differ by rounding alone."""


@torch.no_grad()
def refuse_other_logprobs(policy: AudioLM) -> None:
    """ValueError unless both agree behind a second of noise. Losses and sampling do not call the model's own pass.

    Raises ValueError, too, for weights that are shards (ZeRO-3), where a process can not look alone.
    """
    model, kind, given = policy.model.eval(), type(policy.model).__name__, f"policy.path={policy.path!r}"
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        raise ValueError(
            f"{given}: {kind} is code of the folder's own, whose log-probs are compared with those computed here, and "
            "ZeRO-3 has shards of its weights alone; use DDP, configs/trainer/zero1.yaml, zero2.yaml or fsdp.yaml"
        )
    dtype = getattr(torch, policy.dtype_name)
    noise = np.random.default_rng(0).normal(0, 0.1, policy.sampling_rate).astype(np.float32)
    inputs = policy.processor(text=[policy.processor.audio_token], audio=[noise], return_tensors="pt")
    inputs = {name: x.to(dtype) if x.is_floating_point() else x for name, x in inputs.items()}
    theirs = model(**{name: x.to(policy.device) for name, x in inputs.items()}).logits
    ids = inputs["input_ids"].to(policy.device)
    audio = {name: x.to(policy.device) for name, x in policy.audio_tensors([noise]).items()}
    embeds = policy.embeds_with_audio(ids, ids == policy.audio_token_id, audio, (1,))
    ours = policy.model.lm_head(policy.decoder(inputs_embeds=embeds).last_hidden_state)
    difference = float((theirs.float().log_softmax(-1) - ours.float().log_softmax(-1)).abs().mean())
    if not difference <= TOLERANCE[policy.dtype_name]:
        raise ValueError(
            f"{given}: the log-probs of {kind}'s own forward pass and those of its language model under its lm_head "
            f"differ by {difference:.2g} nats on average; its forward does more than these parts, and would be left "
            "out of losses and rollouts: a class of its own has to say how (cogrl/models/audio_lm.py)"
        )
