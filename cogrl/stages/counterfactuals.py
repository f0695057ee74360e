"""What the policy answers otherwise: where the audio is replaced, or under no controllers; for rewards that compare."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cogrl.formats.answer import Answer, answers_of
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, ModelInput, Rollouts

Replacement = Callable[[Sequence[Clip], int], list[ModelInput]]
"""The clips and the sampling rate in Hz -> the model's input in the place of each clip, such as
`cogrl.evaluate.controls.silence`."""


WITHOUT_CONTROLLERS = "without_controllers"
"""The name of what is said under none of the stage's controllers."""


@dataclass(frozen=True)
class Counterfactuals:
    """One greedy completion of every prompt under each of these changes; `Answer.counterfactuals` has them.

    That is 1 / group_size more to sample for each.

    Args:
        inputs: replacements of the audio by their names, such as `{silence: cogrl.evaluate.controls.silence}`; each
            sees the clips of one batch.
        without_controllers: the audio as it is, and none of the stage's controllers: nothing is inserted.

    Raises ValueError without any, and for a replacement with the other's name.
    """

    inputs: dict[str, Replacement] = field(default_factory=dict)
    without_controllers: bool = False

    def __post_init__(self) -> None:
        if not self.inputs and not self.without_controllers:
            raise ValueError("counterfactuals.inputs is empty; name a replacement or leave counterfactuals out")
        if WITHOUT_CONTROLLERS in self.inputs:
            raise ValueError(f"counterfactuals.inputs names {WITHOUT_CONTROLLERS!r}, which is none; give another name")

    def said(
        self,
        clips: Sequence[Clip],
        formats: Sequence[str],
        run_engine: Callable[..., Rollouts],
        sampling: Sampling,
        sampling_rate: int,
    ) -> list[dict[str, str]]:
        """What is said to each prompt under each change, by its name.

        `run_engine(clips, formats, sampling, **changes)` samples with the weights that the completions are of.
        """
        greedy = replace(sampling, greedy=True)
        changes = {name: {"inputs": make(clips, sampling_rate)} for name, make in self.inputs.items()}
        if self.without_controllers:
            changes[WITHOUT_CONTROLLERS] = {"controllers": []}
        said = {
            name: [answer.said for answer in answers_of(run_engine(clips, formats, greedy, **change))]
            for name, change in changes.items()
        }
        return [dict(zip(said, texts, strict=True)) for texts in zip(*said.values(), strict=True)]


def compared(rollouts: Rollouts, said: Sequence[Mapping[str, str]]) -> list[Answer]:
    """The answers in rollouts, each with what is said to its prompt otherwise."""
    return [
        replace(answer, counterfactuals=said[row // rollouts.group_size])
        for row, answer in enumerate(answers_of(rollouts))
    ]
