"""Every family of audio language models, what each is held to, and the table of both in docs/policies.md.

`python tests/policy_families.py` prints the table.
"""

import inspect
from typing import NamedTuple

from cogrl.models.any_audio_lm import AnyAudioLM
from cogrl.models.audio_flamingo import AudioFlamingo
from cogrl.models.audio_lm import AudioLM
from cogrl.models.qwen2_audio import Qwen2Audio
from cogrl.models.qwen3_omni import Qwen3Omni
from cogrl.models.qwen25_omni import Qwen25Omni
from cogrl.models.voxtral import Voxtral

SIZES = {"mel_bins": 16, "tower_width": 16, "tower_layers": 1, "width": 32, "layers": 1, "vocab_size": 400}
"""Of the tiny policies of the tests."""


class Family(NamedTuple):
    policy: type[AudioLM]
    builder: str


FAMILIES = {
    "qwen2_audio": Family(Qwen2Audio, "cogrl.models.tiny"),
    "qwen25_omni": Family(Qwen25Omni, "cogrl.models.tiny_omni"),
    "qwen3_omni": Family(Qwen3Omni, "cogrl.models.tiny_omni3"),
    "audio_flamingo": Family(AudioFlamingo, "cogrl.models.tiny_flamingo"),
    "voxtral": Family(Voxtral, "cogrl.models.tiny_voxtral"),
    "qwen3_asr": Family(AnyAudioLM, "cogrl.models.tiny_qwen3_asr"),
}
"""By the name that `cogrl build tiny-model --family` knows them by."""

CHECKS = {
    "log-probs are those of the transformers forward": "test_log_probs_equal_those_of_the_hugging_face_forward",
    "batch 1 = batch N, mixed durations": "test_a_batch_of_one_equals_a_batch_of_many",
    "sampled = teacher-forced, packed and repeated": "test_sampled_log_probs_are_the_teacher_forced_ones",
    "placeholders = encoder frames": "test_placeholders_are_as_many_as_the_encoder_makes_frames",
    "swapping two clips changes the loss": "test_swapping_two_clips_changes_the_log_probs",
    "too short or too long: refused by name": "test_a_clip_that_is_not_heard_whole_is_refused_by_name",
    "gradient checkpointing changes no gradient": "test_gradient_checkpointing_changes_no_gradient",
    "every trainable parameter learns": "test_every_trainable_parameter_gets_a_gradient",
    "LoRA, merged on export": "test_fresh_adapters_change_nothing_and_trained_ones_are_merged_on_save",
    "frozen encoder or language model": "test_what_is_frozen_is_what_was_asked_for",
    "bfloat16 drift bounded": "test_half_precision_drifts_by_no_more_than_its_rounding",
    "saved and read again: the same": "test_a_saved_folder_holds_the_same_weights_and_gives_the_same_log_probs",
    "opens with plain transformers": "test_a_saved_folder_opens_with_plain_transformers_and_generates",
    "a GRPO step on audio questions": "test_a_grpo_step_on_audio_questions_moves_the_policy",
}
"""What the docs say of every family, and the test that holds each of them to it."""


def table() -> str:
    """Families across, checks down; first what the classes themselves say."""
    kinds = [family.policy for family in FAMILIES.values()]
    longer = ["window by window" if "window_of" in vars(kind) else "refused" for kind in kinds]
    emotion = ["yes" if "emotion" in inspect.signature(kind).parameters else "no" for kind in kinds]
    rows = [
        ["", *(f"`{kind.__name__}`" for kind in kinds)],
        ["---"] * (1 + len(kinds)),
        ["`model_type`", *(", ".join(f"`{name}`" for name in kind.model_types) for kind in kinds)],
        ["clips longer than the encoder's window", *longer],
        ["emotion module", *emotion],
        *([check, *["✓"] * len(kinds)] for check in CHECKS),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table())
