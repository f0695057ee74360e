"""Does the answer follow the voice? Greedy answers on a manifest, graded by the training rewards, with controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from cogrl.evaluate.controls import CONTROLS, Condition, sound, transcript, voice
from cogrl.evaluate.grades import grades
from cogrl.evaluate.groups import Pair, cell, contrasts
from cogrl.evaluate.replied import replied_emotions
from cogrl.formats import format_named
from cogrl.formats.answer import read_answer
from cogrl.formats.eips import perceived_emotion
from cogrl.models.audio_lm import AudioLM
from cogrl.progress import progress
from cogrl.rewards.composite import Reward
from cogrl.rollout.controller import Controller
from cogrl.rollout.hf import HFEngine
from cogrl.rollout.sampling import Sampling
from cogrl.types import Clip, Emotion, Example, Finish

EVALUATED_FORMATS = ("eips", "direct")
"""The formats that a policy is asked in: it thinks aloud before it replies, and it replies at once."""
Done = Callable[[int], object]
"""Told how many further clips are answered, such as the `update` of a progress bar."""
Rater = Callable[[Sequence[Example], Sequence[str]], np.ndarray]
"""Spoken lines and what was replied to them -> a level for each pair, such as an EPITOME classifier."""


@dataclass(frozen=True)
class Answers:
    """Greedy completions of `n` clips in one format, and their grades.

    `replies` are the parts that the user would hear. `perceived` is the label of the Perception step (None when absent
    or malformed, always in direct: counted as wrong). `replied` is the emotion that the reply answers (see
    `replied_emotions`).
    """

    format: str
    texts: Sequence[str]
    tokens: Sequence[int]
    replies: Sequence[str]
    perceived: Sequence[Emotion | None]
    replied: Sequence[Emotion | None]
    reward: np.ndarray
    terms: dict[str, np.ndarray]


def answer(
    policy: AudioLM,
    clips: Sequence[Clip],
    format: str,
    reward: Reward,
    condition: Condition = voice,
    max_new_tokens: int = 128,
    batch_size: int = 84,
    done: Done = lambda clips: None,
    controllers: Sequence[Controller] = (),
) -> Answers:
    """One greedy completion a clip. Clips that sound the same to the model (a control) are answered once."""
    inputs = condition(clips, policy.sampling_rate)
    keys = [sound(item) for item in inputs]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    unique = sorted(first.values())
    sampling, engine = Sampling(max_new_tokens=max_new_tokens, greedy=True), HFEngine()
    said: dict[int, tuple[str, int, Finish]] = {}
    for start in range(0, len(unique), batch_size):
        rows = unique[start : start + batch_size]
        batch, given = [clips[i] for i in rows], [inputs[i] for i in rows]
        rollouts = engine.sample(policy, batch, [format] * len(rows), sampling, inputs=given, controllers=controllers)
        lengths = rollouts.completions.mask.sum(1).tolist()
        said |= dict(zip(rows, zip(rollouts.texts, lengths, rollouts.finish, strict=True), strict=True))
        done(len(rows))
    done(len(clips) - len(unique))
    found, examples = [said[first[key]] for key in keys], [clip.example for clip in clips]
    return graded(format, [t for t, _, _ in found], [n for _, n, _ in found], examples, reward, [f for *_, f in found])


def graded(
    format: str,
    texts: Sequence[str],
    tokens: Sequence[int],
    examples: Sequence[Example],
    reward: Reward,
    finish: Sequence[Finish] | None = None,
) -> Answers:
    """Completions with their grades; `finish` says how each ended (None: all by an end token)."""
    rows = zip(texts, examples, finish or ["end"] * len(texts), strict=True)
    answers = [read_answer(text, format, example, finish=ended) for text, example, ended in rows]
    scores, replies = grades(reward, answers), [answer.said for answer in answers]
    return Answers(
        format,
        texts,
        tokens,
        replies,
        [perceived_emotion(text) for text in texts],
        replied_emotions(reward, examples, replies),
        scores.total.double().numpy(),
        {name: value.double().numpy() for name, value in scores.terms.items()},
    )


def sampled_replies(
    policy: AudioLM,
    clips: Sequence[Clip],
    format: str,
    draws: int,
    max_new_tokens: int = 128,
    batch_size: int = 42,
    seed: int = 0,
    done: Done = lambda clips: None,
    controllers: Sequence[Controller] = (),
) -> list[list[str]]:
    """`draws` replies to each clip, sampled at temperature 1; one machine repeats them for a seed and batch size."""
    engine, sampling = HFEngine(), Sampling(max_new_tokens=max_new_tokens)
    generator = torch.Generator(policy.device).manual_seed(seed)
    found: list[list[str]] = []
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        rollouts = engine.sample(
            policy, batch, [format] * len(batch), sampling, draws, generator=generator, controllers=controllers
        )
        answer_of, examples = format_named(format).answer, rollouts.row_examples
        replies = [answer_of(text, example) for text, example in zip(rollouts.texts, examples, strict=True)]
        found += [replies[i : i + draws] for i in range(0, len(replies), draws)]
        done(len(batch))
    return found


@dataclass(frozen=True)
class Evaluation:
    """One policy on one manifest: both formats on the voice and on each control; one that `reads` has the words alone.

    `samples` holds sampled direct replies of each clip (None: none were drawn), `levels[mechanism][format]` the
    EPITOME level of each reply. `polar` is the same policy on other clips, with polar words: accuracy by part (see
    `polarity.part`) is measured there and nothing else is. None: on the manifest itself.
    """

    name: str
    clips: Sequence[Clip]
    formats: dict[str, Answers]
    controls: dict[str, dict[str, Answers]]
    samples: Sequence[Sequence[str]] | None = None
    levels: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    polar: "Evaluation | None" = None
    reads: bool = False

    @cached_property
    def examples(self) -> list[Example]:
        return [clip.example for clip in self.clips]

    @cached_property
    def labels(self) -> list[Emotion]:
        """The gold emotion of each clip."""
        return [clip.example.emotion for clip in self.clips]

    @cached_property
    def cells(self) -> list[str]:
        """(speaker, sentence) of each clip: the unit the bootstrap resamples."""
        return [cell(clip.example) for clip in self.clips]

    @cached_property
    def contrasts(self) -> list[Pair]:
        """The pairs of clips with the same words and speaker and different emotions."""
        return contrasts(self.examples)

    def correct(self, answers: Answers) -> np.ndarray:
        """1.0 where the perceived emotion is the label."""
        return self._hits(answers.perceived)

    def answered(self, answers: Answers) -> np.ndarray:
        """1.0 where the reply answers the label's emotion."""
        return self._hits(answers.replied)

    def _hits(self, guesses: Sequence[Emotion | None]) -> np.ndarray:
        return np.array([float(guess == label) for guess, label in zip(guesses, self.labels, strict=True)])


