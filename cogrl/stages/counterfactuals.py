"""What the policy answers where the audio is replaced, for rewards that compare (see `rewards.perception`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from cogrl.formats.answer import Answer, answers_of
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, ModelInput, Rollouts

Replacement = Callable[[Sequence[Clip], int], list[ModelInput]]
"""The clips and the sampling rate in Hz -> the model's input in the place of each clip, such as
`cogrl.evaluate.controls.silence`."""


@dataclass(frozen=True)
class Counterfactuals:
    """One greedy completion of every prompt under each replacement of its audio; `Answer.counterfactuals` has them.

    That is 1 / group_size more to sample for each. Give it names and import paths, such as
    `inputs: {silence: cogrl.evaluate.controls.silence}`; a replacement sees the clips of one batch. Raises ValueError
    without any.
    """

    inputs: dict[str, Replacement]

    def __post_init__(self) -> None:
        if not self.inputs:
            raise ValueError("counterfactuals.inputs is empty; name a replacement or leave counterfactuals out")

    def said(
        self,
        clips: Sequence[Clip],
        formats: Sequence[str],
        run_engine: Callable[..., Rollouts],
        sampling: Sampling,
        sampling_rate: int,
    ) -> list[dict[str, str]]:
        """What is said to each prompt where its audio is replaced, by the name of the replacement.

        `run_engine(clips, formats, sampling, inputs=...)` samples with the weights that the completions are of.
        """
        greedy, said = replace(sampling, greedy=True), {}
        for name, replacement in self.inputs.items():
            replaced = run_engine(clips, formats, greedy, inputs=replacement(clips, sampling_rate))
            said[name] = [answer.said for answer in answers_of(replaced)]
        return [dict(zip(said, texts, strict=True)) for texts in zip(*said.values(), strict=True)]


def compared(rollouts: Rollouts, said: Sequence[Mapping[str, str]]) -> list[Answer]:
    """The answers in rollouts, each with what is said to its prompt where the audio is replaced."""
    return [
        replace(answer, counterfactuals=said[row // rollouts.group_size])
        for row, answer in enumerate(answers_of(rollouts))
    ]
