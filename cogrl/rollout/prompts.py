"""What a policy is asked: the prompts of clips in their formats, made by the one chat template there is, its own."""

from collections.abc import Sequence

from cogrl.formats import format_named
from cogrl.model_input import audio_input
from cogrl.models.audio_lm import AudioLM
from cogrl.types import Clip, ModelInput, Prompts


def prompts_of(
    policy: AudioLM, clips: Sequence[Clip], formats: Sequence[str], inputs: Sequence[ModelInput] | None = None
) -> Prompts:
    """One prompt a clip; `inputs` are heard or read in place of the clips. Raises as `AudioLM.encode_prompts`."""
    instructions = [format_named(name).instruction(clip.example) for name, clip in zip(formats, clips, strict=True)]
    inputs = [audio_input(clip) for clip in clips] if inputs is None else inputs
    return policy.encode_prompts(instructions, inputs, [clip.example.id for clip in clips])