def evaluate_policy(
    name: str,
    policy: AudioLM,
    clips: Sequence[Clip],
    reward: Reward,
    max_new_tokens: int = 128,
    draws: int = 2,
    raters: Mapping[str, Rater] | None = None,
    controllers: Sequence[Controller] = (),
    controls: Mapping[str, Condition] = CONTROLS,
    reads: bool = False,
) -> Evaluation:
    """Answer every clip in both formats: the voice, and the text-only, the silence and the shuffled-audio control.

    `controls` are those three unless given. A policy that `reads` is given the words alone and asked under no control;
    no replies of it are sampled.

    `draws` sampled direct replies a clip measure the response difference (0: not measured). `raters` are the EPITOME
    classifiers by mechanism. `controllers` take part in all of it.
    """
    policy.eval()
    if reads:
        controls, draws = {}, 0
    asked = len(EVALUATED_FORMATS) * (1 + len(controls)) + bool(draws)
    with progress(desc=f"answers of {name}", total=asked * len(clips), unit="answer") as bar:
        how = {"done": bar.update, "controllers": controllers}

        def both_formats(condition: Condition) -> dict[str, Answers]:
            return {
                format: answer(policy, clips, format, reward, condition, max_new_tokens, **how)
                for format in EVALUATED_FORMATS
            }

        formats = both_formats(transcript if reads else voice)
        under = {control: both_formats(condition) for control, condition in controls.items()}
        samples = None
        if draws:
            samples = sampled_replies(policy, clips, "direct", draws, max_new_tokens, **how)
    spoken = [clip.example for clip in clips]
    levels = {
        mechanism: {format: rate(spoken, answers.replies) for format, answers in formats.items()}
        for mechanism, rate in (raters or {}).items()
    }
    return Evaluation(name, clips, formats, under, samples, levels, reads=reads)
